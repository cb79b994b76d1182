"""An image that is rewritten under an open dataset is refused by name, whatever wrote it and whoever reads it."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from lakes import coordinates_image, write_lake, write_zarr
from spora_db import Catalog, SporaQuery
from spora_db.errors import FileFormatError
from spora_db.images import write_ometiff

TISSUE = "alpha_0000"
SAID = r"alpha_0000\.\S+ was written anew.* was [\d,]+ bytes of 20\d\d-.*, and is [\d,]+ bytes of .*query\.to_torch\(\)"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("rewritten") / "lake", names=("alpha",))


@pytest.fixture
def lake(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path / "state"))
    return shutil.copytree(written, tmp_path / "lake")


def zarr_v3(folder: Path, offset: int) -> Path:
    write_zarr(folder / f"{TISSUE}.ome.zarr", coordinates_image(5, 96, 96, offset=offset))
    return folder / f"{TISSUE}.ome.zarr/0/zarr.json"


def zarr_v2(folder: Path, offset: int) -> Path:
    shutil.rmtree(folder / f"{TISSUE}.ome.zarr", ignore_errors=True)
    group = zarr.open_group(folder / f"{TISSUE}.ome.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=coordinates_image(5, 96, 96, offset=offset), chunks=(5, 32, 32))
    return folder / f"{TISSUE}.ome.zarr/0/.zarray"


def ometiff(folder: Path, offset: int) -> Path:
    shutil.rmtree(folder / f"{TISSUE}.ome.zarr", ignore_errors=True)
    path = folder / f"{TISSUE}.ome.tiff"
    path.unlink(missing_ok=True)
    return write_ometiff(path, coordinates_image(5, 96, 96, offset=offset), mpp=1.0)


def query_of(lake: Path) -> SporaQuery:
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).standardize("identity")
    return query.where(f"tissue_id = '{TISSUE}'")


def in_place(write: Callable, folder: Path, _file: Path) -> None:
    write(folder, 7)


def by_rename(write: Callable, folder: Path, file: Path) -> None:
    other = folder.parent / "new"
    other.mkdir()
    write(other, 7)
    new = other / file.relative_to(folder)
    assert new.stat().st_size == file.stat().st_size  # the size does not tell
    new.replace(file)


def touched(_write: Callable, _folder: Path, file: Path) -> None:
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


@pytest.mark.some(3)
@pytest.mark.parametrize("change", [in_place, by_rename, touched])
@pytest.mark.parametrize("write", [zarr_v3, zarr_v2, ometiff])
def test_a_rewritten_image_is_refused_and_a_new_dataset_takes_it(lake, write, change):
    folder = lake / "alpha/imc/1_0mpp/images"
    file = write(folder, 0)
    query = query_of(lake)
    dataset, also = query.to_torch(), query.to_torch()
    before = dataset[0]["image"].numpy()
    assert np.array_equal(before, coordinates_image(5, 96, 96)[:, :32, :32])
    change(write, folder, file)
    for _ in range(2):
        with pytest.raises(FileFormatError, match=SAID):
            dataset[0]
    with pytest.raises(FileFormatError, match=SAID):
        pickle.loads(pickle.dumps(dataset))[1]  # as a spawned worker receives it
    again = query.to_torch()
    assert again.plan.hash == dataset.plan.hash
    found = again[0]["image"].numpy()
    offset = 7 if change is in_place or (change, write) == (by_rename, ometiff) else 0  # of a folder, its metadata only
    assert np.array_equal(found, coordinates_image(5, 96, 96, offset)[:, :32, :32])
    assert np.array_equal(also[0]["image"].numpy(), found)  # it had not been opened in this dataset


def test_a_truncated_image_is_refused(lake):
    file = ometiff(lake / "alpha/imc/1_0mpp/images", 0)
    dataset = query_of(lake).to_torch()
    dataset[0]
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(FileFormatError, match=rf"{TISSUE}\.ome\.tiff (is broken|was written anew)"):
        dataset[1]


def test_a_file_put_back_with_its_time_is_the_same(lake, tmp_path):
    file = ometiff(lake / "alpha/imc/1_0mpp/images", 0)
    kept = shutil.copy2(file, tmp_path)
    dataset = query_of(lake).to_torch()
    expected = dataset[0]["image"].numpy()
    file.write_bytes(b"")
    with pytest.raises(FileFormatError):
        dataset[0]
    Path(kept).replace(file)
    assert np.array_equal(dataset[0]["image"].numpy(), expected)


def test_workers_know_what_others_have_opened(lake):
    folder = lake / "alpha/imc/1_0mpp/images"
    file = zarr_v3(folder, 0)
    dataset = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).to_torch()
    options = {"num_workers": 2, "start_method": "fork", "timeout": 120, "shuffle": "global"}
    loader = dataset.loader(4, **options)
    whole = len(list(loader))
    assert whole == 9
    touched(zarr_v3, folder, file)
    for one in (loader, dataset.loader(4, **options), dataset.loader(4)):  # the same workers, others, and none
        with pytest.raises(FileFormatError, match=SAID):
            list(one)
    assert len(list(SporaQuery(lake).modality("imc").tiles(size=32).to_torch().loader(4, **options))) == whole


@pytest.mark.some(2)
@pytest.mark.parametrize("workers", [0, 2])
def test_its_rows_are_replaced_where_unreadable_ones_are(lake, workers):
    folder = lake / "alpha/imc/1_0mpp/images"
    file = zarr_v3(folder, 0)
    dataset = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).to_torch(on_error="replace")
    loader = dataset.loader(4, num_workers=workers, start_method="fork" if workers else None)
    assert all((batch["substituted_for"] == -1).all() for batch in loader)
    touched(zarr_v3, folder, file)
    batches = list(loader)
    assert all(TISSUE not in batch["tissue_id"] for batch in batches)
    assert sum(int((batch["substituted_for"] >= 0).sum()) for batch in batches) == 9
    with Catalog(lake) as catalog:
        assert set(catalog.quarantine().df()["tissue_id"]) == {TISSUE}
