"""`most_uncertain`: the rows of a query whose class scores are least certain, as rows of a query again."""

from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
from sqlglot import exp

from spora_db.catalog import Catalog, lent_catalog
from spora_db.catalog.sql_files import sql_text
from spora_db.choosing.rows import check_number, compiled_of, first_key, known, rows_beside
from spora_db.errors import TableError, counted
from spora_db.layout import LakePath
from spora_db.nearest.sets import MissingFeatures, fitting_sets, keys_of, vector_of, with_new
from spora_db.selection import Selection
from spora_db.sources.features import relation_of

Uncertainty: TypeAlias = Literal["entropy", "margin"]
SCORED = "scored_rows"


def uncertain_rows(
    lake: LakePath,
    selection: Selection,
    n: int,
    *,
    scores: str | tuple[str, ...],
    column: str | None,
    measure: Uncertainty,
    balanced: bool,
    missing: MissingFeatures,
) -> pa.Table:
    """Return the rows of a query that a model is least certain of; see `SporaQuery.most_uncertain`."""
    own = () if isinstance(scores, str) else scores
    asked = replace(selection, columns=tuple(dict.fromkeys((*selection.columns, *own))))
    with lent_catalog(lake) as catalog:
        resolved, compiled = compiled_of(asked, catalog)
        keys = keys_of(selection.unit)
        if isinstance(scores, str):
            value = _scores_of(scores, column, resolved, catalog)
            table, values = rows_beside(compiled, catalog, relation=relation_of(scores), value=value, keys=keys)
            what = f"features {scores!r}"
        else:
            value = exp.array(*(exp.cast(exp.column(name, "rows", quoted=True), "DOUBLE") for name in own))
            some = exp.or_(*(exp.column(name, "rows", quoted=True).is_(exp.null()).not_() for name in own))
            table, values = rows_beside(compiled, catalog, value=exp.Case().when(some, value), keys=keys)
            what = ", ".join(own)
        table, values = known(table, values, what=what, missing=missing, keys=keys)
        check_number(n, len(table), at="most_uncertain(")
        with catalog._registered(SCORED, pa.table({"place": np.arange(len(table)), "scores": values})):
            _check_probabilities(catalog, table, what=what, keys=keys)
            question = sql_text("questions", "most_uncertain")
            chosen = catalog._run(question, {"n": n, "measure": measure, "balanced": balanced}).to_arrow_table()
    new = {name: chosen.column(name) for name in ("uncertainty", "predicted")}
    return with_new(table.take(chosen.column("place")), **new)


def _scores_of(name: str, column: str | None, selection: Selection, catalog: Catalog) -> exp.Expr:
    """Return the scores of a feature set: its vectors, or, where it has none, its numbers, a class each."""
    features = fitting_sets(name, selection, catalog)[0].features
    if features.vectors or column is not None:
        return exp.column(vector_of(features, column).name, "beside", quoted=True)
    numbers = [exp.column(item.name, "beside", quoted=True) for item in features.columns]
    absent = exp.column("dataset", "beside").is_(exp.null())
    return exp.Case().when(absent, exp.null()).else_(exp.array(*(exp.cast(item, "DOUBLE") for item in numbers)))


def _check_probabilities(catalog: Catalog, table: pa.Table, *, what: str, keys: tuple[str, ...]) -> None:
    """Refuse scores that are NaN, negative, or do not add up to 1, and name the first row."""
    wrong = exp.select("place", "scores").from_(SCORED).where("NOT is_probabilities(scores)").order_by("place")
    found = catalog._run(wrong).to_arrow_table()
    if len(found):
        first = first_key(table.take(found.column("place")), keys)
        raise TableError(
            f"The scores ({what}) of {counted(len(found), 'row')} are no probabilities, the first of {first}: "
            f"{found.column('scores')[0].as_py()}. Expected two or more numbers of at least 0 that add up to 1, "
            "none of them NaN: take their softmax before they are kept, or leave these rows out."
        )
