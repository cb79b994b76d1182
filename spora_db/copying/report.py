"""What a copy took along, and what it left out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from spora_db.errors import counted

CopiedImages: TypeAlias = Literal["tiles", "whole", "none"]
"""What of images is copied: the chunks that the tiles touch, all of them, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What a copy holds.

    Attributes
    ----------
    lake, folder
        Where it is from, and where it is.
    written
        Whether it is there: not after a dry run.
    rows, plan
        The number of rows, and the hash of the plan, the same here and there.
    datasets, tissues, images, masks, tables
        How many of each.
    files, bytes
        Files of images and masks, and their bytes.
    brought
        How many of these files this run brought; the others were there from an earlier one.
    whole
        How many images are copied whole although tiles alone were asked for.
    left_out
        What is not in it, a line each.
    """

    lake: str
    folder: Path
    written: bool
    rows: int
    plan: str
    datasets: int
    tissues: int
    images: int
    masks: int
    tables: int
    files: int
    bytes: int
    brought: int
    whole: int = 0
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it in words."""
        head = "Copied" if self.written else "Would copy"
        lines = [
            f"{head} {counted(self.rows, 'row')} of {self.lake} to {self.folder}: {counted(self.tissues, 'tissue')} of "
            f"{counted(self.datasets, 'dataset')}, {counted(self.images, 'image')}, {counted(self.masks, 'mask')}, "
            f"{counted(self.tables, 'table')}.",
            f"Images and masks: {counted(self.files, 'file')}, {size_text(self.bytes)}"
            + (f"; {self.files - self.brought:,} of them were there already." if self.written else "."),
        ]
        if self.whole:
            lines.append(f"Copied whole, as only OME-Zarr can be copied in part: {counted(self.whole, 'image')}.")
        lines += [f"Left out: {line}." for line in self.left_out]
        if self.written:
            lines.append(f"plan {self.plan}, the same in both; locked in {self.folder / 'copy.lock.json'}")
        return "\n".join(lines)


def size_text(size: int) -> str:
    """Return a number of bytes as people read it.

    Examples
    --------
    >>> size_text(999), size_text(1_250_000)
    ('999 B', '1.2 MB')
    """
    number, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
