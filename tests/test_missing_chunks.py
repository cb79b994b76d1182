"""Stores without their empty chunks: whatever reads pixels takes the choice that readers offer, and names it."""

import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from job_lakes import MARKERS, read_mask, write_images
from lakes import write_zarr
from spora_db import MultiplexImagingDataset, SporaQuery, plot
from spora_db.cli import app
from spora_db.cli.arguments import MissingChunks as Option
from spora_db.errors import ArgumentError, ImageNotFoundError, SporaError
from spora_db.images import open_image, read_region, write_ometiff
from spora_db.images.base import MissingChunks
from spora_db.statistics import StatisticsUnit, compute_statistics
from spora_db.validation import validate

TILE = ("tile", "--tile-size", "32", "--mpp", "1.0", "--jobs", "1", "--overwrite")
STANDARDIZE = ("standardize", "--modality", "imc", "--mpp", "1.0", "--jobs", "1", "--overwrite")
IMPORT = ("import", "--dataset", "new", "--mpp", "1.0")


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a lake whose images are zero below their first 64 rows, and the same without those chunks."""
    dense = write_images(tmp_path_factory.mktemp("lakes") / "dense", tissues=2, size=120)
    for path in images(dense):
        image = read_region(open_image(path))
        image[:, 64:] = 0
        shutil.rmtree(path)
        write_zarr(path, image)
    sparse = dense.with_name("sparse")
    shutil.copytree(dense, sparse)
    for path in images(sparse):
        shutil.rmtree(path / "0/c/0/1")
    return dense, sparse


def images(lake: Path) -> list[Path]:
    return sorted(lake.glob("cohort/imc/1_0mpp/images/*.ome.zarr"))


def run(*arguments: object) -> tuple[int, str]:
    """Run a command in this process; what it says, on one line, wherever it says it."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit | SporaError):
        raise result.exception
    said = f"{result.output} {result.stderr} {result.exception}"
    return result.exit_code, " ".join(said.split())


def importing(lake: Path, into: Path) -> tuple[object, ...]:
    into.mkdir(exist_ok=True)
    panel = into / "panel.csv"
    panel.write_text("channel_name\n" + "\n".join(MARKERS))
    made = ("--tissue-mask", "otsu")  # its edge is sharper than that of the usual method
    return (*IMPORT, images(lake)[0].parent, "--into", into / "lake", "--modality", "imc", "--panel", panel, *made)


def test_commands_offer_the_choices_of_readers() -> None:
    assert get_args(Option) == get_args(MissingChunks)


@pytest.mark.some(2)
@pytest.mark.parametrize("choice", ["error", "white"])
def test_commands_that_read_pixels_name_their_option(lakes: tuple[Path, Path], tmp_path: Path, choice: str) -> None:
    _, lake = lakes
    for command in (
        ("validate", lake, "--deep"),
        (*STANDARDIZE, lake),
        (*TILE, lake, "--preview", tmp_path / "a.png"),
        importing(lake, tmp_path),
    ):
        code, said = run(*command, "--missing-chunks", choice)
        assert code != 0, command
        assert "--missing-chunks" in said.replace(" -", "-").replace("- ", "-"), said


def test_commands_read_absent_chunks_as_zeros_where_told(lakes: tuple[Path, Path], tmp_path: Path) -> None:
    zeros = ("--missing-chunks", "zeros")
    for lake in lakes:
        assert run("validate", lake, "--deep", *zeros)[0] == 0
        assert run(*STANDARDIZE, lake, *zeros)[0] == 0
        assert run(*TILE, lake, "--preview", tmp_path / f"{lake.name}.png", *zeros)[0] == 0
        code, said = run(*importing(lake, tmp_path / lake.name), *zeros)
        assert code == 0, said
    for table in sorted(lakes[0].glob("cohort/imc/1_0mpp/standardization/**/*.parquet")):
        other = pd.read_parquet(lakes[1] / table.relative_to(lakes[0]))
        pd.testing.assert_frame_equal(pd.read_parquet(table), other)
    assert (tmp_path / "dense.png").read_bytes() == (tmp_path / "sparse.png").read_bytes()
    for path in images(lakes[0]):
        written = tmp_path / "sparse/lake/new/imc/1_0mpp/images" / path.name
        np.testing.assert_array_equal(read_region(open_image(written)), read_region(open_image(path)))
        mask = np.load(tmp_path / "sparse/lake/new/segmentations/1_0mpp/tissue_masks" / f"{path.name[:-9]}.npz")["mask"]
        assert not mask[64:].any()


def test_functions_take_the_choice_too(lakes: tuple[Path, Path], tmp_path: Path) -> None:
    dense, sparse = lakes
    tissue, path = "cohort_0000", images(sparse)[0]
    query = SporaQuery(sparse).modality("imc").tissues(mpp=1.0)
    with pytest.raises(ImageNotFoundError, match="missing_chunks='zeros'"):
        plot.tissue(query, tissue)
    same = plot.tissue(SporaQuery(dense).modality("imc").tissues(mpp=1.0), tissue, path=tmp_path / "dense.png")
    assert same is not None
    plot.tissue(query, tissue, missing_chunks="zeros", path=tmp_path / "sparse.png")
    assert (tmp_path / "dense.png").read_bytes() == (tmp_path / "sparse.png").read_bytes()
    told = {how: str(query.audit(fingerprints=True, missing_chunks=how).findings) for how in ("error", "zeros")}
    assert ["missing_chunks" in text for text in told.values()] == [True, False]
    mask = sparse / "cohort/segmentations/1_0mpp/tissue_masks" / f"{tissue}.npz"
    unit = StatisticsUnit(tissue_id=tissue, image=path, mask=mask, pages={"DNA": 0})
    spec = "quantile_clipping/uq_0.99_image"
    with pytest.raises(SporaError, match="missing_chunks='zeros'"):
        compute_statistics([unit], spec=spec, channel_names=["DNA"])
    found = compute_statistics([unit], spec=spec, channel_names=["DNA"], missing_chunks="zeros")
    inside = read_region(open_image(images(dense)[0]), [0])[0][read_mask(dense, tissue)]
    upper = found.tables(stats_levels=["image"])["image_level_upper_quantiles.parquet"].column("DNA")[0].as_py()
    assert upper == pytest.approx(np.quantile(inside, 0.99))


