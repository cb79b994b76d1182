"""The labels of a query: what each column is, where the lake has all values of it, and the rows without one."""

from dataclasses import replace
from typing import Literal

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError
from spora_db.guard import check_predicate
from spora_db.selection.cells import OF_REGIONS
from spora_db.selection.group_checks import OF_TILES
from spora_db.selection.label import Label, LabelType
from spora_db.selection.resolved import Resolved
from spora_db.sources.reconcile import FLOATS, TEXT, WHOLE_NUMBERS
from spora_db.sqltext.dialect import DIALECT

ValueKind = Literal["text", "truth value", "number"]
OF_IMAGES = ("dataset", "modality", "mpp", "tissue_id")
_PLAIN: dict[ValueKind, type] = {"text": str, "truth value": bool, "number": int}
_HUGE = {"HUGEINT", "UHUGEINT"}


def with_labels(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Say of every label whether it is a class or a number, and leave out rows without one where that is asked for.

    Raises
    ------
    ArgumentError
        If a column holds no texts, numbers or truth values, or others than its classes or type say, or if a label is
        called as another column of the rows.
    """
    asked = resolved.selection
    labels, predicates = [], list(resolved.predicates)
    for label in asked.labels:
        if label.key != label.column and label.key in asked.columns:
            raise ArgumentError(
                f"label({label.column!r}, name={label.key!r}): the query selects a column of this name. Choose another."
            )
        type_name = _type(label.column, resolved, catalog)
        label = replace(label, label_type=_label_type(label, type_name))
        labels.append(label)
        if label.missing == "drop":
            predicates.append(check_predicate(_known(label, type_name), columns=resolved.columns))
    return replace(resolved.asking(labels=tuple(labels)), predicates=tuple(predicates))


def homes(column: str, resolved: Resolved, catalog: Catalog) -> list[tuple[str, str]]:
    """Return the relations of the lake that hold all values of a column of the rows, and its name in each.

    None where only the rows themselves know: columns of the user's own rows that the lake has under no such name.
    """
    unit, cells = resolved.selection.unit, resolved.cells
    brought = [(join.relation, old) for join in resolved.joins for old, new in join.columns if new == column]
    if brought:
        return brought
    if column in OF_IMAGES:
        return [("images", column)]
    if column == OF_REGIONS[0] and (resolved.selection.windows or column not in resolved.source_types):
        return [("regions", "class")]
    if resolved.source is not None:
        relations = ("cells", "tissues") if unit == "cell" else ("tissues",)
        return [(relation, column) for relation in relations if column in catalog.columns(relation)]
    if cells is not None:
        named = (("cells", cells.own), ("tissues", cells.tissue))
        return [(relation, old) for relation, pairs in named for old, new in pairs if new == column]
    return [("tiles" if unit == "tile" and column in OF_TILES else "tissues", column)]


def is_assigned(column: str, resolved: Resolved) -> bool:
    """Tell whether a column is the split that the query itself assigns."""
    choice = resolved.selection.split_choice
    return column == "split" and choice is not None and bool(choice.fractions)


def _type(column: str, resolved: Resolved, catalog: Catalog) -> str:
    """Return the type of a column of the rows."""
    if is_assigned(column, resolved):
        return TEXT
    if column in resolved.source_types:
        return resolved.source_types[column]
    found = homes(column, resolved, catalog)
    return catalog._types(found[0][0], [found[0][1]])[0] if found else "INTEGER"  # a cell's number and corner


def _label_type(label: Label, type_name: str) -> LabelType:
    call, kind = f"label({label.column!r})", _kind(type_name)
    if kind is None:
        raise ArgumentError(
            f"{call}: the column holds {type_name}; a label is a text, a number or a truth value. Make one of it in "
            "SQL, such as CAST(... AS VARCHAR) or year(...), and ask with SporaQuery.from_sql."
        )
    if label.classes is not None and type(label.classes[0]) is not _PLAIN[kind]:
        listed = ", ".join(map(repr, label.classes))
        raise ArgumentError(
            f"{call}: the column holds {kind}s ({type_name}), but classes= are {listed}. Write them so."
        )
    if label.label_type == "regression" and kind == "text":
        name = exp.to_identifier(label.column).sql(DIALECT)
        raise ArgumentError(
            f"{call}: the column holds texts, which label_type='regression' cannot take for numbers. Cast them in SQL, "
            f"such as TRY_CAST({name} AS DOUBLE), and ask with SporaQuery.from_sql."
        )
    if label.label_type is not None:
        return label.label_type
    return "regression" if kind == "number" and label.classes is None else "classification"


def _kind(type_name: str) -> ValueKind | None:
    if type_name.endswith("]"):  # a list of what has a kind has none
        return None
    if type_name == TEXT or type_name.startswith("ENUM"):
        return "text"
    if type_name == "BOOLEAN":
        return "truth value"
    numbers = WHOLE_NUMBERS | FLOATS | _HUGE
    return "number" if type_name in numbers or type_name.startswith("DECIMAL") else None


def _known(label: Label, type_name: str) -> str:
    """Return the condition that a row has a label: not NULL, no NaN, and no empty text unless that is a class."""
    column = exp.to_identifier(label.column, quoted=True).sql(DIALECT)
    condition = f"{column} IS NOT NULL"
    if type_name in FLOATS:
        condition += f" AND NOT isnan({column})"
    if _kind(type_name) == "text" and "" not in (label.classes or ()):
        condition += f" AND {column} <> ''"
    return condition
