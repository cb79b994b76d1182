"""Which tissues offer the markers asked for, as SQL conditions on a row of the selection (``base``)."""

from collections.abc import Sequence
from itertools import product

from sqlglot import exp, parse_one

from spora_db.selection import Selection
from spora_db.selection.channels import kind_condition
from spora_db.selection.image_conditions import has_image
from spora_db.selection.markers import Markers
from spora_db.sqltext.binding import Binder
from spora_db.sqltext.dialect import DIALECT

DELIVERED = """
    NOT concat_ws('/', c.dataset, c.modality, c.tissue_id, c.channel_name) IN (
        SELECT dropped.key FROM (SELECT unnest($keys) AS key) AS dropped
    )
"""
"""Not correlated, as NOT EXISTS would be: within the conditions of drop_tissue DuckDB 2.0 fails on it by itself."""
OF_TISSUE = "c.dataset = base.dataset AND c.tissue_id = base.tissue_id AND c.measured"
ENOUGH = """
    EXISTS (SELECT 1 FROM offered WHERE offered.dataset = base.dataset AND offered.tissue_id = base.tissue_id)
"""


def marker_conditions(
    selection: Selection, markers: Markers | None, binder: Binder, *, undelivered: Sequence[str] = ()
) -> list[exp.Expr]:
    """Return the conditions that `require`, `any_of` and `at_least` stand for.

    Parameters
    ----------
    markers
        The channels that its names mean; None where it names none and asks for no number of channels.
    undelivered
        Keys of channels that tissues measured, but that their statistics drop; see `with_undelivered`.
    """
    asked = selection.channels
    if markers is None or not (asked.require or asked.any_of or asked.at_least):
        return []
    if selection.missing_modality == "drop" and all(len(alternatives) == 1 for alternatives in selection.modalities):
        offered = _offered(binder, undelivered)
        return _conditions(selection, markers, binder, modalities=selection.modality_names, offered=offered)
    cases, offered = [], _offered(binder, undelivered)
    for places in product(*_places(selection, binder)):
        when = [condition for conditions, _ in places for condition in conditions]
        images = [modality for _, modality in places if modality]
        cases.append(exp.and_(*when, *_conditions(selection, markers, binder, modalities=images, offered=offered)))
    return [exp.paren(exp.or_(*cases))]


def _places(selection: Selection, binder: Binder) -> list[list[tuple[list[exp.Expr], str | None]]]:
    """Return, place by place, what may be in it (None for nothing) and the conditions under which a row has that there.

    A row shows one of the alternatives of a place, and what another one offers does not count.
    """
    first, *others = selection.modalities
    places: list[list[tuple[list[exp.Expr], str | None]]] = []
    places.append([([binder.member("modality", [modality])], modality) for modality in first])
    for alternatives in others:
        shown = [has_image([modality], binder) for modality in alternatives]
        places.append(
            [([*map(exp.not_, shown[:nth]), shown[nth]], modality) for nth, modality in enumerate(alternatives)]
        )
    if selection.missing_modality == "keep":
        places[0].append(([exp.not_(binder.member("modality", first))], None))
        for options, alternatives in zip(places[1:], others, strict=True):
            options.append(([exp.not_(has_image(alternatives, binder))], None))
    return places


def _offered(binder: Binder, undelivered: Sequence[str]) -> list[exp.Expr]:
    return [binder.fragment(DELIVERED, keys=list(undelivered))] if undelivered else []


def _conditions(
    selection: Selection, markers: Markers, binder: Binder, *, modalities: Sequence[str], offered: Sequence[exp.Expr]
) -> list[exp.Expr]:
    choice = selection.channels
    if not modalities:
        return [exp.false()]
    own = [
        binder.member("modality", modalities, table="c"),
        of_kind(selection),
        *(condition.copy() for condition in offered),
    ]
    wanted: list[tuple[str, ...]] = [(name,) for name in choice.require]
    if choice.any_of and choice.at_least in (None, 1):
        wanted.append(choice.any_of)
    conditions: list[exp.Expr] = []
    for names in wanted:
        offer = exp.select("1").from_("tissue_channels AS c").where(OF_TISSUE, *own, dialect=DIALECT)
        conditions.append(exp.Exists(this=offer.where(markers.condition(names, binder, table="c"))))
    if choice.at_least is None or (choice.any_of and choice.at_least == 1):
        return conditions
    enough_of = exp.select("c.dataset", "c.tissue_id").from_("tissue_channels AS c").where("c.measured", *own)
    number: exp.Expr = exp.Count(this=exp.Star())
    if choice.any_of:
        # Two names of the same channels are one marker.
        distinct = {markers.found[name]: name for name in choice.any_of}
        number = _sum([_offers(markers.condition([name], binder, table="c")) for name in distinct.values()])
    else:
        enough_of = enough_of.where(*delivered(selection, markers, binder))
    enough = exp.GTE(this=number, expression=binder.parameter(choice.at_least))
    enough_of = enough_of.group_by("c.dataset", "c.tissue_id").having(enough)
    # Grouped once for all tissues: a count correlated with 5 million tiles took 9.6 s, this 1.5 s.
    exists = parse_one(ENOUGH, dialect=DIALECT)
    conditions.append(
        exists.transform(
            lambda node: (
                enough_of.subquery("offered") if isinstance(node, exp.Table) and node.name == "offered" else node
            )
        )
    )
    return conditions


def delivered(selection: Selection, markers: Markers | None, binder: Binder) -> list[exp.Expr]:
    """Return the conditions that `names` and `exclude` put on a channel ``c``; its kind is another one."""
    choice, conditions = selection.channels, list[exp.Expr]()
    if markers is not None and choice.names:
        conditions.append(markers.condition(choice.names, binder, table="c"))
    if markers is not None and choice.exclude:
        conditions.append(exp.not_(markers.condition(choice.exclude, binder, table="c")))
    return conditions


def of_kind(selection: Selection) -> exp.Expr:
    """Return the condition that a channel ``c`` is of the chosen kind, once it was measured."""
    return parse_one(kind_condition(selection.channels, table="c"), dialect=DIALECT)


def _offers(meant: exp.Expr) -> exp.Expr:
    """Return 1 where any channel of a tissue is meant, else 0."""
    return exp.cast(exp.LogicalOr(this=meant), "INTEGER")


def _sum(terms: Sequence[exp.Expr]) -> exp.Expr:
    total = terms[0]
    for term in terms[1:]:
        total = exp.Add(this=total, expression=term)
    return total
