"""The console that commands write to: text appears as it is."""

import sys

from rich.console import Console


def plain_console(*, soft_wrap: bool = False) -> Console:
    """Return a console for standard output that reads no markup and no emoji out of what it is given.

    Names of cohorts, paths and messages may hold brackets and colons: ``CD45 [clone 2B11]`` is no style.

    Parameters
    ----------
    soft_wrap
        Leave long lines whole, for programs that read them.
    """
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=soft_wrap)


def lines_console() -> Console:
    """Return `plain_console`, wrapping lines on a terminal only."""
    return plain_console(soft_wrap=not sys.stdout.isatty())
