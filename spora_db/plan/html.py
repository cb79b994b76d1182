"""What values show of themselves in a notebook: a short table, escaped, without scripts."""

from collections.abc import Iterable
from html import escape

LEFT = "text-align:left"


def html_table(caption: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return names and what they stand for as an HTML table.

    Examples
    --------
    >>> html_table("Plan", [("rows", "<3>")]).count("&lt;3&gt;")
    1
    """
    body = "".join(
        f'<tr><th style="{LEFT}">{escape(name)}</th><td style="{LEFT}">{escape(text)}</td></tr>' for name, text in rows
    )
    return f"<table><caption>{escape(caption)}</caption><tbody>{body}</tbody></table>"
