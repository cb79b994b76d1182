"""A lake of layers is the lake that its layers make when they are copied over each other; only the last is written."""

import hashlib
import os
import pickle
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from lakes import write_lake
from spora_db import Catalog, MultiplexImagingDataset, SporaDataset, SporaQuery
from spora_db.cli import app
from spora_db.errors import ArgumentError, DatasetNotFoundError, StatisticsNotFoundError, TableError, WriteError
from spora_db.jobs import standardize_lake, tile_lake
from spora_db.jobs.indexing import index_images
from spora_db.jobs.own_tables import add_table
from spora_db.layout import lake_path, layers, locate, scan
from spora_db.lock.locking import check_lock, make_lock
from spora_db.standardization.specs import parse_spec
from spora_db.tiling import TilingParameters
from spora_db.validation import validate

SPEC = "quantile_clipping/uq_0.99_image"
KEYWORDS = {"imc": {"standardization": SPEC}}


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("flat") / "lake")


def units(lake: Path) -> list[Path]:
    """Return what a layer has or has not: files, and images as wholes, relative to the lake."""
    images = {path.relative_to(lake) for path in lake.rglob("*.ome.zarr")}
    inner = {path.relative_to(lake) for path in lake.rglob("*") if path.is_file()}
    return sorted(images | {path for path in inner if not any(image in path.parents for image in images)})


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def in_layers(flat: Path, folder: Path, seed: int, count: int = 3) -> list[Path]:
    """Spread a lake over layers at random; earlier layers hold other bytes of some files of later ones."""
    draw, roots = random.Random(seed), [folder / f"layer{number}" for number in range(count)]
    for root in roots:
        root.mkdir(parents=True)
    every = units(flat)
    for name in every:
        top = draw.randrange(count)
        copy(flat / name, roots[top] / name)
        hidden = draw.choice([other for other in every if other.suffix == name.suffix])
        if top and draw.random() < 0.4:
            copy(flat / hidden, roots[draw.randrange(top)] / name)
    return roots


@pytest.fixture(scope="module", params=[0, 1])
def roots(flat: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[Path]:
    return in_layers(flat, tmp_path_factory.mktemp("layers"), seed=request.param)


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def query(lake: object) -> SporaQuery:
    asked = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)  # type: ignore[arg-type]
    return asked.channels(kind="complete").standardize(SPEC)


class TestOneLake:
    @pytest.mark.some(2)
    def test_every_relation_is_the_same(self, flat: Path, roots: list[Path]) -> None:
        with Catalog(flat) as whole, Catalog(roots) as layered:
            for relation in whole.relations:
                told = ", ".join(f'"{name}"' for name in whole.columns(relation) if name != "root")
                text = f"SELECT {told} FROM {relation} ORDER BY ALL"
                assert layered.sql(text).to_arrow_table().equals(whole.sql(text).to_arrow_table()), relation

    def test_root_says_which_layer(self, roots: list[Path]) -> None:
        with Catalog(roots) as catalog:
            for relation in ("images", "masks"):
                for path, root in catalog.sql(f"SELECT path, root FROM {relation}").fetchall():
                    assert Path(root, path).exists()
                    assert Path(root) == [layer for layer in roots if (layer / path).exists()][-1]
                    assert locate(roots, path) == Path(root, path)

    @pytest.mark.some(2)
    def test_plans_and_samples_are_the_same(self, flat: Path, roots: list[Path]) -> None:
        whole, layered = query(flat).to_torch(), query(roots).to_torch()
        assert layered.plan.hash == whole.plan.hash
        assert len(whole) > 0
        for number in range(len(whole)):
            assert (whole[number]["image"] == layered[number]["image"]).all()

    @pytest.mark.some(2)
    def test_validation_finds_the_same(self, flat: Path, roots: list[Path]) -> None:
        assert validate(roots, deep=True) == validate(flat, deep=True)

    @pytest.mark.slow
    def test_samples_come_from_spawned_workers(self, flat: Path, tmp_path: Path) -> None:
        roots = in_layers(flat, tmp_path, seed=5)
        whole = next(iter(query(flat).to_torch().loader(batch_size=5)))
        layered = next(iter(query(roots).to_torch().loader(batch_size=5, num_workers=1, start_method="spawn")))
        assert (whole["image"] == layered["image"]).all()

    def test_schema_and_info_show_where_tables_lie(self, flat: Path, tmp_path: Path) -> None:
        over = tmp_path / "over"
        copy(flat / "alpha/metadata/tissues.parquet", over / "alpha/metadata/tissues.parquet")
        grades = pa.table({"dataset": ["alpha"], "tissue_id": ["alpha_0001"], "grade": [3]})
        add_table([flat, over], grades, name="grades")
        with Catalog([flat, over]) as catalog:
            found = _layers_of(catalog)
        assert found["grades"] == str(over)
        assert found["tissues"] == f"{flat}, {over}"
        assert found["channels"] == str(flat)
        assert found["images"] is None
        told = CliRunner().invoke(app, ["info", os.pathsep.join([str(flat), str(over)])]).output
        assert f"{over}: 2 tables, 0 images, 0 masks of alpha" in told
        assert f"│ grades │ a table of your own, in {over}" in " ".join(told.split("\n"))


