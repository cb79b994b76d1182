"""A whole slide of 20,000 x 20,000 pixels: tiled and standardized in less memory than its pixels take."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from zarr.codecs import BloscCodec

SIDE, CHANNELS, TILE = 20_000, 4, 1024
MOST = 1.5e9  # bytes
NAMES = ["DAPI", "CD3e", "CD8", "CD20"]

CHILD = """
    import json, sys, time
    from pathlib import Path
    from spora_db.jobs import standardize_lake, tile_lake
    from spora_db.standardization.specs import parse_spec
    from spora_db.tiling.parameters import TilingParameters

    begun = time.perf_counter()
    if sys.argv[2] == "tile":
        report = tile_lake(sys.argv[1], mpp=1.0, parameters=TilingParameters(tile_size=224, stride=112))
    else:
        report = standardize_lake(sys.argv[1], modality="codex", mpp=1.0, spec=parse_spec(sys.argv[2]))
    status = Path("/proc/self/status").read_text()  # ru_maxrss would begin with what the parent had when it forked
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    seconds = time.perf_counter() - begun
    state, why = report.datasets[0].state, str(report.failures)
    print(json.dumps({"state": state, "peak": peak, "seconds": seconds, "why": why}))
"""


def pieces():
    """Yield (row, col, uint16 piece) of the slide; pieces repeat, so that drawing them takes no time."""
    rng = np.random.default_rng(0)
    drawn = [(rng.gamma(0.8, 300.0, (CHANNELS, TILE, TILE)) * scale).astype(np.uint16) for scale in (1, 2, 5)]
    for row in range(0, SIDE, TILE):
        for col in range(0, SIDE, TILE):
            height, width = min(TILE, SIDE - row), min(TILE, SIDE - col)
            yield row, col, drawn[(row // TILE * 7 + col // TILE) % 3][:, :height, :width]


def write_slide(path, kind):
    if kind == "ome.zarr":
        group = zarr.open_group(path, mode="w", zarr_format=3)
        array = group.create_array(
            "0",
            shape=(CHANNELS, SIDE, SIDE),
            dtype=np.uint16,
            shards=(CHANNELS, TILE, TILE),
            chunks=(CHANNELS, 256, 256),
            compressors=BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle"),
            dimension_names=["c", "y", "x"],
        )
        for row, col, piece in pieces():
            array[:, row : row + piece.shape[1], col : col + piece.shape[2]] = piece
        return

    def segments():
        for channel in range(CHANNELS):
            for _, _, piece in pieces():
                yield np.pad(piece[channel], [(0, TILE - piece.shape[1]), (0, TILE - piece.shape[2])])

    tifffile.imwrite(
        path,
        segments(),
        shape=(CHANNELS, SIDE, SIDE),
        dtype=np.uint16,
        tile=(TILE, TILE),
        compression="zstd",
        compressionargs={"level": 1},
        photometric="minisblack",
        metadata={"axes": "CYX"},
        ome=True,
        bigtiff=True,
    )


@pytest.fixture(scope="module", params=["ome.zarr", "ome.tiff"])
def slide(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("slide")
    for folder in ("metadata", "codex/1_0mpp/images", "segmentations/1_0mpp/tissue_masks"):
        (root / "cohort" / folder).mkdir(parents=True)
    write_slide(root / f"cohort/codex/1_0mpp/images/cohort_0001.{request.param}", request.param)
    rows, cols = np.ogrid[:SIDE, :SIDE]
    mask = (rows - np.float32(9_000)) ** 2 + (cols - np.float32(11_000)) ** 2 < 8_000**2
    np.savez_compressed(root / "cohort/segmentations/1_0mpp/tissue_masks/cohort_0001.npz", mask=mask)
    panel = {"channel_name": NAMES, "qc_pass": True, "uniprot_id": None, "is_nuclear_marker": False}
    pd.DataFrame(panel).to_parquet(root / "cohort/codex/channels.parquet")
    measured = pd.DataFrame(True, index=pd.Index(["cohort_0001"], name="tissue_id"), columns=NAMES)
    measured.to_parquet(root / "cohort/codex/channels_per_tissue.parquet")
    return root


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux to tell the peak of memory")
@pytest.mark.parametrize("what", ["tile", "quantile_clipping/uq_0.99_image", "quantile_clipping_log1p/uq_0.99_global"])
def test_a_slide_takes_less_than_a_gigabyte_and_a_half(slide, what):
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(slide), what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"{what}: {told['seconds']:.1f} s, {told['peak'] / 1e9:.2f} GB at most")
    assert told["state"] == "written", told
    assert told["peak"] < MOST
    if what == "tile":
        stats = pd.read_parquet(next(slide.rglob("224_tile_stats.parquet")))
        assert stats.loc["cohort_0001", "num_tiles"] > 3_000
        assert stats.loc["cohort_0001", "coverage_ratio"] > 0.98
    else:
        upper = pd.read_parquet(next(slide.glob(f"cohort/codex/1_0mpp/standardization/{what}/*upper*")))
        pixels = np.concatenate(
            [piece[0].ravel() for row, col, piece in pieces() if 4096 <= row < 12_288 <= col + 4096]
        )
        assert abs(upper.iloc[0, 0] / np.quantile(pixels, 0.99) - 1) < 0.2
