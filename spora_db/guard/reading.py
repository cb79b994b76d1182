"""DuckDB's own reading of a text, compared with its reading of what the guard wrote.

sqlglot and DuckDB are two parsers. Where they differ, the guard would check one query and run another: ``DATE '...'
::TIMESTAMP`` binds otherwise, ``LIMIT 5 WHERE ...`` is an error in one of them only. So both texts are parsed by DuckDB
as well, and its trees must be equal. Nothing is bound or run: the connection is empty and closed to everything.
"""

import json
import re
from collections.abc import Iterator

from spora_db.errors import QueryError
from spora_db.guard.parser import PARSER, Tree
from spora_db.guard.text import TOO_DEEP, characters, refuse

_BEFORE, _AFTER = "SELECT 1 WHERE (", "\n)"  # around a condition; a comment may end it
_PLACE = re.compile(r'"query_location(?:_length)?":\d+,?')  # within a text its quotes are escaped
_NOWHERE = 2**64 - 1
_NULLS = {"ORDER_DEFAULT": "NULLS LAST"}  # in a locked configuration
_DENIALS = {"OPERATOR_IS_NOT_NULL": "OPERATOR_IS_NULL", "COMPARE_DISTINCT_FROM": "COMPARE_NOT_DISTINCT_FROM"}
_CLOCKS = {"LOCALTIME", "LOCALTIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"}
_SAME = {"**": "power", "^": "power", "pow": "power", "position": "strpos"}
_DIALECT = "Write one SELECT in DuckDB's dialect; a JOIN needs ON or USING."
_CLEARER = (
    "Write it in another way: operands in parentheses, types as CAST(... AS ...), literals as DuckDB writes them."
)


def check_reading(text: str, written: str, *, condition: bool) -> None:
    """Check that DuckDB reads a text, and reads it as what was written in its place.

    Parameters
    ----------
    text
        One SELECT as a user wrote it, or one condition.
    written
        The same, written anew.
    condition
        Whether they are conditions.

    Raises
    ------
    QueryError
        At the place where DuckDB stops, or where the two differ.

    Examples
    --------
    >>> check_reading("select 1+1 -- two", "SELECT 1 + 1", condition=False)
    >>> check_reading("SELECT 2 ** 3", "SELECT 2 * 3", condition=False)
    Traceback (most recent call last):
    ...
    spora_db.errors.QueryError: SQL refused at line 1, column 8: DuckDB reads this otherwise than it can be checked.
    ...
    """
    before, after = (_BEFORE, _AFTER) if condition else ("", "")
    asked, given = (PARSER.read(f"{before}{part}{after}") for part in (text, written))
    if _PLACE.sub("", asked) == _PLACE.sub("", given):
        if asked.startswith('{"error":true'):
            _refuse_error(json.loads(asked), text=text, shift=len(before))
        return
    try:
        trees = json.loads(asked), json.loads(given)
        if trees[0]["error"]:
            _refuse_error(trees[0], text=text, shift=len(before))
        if _plain(trees[0]) == _plain(trees[1]):
            return
    except RecursionError as error:
        raise QueryError(TOO_DEEP) from error
    start, length = next(_differences(*trees), (0, 1))
    start = characters(f"{before}{text}", start) - len(before)
    finding = "DuckDB reads this otherwise than it can be checked."
    refuse(text, start=start, end=start + length, finding=finding, remedy=_CLEARER)


def _refuse_error(answer: Tree, *, text: str, shift: int) -> None:
    """Refuse what DuckDB cannot parse, at its place."""
    message = str(answer.get("error_message"))
    if "expression depth" in message or "recursion" in message.lower():
        raise QueryError(TOO_DEEP)
    start = max(0, characters(_BEFORE * bool(shift) + text, int(answer.get("position", 0))) - shift)
    near = re.search(r'at or near "(.*)"', message, re.DOTALL)
    end = start + (len(near[1]) if near else 1)
    refuse(text, start=start, end=end, finding=f"DuckDB cannot read this: {message}.", remedy=_DIALECT)


