"""Copies that hold some chunks of an image only: what was left out is an error, whatever absent chunks mean.

Such a copy says so in its attributes, ``{"spora_db": {"partial": {"empty": ["0/c/0/1/2"]}}}``: these chunk files are
absent in the original too. Every other absent one was left out, and a fill value in its place would be a wrong pixel.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from spora_db.errors import ImageNotFoundError
from spora_db.images.files import broken

NOTE = "spora_db"
"""The attribute of a group in which spora-db notes what it wrote."""
_PARTIAL = "partial"


def empty_chunks(attributes: Mapping[str, Any], document: Path) -> frozenset[str] | None:
    """Return the chunk files that are absent in the original of a partial copy too; None for a whole image.

    Raises
    ------
    FileFormatError
        The note is none.

    Examples
    --------
    >>> empty_chunks({"spora_db": {"partial": {"empty": ["0/c/0/1/2"]}}}, Path("zarr.json"))
    frozenset({'0/c/0/1/2'})
    """
    note = attributes.get(NOTE)
    found = note.get(_PARTIAL) if isinstance(note, dict) else None
    if found is None:
        return None
    names = found.get("empty") if isinstance(found, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise broken(document, f"{NOTE}.{_PARTIAL} is {found!r:.80}", expected='{"empty": [names of chunk files]}')
    return frozenset(names)


def partial_document(content: bytes | None, empty: Collection[str], *, name: str) -> bytes:
    """Return a metadata document that says that its image is a partial copy.

    Parameters
    ----------
    content
        The document, None where the original has none.
    empty
        The chunk files that are absent in the original too, relative to the image.
    name
        ``zarr.json`` or ``.zattrs``.

    Examples
    --------
    >>> partial_document(b'{"multiscales": []}', ["0/c/0/1/2"], name=".zattrs").decode()
    '{"multiscales": [], "spora_db": {"partial": {"empty": ["0/c/0/1/2"]}}}'
    """
    document = {} if content is None else json.loads(content)
    attributes = document.setdefault("attributes", {}) if name == "zarr.json" else document
    note = attributes.get(NOTE)
    attributes[NOTE] = {**(note if isinstance(note, dict) else {}), _PARTIAL: {"empty": sorted(empty)}}
    return json.dumps(document).encode()


def left_out(image: Path, file: Path) -> ImageNotFoundError:
    """Return the error for a chunk that a copy was made without."""
    return ImageNotFoundError(
        f"The chunk file {file.relative_to(image)} of {image} was left out when the image was copied: this copy has "
        "the tiles and channels of one query. Ask for those, or copy more: spora-db copy ... --images whole."
    )
