"""Conditions on texts in other engines: LIKE, GLOB, SIMILAR TO and regular expressions; and the order of texts.

DuckDB compares texts by their bytes and folds the case of all letters. PostgreSQL does both as the database's locale
says, so collations stand in the text: ``"C"`` where texts are put in order, ``"und-x-icu"`` where case is folded, and
``"default"`` around such results, which would otherwise not be comparable with plain columns.
"""

from sqlglot import exp

from spora_db.dialects.kinds import Typed, literal_text, wrapped
from spora_db.dialects.regexps import END, portable
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import SPARK, Dialect, refused

BYTES, LETTERS, PLAIN = "C", "und-x-icu", "default"
_LITERAL = "The pattern must be a literal text."
_LIKE = "Write LIKE with % and _ and no backslash."
_PLAIN_PIECES = "Write it with letters, ., [classes], (groups), |, and the quantifiers * + ? {m,n}."


def collated(tree: exp.Expr, collation: str, dialect: Dialect) -> exp.Expr:
    """Return a text that PostgreSQL compares or folds by a collation; elsewhere the text itself."""
    if dialect != "postgres":
        return tree
    return exp.Collate(this=wrapped(tree), expression=exp.to_identifier(collation, quoted=True))


def matches(value: exp.Expr, pattern: str, dialect: Dialect) -> exp.Expr:
    """Return whether a text holds a match of a portable pattern; one between ``^(`` and the end matches it whole."""
    literal = exp.Literal.string(pattern)
    if dialect == "snowflake" and not (pattern.startswith("^(") and pattern.endswith(")$")):
        found = exp.Anonymous(this="REGEXP_INSTR", expressions=[value, literal])  # its REGEXP_LIKE takes whole texts
        return exp.GT(this=found, expression=exp.Literal.number(0))
    return exp.RegexpLike(this=wrapped(value), expression=literal)


def end_of(dialect: Dialect) -> str:
    """Return what an engine's regular expressions call the end of a text."""
    return r"\z" if dialect in SPARK else END


def whole_match(value: exp.Expr, pattern: str, dialect: Dialect) -> exp.Expr:
    """Return whether a text is a match of a portable pattern from its first to its last letter."""
    return matches(value, f"^({pattern}){end_of(dialect)}", dialect)


def regexp(value: exp.Expr, pattern: exp.Expr, scope: Scope, *, is_whole: bool, what: str, node: exp.Expr) -> Typed:
    """Translate a regular expression.

    Raises
    ------
    QueryError
        If the pattern is no literal, or has a piece that engines read in different ways.
    """
    text = scope.of_kind(value, "text", what=what).tree
    literal = literal_text(pattern)
    if not literal:
        raise refused(what, scope.dialect, remedy=_LITERAL, node=node)
    try:
        written = portable(literal, end=end_of(scope.dialect))
    except ValueError as error:
        raise refused(f"{what} with {error} in its pattern", scope.dialect, remedy=_PLAIN_PIECES, node=node) from error
    found = whole_match(text, written, scope.dialect) if is_whole else matches(text, written, scope.dialect)
    return Typed(tree=found, kind="boolean")


def similar(node: exp.Expr, scope: Scope) -> Typed:
    """Translate ``~``, and SIMILAR TO, which in DuckDB is a regular expression for the whole text, not SQL's own."""
    assert isinstance(node, exp.SimilarTo | exp.RegexpLike)
    is_whole = isinstance(node, exp.SimilarTo)
    what = "SIMILAR TO" if is_whole else "The operator ~"
    return regexp(node.this, node.args["expression"], scope, is_whole=is_whole, what=what, node=node)


def like(node: exp.Expr, scope: Scope) -> Typed:
    """Translate LIKE and ILIKE: in DuckDB no letter of a pattern means another, elsewhere the backslash does."""
    assert isinstance(node, exp.Like | exp.ILike)
    return _like(node, scope, escape=None)


def escaped(node: exp.Expr, scope: Scope) -> Typed:
    """Translate LIKE ... ESCAPE."""
    inner = node.this
    escape = literal_text(node.args["expression"])
    if not isinstance(inner, exp.Like) or escape is None or len(escape) != 1 or scope.dialect == "bigquery":
        raise refused("ESCAPE", scope.dialect, remedy="Write LIKE without it, contains, or starts_with.", node=node)
    return _like(inner, scope, escape=escape)


def _like(node: exp.Like | exp.ILike, scope: Scope, *, escape: str | None) -> Typed:
    what = "ILIKE" if isinstance(node, exp.ILike) else "LIKE"
    text = scope.of_kind(node.this, "text", what=what).tree
    pattern = literal_text(node.expression)
    if pattern is None:
        raise refused(what, scope.dialect, remedy=_LITERAL, node=node)
    if "\\" in pattern or escape == "\\":
        raise refused(f"{what} with a backslash", scope.dialect, remedy="Write contains or starts_with.", node=node)
    literal = exp.Literal.string(pattern)
    written: exp.Expr = exp.Like(this=wrapped(text), expression=literal)
    if isinstance(node, exp.ILike):
        written = exp.ILike(this=wrapped(collated(text, LETTERS, scope.dialect)), expression=literal)
    if escape is not None:
        written = exp.Escape(this=written, expression=exp.Literal.string(escape))
    if node.args.get("negate"):
        written = exp.Not(this=written)
    return Typed(tree=written, kind="boolean")


def glob(node: exp.Expr, scope: Scope) -> Typed:
    """Translate GLOB of stars: a question mark takes one byte in DuckDB, not one letter."""
    text = scope.of_kind(node.this, "text", what="GLOB").tree
    pattern = literal_text(node.args["expression"])
    if pattern is None or set(pattern) & set("?[]\\%_"):
        raise refused("GLOB with anything but letters and *", scope.dialect, remedy=_LIKE, node=node)
    literal = exp.Literal.string(pattern.replace("*", "%"))
    return Typed(tree=exp.Like(this=wrapped(text), expression=literal), kind="boolean")
