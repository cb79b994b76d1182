"""Which images the tissue of a row has, as an SQL condition."""

from collections.abc import Sequence

from sqlglot import exp, parse_one

from spora_db.sqltext.binding import Binder
from spora_db.sqltext.dialect import DIALECT

HAS_IMAGE = """
    EXISTS (
        SELECT 1 FROM images AS i
        WHERE i.dataset = base.dataset AND i.mpp = base.mpp AND i.tissue_id = base.tissue_id
    )
"""


def has_image(modalities: Sequence[str], binder: Binder) -> exp.Expr:
    """Return the condition that a row's tissue has an image of one of some modalities."""
    exists = parse_one(HAS_IMAGE, dialect=DIALECT)
    inner = exists.find(exp.Select)
    assert inner is not None
    inner.where(binder.member("modality", modalities, table="i"), copy=False)
    return exists
