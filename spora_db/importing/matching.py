"""Which page of an image is which channel of the panel: by name or by order."""

from collections import Counter
from collections.abc import Sequence

from spora_db.errors import TableError
from spora_db.importing.fields import Field, Plane
from spora_db.importing.options import Match, Missing
from spora_db.importing.panel import Channel


def match_pages(panel: Sequence[Channel], image: Field, *, match: Match, missing: Missing) -> list[int | None]:
    """Return the page of every kept channel of a panel, None for one that was not measured.

    Parameters
    ----------
    panel
        All rows, also those that are not kept.
    image
        The field.
    match
        By ``"name"``, by ``"order"``, or ``"auto"``: by name where the image names its pages.
    missing
        Whether a kept channel without a page is an error.

    Raises
    ------
    TableError
        Pages and rows do not match; the message names them.
    """
    named = any(page.name for page in image.pages)
    if match == "order" or (match == "auto" and not named):
        return _by_order(panel, image)
    if not named:
        raise TableError(
            f"{image.origin} does not name its channels, so they cannot be matched by name. Use match 'order'."
        )
    rows = [_row_of(panel, page, image) for page in image.pages]
    for row, times in Counter(row for row in rows if row is not None).items():
        if times > 1:
            twice = ", ".join(repr(page.name) for page, at in zip(image.pages, rows, strict=True) if at == row)
            raise TableError(
                f"{image.origin} has several pages for the channel {panel[row].name!r}: {twice}. Remove or rename one."
            )
    unmatched = [str(page.name) for page, row in zip(image.pages, rows, strict=True) if row is None]
    if unmatched:
        hint = " To take them by their order instead, use match 'order'." if len(unmatched) == len(rows) else ""
        raise TableError(
            f"{image.origin} has pages that are not in the panel: {_listed(unmatched)}. The panel has: "
            f"{_listed([channel.name for channel in panel])}. Add rows (keep = 0 leaves a page out).{hint}"
        )
    pages = {row: page for page, row in enumerate(rows)}
    found = [pages.get(row) for row, channel in enumerate(panel) if channel.keep]
    kept = [channel for channel in panel if channel.keep]
    absent = [channel.name for channel, page in zip(kept, found, strict=True) if page is None]
    if absent and missing == "error":
        raise TableError(
            f"{image.origin} has no page for {_listed(absent)}. Its pages are "
            f"{_listed([str(page.name) for page in image.pages])}. Add the channel, set keep "
            "to 0, or use missing 'unmeasured' if this tissue was not stained for it."
        )
    return found


def _row_of(panel: Sequence[Channel], page: Plane, image: Field) -> int | None:
    """Return the row whose name is exactly the page's, else the one row that it can be called."""
    exact = [row for row, channel in enumerate(panel) if page.name in (channel.name, channel.key)]
    called = (page.name or "").casefold()
    alike = exact or [row for row, channel in enumerate(panel) if called in channel.called]
    if len(alike) > 1:
        rows = _listed([panel[row].name for row in alike])
        raise TableError(
            f"The page {page.name!r} of {image.origin} fits several rows of the panel: {rows}. Rename one."
        )
    return alike[0] if alike else None


def _by_order(panel: Sequence[Channel], image: Field) -> list[int | None]:
    kept = [row for row, channel in enumerate(panel) if channel.keep]
    if len(image.pages) == len(panel):
        return list(kept)
    if len(image.pages) == len(kept):
        return list(range(len(kept)))
    raise TableError(
        f"{image.origin} has {len(image.pages)} pages, the panel has {len(panel)} rows of which {len(kept)} are kept. "
        "Expected as many pages as one of these, in the same order."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:12])) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
