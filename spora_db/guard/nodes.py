"""Every node of a statement as DuckDB's own parser reads it: what is not known to be harmless is refused.

This is the check of all SQL that runs as it was written. There is one parser and one reading: what is checked is what
runs, so nothing can be read in two ways.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

from spora_db.errors import QueryError
from spora_db.guard.functions import BARE_WORDS, COMPILED, FUNCTIONS, SYSTEM_SCHEMAS, TABLE_FUNCTIONS, not_allowed
from spora_db.guard.growth import asks_within, drawn_twice, is_random, outgrown
from spora_db.guard.kinds import KINDS, OPERATORS, PARTS
from spora_db.guard.parser import PARSER, Tree
from spora_db.guard.relations import SCHEMA, check_cte_name, check_relation, refuse_in_from
from spora_db.guard.text import TOO_DEEP, characters, refuse
from spora_db.sqltext.named import Named
from spora_db.sqltext.names import fold

Listings = Literal["counted", "read", "refused"]
LISTED = frozenset({("information_schema", "columns"), ("information_schema", "tables")})
"""Relations of the engine that are answered, for the catalog's relations alone."""
MOST_RELATIONS = 1_000
"""DuckDB plans for minutes where thousands are joined or put together, and no interrupt ends that."""

ADVICE = "Ask the lake's relations with functions that compute on values; .tables and Catalog.schema() list them."
_SPECIAL = frozenset({'"tables"', "tables", "__show_tables_expanded"})
"""What DuckDB makes of SHOW TABLES and SHOW ALL TABLES."""