def _plain(node: Tree) -> Tree:
    """Return a tree without places, and with one form for what may be written in two."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, dict):
        return node
    plain = {name: _plain(part) for name, part in node.items() if not name.startswith("query_location")}
    kind = plain.get("type")
    if kind in _DENIALS:
        return _denied({**plain, "type": _DENIALS[kind]})
    if kind == "TYPE":
        return _plain_type(plain)
    if kind == "ARRAY_CONSTRUCTOR":
        return _call("list_value", plain["children"], alias=plain["alias"])
    if kind == "COLUMN_REF" and len(plain["column_names"]) == 1 and plain["column_names"][0].upper() in _CLOCKS:
        return {**plain, "column_names": [plain["column_names"][0].upper()]}
    if plain.get("class") == "FUNCTION":
        return _plain_call(plain)
    if plain.get("class") == "LAMBDA":
        return _arrow(plain["lhs"], plain["expr"], alias=plain["alias"])
    if "null_order" in plain:
        return {**plain, "null_order": _NULLS.get(plain["null_order"], plain["null_order"])}
    if "text" in plain and plain.get("kind") != "STRING":
        return {**plain, "text": plain["text"].replace("_", "")}
    return plain


def _plain_type(plain: dict[str, Tree]) -> Tree:
    """Return a type by DuckDB's own name; what DECIMAL and VARCHAR are without numbers is theirs."""
    name = plain["type_name"].upper()
    name, children = PARSER.types().get(name, name), plain["children"]
    if name == "DECIMAL" and not children:
        children = [18, 3]
    elif name == "DECIMAL":
        children = [int(child["literal"]["text"]) for child in children]
    return {"type": name, "children": [] if name == "VARCHAR" else children, "alias": plain["alias"]}


def _plain_call(plain: dict[str, Tree]) -> Tree:
    name, alias = plain["function_name"], plain["alias"]
    arguments = [argument["expression"] for argument in plain["arguments"]]
    if name == "+" and len(arguments) == 1:
        return {**arguments[0], "alias": alias or arguments[0]["alias"]}
    if name == "->":
        return _arrow(*arguments, alias=alias)
    if name.startswith("!~"):
        return _denied({**plain, "function_name": name[1:], "qualified_name": None, "is_operator": None})
    if name == "date_part" and arguments and "literal" in arguments[0]:
        arguments[0]["literal"]["text"] = arguments[0]["literal"]["text"].lower()
    if _is_call(plain):
        return _call(str(_SAME.get(name, name)), arguments, alias=alias)
    return {**plain, "function_name": _SAME.get(name, name), "qualified_name": None, "is_operator": None}


def _is_call(plain: dict[str, Tree]) -> bool:
    """Tell whether there is nothing to a call but its arguments."""
    unusual = plain["filter"] or plain["order_bys"]["orders"] or plain["distinct"] or plain["schema"]
    return not unusual and not any(argument["name"] for argument in plain["arguments"])


def _call(name: str, arguments: list[Tree], *, alias: str) -> Tree:
    return {"call": name, "arguments": arguments, "alias": alias}


def _arrow(left: Tree, right: Tree, *, alias: str) -> Tree:
    """Return ``a -> ('b' ->> 'c')``, as DuckDB parses a -> 'b' ->> 'c', as the ``(a -> 'b') ->> 'c'`` that it binds."""
    if right.get("call") in ("->", "->>"):
        inner, last = right["arguments"]
        return _call(right["call"], [_arrow(left, inner, alias=""), last], alias=alias)
    return _call("->", [left, right], alias=alias)


def _denied(plain: dict[str, Tree]) -> Tree:
    return {"class": "OPERATOR", "type": "OPERATOR_NOT", "alias": plain["alias"], "children": [{**plain, "alias": ""}]}


def _differences(asked: Tree, given: Tree) -> Iterator[tuple[int, int]]:
    """Yield the places of the smallest parts of the first tree that are not in the second."""
    if _plain(asked) == _plain(given):
        return
    if isinstance(asked, dict) and isinstance(given, dict):
        for name, part in asked.items():
            yield from _differences(part, given.get(name))
        if asked.get("query_location", _NOWHERE) != _NOWHERE:
            yield asked["query_location"], asked.get("query_location_length") or 1
    elif isinstance(asked, list) and isinstance(given, list):
        for part, other in zip(asked, given, strict=False):
            yield from _differences(part, other)
