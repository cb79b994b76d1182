"""The names of markers in a query: which channels they mean, and whether the panels of its modalities know them."""

from dataclasses import replace

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.catalog.relations import MARKER_MACROS
from spora_db.errors import ArgumentError
from spora_db.selection.markers import MEANT, find_markers, naming, read_panels, unknown_marker
from spora_db.selection.resolved import Resolved


def use_naming(resolved: Resolved, catalog: Catalog) -> None:
    """Tell the catalog by which names the query calls markers, before it reads any SQL of the user's."""
    catalog.use_naming(naming(resolved.selection.channels))


def with_markers(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Find the channels that names mean; nothing where no tissue and no channel is chosen by them.

    Raises
    ------
    ArgumentError
        If no modality has a panel; or as `find_markers`.
    """
    asked = resolved.selection
    choice = asked.channels
    if not (choice.names or choice.require or choice.any_of or choice.exclude or choice.at_least):
        return resolved
    if not asked.multiplex_names:
        raise ArgumentError(
            f"channels() asks for markers, but {', '.join(asked.modality_names)} has no panel: its channels are "
            "red, green and blue."
        )
    return replace(resolved, markers=find_markers(choice, asked.multiplex_names, catalog))


def check_macros(resolved: Resolved, catalog: Catalog) -> None:
    """Refuse names of markers in the macros of conditions that no panel of the rows' modalities knows.

    The macros themselves know all panels of the lake; with a name of another modality they would select nothing.

    Raises
    ------
    UnknownNameError
        For such a name, as `find_markers`.
    """
    choice, modalities = resolved.selection.channels, resolved.selection.multiplex_names
    names = dict.fromkeys(name for tree in resolved.predicates for name in _names_in_macros(tree))
    if not names or not modalities:
        return
    everything = catalog._run(MEANT, {"names": list(names)}).fetchall()
    known = {row[0] for row in everything if row[2] in modalities}
    channels = [channel for channel in read_panels(choice, catalog) if channel.modality in modalities]
    for name in names:
        if name not in known:
            raise unknown_marker(name, channels, choice, modalities)


def _names_in_macros(tree: exp.Expr) -> list[str]:
    """Return the names that macros of a condition ask about of rows of the query's own modality."""
    names = []
    for call in tree.find_all(exp.Anonymous):
        if call.name.lower() not in MARKER_MACROS or len(call.expressions) != 4:
            continue
        _, modality, _, wanted = call.expressions
        if isinstance(modality, exp.Column) and isinstance(wanted, exp.Array):
            names += [item.this for item in wanted.expressions if isinstance(item, exp.Literal) and item.is_string]
    return names