def test_cells_are_measured_over_absent_chunks(lakes: tuple[Path, Path], tmp_path: Path) -> None:
    for lake in lakes:
        for path in images(lake):
            labels = read_mask(lake, path.name[:-9]).astype(np.int32)
            folder = lake / "cohort/segmentations/1_0mpp/cell_masks/instances"
            folder.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(folder / f"{path.name[:-9]}.npz", mask=labels)
    pytest.importorskip("anndata")
    dense, sparse = (SporaQuery(lake).modality("imc").tissues(mpp=1.0) for lake in lakes)
    with pytest.raises(ImageNotFoundError, match="missing_chunks='zeros'"):
        sparse.to_anndata()
    np.testing.assert_array_equal(sparse.to_anndata(missing_chunks="zeros").X, dense.to_anndata().X)


def test_white_is_for_brightfield_in_every_command(tmp_path: Path) -> None:
    """A sparse TIFF slide: white where told, and its mask is never white."""
    import tifffile

    slide = np.full((3, 64, 64), 255, np.uint8)
    slide[:, :32, :32] = 90
    path = write_ometiff(tmp_path / "in/a.ome.tiff", slide, mpp=1.0, tile=32, photometric="rgb", compression="none")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        counts, offsets = tiff.pages[0].tags["TileByteCounts"], tiff.pages[0].tags["TileOffsets"]
        counts.overwrite((*counts.value[:3], 0))
        offsets.overwrite((*offsets.value[:3], 0))
    command = (*IMPORT, path, "--into", tmp_path / "lake", "--modality", "he")
    code, said = run(*command)
    assert code != 0
    assert "--missing-chunks" in said
    code, said = run(*command, "--missing-chunks", "white")
    assert code == 0, said
    written = tmp_path / "lake/new/he/1_0mpp/images/a.ome.zarr"
    np.testing.assert_array_equal(read_region(open_image(written)), slide)


@pytest.mark.parametrize("choice", ["ones", None, 0])
def test_other_choices_are_refused(lakes: tuple[Path, Path], choice: Any) -> None:
    query = SporaQuery(lakes[1]).modality("imc").tissues(mpp=1.0)
    for call in (validate, None):
        with pytest.raises(ArgumentError, match="missing_chunks is one of 'error', 'zeros', 'white'"):
            call(lakes[1], missing_chunks=choice) if call else query.audit(missing_chunks=choice)


@pytest.mark.some(2)
@pytest.mark.parametrize("choice", ["error", "zeros"])
def test_a_chunk_file_without_bytes_is_damage_for_every_command(tmp_path: Path, choice: str) -> None:
    lake = write_images(tmp_path / "lake", tissues=1, size=120)
    (images(lake)[0] / "0/c/0/1/0").write_bytes(b"")
    for command in (
        ("validate", lake, "--deep"),
        (*STANDARDIZE, lake),
        (*TILE, lake, "--preview", tmp_path / "a.png"),
        importing(lake, tmp_path / "into"),
    ):
        code, said = run(*command, "--missing-chunks", choice)
        assert code != 0, command
        assert "0/c/0/1/0 is broken: it is empty" in said.replace("- ", "-"), said
    assert not (tmp_path / "into/lake").exists()


def test_a_dataset_of_a_query_takes_the_choice(lakes: tuple[Path, Path], tmp_path: Path) -> None:
    dense, sparse = (Path(shutil.copytree(lake, tmp_path / lake.name)) for lake in lakes)
    ids = [path.name.partition(".")[0] for path in images(dense)]
    for lake in (dense, sparse):
        (lake / "cohort/metadata").mkdir(exist_ok=True)
        pd.DataFrame({"tissue_id": ids}).to_parquet(lake / "cohort/metadata/tissues.parquet")
    expected = SporaQuery(dense).modality("imc").tissues(mpp=1.0).to_spora_dataset()[0]["modalities"]["imc"].image
    query = SporaQuery(sparse).modality("imc").tissues(mpp=1.0)
    found = query.to_spora_dataset(missing_chunks="zeros")[0]["modalities"]["imc"].image
    np.testing.assert_array_equal(found, expected)
    for choice in ("error", "white"):  # white is for brightfield
        with pytest.raises(ImageNotFoundError, match="missing_chunks='zeros'"):
            query.to_spora_dataset(missing_chunks=choice)[0]
        cohort = MultiplexImagingDataset(
            "cohort", path=sparse / "cohort", modality="imc", resolution=1.0, missing_chunks=choice
        )
        with pytest.raises(ImageNotFoundError, match="missing_chunks='zeros'"):
            cohort.get_tissue(ids[0], preprocess=False)
    with pytest.raises(ArgumentError, match="missing_chunks is one of"):
        query.to_spora_dataset(missing_chunks="black")
