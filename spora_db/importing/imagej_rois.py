"""Regions of ImageJ: a ``.roi`` file, or the ``.zip`` of its ROI Manager, read with roifile."""

import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np

from spora_db.errors import FileFormatError, need
from spora_db.files.failures import telling
from spora_db.importing.outlines import Outline, Outlines, polygon_of

MOST_BYTES: Final = 2**28
"""Of one region."""
AREAS: Final = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")
"""The kinds of ROIs that have an area; lines, points and text have none."""
_NUMBERED: Final = re.compile(r"[-_ .]*[0-9]+$")
_BY_ITSELF: Final = re.compile(r"[0-9]+(-[0-9]+)*")
"""What ImageJ calls a region that nobody named: its place."""


def read_rois(path: Path) -> Outlines:
    """Read the regions of a file. ImageJ has no classes: a region's is its name without a number at its end.

    Raises
    ------
    FileFormatError
        It is broken.
    MissingExtraError
        roifile is not installed.

    Examples
    --------
    >>> class_of("tumor-12"), class_of("0012-0345")
    ('tumor', None)
    """

    def broken(error: Exception) -> FileFormatError:
        return FileFormatError(f"{path} is no file of ImageJ's regions: {error}. Save the ROIs again.")

    regions, left_out = [], Counter[str]()
    with telling(f"The file {path}", library="roifile", broken=broken):
        for roi in _rois(path):
            shape = _shape(roi) if roi.roitype.name in AREAS else None
            if shape is None or shape.is_empty:
                left_out[f"{roi.roitype.name.lower()} without area"] += 1
            else:
                name = roi.name or None
                regions.append(Outline(shape=shape, name=name, region_class=class_of(name or "")))
    says = "ImageJ has no classes: a region's is its name without a number at its end."
    return Outlines(regions=tuple(regions), left_out=dict(left_out), says=says)


def class_of(name: str) -> str | None:
    """Return the class that the name of a region says; None of a name that ImageJ gave."""
    return None if _BY_ITSELF.fullmatch(name) else _NUMBERED.sub("", name).strip() or None


def _rois(path: Path) -> Iterator[Any]:
    roifile = need("roifile", extra="annotations", what="ImageJ's regions", instead="Or export them as GeoJSON.")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            yield roifile.ImagejRoi.frombytes(file.read(MOST_BYTES))
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.lower().endswith(".roi") and not Path(name).name.startswith("."):
                with archive.open(name) as file:
                    yield roifile.ImagejRoi.frombytes(file.read(MOST_BYTES))


def _shape(roi: Any) -> Any:  # noqa: ANN401 - roifile's, shapely's
    """Return the polygons of a region; of several paths, what an odd number of them goes around."""
    from spora_db.regions.polygons import geometry, polygonal, valid

    paths = [polygon_of([np.asarray(points, np.float64)]) for points in roi.coordinates(multi=True)]
    kept = [path for path in paths if path is not None]
    if not kept:
        return None
    if len(kept) == 1:
        return geometry().multipolygons(kept)
    return polygonal(reduce(geometry().symmetric_difference, valid(np.array(kept, object))))
