"""What an image is to the rest of the package: a shape, grids of chunks, and the decoded planes of each chunk."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np

from spora_db.arrays import Int64, Integers, UInt64
from spora_db.errors import ArgumentError
from spora_db.files.stamps import Stamp
from spora_db.files.stores.ranges import FileRange
from spora_db.images.page_groups import Filling, PageGroup
from spora_db.images.pixels import ChunkPlanes
from spora_db.layout.names import is_rgb

Pages: TypeAlias = Sequence[int] | Integers
MissingChunks: TypeAlias = Literal["error", "zeros", "white"]
"""What a chunk absent on disk is: a partial download, the fill value, or the white around the scanned parts of a slide.
"""
ChannelAxis: TypeAlias = Literal["c", "z", "t"]
"""The axis along which the channels of an image lie: some programs write them as depths or as times."""

MEANT = "pass missing_chunks='zeros' (or 'white'); commands take it as --missing-chunks"
"""How to say that absent chunks are meant, wherever one is refused."""


def check_missing_chunks(choice: str) -> None:
    """Refuse what is no choice of ``missing_chunks``.

    Raises
    ------
    ArgumentError
        The message lists the choices.

    Examples
    --------
    >>> check_missing_chunks("zeros")
    """
    if choice not in get_args(MissingChunks):
        choices = ", ".join(map(repr, get_args(MissingChunks)))
        raise ArgumentError(f"missing_chunks is one of {choices}; received {choice!r}.")


def missing_chunks_in(modality: str, choice: MissingChunks) -> MissingChunks:
    """Return what an absent chunk is in an image of a modality: white only in brightfield, an error elsewhere.

    Examples
    --------
    >>> missing_chunks_in("he", "white"), missing_chunks_in("imc", "white"), missing_chunks_in("imc", "zeros")
    ('white', 'error', 'zeros')
    """
    return "error" if choice == "white" and not is_rgb(modality) else choice


def stacked(axes: Sequence[str]) -> str:
    """Return what helps where channels lie along an axis that is refused; nothing where they cannot.

    Examples
    --------
    >>> stacked(["z"])
    " Where z holds the channels, say so: open_image(channel_axis='z'), which import_dataset takes too, and
    `spora-db import --channel-axis z`, which writes them as channels."
    """
    if len(axes) != 1 or axes[0] not in get_args(ChannelAxis):
        return ""
    return (
        f" Where {axes[0]} holds the channels, say so: open_image(channel_axis={axes[0]!r}), which import_dataset "
        f"takes too, and `spora-db import --channel-axis {axes[0]}`, which writes them as channels."
    )


class ImageHeader(NamedTuple):
    """What a file says about its image without a pixel being decoded."""

    format: str
    channels: int
    height: int
    width: int
    dtype: np.dtype[Any]


class ShardFile(NamedTuple):
    """What a shard was when a batch first asked: its path, its stamp, and where its chunks lie."""

    path: str
    stamp: Stamp
    chunks: UInt64


BatchFiles: TypeAlias = dict[tuple[int, ...], ShardFile | None]
"""The shards of a batch, by owner and place in the grid of files; None where there is none."""


class ChunkGrid(NamedTuple):
    """Chunks of one size that hold some of the pages that are wanted of an image.

    Attributes
    ----------
    height, width
        Size of a chunk in pixels.
    groups
        The pages, by the chunks that they share at each place of the grid.
    rows_apart
        Whether rows are read without the others of a chunk, whose damage then does not matter.
    """

    height: int
    width: int
    groups: Sequence[PageGroup]
    rows_apart: bool = False


class ImageReader(Protocol):
    """An open image in chunks on grids: what is needed of it is known before anything is decoded.

    Readers may be shared between threads. One that holds all pixels has one chunk.
    """

    @property
    def path(self) -> Path:
        """The image's file or folder."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Pages, height and width in pixels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels as delivered: native byte order; bool comes as uint8, float16 as float32."""

    @property
    def chunks(self) -> tuple[int, int]:
        """Height and width in pixels of what is decoded at once."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that this was learned from; where one has changed, the image is opened anew."""

    @property
    def not_rgb(self) -> str | None:
        """Why the file is no picture of red, green and blue; None where it does not say so."""

    def close(self) -> None:
        """Release the file; the reader opens it again when asked for pixels."""

    def grids(self, pages: Int64) -> Sequence[ChunkGrid]:
        """Return the grids on which pages lie; see `spora_db.images.page_groups.group_pages`."""

    def needs(self, group: PageGroup, down: int, across: int, *, rows: slice, cols: slice) -> Iterator[list[FileRange]]:
        """Yield what `decoded` reads of files, step by step: the bytes of a step are there before the next one is made.

        Nothing, of what is kept decoded. What is broken ends it, with the error that `decoded` raises.
        """

    def decoded(
        self, group: PageGroup, down: int, across: int, *, rows: slice, cols: slice, files: BatchFiles
    ) -> tuple[ChunkPlanes, Filling]:
        """Return planes of one chunk that hold some rows and cols of it, and which of them are wanted.

        What shards are is asked once for all chunks that are decoded with the same `files`, empty at first.
        """
