"""Which chunk files of an image the tiles of a plan touch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spora_db.copying.places import CopiedFile, documents_below, state_of
from spora_db.images.omezarr import OmeZarrReader
from spora_db.images.partial import partial_document
from spora_db.images.pieces import Regions, planned_chunks
from spora_db.images.zarr_chunks import check_absent
from spora_db.plan import Plan
from spora_db.samples.image_plan import ImagePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialImage:
    """What a copy takes of an image: files as they are, and the document that says that it is a part.

    Attributes
    ----------
    files
        The files.
    document, content
        The path of the document below the lake, and what it holds.
    chunks
        How many of the files are chunks, or shards of them.
    """

    files: tuple[CopiedFile, ...]
    document: str
    content: bytes
    chunks: int


def partial_image(plan: Plan, image: int, source: ImagePlan, *, name: str) -> PartialImage | None:
    """Return what of an image the tiles of a plan need; None for one that is copied whole.

    Parameters
    ----------
    plan, image
        The plan, and the number of the image in it.
    source
        What is read from it.
    name
        Its path below the lake.

    Raises
    ------
    FileFormatError
        If it holds links to what is not there.
    """
    reader = source.reader
    if not plan.tile_size or not isinstance(reader, OmeZarrReader):
        return None
    found, empty = list[CopiedFile](), list[str]()
    for path in sorted(set(_touched(plan, image, source, reader))):
        inner, state = path.relative_to(reader.path).as_posix(), state_of(path)
        if state is None:
            check_absent(path, reader.layout)
            empty.append(inner)
        else:
            found.append(CopiedFile(name=f"{name}/{inner}", path=path, state=state))
    holder = reader.layout.attributes_file
    document = f"{name}/{holder.relative_to(reader.path).as_posix()}"
    described = [file for file in documents_below(reader.path, name=name) if file.name != document]
    content = holder.read_bytes() if holder.is_file() else None
    return PartialImage(
        files=(*described, *found),
        document=document,
        content=partial_document(content, empty, name=holder.name),
        chunks=len(found),
    )


def _touched(plan: Plan, image: int, source: ImagePlan, reader: OmeZarrReader) -> Iterator[Path]:
    """Yield the chunk files that the tiles touch, of the channels that are delivered; several times some of them."""
    rows = np.flatnonzero((plan.image == image).any(axis=1))
    margin = source.filters.margin if source.filters is not None and source.halo else 0
    tops, lefts = (at[rows].astype(np.int64) - margin for at in (plan.row, plan.col))
    size = np.full(len(rows), plan.tile_size + 2 * margin)
    regions = Regions(
        readers=[reader], pages=[source.pages], image=np.zeros_like(size), row=tops, col=lefts, height=size, width=size
    )
    for chunk in planned_chunks(regions, {}):
        for group in chunk.grid.groups:
            yield reader.chunk_file((group.chunk, chunk.down, chunk.across))
