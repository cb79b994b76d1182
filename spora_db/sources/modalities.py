"""The modality of a tissue's row: as its folder spells it, and where the file has none, those that have its image."""

from collections.abc import Mapping

from sqlglot import exp

from spora_db.layout import Lake
from spora_db.sources.casts import is_null
from spora_db.sources.footers import FileColumn, Footer, is_unique
from spora_db.sources.reconcile import TEXT, WHOLE_NUMBERS
from spora_db.sqltext.expressions import cast_to, named, null, position, text


def _lacks_modalities(footer: Footer, columns: Mapping[str, FileColumn]) -> bool:
    """Tell whether a file may have tissues without a modality."""
    return "modality" not in columns or columns["modality"].position not in footer.without_nulls


def may_repeat(footer: Footer, columns: Mapping[str, FileColumn]) -> bool:
    """Tell whether a file may list a tissue several times for its modalities: rows equal in all columns are then one.

    Where every row has a tissue of its own, which a glance at that column tells, no two rows can be equal.
    """
    if not _lacks_modalities(footer, columns):
        return False
    key = columns["tissue_id"]
    return key.type not in WHOLE_NUMBERS | {TEXT} or not is_unique(footer.table, key.position)


def with_modality(
    select: exp.Select,
    footer: Footer,
    values: dict[str, exp.Expression],
    columns: Mapping[str, FileColumn],
    lake: Lake,
) -> exp.Select:
    """Spell the modality as its folder does; a tissue without one gets a row per modality that has an image of it."""
    dataset = next(item for item in lake.datasets if item.name == footer.table.dataset)
    given: exp.Expression = null(TEXT)
    if "modality" in columns:
        stored = cast_to(position(columns["modality"].position), TEXT)
        given = exp.Lower(this=exp.Trim(this=stored))
        spelled = [name for name in dataset.modalities if name != name.lower()]
        if spelled:
            case = exp.Case(this=given)
            for name in spelled:
                case = case.when(text(name.lower()), text(name))
            given = case.else_(given.copy())
    values["modality"] = given
    if not _lacks_modalities(footer, columns):
        return select
    seen = (
        exp.select(named(exp.column("tissue_id"), "image_tissue_id"), named(exp.column("modality"), "image_modality"))
        .distinct()
        .from_("source_images")
        .where(exp.EQ(this=exp.column("dataset"), expression=text(dataset.name)))
    )
    values["modality"] = exp.Coalesce(this=given, expressions=[exp.column("image_modality", table="seen")])
    unknown = exp.Case().when(is_null(given), values["tissue_id"].copy())
    matches = exp.EQ(this=unknown, expression=exp.column("image_tissue_id", table="seen"))
    return select.join(seen.subquery("seen"), on=matches, join_type="left")
