"""The commands that write into a lake: what they say, where, and with which exit code."""

import json
import os
import pty
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from command_line import call
from job_lakes import contents, mask_folder, write_images, write_masks
from spora_db.cli import app
from spora_db.errors import SporaError

TILE = ["tile", "--tile-size", "32", "--mpp", "1.0", "--jobs", "1"]
STANDARDIZE = ["standardize", "--modality", "imc", "--mpp", "1.0", "--jobs", "1"]


def invoke(*arguments):
    """Run a command in this process; errors of the library come as (1, message), as `main` writes them."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, SporaError):
        return 1, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_tile_writes_and_reports(tmp_path):
    root = write_masks(tmp_path)
    code, output = invoke(*TILE, root)
    assert code == 0
    coordinates = root / "cohort/tiling/1_0mpp/default/32_tile_coordinates.parquet"
    tiles = len(pd.read_parquet(coordinates))
    assert f"cohort: written, tissues 6, tiles {tiles}, coverage 0.99" in output
    assert "slowest cohort_000" in output
    assert str(coordinates) in output
    stats = pd.read_parquet(root / "cohort/tiling/1_0mpp/default/32_tile_stats.parquet")
    assert set(stats.stride) == {16}
    assert set(stats.tolerance) == {0.85}
    assert set(stats.coverage_goal) == {1.0}
    assert set(stats.min_gain_ratio) == {0.05}


def test_a_grid_has_the_stride_of_a_tile(tmp_path):
    root = write_masks(tmp_path)
    assert invoke(*TILE, root, "--strategy", "grid_32", "--grid")[0] == 0
    stats = pd.read_parquet(root / "cohort/tiling/1_0mpp/grid_32/32_tile_stats.parquet")
    assert set(stats.stride) == {32}
    assert set(stats.tiling_method) == {"grid_32"}


def test_quiet_says_nothing(tmp_path):
    assert invoke(*TILE, write_masks(tmp_path), "--quiet") == (0, "")


def test_lines_where_there_is_no_terminal_and_a_bar_where_there_is_one(tmp_path):
    root = write_masks(tmp_path)
    done = call(*TILE, root)
    assert done.stderr.splitlines()[-1].startswith("tile cohort: 6 of 6 tissues, ")
    assert done.stderr.endswith(" Mpixel/s, 0 s left\n")
    assert "\x1b" not in done.stderr + done.stdout
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "spora_db.cli", *TILE, str(root), "--overwrite"]
    child = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert child.wait() == 0
    text = shown.decode()
    assert "━" in text
    assert "Mpixel/s" in text
    assert "coverage" in text
    assert "│" in text


def test_exit_codes_tell_failures(tmp_path):
    root = write_masks(tmp_path)
    (mask_folder(root) / "cohort_0002.npz").write_bytes(b"")
    code, output = invoke(*TILE, root)
    assert code == 1
    assert "spora-db: cohort/cohort_0002 failed: The mask" in output
    assert "add --keep-going" in output
    code, output = invoke(*TILE, root, "--keep-going")
    assert code == 3
    assert "cohort: written, tissues 6, failed 1" in output


def test_shards_and_merge(tmp_path):
    alone, root = write_masks(tmp_path / "alone"), write_masks(tmp_path / "shards")
    assert invoke(*TILE, alone)[0] == 0
    for shard in ("2/3", "0/3", "1/3"):
        code, output = invoke(*TILE, root, "--shard", shard)
        assert (code, "--merge" in output) == (0, True)
    assert invoke(*TILE, root, "--merge")[0] == 0
    assert contents(root) == contents(alone)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "default", "--grid"], "A grid was asked for under the strategy name 'default'"),
        (["--strategy", "../up"], "strategy is '../up'"),
        (["--tolerance", "1.0"], r"tolerance is 1.0; expected a number in [0, 1)"),
        (["--tolerance", "nan"], "tolerance is nan"),
        (["--coverage-goal", "0"], "coverage_goal is 0.0; expected a number in (0, 1]"),
        (["--min-gain-ratio", "-0.1"], "min_gain_ratio is -0.1"),
        (["--stride", "0"], "stride is 0"),
        (["--tile-size", "0"], "tile_size is 0"),
        (["--max-tiles", "0"], "max_tiles is 0"),
        (["--shard", "3/3"], "--shard is 3/3; expected i/n with 0 <= i < n"),
        (["--shard", "one"], "--shard is 'one'"),
        (["--mpp", "fine"], "mpp 'fine' is not a resolution"),
        (["--strategy", "grid_32", "--max-tiles", "3"], "--max-tiles and --no-overlap are for the greedy tiling"),
        (["--shard", "0/2", "--preview", "x.png"], "--preview draws finished tilings"),
        (["--preview", "x.docx"], "x.docx' ends in '.docx'"),
    ],
)
def test_arguments_out_of_range_are_explained(tmp_path, arguments, message):
    root = write_masks(tmp_path)
    code, output = invoke(*TILE, root, *arguments)
    assert (code, message in output) == (1, True), output
    assert contents(root) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--upper-quantile", "1.5"], "0 <= lower < upper <= 1"),
        (["--upper-quantile", "0.5", "--lower-quantile", "0.6"], "0 <= lower < upper <= 1"),
        (["--method", "clip"], "Unknown standardization 'clip'"),
        (["--modality", "he"], "needs no statistics"),
        (["--modality", "mibi"], "There is no mibi image at 1 mpp"),
    ],
)
def test_statistics_that_make_no_sense_are_explained(tmp_path, arguments, message):
    root = write_images(tmp_path)
    code, output = invoke(*STANDARDIZE, root, *arguments)
    assert (code, message in output) == (1, True), output
    assert contents(root) == {}


def test_standardize_writes_and_reports(tmp_path):
    root = write_images(tmp_path)
    code, output = invoke(
        *STANDARDIZE, root, "--quantile-level", "global", "--stats-level", "both", "--lower-quantile", 0.05
    )
    assert code == 0
    assert "cohort: written, tissues 4, channels 3" in output
    folder = root / "cohort/imc/1_0mpp/standardization/quantile_clipping/uq_0.99_lq_0.05_global"
    assert sorted(path.name for path in folder.iterdir()) == [
        "global_level_lower_quantiles.parquet", "global_level_means.parquet", "global_level_stds.parquet",
        "global_level_upper_quantiles.parquet", "image_level_means.parquet", "image_level_stds.parquet",
    ]  # fmt: skip
    code, output = invoke(
        *STANDARDIZE, root, "--quantile-level", "global", "--stats-level", "both", "--lower-quantile", 0.05
    )
    assert code == 1
    assert "exists already" in output


def test_provenance_is_shown(tmp_path):
    root = write_images(tmp_path)
    invoke(*TILE, root)
    invoke(*STANDARDIZE, root)
    pd.DataFrame({"tissue_id": ["a"], "tile_id": [0], "row": [0], "col": [0]}).to_parquet(
        root / "cohort/tiling/1_0mpp/default/64_tile_coordinates.parquet"
    )
    code, output = invoke("info", root, "--provenance")
    assert code == 0
    for line in (
        "made: tiling",
        "stride: 16",
        "made: statistics",
        "spec: quantile_clipping/uq_0.99_image",
        "another program",
    ):
        assert line in output


@pytest.mark.some(2)
@pytest.mark.parametrize("largest", [900, 20])
@pytest.mark.parametrize("name", ["masks", "images"])
def test_preview_draws_tissues(tmp_path, monkeypatch, name, largest):
    import matplotlib.image

    import spora_db.jobs.preview

    views = []
    draw = spora_db.jobs.preview.draw_tissue
    monkeypatch.setattr("spora_db.jobs.preview.draw_tissue", lambda axes, view: views.append(view) or draw(axes, view))
    monkeypatch.setattr(sys.modules["spora_db.drawing.overview"], "LARGEST", largest)
    root = (write_masks if name == "masks" else write_images)(tmp_path)
    code, told = invoke(*TILE, root, "--preview", tmp_path / "out.png")
    assert code == 0
    assert f"Drew {tmp_path / 'out.png'}\n" in told
    picture = matplotlib.image.imread(tmp_path / "out.png")
    assert picture.shape[0] > 300
    assert picture.shape[1] > 900
    assert len(set(map(tuple, (picture[::7, ::7, :3] * 255).astype(int).reshape(-1, 3)))) > 20
    for view in views:
        assert max(view.image.shape[1:]) <= largest
        assert view.thinned == -(-max(view.height, view.width) // largest)
        assert 20 < view.tiles.max() < max(view.height, view.width)  # places in the tissue, not in the picture


def test_a_read_error_is_one_line_without_a_traceback(tmp_path):
    done = call(*TILE, tmp_path / "nowhere", code=1)
    assert done.returncode == 1
    assert done.stderr.startswith("spora-db: No folder")
    assert len(done.stderr.splitlines()) == 1
    assert json.dumps(done.stdout) == '""'


@pytest.mark.some(2)
@pytest.mark.parametrize("published", [False, True])
def test_preview_draws_a_lake_that_is_tiled_already(tmp_path, published):
    root = write_images(tmp_path / "lake")
    command = [*TILE, root]
    invoke(*command)
    (path,) = root.rglob("32_tile_coordinates.parquet")
    if published:
        pd.read_parquet(path).to_parquet(path)
    before = contents(root)
    code, told = invoke(*command, "--preview", tmp_path / "tiles.png")
    assert code == 0, told
    assert "cohort: kept" in told
    assert (tmp_path / "tiles.png").read_bytes().startswith(b"\x89PNG")
    code, told = invoke(*command, "--stride", 8, "--preview", tmp_path / "other.png")
    assert (code, (tmp_path / "other.png").exists()) == (0 if published else 1, published)
    assert published or "stride is 16 there, 8 now" in told
    assert contents(root) == before
    assert invoke(*command)[0] == 1
