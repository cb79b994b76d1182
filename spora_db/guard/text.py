"""The guard's first look: the characters and tokens of a text, and errors that show the place in it."""

import difflib
import re
from typing import NoReturn

import sqlglot
from sqlglot import Token, TokenType
from sqlglot.errors import ParseError, TokenError

from spora_db.errors import QueryError
from spora_db.sqltext.dialect import GuardDialect
from spora_db.sqltext.names import fold

LONGEST_TEXT = 1_000_000
"""Characters of SQL that are read; 50,000 quoted ids in one IN list take a tenth of it."""

TOO_DEEP = "SQL nested too deeply to be checked. Name the inner parts as CTEs (WITH ... AS)."
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_OTHERWISE = {
    TokenType.CARET_AT: "starts_with(text, prefix)",
    TokenType.NULLSAFE_EQ: "IS NOT DISTINCT FROM, or list_cosine_distance(a, b)",
}
OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE)
_DEEPEST = 1_000
_LONGEST_CHAIN = 100  # sqlglot takes 0.3 s for as many calls in a chain, 6 s for 800, 106 s for 3,000


def refuse(text: str, *, start: int, end: int, finding: str, remedy: str) -> NoReturn:
    """Raise the error for characters ``start`` to ``end`` (exclusive) of ``text``: the line, a caret under them."""
    start = max(0, min(start, len(text)))
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    line = text[line_start : len(text) if line_end < 0 else line_end]
    column = start - line_start
    shift = max(0, column - 60)  # long lines are shown around the place
    shown = "".join(letter if letter.isprintable() else " " for letter in line[shift : shift + 110])
    caret = " " * (column - shift) + "^" * max(1, min(end - start, len(shown) - (column - shift)))
    number = text.count("\n", 0, start) + 1
    raise QueryError(f"SQL refused at line {number}, column {column + 1}: {finding}\n  {shown}\n  {caret}\n{remedy}")


def where(text: str, start: int) -> str:
    """Name the place of character ``start`` for an error in one line.

    Examples
    --------
    >>> where("SELECT 1", 7)
    'line 1, column 8 of the SQL'
    """
    return f"line {text.count(chr(10), 0, start) + 1}, column {start - text.rfind(chr(10), 0, start)} of the SQL"


def characters(text: str, position: int) -> int:
    """Return how many characters the first ``position`` bytes of a text are: DuckDB counts bytes.

    Examples
    --------
    >>> characters("µm", 2)
    1
    """
    return len(text.encode()[:position].decode(errors="ignore"))


def quoting(text: str, name: str) -> str:
    """Return the advice for a name that does not exist and stands where texts do: in double quotes, or compared with.

    Examples
    --------
    >>> quoting("cancer_type = LUAD", "LUAD"), quoting("agee > 50", "agee")
    ("For text write 'LUAD' in single quotes.", '')
    """
    compared = rf"(?:[=<>]|\bLIKE|\bIN\s*[(\[][^)]*)\s*{re.escape(name)}\b"
    is_text = f'"{name}"' in text or re.search(compared, text, re.IGNORECASE)
    return f"For text write '{name}' in single quotes." if is_text else ""


def tokens_of(text: str) -> list[Token]:
    """Cut ``text`` into tokens.

    Raises
    ------
    QueryError
        For text that is empty or too long, for characters nobody sees, and for a literal or comment that never ends.
    """
    if not isinstance(text, str):
        raise QueryError(
            f"SQL must be a str, received {type(text).__name__}: {text!r:.100}. Pass the text of one SELECT."
        )
    if len(text) > LONGEST_TEXT:
        raise QueryError(
            f"SQL of {len(text):,} characters; at most {LONGEST_TEXT:,} are read. "
            "Join with a table (from_arrow) instead of listing values.",
        )
    if hidden := _CONTROL.search(text):
        place = hidden.start()
        remedy = "Delete it, or write it as chr(...) if it belongs to a value."
        finding = f"the control character U+{ord(text[place]):04X}."
        refuse(text, start=place, end=place + 1, finding=finding, remedy=remedy)
    try:
        tokens = sqlglot.tokenize(text, read=GuardDialect)
    except TokenError as error:
        reason = f"{error.__cause__}" if isinstance(error.__cause__, TokenError) else f"{error}"
        place = _opening(text, reason)
        finding = f"a literal, a quoted name or a comment that never ends ({reason.splitlines()[0]})."
        remedy = "Close it; a quote inside a literal is written twice."
        refuse(text, start=place, end=place + 1, finding=finding, remedy=remedy)
    for token in tokens:
        if token.token_type is TokenType.VAR and not token.text.isascii() and not token.text.isidentifier():
            odd = next(letter for letter in token.text if not letter.isalnum() and letter not in "_$")
            finding = f"the typographic or invisible character U+{ord(odd):04X} outside quotes."
            _refuse_token(token, text=text, finding=finding, remedy="Use plain spaces and quotes: ' around values.")
    if not [token for token in tokens if token.token_type is not TokenType.SEMICOLON]:
        raise QueryError(f"Empty SQL, received {text!r:.100}. Pass the text of one SELECT, or a condition for where.")
    return tokens


