"""The images of a lake as the page sees them: by key, with channels, levels, pieces of planes, contrast."""

import contextlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.catalog import Catalog
from spora_db.drawing.markers import PALETTE, choose_channels
from spora_db.errors import ArgumentError, FileFormatError, SporaError, unknown
from spora_db.explore.limits import CHANNELS, TILE
from spora_db.explore.opened import ListedImage, OpenedImage, shown_as
from spora_db.files.cache_folders import lasting_folder
from spora_db.files.folders import user_folder
from spora_db.files.stamps import stamps
from spora_db.images import open_levels, read_region
from spora_db.images.brightfield import brightfield_fault
from spora_db.images.cache import identity
from spora_db.images.overviews import OverviewChoice, Overviews
from spora_db.layout import locate
from spora_db.layout.names import is_rgb
from spora_db.plan.planes import holds_panel

OVERVIEW_BYTES: Final = 2**33
"""Bytes of means that are kept in the user's cache folder."""
LEARNT: Final = 4
"""Channels of which the contrast is taken at a time; of a bucket each waits for bytes."""
_IMAGES: Final = "SELECT dataset, modality, tissue_id, mpp, path FROM images ORDER BY ALL"
_CHANNELS: Final = """
    SELECT channel_name, uniprot_id, channel_index, page, qc_pass FROM tissue_channels
    WHERE dataset = $dataset AND modality = $modality AND tissue_id = $tissue_id ORDER BY channel_index
"""
_RGB: Final = (("R", "#ff0000"), ("G", "#00ff00"), ("B", "#0000ff"))


