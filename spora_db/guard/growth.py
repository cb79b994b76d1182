"""Lists and texts that lambdas make out of proportion: DuckDB hears no interrupt while it makes them."""

from collections.abc import Iterator, Mapping

from spora_db.guard.parser import Tree
from spora_db.names import fold

_SIZED = frozenset({"array_resize", "generate_series", "list_resize", "lpad", "range", "repeat", "rpad"})
"""Functions that make as much as a number says; within one call ``sql/bounds`` bounds them."""
_JOINING = frozenset(
    {"array_cat", "array_concat", "concat", "concat_ws", "format", "list_cat", "list_concat", "printf", "replace", "||"}
)
_REDUCING = frozenset({"array_reduce", "list_reduce", "reduce"})


def outgrown(call: Mapping[str, Tree]) -> str:
    """Return what is wrong with the lambdas of a call, an empty text where nothing is.

    Parameters
    ----------
    call
        A function of DuckDB's tree.
    """
    arguments = [item.get("expression", item) for item in call.get("arguments", call.get("children", ()))]
    lambdas = [item for item in arguments if item.get("class") == "LAMBDA"]
    if not lambdas:
        return ""
    lists = _called([item for item in arguments if item.get("class") != "LAMBDA"])
    made = _called([item.get("expr") for item in lambdas])
    if _SIZED & made and _SIZED & lists:
        return f"{min(_SIZED & made)} for every element of a list that is made here."
    if fold(call["function_name"]) in _REDUCING and _JOINING & made and _doubles(lambdas[0]):
        return "a reduction that doubles what it has at every step."
    return ""


def _doubles(function: Mapping[str, Tree]) -> bool:
    """Tell whether a lambda names its first variable more than once."""
    variables = [names[0] for names in _columns(function.get("lhs"))]
    return bool(variables) and sum(names[0] == variables[0] for names in _columns(function.get("expr"))) > 1


def _called(tree: Tree) -> set[str]:
    return {fold(node["function_name"]) for node in _nodes(tree) if "function_name" in node}


def _columns(tree: Tree) -> list[list[str]]:
    return [node["column_names"] for node in _nodes(tree) if node.get("class") == "COLUMN_REF"]


def _nodes(tree: Tree) -> Iterator[Mapping[str, Tree]]:
    """Yield all nodes, in the order of the text."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(reversed(node))
        elif isinstance(node, dict):
            yield node
            waiting.extend(reversed(list(node.values())))
