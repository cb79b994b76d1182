"""Outlines of regions in pictures: where they are, in which colours, and what the legend says."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from cell_lakes import write_masks
from lakes import write_lake
from region_lakes import box, region_table
from spora_db import SporaQuery, plot
from spora_db.drawing.outlined import COLOURS, NO_CLASS
from spora_db.files.parquet import write_parquet


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("plot") / "lake", names=("alpha",), tissues=2)
    write_masks(root)
    tables = [
        region_table(
            [("alpha_0000", "1", "tumor", box(10, 20, 30, 90)), ("alpha_0000", "2", None, box(0, 0, 5, 5))], mpp=1.0
        ),
        region_table([("alpha_0000", "3", "stroma", box(0, 0, 40, 80))], mpp=0.5),
        region_table([("alpha_0000", "4", "vessel", box(50, 50, 60, 60))], more={"color": pa.array(["#123456"])}),
    ]
    write_parquet(pa.concat_tables(tables, promote_options="default"), root / "alpha/metadata/regions.parquet")
    return root


def drawn(picture: plot.Picture) -> dict[str, list[list[float]]]:
    """Return the bounds (first col, row, last col, row) of the outlines by colour, without their edges."""
    found: dict[str, list[list[float]]] = {}
    for axes in picture.axes:
        for item in axes.collections:
            if isinstance(item, LineCollection) and item.get_linewidths()[0] < 2:
                points = np.concatenate([path.vertices for path in item.get_paths()])
                colour = to_hex(item.get_colors()[0])
                found.setdefault(colour, []).append([*points.min(axis=0).tolist(), *points.max(axis=0).tolist()])
    return found


@pytest.mark.some(2)
@pytest.mark.parametrize("modality", ["imc", "he"])
def test_a_tissue_shows_its_regions_where_they_are(lake: Path, modality: str) -> None:
    picture = plot.tissue(SporaQuery(lake).modality(modality).tiles(size=32, mpp=1.0), "alpha_0000")
    assert drawn(picture) == {
        COLOURS[1]: [[20, 10, 90, 30]],  # classes of the lake in order: stroma, tumor, vessel
        NO_CLASS: [[0, 0, 5, 5]],
        COLOURS[0]: [[0, 0, 40, 20]],
        "#123456": [[50, 50, 60, 60]],
    }
    words = {text.get_text() for text in picture.texts}
    assert {"tumor", "stroma", "vessel", "no class"} <= words


def test_they_can_be_left_out_and_others_have_none(lake: Path) -> None:
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)
    assert drawn(plot.tissue(query, "alpha_0000", regions=False)) == {}
    assert drawn(plot.tissue(query, "alpha_0001")) == {}