class ShownImages:
    """Gives images of a lake by their keys.

    Parameters
    ----------
    catalog
        The lake; used by one thread at a time.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._lock = threading.Lock()
        self._learned: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._learning: dict[tuple[str, str, int], threading.Lock] = {}
        self._folder = lasting_folder(user_folder("cache") / "overviews", limit=OVERVIEW_BYTES)
        self.overviews = Overviews(self._folder)
        rows = catalog._run(_IMAGES).fetchall()
        listed = [ListedImage(key=_key(*row), **dict(zip(_FIELDS, row, strict=True))) for row in rows]
        self._listed = {image.key: image for image in listed}
        self._of_tissue: dict[tuple[str, str], list[ListedImage]] = {}
        for image in listed:
            self._of_tissue.setdefault((image.dataset, image.tissue_id), []).append(image)
        self._opened: dict[str, OpenedImage] = {}
        self._prepared = False

    def listed(self, key: str) -> ListedImage:
        """Return an image by its key.

        Raises
        ------
        UnknownNameError
            There is none; a path is no key.
        """
        if key not in self._listed:
            raise unknown("image", key, (), remedy="GET /api/images lists them.")
        return self._listed[key]

    def find(self, words: str, *, most: int) -> list[ListedImage]:
        """Return images of which the names hold all words."""
        wanted = words.casefold().split()
        found = []
        for image in self._listed.values():
            text = f"{image.dataset} {image.modality} {image.tissue_id}".casefold()
            if all(word in text for word in wanted):
                found.append(image)
                if len(found) == most:
                    break
        return found

    def of_row(self, row: Mapping[str, Any], *, modality: str | None) -> ListedImage | None:
        """Return the image that a row of an answer shows: of its tissue, its modality and its resolution.

        Of a row that says no modality it is one with markers, where the tissue has one.
        """
        named = row.get("modality") or modality
        found = self._of_tissue.get((str(row.get("dataset")), str(row.get("tissue_id"))), [])
        for image in sorted(found, key=lambda image: is_rgb(image.modality)):
            if named in (None, image.modality) and row.get("mpp") in (None, image.mpp):
                return image
        return None

    def prepare(self) -> None:
        """Bring the panels, which the first image that is opened would wait for; what is wrong with them is told then.

        Of a bucket their tables are fetched; anywhere the views over them are made, which takes 0.1 s.
        """
        if not self._prepared:
            self._prepared = True
            with contextlib.suppress(SporaError, OSError):
                self.catalog._run(_CHANNELS, {"dataset": "", "modality": "", "tissue_id": ""})

    def open(self, key: str) -> OpenedImage:
        """Return an image that is looked at.

        Raises
        ------
        UnknownNameError
            There is none of that key.
        SporaError
            Its file or its panel is broken.
        """
        listed = self.listed(key)
        levels = open_levels(self.path_of(listed))
        signature = identity(levels[0].path, stamps(levels[0].files)).hex()
        known = self._opened.get(key)
        if known is not None and known.signature == signature:
            return known
        channels, shown = self._panel(listed, levels[0])
        choices = OverviewChoice.of(levels)
        found = OpenedImage(listed=listed, signature=signature, levels=choices, channels=channels, shown=shown)
        self._opened[key] = found
        return found

    def path_of(self, listed: ListedImage) -> Path:
        """Return the file of an image."""
        return locate(self.catalog.lake, listed.path)

    def tile(self, key: str, level: int, down: int, across: int, *, pages: Sequence[int]) -> AnyArray:
        """Return a piece of some planes at a level, an array of shape (pages, height, width).

        Raises
        ------
        ArgumentError
            More pages than are shown at a time, or a piece that is not there.
        """
        image = self.open(key)
        if not 0 < len(pages) <= CHANNELS:
            raise ArgumentError(f"{len(pages)} pages asked for; expected 1 to {CHANNELS}.")
        if not 0 <= level < len(image.levels):
            raise ArgumentError(f"Level {level} is not there; the image has {len(image.levels)}.")
        choice = image.levels[level]
        _, height, width = choice.shape
        row, col = down * TILE, across * TILE
        tall, wide = min(TILE, height - row), min(TILE, width - col)
        if tall < 1 or wide < 1:
            raise ArgumentError(f"Piece {down}, {across} is not there; level {level} has {height} x {width} pixels.")
        if choice.made == 1:  # planes that share a chunk are decoded together
            return read_region(choice.reader, pages, row=row, col=col, height=tall, width=wide)
        read = self.overviews.read
        return np.stack([read(choice, page, row=row, col=col, height=tall, width=wide) for page in pages])

    def limits(self, key: str, pages: Sequence[int] | None = None) -> list[dict[str, float]]:
        """Return how channels are shown at first, from pixels of full size: low, high, gamma, least and most.

        Raises
        ------
        ArgumentError
            A page that no channel has.
        """
        image = self.open(key)
        known = [int(channel["page"]) for channel in image.channels]
        wanted = known if pages is None else list(pages)
        if not set(wanted) <= set(known):
            raise ArgumentError(f"Pages {wanted} are not all there; the channels have the pages {known}.")
        names = ("page", "low", "high", "gamma", "least", "most")
        with ThreadPoolExecutor(LEARNT, thread_name_prefix="limits") as threads:
            learnt = list(threads.map(partial(self._learn, image), wanted))
        return [{name: told[name] for name in names} for told in learnt]

    def histogram(self, key: str, page: int) -> dict[str, Any]:
        """Return counts of a channel's pixels of full size, from the least to the most."""
        image = self.open(key)
        if not 0 <= page < image.levels[0].shape[0]:
            raise ArgumentError(f"Page {page} is not there; the image has {image.levels[0].shape[0]}.")
        told = self._learn(image, page)
        return {"low": told["least"], "high": told["most"], "counts": told["counts"]}

    def _learn(self, image: OpenedImage, page: int) -> dict[str, Any]:
        """Return what the pixels of a channel say, from memory, from the folder, or from the image."""
        name = (image.listed.key, image.signature, page)
        with self._lock:
            learning = self._learning.setdefault(name, threading.Lock())
        with learning:  # limits and histogram are asked for at once
            if name not in self._learned:
                kept = self._folder.read(identity(*name).hex())
                if kept is not None:
                    self._learned[name] = json.loads(kept.to_pybytes())
                else:
                    found = self._learned[name] = shown_as(image, page)
                    content = json.dumps(found).encode()
                    with contextlib.suppress(OSError):  # on a full disk the next run learns it again
                        self._folder.write(
                            identity(*name).hex(), lambda file: os.write(file, content), size=len(content)
                        )
            return self._learned[name]

    def _panel(
        self, listed: ListedImage, reader: Any  # noqa: ANN401 - an ImageReader
    ) -> tuple[tuple[Mapping[str, Any], ...], tuple[tuple[int, str], ...]]:  # fmt: skip
        """Return the channels of an image, and which are shown at first in which colour."""
        if is_rgb(listed.modality):
            if fault := brightfield_fault(reader):
                raise FileFormatError(fault)
            colours = [{"name": name, "uniprot": None, "page": page, "qc": True} for page, (name, _) in enumerate(_RGB)]
            return tuple(colours), tuple((page, colour) for page, (_, colour) in enumerate(_RGB))
        where = {name: getattr(listed, name) for name in ("dataset", "modality", "tissue_id")}
        rows = self.catalog._run(_CHANNELS, where).fetchall()
        measured = sum(page is not None for *_, page, _ in rows)
        whole = holds_panel(reader.shape[0], measured=measured, panel=len(rows), image=reader.path)
        channels = tuple(
            {"name": name, "uniprot": accession, "page": index if whole else page, "qc": bool(passed)}
            for name, accession, index, page, passed in rows
            if whole or page is not None
        )
        chosen = choose_channels([row["name"] for row in channels], [row["uniprot"] for row in channels])
        return channels, tuple((int(channels[one.index]["page"]), one.colour) for one in chosen)


_FIELDS: Final = ("dataset", "modality", "tissue_id", "mpp", "path")
COLOURS: Final = (*PALETTE.values(), "#ff3b30", "#ffffff")
"""Colours of eight channels, told apart as those of `PALETTE` are."""


def _key(*facts: object) -> str:
    return identity(*facts).hex()[:16]
