"""``spora-db cache``: the copies of remote lakes on this machine."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from spora_db.cli.application import app


@app.command()
def cache(
    action: Annotated[Literal["info", "clear"], typer.Argument(help="Show what is kept, or remove it.")],
    address: Annotated[str | None, typer.Argument(help="Of this lake alone.", show_default=False)] = None,
) -> None:
    """Show or clear what is kept of remote lakes: their tables, and the parts of images that were read.

    It lies in the folder that SPORA_CACHE_DIR names, else in your own for caches, and takes SPORA_CACHE_BYTES of images
    at most (20 GB); those opened longest ago leave first.

    Examples:  spora-db cache info

    spora-db cache clear s3://bucket/lake
    """
    from spora_db.errors import ArgumentError
    from spora_db.files.stores.kept import clear, kept_bytes_limit, kept_lakes, mirrors_folder

    base = Path(mirrors_folder())
    found = kept_lakes(base)
    if address is not None and address.rstrip("/") not in [kept.address for kept in found]:
        known = ", ".join(kept.address for kept in found) or "none"
        raise ArgumentError(f"Nothing is kept of {address!r} in {base}. Lakes of which something is kept: {known}.")
    if action == "clear":
        found = clear(base, None if address is None else address.rstrip("/"))
    for kept in found:
        if address is None or kept.address == address.rstrip("/"):
            sys.stdout.write(f"{kept.address}: {kept.bytes / 1e6:,.1f} MB\n")
    total, verb = sum(kept.bytes for kept in found), "removed from" if action == "clear" else "in"
    sys.stdout.write(f"{total / 1e6:,.1f} MB {verb} {base}; images may take {kept_bytes_limit() / 1e6:,.0f} MB\n")