_TAKE_ALL = frozenset({"STAR", "POSITIONAL_REFERENCE", "PIVOT", "SHOW_REF"})
"""What stands for columns that are not named: ``*``, ``#1``, PIVOT, DESCRIBE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a statement asks for.

    Attributes
    ----------
    names
        What it names.
    listings
        How often it asks which relations and columns there are.
    """

    names: Named
    listings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text that was parsed, for the places in errors.

    Attributes
    ----------
    text
        As it was typed.
    parsed
        As it was parsed.
    added
        What was put into it: the place in ``parsed``, how many characters.
    """

    text: str
    parsed: str
    added: tuple[tuple[int, int], ...] = ()

    def place(self, node: Mapping[str, Tree]) -> tuple[int, int]:
        """Return the first and last character (exclusive) of a node in the typed text."""
        if "query_location" not in node:  # what DESCRIBE and SUMMARIZE tell of, and CTEs
            name = str(node.get("table_name", node.get("key", "")))
            start = max(0, self.text.find(name))
            quoted = self.text[max(0, start - 1) : start] in ("'", '"')
            return start - quoted, start + len(name) + quoted
        start = characters(self.parsed, int(node.get("query_location", 0)))
        end = start + max(1, int(node.get("query_location_length", 1)))
        return self._typed(start), self._typed(end)

    def _typed(self, position: int) -> int:
        return position - sum(min(length, position - at) for at, length in self.added if at < position)


class Checker:
    """Checks the tree of one text.

    Parameters
    ----------
    source
        The text.
    relations
        The relations that may be read.
    listings
        What becomes of ``information_schema`` and lists of all tables: ``"counted"``, to be written anew; ``"read"`` as
        they are, in SQL of ours, which keeps the catalog's relations of them; ``"refused"``.
    """

    def __init__(self, source: Source, *, relations: Collection[str], listings: Listings = "counted") -> None:
        self._source = source
        self._relations = relations
        self._answer = listings
        self._names: set[str] = set()
        self._words: set[str] = set()
        self._called: set[str] = set()
        self._referred: set[str] = set()
        self._takes_all = False
        self._listings = 0
        self._read = 0
        self._is_random = False

    def check(self, tree: Tree) -> Asked:
        """Check every node of the statements that DuckDB read.

        Raises
        ------
        QueryError
            At the first thing that is not allowed, with its place.
        UnknownNameError
            For a relation that does not exist.
        """
        self._is_random = is_random(tree)
        waiting: list[tuple[Tree, frozenset[str]]] = [(tree, frozenset())]
        while waiting:
            node, seen = waiting.pop()
            if isinstance(node, list):
                waiting.extend((part, seen) for part in reversed(node))
            elif isinstance(node, dict):
                waiting.extend(reversed(list(self._parts(node, seen))))
            elif isinstance(node, str):
                self._words.add(fold(node))
        whole_rows = self._called & self._referred  # SELECT t FROM tissues AS t
        columns = None if self._takes_all or whole_rows else frozenset(self._words)
        return Asked(names=Named(relations=frozenset(self._names), columns=columns), listings=self._listings)

    def _parts(self, node: dict[str, Tree], seen: frozenset[str]) -> Iterator[tuple[Tree, frozenset[str]]]:
        """Check one node and yield its parts, each with the CTEs that it may name."""
        self._check_kind(node)
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            self._check_table_function(node["function"])
            yield from ((part, seen) for name, part in node["function"].items() if name in ("arguments", "children"))
        for entry in (node.get("cte_map") or {}).get("map", ()):
            check_cte_name(entry["key"], text=self._source.text, place=self._source.place(entry))
            self._known_keys(entry)
            yield entry["value"], seen
            seen |= {fold(entry["key"])}
        if kind == "BASE_TABLE":
            self._check_table(node, seen)
        elif kind == "SHOW_REF":
            self._check_show(node, seen)
        for name, part in node.items():
            if name == "cte_map" or (name == "function" and kind == "TABLE_FUNCTION"):
                continue
            inner = seen
            if kind == "RECURSIVE_CTE_NODE" and name == "right":
                inner = seen | {fold(node["cte_name"])}
            yield part, inner

    def _check_kind(self, node: dict[str, Tree]) -> None:
        self._known_keys(node)
        kind, group = node.get("type"), node.get("class")
        if isinstance(kind, str) and kind not in KINDS and not (group == "WINDOW" and kind.startswith("WINDOW_")):
            self._refuse(node, f"{kind.removesuffix('_QUERY_NODE').replace('_', ' ')} is not part of a query.")
        if group in ("FUNCTION", "WINDOW"):
            self._check_function(node)
        elif group == "TYPE":
            self._check_type(node)
        elif group == "COLUMN_REF":
            self._check_column(node)
            self._referred.add(fold(node["column_names"][-1]))
        if group is None and (called := node.get("alias") or node.get("table_name")):
            self._called.add(fold(called))
        if isinstance(kind, str) and (kind in _TAKE_ALL or node.get("ref_type") == "NATURAL"):
            self._takes_all = True
        self._takes_all |= "column_name_alias" in node

    def _known_keys(self, node: dict[str, Tree]) -> None:
        if strange := node.keys() - PARTS:
            words = ", ".join(sorted(strange)).replace("_", " ").upper()
            self._refuse(node, f"{words} is not part of a query.")

    def _check_function(self, node: dict[str, Tree]) -> None:
        name, path = fold(node["function_name"]), _path(node, "function_name")
        self._names.add(name)
        if name in OPERATORS and len(path) == 1:
            return
        if name not in FUNCTIONS | COMPILED:
            self._refuse(node, not_allowed(node["function_name"]))
        if grown := outgrown(node):
            self._refuse(node, grown, remedy="Make rows instead: FROM range(...), and join or aggregate them.")
        if drawn_twice(node) or (self._is_random and asks_within(node)):
            finding = f"{name} of something random, which would be measured and used as different values."
            self._refuse(node, finding, remedy="Draw it in a query that this one reads, FROM (SELECT random() AS ...).")
        if len(path) > 1 and fold(path[0]) in SYSTEM_SCHEMAS:
            self._refuse(node, f"the qualified function {'.'.join(path)!r}.", remedy="Write its bare name.")

    def _check_table_function(self, node: dict[str, Tree]) -> None:
        self._known_keys(node)
        name = str(node.get("function_name", node.get("type")))
        if fold(name) not in TABLE_FUNCTIONS or len(_path(node, "function_name")) > 1:
            refuse_in_from(f"{name.upper()}(...)", text=self._source.text, place=self._source.place(node))
        self._names.add(fold(name))
        self._count(node)

    def _check_type(self, node: dict[str, Tree]) -> None:
        path = _path(node, "type_name")
        name = path[-1].upper()
        if len(path) > 1 or (name != "JSON" and name not in PARSER.types()):
            remedy = "Cast to INTEGER, DOUBLE, VARCHAR, DATE, ..."
            self._refuse(node, f"the type {'.'.join(path)} is not one of DuckDB's own.", remedy=remedy)

    def _check_column(self, node: dict[str, Tree]) -> None:
        names = node["column_names"]
        if len(names) > 1 or fold(names[0]) not in BARE_WORDS:
            return
        start, end = self._source.place(node)
        word = self._source.text[start:end]
        if not word.startswith('"'):
            remedy = f'Write "{word}" in double quotes if a column is meant.'
            self._refuse(node, f"{word} asks the engine, not the lake.", remedy=remedy)

    def _check_table(self, node: dict[str, Tree], seen: frozenset[str]) -> None:
        path = _path(node, "table_name")
        self._count(node)
        if self._answer != "refused" and tuple(map(fold, path)) in LISTED:
            self._list()
            return
        place, relations = self._source.place(node), self._relations
        check_relation(path, text=self._source.text, place=place, relations=relations, visible=seen)
        self._names.add(fold(path[-1]))

    def _check_show(self, node: dict[str, Tree], seen: frozenset[str]) -> None:
        kind, name = node.get("show_type"), node.get("table_name", "")
        of_main = kind == "SHOW_FROM" and fold(node.get("schema_name", "")) == SCHEMA and not node.get("catalog_name")
        if of_main or (kind == "SHOW_SPECIAL" and name in _SPECIAL):
            if self._answer == "refused":
                self._refuse(node, "SHOW is not part of a query.")
            self._list()
        elif kind in ("SHOW_SPECIAL", "SHOW_FROM"):
            asked = name.strip('"').upper() or "TABLES FROM another schema"
            remedy = "SHOW TABLES lists its relations."
            self._refuse(node, f"SHOW {asked} asks the engine, not the lake.", remedy=remedy)
        elif name:
            self._check_table(node, seen)
        elif kind not in ("DESCRIBE", "SUMMARY"):
            self._refuse(node, f"{kind} is not part of a query.")

    def _list(self) -> None:
        self._listings += self._answer == "counted"
        if self._answer == "read":  # they must be there
            self._names |= {fold(name) for name in self._relations}
            self._takes_all = True

    def _count(self, node: dict[str, Tree]) -> None:
        self._read += 1
        if self._read > MOST_RELATIONS:
            remedy = "Join with a table (from_arrow), or list values in IN (...)."
            self._refuse(node, f"a statement that reads more than {MOST_RELATIONS:,} relations.", remedy=remedy)

    def _refuse(self, node: Mapping[str, Tree], finding: str, *, remedy: str = ADVICE) -> NoReturn:
        start, end = self._source.place(node)
        refuse(self._source.text, start=start, end=end, finding=finding, remedy=remedy)


def refuse_unread(
    answer: Mapping[str, Tree], *, source: Source, remedy: str = "Write one query in DuckDB's dialect."
) -> NoReturn:
    """Refuse what DuckDB cannot parse, at its place."""
    message = str(answer.get("error_message"))
    if "expression depth" in message or "recursion" in message.lower():
        raise QueryError(TOO_DEEP)
    near = re.search(r'at or near "(.*)"', message, re.DOTALL)
    length = len(near[1].encode()) if near else 1
    start, end = source.place({"query_location": answer.get("position", 0), "query_location_length": length})
    refuse(source.text, start=start, end=end, finding=f"DuckDB cannot read this: {message}.", remedy=remedy)


def _path(node: Mapping[str, Tree], name: str) -> list[str]:
    """Return the parts of a qualified name."""
    written = (node.get("qualified_name") or {}).get("path")
    if written:
        return [str(part) for part in written]
    above = (node.get(part) for part in ("catalog_name", "catalog", "schema_name", "schema"))
    return [*(str(part) for part in above if part), str(node[name])]