def one_statement(tokens: list[Token], text: str, *, empty: str) -> tuple[list[Token], str]:
    """Return the tokens and text of the one statement, without its semicolon; `empty` is what to do without any.

    Raises
    ------
    QueryError
        For a second statement.
    """
    semicolon = next((token for token in tokens if token.token_type is TokenType.SEMICOLON), None)
    if semicolon is None:
        return tokens, text
    before = [token for token in tokens if token.start < semicolon.start]
    if any(token.start > semicolon.start and token.token_type is not TokenType.SEMICOLON for token in tokens):
        remedy = "Ask one thing at a time."
        refuse(text, start=semicolon.start, end=semicolon.end + 1, finding="a second statement.", remedy=remedy)
    if not before:
        refuse(text, start=semicolon.start, end=semicolon.end + 1, finding="an empty statement.", remedy=empty)
    return before, text[: semicolon.start]


def check_brackets(tokens: list[Token]) -> None:
    """Refuse brackets in brackets, without an end, before DuckDB parses them: 100,000 queries in FROM crash it.

    Raises
    ------
    QueryError
        For more than a thousand, DuckDB's own limit for expressions.
    """
    depth = 0
    for token in tokens:
        depth += (token.token_type in OPENING) - (token.token_type in CLOSING)
        if depth > _DEEPEST:
            raise QueryError(TOO_DEEP)


def check_for_sqlglot(tokens: list[Token], *, text: str) -> None:
    """Refuse what sqlglot reads otherwise than DuckDB, and calls in an endless chain, ``x.f().g()...``.

    Raises
    ------
    QueryError
        At the first of them.
    """
    for token in tokens:
        if token.token_type in _OTHERWISE:
            finding = f"the operator {token.text}, which sqlglot and DuckDB read in different ways."
            _refuse_token(token, text=text, finding=finding, remedy=f"Write {_OTHERWISE[token.token_type]}.")
    lengths = [0]  # per open parenthesis
    before = None
    for token in tokens:
        kind = token.token_type
        if kind is TokenType.DOT:
            lengths[-1] += 1
            if lengths[-1] > _LONGEST_CHAIN:
                finding = f"a chain of more than {_LONGEST_CHAIN} names or calls."
                _refuse_token(token, text=text, finding=finding, remedy="Name the inner parts as CTEs (WITH ... AS).")
        elif kind is TokenType.L_PAREN:
            lengths.append(0)
        elif kind is TokenType.R_PAREN:
            lengths = lengths[:-1] or [0]
        elif before is not TokenType.DOT:
            lengths[-1] = 0
        before = kind


def _opening(text: str, reason: str) -> int:
    """Return where the unfinished literal starts, from the ``line:column`` that sqlglot reports."""
    found = re.search(r"from (\d+):(\d+)", reason)
    if not found:
        return max(text.rfind("/*"), 0)
    lines = text.split("\n")[: int(found[1]) - 1]
    return sum(len(line) + 1 for line in lines) + int(found[2])


def refuse_parse(text: str, error: ParseError) -> NoReturn:
    """Turn sqlglot's error into ours, at its place."""
    first = error.errors[0] if error.errors else {}
    lines = text.split("\n")[: int(first.get("line") or 1) - 1]
    highlight = str(first.get("highlight") or "")
    end = sum(len(line) + 1 for line in lines) + int(first.get("col") or 0)
    start = text.rfind(highlight, 0, end + len(highlight)) if highlight else end
    finding = f"{first.get('description') or 'this cannot be read as SQL'}.".replace("..", ".")
    finding = re.sub(r" for <class '.*?\.(\w+)'>", r" in \1", finding)
    remedy = "Write one SELECT in DuckDB's dialect; names with other characters stand in double quotes."
    refuse(text, start=start, end=start + len(highlight), finding=finding, remedy=remedy)


def _refuse_token(token: Token, *, text: str, finding: str, remedy: str) -> NoReturn:
    refuse(text, start=token.start, end=token.end + 1, finding=finding, remedy=remedy)


def refuse_word(tokens: list[Token], text: str, *, remedy: str) -> NoReturn:
    """Refuse a statement that does something else than ask."""
    first = tokens[0]
    word = fold(first.text)
    advice = "Did you mean SELECT?" if difflib.get_close_matches(word, ["select"], cutoff=0.8) else remedy
    finding = f"a statement that is no SELECT ({word})."
    refuse(text, start=first.start, end=first.end + 1, finding=finding, remedy=advice)
