"""DuckDB's own reading of a text, compared with its reading of what the guard wrote.

sqlglot and DuckDB are two parsers. Where they differ, the guard would check one query and run another: ``DATE '...'
::TIMESTAMP`` binds otherwise, ``LIMIT 5 WHERE ...`` is an error in one of them only. So both texts are parsed by DuckDB
as well, and its trees must be equal. Nothing is bound or run: the connection is empty and closed to everything.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from spora_db.errors import QueryError
from spora_db.guard.nodes import Checker, Source, refuse_unread
from spora_db.guard.parser import PARSER, Tree, parsed
from spora_db.guard.text import TOO_DEEP, characters, refuse

_CONDITION = ("SELECT 1 WHERE (", "\n)")  # around a condition; a comment may end it
_PLACE = re.compile(r',"query_location(?:_length)?":\d+')  # within a text its quotes are escaped
_NULLS = {"ORDER_DEFAULT": "NULLS LAST"}  # in a locked configuration
_DENIALS = {"OPERATOR_IS_NOT_NULL": "OPERATOR_IS_NULL", "COMPARE_DISTINCT_FROM": "COMPARE_NOT_DISTINCT_FROM"}
_CLOCKS = {"LOCALTIME", "LOCALTIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"}
_SAME = {"**": "power", "^": "power", "pow": "power", "position": "strpos"}
_DIALECT = "Write one SELECT in DuckDB's dialect; a JOIN needs ON or USING."
_CLEARER = (
    "Write it in another way: operands in parentheses, types as CAST(... AS ...), literals as DuckDB writes them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How DuckDB reads one SELECT, or one condition, of a user.

    Attributes
    ----------
    text
        As it was typed.
    around
        What stands before and after it where it is a condition, to make a query of it.
    json, tree
        DuckDB's tree of that.
    """

    text: str
    around: tuple[str, str]
    json: str
    tree: Tree

    def check(self, relations: Collection[str]) -> None:
        """Check every node of the tree, as that of a statement which runs as it was typed.

        Raises
        ------
        QueryError, UnknownNameError
            At the first thing that is not allowed, with its place.
        """
        added = ((0, len(self.around[0])),)
        source = Source(text=self.text, parsed=self.text.join(self.around), added=added)
        if self.tree["error"]:
            refuse_unread(self.tree, source=source, remedy=_DIALECT)
        Checker(source, relations=relations, listings="refused").check(self.tree)

    def compare(self, written: str) -> None:
        """Check that DuckDB reads what was written in the place of the text in the same way.

        Raises
        ------
        QueryError
            At the place where the two differ.
        """
        given = PARSER.read(written.join(self.around))
        if _PLACE.sub("", self.json) == _PLACE.sub("", given):
            return
        tree = parsed(given)
        try:
            if _plain(self.tree) == _plain(tree):
                return
        except RecursionError as error:
            raise QueryError(TOO_DEEP) from error
        start, length = next(_differences(self.tree, tree), (0, 1))
        start = characters(self.text.join(self.around), start) - len(self.around[0])
        finding = "DuckDB reads this otherwise than it can be checked."
        refuse(self.text, start=start, end=start + length, finding=finding, remedy=_CLEARER)


def reading(text: str, *, condition: bool) -> Reading:
    """Return how DuckDB reads one SELECT as a user wrote it, or one condition.

    Examples
    --------
    >>> reading("select 1+1 -- two", condition=False).compare("SELECT 1 + 1")
    >>> reading("SELECT 2 ** 3", condition=False).compare("SELECT 2 * 3")
    Traceback (most recent call last):
    ...
    spora_db.errors.QueryError: SQL refused at line 1, column 8: DuckDB reads this otherwise than it can be checked.
    ...
    """
    around = _CONDITION if condition else ("", "")
    json = PARSER.read(text.join(around))
    return Reading(text=text, around=around, json=json, tree=parsed(json))


def _plain(node: Tree) -> Tree:
    """Return a tree without places, and with one form for what may be written in two."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, dict):
        return node
    plain = {name: _plain(part) for name, part in node.items() if not name.startswith("query_location")}
    if "class" in plain:
        plain.setdefault("alias", "")
    kind = plain.get("type")
    if kind in _DENIALS:
        return _denied({**plain, "type": _DENIALS[kind]})
    if kind == "TYPE":
        return _plain_type(plain)
    if kind == "ARRAY_CONSTRUCTOR":
        return _call("list_value", plain.get("children", []), alias=plain["alias"])
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
    name, children = PARSER.types().get(name, name), plain.get("children", [])
    if name == "DECIMAL" and not children:
        children = [18, 3]
    elif name == "DECIMAL":
        children = [int(child["literal"]["text"]) for child in children]
    return {"type": name, "children": [] if name == "VARCHAR" else children, "alias": plain["alias"]}


def _plain_call(plain: dict[str, Tree]) -> Tree:
    name, alias = plain["function_name"], plain["alias"]
    arguments = [argument["expression"] for argument in plain.get("arguments", ())]
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
    unusual = plain.keys() & {"filter", "distinct", "schema"} or "orders" in plain["order_bys"]
    return not unusual and not any("name" in argument for argument in plain.get("arguments", ()))


def _call(name: str, arguments: list[Tree], *, alias: str) -> Tree:
    return {"call": name, "arguments": arguments, "alias": alias}


def _arrow(left: Tree, right: Tree, *, alias: str) -> Tree:
    """Return ``a -> ('b' ->> 'c')``, as DuckDB parses a -> 'b' ->> 'c', as the ``(a -> 'b') ->> 'c'`` that it binds."""
    if right.get("call") in ("->", "->>"):
        inner, last = right["arguments"]
        return _call(right["call"], [_arrow(left, inner, alias=""), last], alias=alias)
    return _call("->", [left, right], alias=alias)


def _denied(plain: dict[str, Tree]) -> Tree:
    return {
        "class": "OPERATOR",
        "type": "OPERATOR_NOT",
        "alias": plain["alias"],
        "children": [{**plain, "alias": ""}],
    }


def _differences(asked: Tree, given: Tree) -> Iterator[tuple[int, int]]:
    """Yield the places of the smallest parts of the first tree that are not in the second."""
    if _plain(asked) == _plain(given):
        return
    if isinstance(asked, dict) and isinstance(given, dict):
        for name, part in asked.items():
            yield from _differences(part, given.get(name))
        if "query_location" in asked:
            yield asked["query_location"], asked.get("query_location_length", 1)
    elif isinstance(asked, list) and isinstance(given, list):
        for part, other in zip(asked, given, strict=False):
            yield from _differences(part, other)