def _layers_of(catalog: Catalog) -> dict[str, str | None]:
    rows = catalog.schema().to_arrow_table().select(["relation", "layers"]).to_pylist()
    return {row["relation"]: row["layers"] for row in rows}


class TestNames:
    def test_a_list_a_text_and_the_environment_are_one(
        self, roots: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = os.pathsep.join(map(str, roots))
        assert layers(text) == layers(roots) == layers(lake_path(roots)) == tuple(roots)
        assert str(SporaQuery(roots).lake) == text
        monkeypatch.setenv("SPORA_DATASETS_DIR", text)
        told = CliRunner().invoke(app, ["sql", "SELECT count(*) AS n FROM images", "--format", "csv"])
        assert told.exit_code == 0, told.output
        with Catalog(roots) as catalog:
            assert told.stdout.split() == ['"n"', str(catalog.sql("SELECT count(*) FROM images").fetchall()[0][0])]

    def test_a_folder_with_the_separator_in_its_name_is_one_layer(self, flat: Path, tmp_path: Path) -> None:
        odd = tmp_path / f"a{os.pathsep}b"
        shutil.copytree(flat, odd)
        assert layers(odd) == (odd,)
        assert query(odd).count() == query(flat).count()
        with pytest.raises(ArgumentError, match="separates layers"):
            lake_path([flat, odd])

    def test_a_layer_that_is_not_there_is_named(self, flat: Path, tmp_path: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match=r"No folder '.*/typo'"):
            Catalog([flat, tmp_path / "typo"])

    @pytest.mark.parametrize("lake", [[], [""], ["a", ""]])
    def test_no_layer(self, lake: list[str]) -> None:
        with pytest.raises(ArgumentError, match="A lake is a folder"):
            Catalog(lake)

    def test_one_datasets_folder_and_a_layer(self, flat: Path, tmp_path: Path) -> None:
        (tmp_path / "derived").mkdir()
        lake = scan([flat / "alpha", tmp_path / "derived"])
        assert [item.name for item in lake.datasets] == ["alpha"]
        assert lake.datasets[0].path == tmp_path / "derived/alpha"

    def test_a_query_of_layers_pickles(self, roots: list[Path]) -> None:
        assert pickle.loads(pickle.dumps(query(roots))).count() == query(roots).count()


class TestWriting:
    @pytest.fixture
    def published(self, flat: Path, tmp_path: Path) -> Iterator[Path]:
        """A lake without tilings and statistics, which nobody writes to."""
        lake = tmp_path / "published"
        shutil.copytree(flat, lake, ignore=shutil.ignore_patterns("tiling", "standardization"))
        for dataset in ("alpha", "beta"):
            masks = lake / dataset / "segmentations/1_0mpp/tissue_masks"
            if not masks.is_dir():
                write_masks(lake / dataset)
        before = digests(lake)
        yield lake
        assert digests(lake) == before

    def test_what_is_made_goes_to_the_last_layer(self, published: Path, tmp_path: Path) -> None:
        derived = tmp_path / "derived"
        derived.mkdir()
        lake = [published, derived]
        parameters = TilingParameters(tile_size=32)
        assert tile_lake(lake, mpp=1.0, parameters=parameters).written
        assert standardize_lake(lake, modality="imc", mpp=1.0, spec=parse_spec(SPEC)).written
        index_images(lake, beside=True)
        assert {path.relative_to(derived).parts[0] for path in units_of(derived)} == {".spora-db", "alpha", "beta"}
        with Catalog(lake) as catalog:
            assert catalog.sql("SELECT count(*) FROM images WHERE height IS NULL").fetchall() == [(0,)]
        assert query(lake).to_torch()[0]["image"].shape[1:] == (32, 32)
        again = tile_lake(lake, mpp=1.0, parameters=parameters, keep_existing=True)
        assert [item.state for item in again.datasets] == ["kept", "kept"]

    def test_a_layer_alone_is_read(self, published: Path, tmp_path: Path) -> None:
        derived = tmp_path / "derived"
        derived.mkdir()
        tile_lake([published, derived], mpp=1.0, parameters=TilingParameters(tile_size=32))
        with Catalog(derived) as catalog:
            assert catalog.sql("SELECT count(*) > 0 FROM tile_coordinates").fetchall() == [(True,)]
            assert catalog.sql("SELECT count(*) FROM tiles").fetchall() == [(0,)]

    def test_what_an_earlier_layer_has_is_there_already(self, flat: Path, tmp_path: Path) -> None:
        lake = tmp_path / "lake"
        shutil.copytree(flat, lake)
        for dataset in ("alpha", "beta"):
            if not (lake / dataset / "segmentations/1_0mpp/tissue_masks").is_dir():
                write_masks(lake / dataset)
        derived = tmp_path / "derived"
        derived.mkdir()
        with pytest.raises(WriteError, match=rf"{lake}/alpha/tiling/.* exists already"):
            tile_lake([lake, derived], mpp=1.0, parameters=TilingParameters(tile_size=32))
        before = digests(lake)
        assert tile_lake([lake, derived], mpp=1.0, parameters=TilingParameters(tile_size=32), overwrite=True).written
        assert digests(lake) == before
        with Catalog([lake, derived]) as both, Catalog(derived) as alone:
            text = "SELECT * FROM tile_coordinates ORDER BY ALL"
            assert both.sql(text).fetchall() == alone.sql(text).fetchall() != []

    def test_the_command_makes_the_layer(self, published: Path, tmp_path: Path) -> None:
        told = CliRunner().invoke(
            app, ["tile", str(published), "--tile-size", "32", "--mpp", "1.0", "--into", str(tmp_path / "mine"), "-q"]
        )
        assert told.exit_code == 0, told.output
        assert (tmp_path / "mine/alpha/tiling/1_0mpp/default/32_tile_coordinates.parquet").is_file()
        told = CliRunner().invoke(app, ["index", str(published), "--into", str(tmp_path / "no/mine")])
        assert isinstance(told.exception, WriteError)
        assert f"there is no {tmp_path / 'no'}" in str(told.exception)


@pytest.fixture(scope="module")
def both(flat: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("classes")
    whole = Path(shutil.copytree(flat, folder / "flat"))
    write_cell_masks(whole / "alpha")
    return whole, lake_path(in_layers(whole, folder, seed=7))


class TestPublishedClasses:
    """They read a dataset that lies in several layers as they read the one folder that the layers make."""

    def test_tissues_tiles_masks_and_tables(self, both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        facts = []
        for lake in both:
            monkeypatch.setenv("SPORA_DATASETS_DIR", str(lake))
            imc = MultiplexImagingDataset(
                "alpha", modality="imc", resolution=1, tile_size=32, standardization=SPEC, label="cancer_type"
            )
            same = MultiplexImagingDataset("alpha", path=imc.path, modality="imc", resolution=1, tile_size=32)
            tissues = imc.get_tissue_ids()
            assert list(same.get_tissue_ids()) == list(tissues)
            pixels = [imc.get_tissue(tissue).image for tissue in tissues]
            pixels += [imc.get_tile(tissues[1], number).image for number in range(9)]
            pixels.append(imc.get_cell_task_mask(tissues[0], "cell_type").mask)
            frames = imc.tissue_metadata, imc.channel_list, imc.image_channel_map, imc.standardizer.means_df
            names = imc.get_cell_task_mask_types(), imc.get_cell_task_mask(tissues[0], "cell_type").mapping
            told = [frame.to_csv() for frame in frames], imc.tile_coordinates, str(imc.unique_labels), names
            facts.append(([hash_of(item) for item in pixels], told, imc.query().plan().hash))
        assert facts[0] == facts[1]

    def test_rows_of_all_cohorts(self, both: tuple[Path, Path]) -> None:
        whole, layered = (
            SporaDataset(["alpha", "beta"], datasets_dir=lake, tile_size=32, modality_kwargs=KEYWORDS) for lake in both
        )
        assert whole.tile_index.equals(layered.tile_index)
        for number in range(0, len(whole), 7):
            left, right = whole[number]["modalities"], layered[number]["modalities"]
            assert {key: hash_of(tile.image) for key, tile in left.items()} == {
                key: hash_of(tile.image) for key, tile in right.items()
            }
        asked = query(both[1]).to_spora_dataset()
        assert len(asked) == query(both[0]).count()

    def test_tables_that_nothing_else_lies_beside(self, flat: Path, tmp_path: Path) -> None:
        """A layer of a dataset may hold files that alone make no dataset."""
        grades = pa.table({"dataset": ["alpha"], "tissue_id": ["alpha_0001"], "grade": [3]})
        add_table([flat, tmp_path], grades, name="g", dataset="alpha")
        with Catalog([flat / "alpha", tmp_path / "alpha"]) as catalog:
            assert catalog.sql("SELECT grade FROM g").fetchall() == [(3,)]

    def test_what_is_nowhere_is_told(self, both: tuple[Path, Path]) -> None:
        with pytest.raises(DatasetNotFoundError, match=r"Dataset 'gamma': no folder .*layer0/gamma"):
            SporaDataset(["gamma"], datasets_dir=both[1])
        other = {"imc": {"standardization": SPEC.replace("0.99", "0.5")}}
        with pytest.raises(StatisticsNotFoundError, match=r"There are: quantile_clipping/uq_0\.99_image"):
            SporaDataset(["alpha"], datasets_dir=both[1], modality_kwargs=other)


class TestContradictions:
    def test_a_tissue_with_another_format_in_each_layer(self, flat: Path, tmp_path: Path) -> None:
        folder = tmp_path / "over/alpha/imc/1_0mpp/images"
        folder.mkdir(parents=True)
        (folder / "alpha_0000.ome.tiff").touch()
        with (
            Catalog([flat, tmp_path / "over"]) as catalog,
            pytest.raises(TableError, match="both hold tissue 'alpha_0000'"),
        ):
            catalog.sql("SELECT count(*) FROM images").fetchall()


class TestLocks:
    @pytest.mark.some(2)
    def test_a_lock_of_layers_holds_for_the_flat_lake_and_names_what_a_layer_changes(
        self, flat: Path, roots: list[Path], tmp_path: Path
    ) -> None:
        lock = make_lock(lake_path(roots), query(roots).selection, images=True)
        assert lock.lake == os.pathsep.join(map(str, roots))
        assert not check_lock(lock)
        assert not check_lock(lock, lake=flat)
        over = tmp_path / "over"
        image = "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
        copy(locate(roots, "alpha/imc/1_0mpp/images/alpha_0001.ome.zarr"), over / image)
        assert image in str(check_lock(lock, lake=[*roots, over]))


def units_of(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def hash_of(pixels: object) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def write_cell_masks(dataset: Path) -> None:
    cells = dataset / "segmentations/1_0mpp/cell_masks"
    for number, kind in enumerate(("instances", "cell_type")):
        (cells / kind).mkdir(parents=True)
        for tissue in range(4):
            mask = np.arange(96 * 96).reshape(96, 96) // (500 - 100 * number) % 3
            np.savez_compressed(cells / kind / f"alpha_{tissue:04d}.npz", mask=mask.astype(np.int32))
    pq.write_table(pa.table({"id": [1, 2], "name": ["B", "T"]}), cells / "cell_type/label_encoder.parquet")


def write_masks(dataset: Path) -> None:
    masks = dataset / "segmentations/1_0mpp/tissue_masks"
    masks.mkdir(parents=True, exist_ok=True)
    for image in (dataset / "imc/1_0mpp/images").iterdir():
        np.savez_compressed(masks / f"{image.name.removesuffix('.ome.zarr')}.npz", mask=np.ones((96, 96), bool))
