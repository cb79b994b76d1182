"""Conditions on texts in other engines: LIKE, GLOB, SIMILAR TO and regular expressions."""

from collections.abc import Sequence

from sqlglot import exp

from spora_db.dialects.forms import LETTERS, filled, wrapped
from spora_db.dialects.kinds import Typed
from spora_db.dialects.literals import literal_text
from spora_db.dialects.regexps import portable
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import Untranslatable, refuse

_ENDS = {"postgres": "$", "spark": r"\z"}  # Java's $ also stands before a last line break
_LITERAL = "The pattern must be a literal text."
_LIKE = "Write LIKE with % and _ and no backslash."
_PLAIN_PIECES = "Write it with letters, ., [classes], (groups), |, and the quantifiers * + ? {m,n}."


def matched(values: Sequence[exp.Expr], scope: Scope, *, is_whole: bool) -> Typed:
    """Translate a regular expression for a text: DuckDB's ``regexp_matches``, or ``regexp_full_match``."""
    text = scope.of_group(values[0], "text", what="A regular expression").tree
    pattern = literal_text(values[1])
    if not pattern:
        raise Untranslatable("A regular expression", _LITERAL)
    end = _ENDS[scope.dialect]
    try:
        written = portable(pattern, end=end)
    except ValueError as error:
        raise Untranslatable(f"A regular expression with {error}", _PLAIN_PIECES) from error
    literal = exp.Literal.string(f"^({written}){end}" if is_whole else written)
    return Typed(tree=exp.RegexpLike(this=wrapped(text), expression=literal), kind="boolean")


def similar(node: exp.Expr, scope: Scope) -> Typed:
    """Translate ``~``, and SIMILAR TO, which in DuckDB is a regular expression for the whole text, not SQL's own."""
    return matched((node.this, node.args["expression"]), scope, is_whole=isinstance(node, exp.SimilarTo))


def like(node: exp.Expr, scope: Scope, escape: str | None = None) -> Typed:
    """Translate LIKE and ILIKE: in DuckDB no letter of a pattern means another, elsewhere the backslash does."""
    what = "ILIKE" if isinstance(node, exp.ILike) else "LIKE"
    text = scope.of_group(node.this, "text", what=what).tree
    pattern = literal_text(node.args["expression"])
    if pattern is None:
        raise Untranslatable(what, _LITERAL)
    refuse("\\" in pattern or escape == "\\", f"{what} with a backslash", "Write contains or starts_with.")
    if isinstance(node, exp.ILike) and scope.dialect == "postgres":
        text = filled(f"$a {LETTERS}", [text])
    written: exp.Expr = type(node)(this=wrapped(text), expression=exp.Literal.string(pattern))
    if escape is not None:
        written = exp.Escape(this=written, expression=exp.Literal.string(escape))
    return Typed(tree=exp.Not(this=written) if node.args.get("negate") else written, kind="boolean")


def escaped(node: exp.Expr, scope: Scope) -> Typed:
    """Translate LIKE ... ESCAPE."""
    escape = literal_text(node.args["expression"])
    if not isinstance(node.this, exp.Like) or escape is None or len(escape) != 1:
        raise Untranslatable("ESCAPE", "Write LIKE without it, contains, or starts_with.")
    return like(node.this, scope, escape)


def glob(node: exp.Expr, scope: Scope) -> Typed:
    """Translate GLOB of stars: a question mark takes one byte in DuckDB, not one letter."""
    pattern = literal_text(node.args["expression"])
    if pattern is None or set(pattern) & set("?[]\\%_"):
        raise Untranslatable("GLOB with anything but letters and *", _LIKE)
    return like(exp.Like(this=node.this, expression=exp.Literal.string(pattern.replace("*", "%"))), scope)
