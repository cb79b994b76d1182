"""Lists and texts that lambdas make out of proportion: DuckDB hears no interrupt while it makes them."""

from collections.abc import Iterator, Mapping

from spora_db.guard.parser import Tree
from spora_db.sqltext.names import fold

_SECOND, _ALL = slice(1, 2), slice(None)
_SIZED = {
    "array_resize": _SECOND,
    "generate_series": _ALL,
    "list_resize": _SECOND,
    "lpad": _SECOND,
    "range": _ALL,
    "repeat": _SECOND,
    "rpad": _SECOND,
}
"""Functions that make as much as a number says, and which of their arguments that is."""
_MOST = 1_000_000
"""What ``sql/bounds`` lets one call of them make."""
_MOST_IN_ALL = 100_000_000
_JOINING = frozenset(
    (
        *("array_cat", "array_concat", "array_to_string", "concat", "concat_ws", "flatten", "format", "list_cat"),
        *("list_concat", "overlay", "printf", "replace", "||"),
    )
)
_REDUCING = frozenset({"array_reduce", "list_reduce", "reduce"})
_RANDOM = frozenset({"gen_random_uuid", "random", "uuid"})
_SHORT = _RANDOM | {"floor", "left", "lower", "replace", "round", "substr", "substring", "upper"}
"""Functions that make no long text of a random number or UUID and constants."""

BOUNDED = _SIZED.keys() | frozenset(
    (
        *("bin", "damerau_levenshtein", "editdist3", "format", "hex", "jaro_similarity", "jaro_winkler_similarity"),
        *("json_pretty", "levenshtein", "printf", "regexp_replace", "replace", "to_hex"),
    )
)
"""The functions that ``sql/bounds`` puts in place of DuckDB's: each reads an argument twice, to measure and to use."""


_MEASURED_BY_TEXT = frozenset({"format", "printf"})


def outgrown(call: Mapping[str, Tree]) -> str:
    """Return what is wrong with the lambdas of a call in DuckDB's tree, an empty text where nothing is."""
    arguments = _arguments(call)
    lambdas = [item for item in arguments if item.get("class") == "LAMBDA"]
    if not lambdas:
        return ""
    lists = [item for item in arguments if item.get("class") != "LAMBDA"]
    made = [item.get("expr") for item in lambdas]
    if (called := _SIZED.keys() & _called(made)) and _size(lists) * _size(made) > _MOST_IN_ALL:
        return f"{min(called)} for every element of a list that is made here."
    if fold(call["function_name"]) in _REDUCING and _JOINING & _called(made) and _doubles(lambdas[0]):
        return "a reduction that doubles what it has at every step."
    return ""


def drawn_twice(call: Mapping[str, Tree]) -> bool:
    """Tell whether a bounded function gets a random argument: what is measured would not be what is used.

    A plain ``uuid()`` or ``random()`` as a text is always short.
    """
    name = fold(call["function_name"])
    if name not in BOUNDED:
        return False
    arguments = _arguments(call)
    if name in _MEASURED_BY_TEXT:
        arguments = arguments[:1]
    sized = [id(item) for item in arguments[_SIZED.get(name, slice(0))]]
    return any(is_random(item) and (id(item) in sized or not _is_short(item)) for item in arguments)


def is_random(tree: Tree) -> bool:
    """Tell whether something in a tree differs each time it is asked for: random numbers, UUIDs, samples."""
    return any(
        fold(node.get("function_name", "")) in _RANDOM or node.get("sample") is not None for node in _nodes(tree)
    )


def asks_within(call: Mapping[str, Tree]) -> bool:
    """Tell whether a bounded function has a query as an argument, which is asked twice as well."""
    return fold(call["function_name"]) in BOUNDED and any(
        node.get("class") == "SUBQUERY" for node in _nodes(dict(call))
    )


def _arguments(call: Mapping[str, Tree]) -> list[Mapping[str, Tree]]:
    return [item.get("expression", item) for item in call.get("arguments", call.get("children", ()))]


def _is_short(tree: Tree) -> bool:
    kinds = {"CAST", "CONSTANT", "FUNCTION", "TYPE"}
    return all(
        node.get("class") in {None, *kinds} and fold(node.get("function_name", "random")) in _SHORT
        for node in _nodes(tree)
    )


def _size(tree: Tree) -> int:
    """Return how much the calls in a tree make at most, each of what another one made; 1 where there are none."""
    size, repeated = 1, False
    for node in _nodes(tree):
        repeated |= node.get("class") == "LAMBDA"
        if fold(node.get("function_name", "")) in _SIZED:
            numbers = map(_number, _arguments(node)[_SIZED[fold(node["function_name"])]])
            size *= max(numbers, default=_MOST)
    return size if repeated else min(size, _MOST)


def _number(node: Mapping[str, Tree]) -> int:
    """Return a number that is written out, `_MOST` for anything else."""
    text = str(node.get("literal", {}).get("text", "")).replace("_", "")
    return min(max(1, int(text)), _MOST) if text.isdecimal() else _MOST


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
