"""Every wrong name is an error that lists what exists; every missing or contradictory file one that names it."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakes import coordinates_image, write_zarr
from published_lake import write_published_lake
from spora_db.datasets import (
    ComposedImagingDataset,
    HEImagingDataset,
    MultiplexImagingDataset,
    SingleIHCImagingDataset,
    SporaDataset,
)
from spora_db.errors import (
    ArgumentError,
    DatasetNotFoundError,
    FileFormatError,
    ImageNotFoundError,
    MaskNotFoundError,
    SporaError,
    StatisticsNotFoundError,
    TableError,
    TilingNotFoundError,
    UnknownNameError,
)
from spora_db.validation import validate

SPEC = "quantile_clipping/uq_0.99_image"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_published_lake(tmp_path_factory.mktemp("bad") / "lake")


@pytest.fixture
def own_lake(tmp_path):
    """Return a lake of one cohort that a test may change."""
    return write_published_lake(tmp_path / "lake", names=("alpha",))


def imc(lake, **options):
    options = {"resolution": 1.0, "tile_size": 32, "modality": "imc", "path": lake / "alpha", **options}
    return MultiplexImagingDataset("alpha", **options)


def he(lake, **options):
    return HEImagingDataset("alpha", **{"path": lake / "alpha", "resolution": 1, "tile_size": 32, **options})


def spora(lake, names=("alpha", "beta"), **options):
    return SporaDataset(names, **{"datasets_dir": lake, "tile_size": 32, "verbose": False, **options})


CONSTRUCTIONS = {
    "modality that is none": (lambda lake: imc(lake, modality="imcc"), UnknownNameError, "imc.*phenocycler"),
    "modality without images": (
        lambda lake: imc(lake, modality="codex"),
        UnknownNameError,
        "codex.*Available: he, ihc_Ki67, imc",
    ),
    "brightfield as multiplex": (lambda lake: imc(lake, modality="he"), UnknownNameError, "codex, cycif, imc, mibi"),
    "unknown stain": (
        lambda lake: SingleIHCImagingDataset("alpha", path=lake / "alpha", marker_name="CD3", resolution=1),
        UnknownNameError,
        "ihc_CD3.*Available: he, ihc_Ki67, imc",
    ),
    "unknown resolution": (lambda lake: imc(lake, resolution=0.5), UnknownNameError, "0.5.*Available: 1.0"),
    "no resolution": (lambda lake: imc(lake, resolution="fine"), ArgumentError, "'fine'"),
    "unknown method": (
        lambda lake: imc(lake, standardization="clip/uq_0.99_image"),
        UnknownNameError,
        "quantile_clipping_log1p",
    ),
    "spec without tables": (
        lambda lake: imc(lake, standardization="quantile_clipping/uq_0.5_image"),
        StatisticsNotFoundError,
        SPEC,
    ),
    "brightfield preset": (lambda lake: imc(lake, standardization="imagenet"), ArgumentError, "RGB"),
    "unknown preset": (lambda lake: he(lake, mean_std_type="image_net"), UnknownNameError, "hibou, identity, imagenet"),
    "unknown split": (lambda lake: imc(lake, split="val"), UnknownNameError, r"val.*tissues\.parquet.*test, train"),
    "unknown label column": (lambda lake: imc(lake, label="lable"), UnknownNameError, "label"),
    "unknown label": (
        lambda lake: imc(lake, label="label", labels_to_keep=["x", "w"]),
        UnknownNameError,
        "'w'.*x, y, z",
    ),
    "label list as text": (lambda lake: imc(lake, label="label", labels_to_keep="x"), ArgumentError, r"\['x'\]"),
    "label type": (
        lambda lake: imc(lake, label="label", label_type="class"),
        UnknownNameError,
        "classification, regression",
    ),
    "texts for regression": (lambda lake: imc(lake, label="label", label_type="regression"), TableError, "not numeric"),
    "strategy without size": (
        lambda lake: imc(lake, tile_size=None, tile_strategy="default"),
        ArgumentError,
        "tile_size",
    ),
    "tile size": (lambda lake: imc(lake, tile_size=0), ArgumentError, "positive"),
    "seed": (lambda lake: imc(lake, seed=-1), ArgumentError, "seed"),
    "unknown filter": (lambda lake: imc(lake, filter_list=["blur"]), UnknownNameError, "gaussian_blur, median_filter"),
    "no such folder": (lambda lake: imc(lake, path=lake / "gamma"), DatasetNotFoundError, "gamma"),
    "a lake as a dataset": (lambda lake: imc(lake, path=lake), DatasetNotFoundError, "alpha, beta"),
    "composed: modality": (
        lambda lake: ComposedImagingDataset("alpha", path=lake / "alpha", modalities=["he", "codex"], resolution=1),
        UnknownNameError,
        "codex.*Available: he, ihc_Ki67, imc",
    ),
    "composed: keywords of no modality": (
        lambda lake: ComposedImagingDataset(
            "alpha", path=lake / "alpha", modalities=["he"], resolution=1, modality_kwargs={"h&e": {}}
        ),
        UnknownNameError,
        "h&e",
    ),
    "spora: cohort": (lambda lake: spora(lake, ["alpha", "gamma"]), DatasetNotFoundError, "gamma"),
    "spora: no cohort": (lambda lake: spora(lake, []), ArgumentError, "at least one"),
    "spora: unit": (lambda lake: spora(lake, sampling_unit="cells"), UnknownNameError, "tiles, tissues"),
    "spora: tiles without size": (
        lambda lake: spora(lake, sampling_unit="tiles", tile_size=None),
        ArgumentError,
        "tile_size",
    ),
    "spora: no tile file": (
        lambda lake: spora(lake, tile_size=64),
        TilingNotFoundError,
        r"64_tile_coordinates\.parquet.*spora-db tile",
    ),
    "spora: balance": (lambda lake: spora(lake, balance="diagnosis"), UnknownNameError, "cancer_type"),
    "spora: modalities that nobody has": (
        lambda lake: spora(lake, modalities=["codex"]),
        DatasetNotFoundError,
        "codex",
    ),
}


@pytest.mark.some(4)
@pytest.mark.parametrize("case", CONSTRUCTIONS)
def test_a_wrong_argument_is_an_error_that_lists_what_exists(lake, case):
    make, error, text = CONSTRUCTIONS[case]
    with pytest.raises(error, match=f"(?s){text}") as caught:
        make(lake)
    assert isinstance(caught.value, SporaError)


@pytest.mark.parametrize("make", [imc, he])
def test_a_keyword_that_no_class_has_is_told_by_python(lake, make):
    name = type(make(lake)).__name__
    with pytest.raises(TypeError, match=rf"{name}\.__init__\(\) got an unexpected keyword argument 'lable'"):
        make(lake, lable="label")


ACCESSES = {
    "unknown tissue": (lambda d: d.get_tissue("alpha_0009"), UnknownNameError, "alpha_0009.*alpha_0000, alpha_0001"),
    "path as tissue": (lambda d: d.get_tissue("../alpha_0000"), SporaError, "alpha_0000"),
    "unknown tile": (
        lambda d: d.get_tile("alpha_0000", 9),
        UnknownNameError,
        r"'9'.*32_tile_coordinates\.parquet.*Available: 0, 1",
    ),
    "negative tile": (lambda d: d.get_tile("alpha_0000", -1), UnknownNameError, "'-1'"),
    "tile of unknown tissue": (
        lambda d: d.get_tile("alpha_0009", 0),
        UnknownNameError,
        r"alpha_0009.*32_tile_coordinates",
    ),
    "place outside": (lambda d: d.get_tile_by_coordinates("alpha_0000", 96, 0), TableError, "outside.*96 x 96"),
    "place before": (lambda d: d.get_tile_by_coordinates("alpha_0000", -1, 0), TableError, "row -1"),
    "kind": (
        lambda d: d.get_tissue("alpha_0000", kind="filtered"),
        UnknownNameError,
        "complete, qc_filtered, uniprot_filtered",
    ),
    "image mode": (lambda d: d.get_tissue("alpha_0000", image_mode="CWH"), UnknownNameError, "CHW, HWC"),
    "kind of ids": (lambda d: d.get_tissue_ids("uniprot_filtered"), UnknownNameError, "all, modality"),
    "mask of unknown tissue": (lambda d: d.get_tissue_mask("alpha_0009"), UnknownNameError, "alpha_0009"),
    "cell task": (lambda d: d.get_cell_task_mask("alpha_0000", "typs"), UnknownNameError, "Did you mean 'types'"),
}


@pytest.mark.some(5)
@pytest.mark.parametrize("case", ACCESSES)
@pytest.mark.parametrize("make", [imc, he])
def test_a_wrong_name_is_an_error_that_lists_what_exists(lake, make, case):
    get, error, text = ACCESSES[case]
    with pytest.raises(error, match=f"(?s){text}") as caught:
        get(make(lake))
    assert isinstance(caught.value, ValueError)


def test_names_of_channels_of_an_unknown_tissue_or_kind(lake):
    dataset = imc(lake)
    with pytest.raises(UnknownNameError, match="alpha_0009"):
        dataset.get_channel_names("alpha_0009")
    with pytest.raises(UnknownNameError, match="qc_filtered"):
        dataset.get_uniprot_ids("alpha_0000", kind="all")


def test_tiles_need_a_tile_size(lake):
    dataset = imc(lake, tile_size=None)
    assert dataset.tile_coordinates is None
    for get in (lambda: dataset.get_tile("alpha_0000", 0), lambda: dataset.get_tile_by_coordinates("alpha_0000", 0, 0)):
        with pytest.raises(ArgumentError, match="tile_size"):
            get()


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("file", "get"),
    [
        ("tissue_masks", lambda d: d.get_tissue_mask("alpha_0000")),
        ("cell_masks/instances", lambda d: d.get_cell_instance_mask("alpha_0000")),
        ("cell_masks/types", lambda d: d.get_cell_task_mask("alpha_0000", "types")),
    ],
)
def test_masks_that_are_missing_or_of_another_size_are_errors_naming_the_file(own_lake, file, get):
    path = own_lake / "alpha/segmentations/1_0mpp" / file / "alpha_0000.npz"
    np.savez_compressed(path, mask=np.ones((96, 95), np.uint8))
    with pytest.raises(FileFormatError, match=r"alpha_0000\.npz is 96 x 95.*alpha_0000\.ome\.zarr is 96 x 96"):
        get(imc(own_lake))
    path.unlink()
    with pytest.raises(MaskNotFoundError, match=r"alpha_0000\.npz") as caught:
        get(imc(own_lake))
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("names", "mapping"),
    [
        (["ID", "Name"], {1: "a", 2: "b"}),
        (["ID", "NAME", "id"], {7: "a", 8: "b"}),
        (["id", "name", "ID"], {1: "a", 2: "b"}),
        (["id", "name", "id"], None),
        (["Id", "name", "ID"], None),
    ],
    ids=str,
)
def test_the_columns_of_a_label_encoder_are_found_as_validate_finds_them(own_lake, names, mapping):
    path = own_lake / "alpha/segmentations/1_0mpp/cell_masks/types/label_encoder.parquet"
    columns = [pa.array([1, 2]), pa.array(["a", "b"]), pa.array([7, 8])][: len(names)]
    pq.write_table(pa.Table.from_arrays(columns, names=names), path)
    rules = {finding.rule for finding in validate(own_lake) if finding.file.endswith(path.name)}
    if mapping is None:
        assert rules
        with pytest.raises(TableError, match=r"must have columns id and name, each once; it has"):
            imc(own_lake).get_cell_task_mask("alpha_0000", "types")
    else:
        assert imc(own_lake).get_cell_task_mask("alpha_0000", "types").mapping == mapping


def test_a_label_encoder_that_is_missing_or_broken(own_lake):
    path = own_lake / "alpha/segmentations/1_0mpp/cell_masks/types/label_encoder.parquet"
    pd.DataFrame({"id": [1, 1], "name": ["a", "b"]}).to_parquet(path)
    with pytest.raises(TableError, match="repeats an id"):
        imc(own_lake).get_cell_task_mask("alpha_0000", "types")
    pd.DataFrame({"id": [1, 2]}).to_parquet(path)
    with pytest.raises(TableError, match=r"label_encoder\.parquet must have columns id and name"):
        imc(own_lake).get_cell_task_mask("alpha_0000", "types")
    path.write_text("no parquet")
    with pytest.raises(FileFormatError, match=r"label_encoder\.parquet"):
        imc(own_lake).get_cell_task_mask("alpha_0000", "types")
    path.unlink()
    with pytest.raises(TableError, match=r"label_encoder\.parquet"):
        imc(own_lake).get_cell_task_mask("alpha_0000", "types")
    shutil.rmtree(own_lake / "alpha/segmentations/1_0mpp/cell_masks")
    with pytest.raises(MaskNotFoundError, match="no cell masks"):
        imc(own_lake).get_cell_task_mask_types()


def test_an_image_that_fits_neither_panel_is_an_error_for_that_tissue_only(own_lake):
    write_zarr(own_lake / "alpha/imc/1_0mpp/images/alpha_0001.ome.zarr", coordinates_image(3, 96, 96))
    dataset = imc(own_lake)
    dataset.get_tile("alpha_0000", 0)
    with pytest.raises(TableError, match=r"3 channels.*channels_per_tissue\.parquet.*channels\.parquet"):
        dataset.get_tile("alpha_0001", 0)


def test_a_full_panel_image_gives_the_measured_channels(own_lake):
    write_zarr(own_lake / "alpha/imc/1_0mpp/images/alpha_0002.ome.zarr", coordinates_image(5, 96, 96))
    tissue = imc(own_lake).get_tissue("alpha_0002", kind="complete", preprocess=False)
    assert tissue.channel_names.tolist() == ["DNA", "CD8", "Bad", "Junk"]
    assert np.array_equal(tissue.image.numpy(), coordinates_image(5, 96, 96)[[0, 2, 3, 4]])


def test_a_tissue_that_is_listed_but_not_downloaded_is_an_error_naming_the_image(own_lake):
    shutil.rmtree(own_lake / "alpha/he/1_0mpp/images/alpha_0001.ome.zarr")
    dataset = he(own_lake)
    assert "alpha_0001" in dataset.get_tissue_ids()
    with pytest.raises(ImageNotFoundError, match=r"alpha_0001.*he/1_0mpp/images/alpha_0001\.ome\.zarr"):
        dataset.get_tissue("alpha_0001")
    assert dataset.get_tissue_mask("alpha_0001").mask.shape == (96, 96)


def test_a_tissue_without_measured_channels_is_an_error_for_that_tissue_only(own_lake):
    file = own_lake / "alpha/imc/channels_per_tissue.parquet"
    pd.read_parquet(file).drop(index="alpha_0001").to_parquet(file)
    dataset = imc(own_lake)
    dataset.get_tile("alpha_0000", 0)
    with pytest.raises(TableError, match=r"alpha_0001.*channels_per_tissue\.parquet"):
        dataset.get_tile("alpha_0001", 0)


def test_tables_that_contradict_each_other_are_errors_naming_them(own_lake):
    file = own_lake / "alpha/imc/channels_per_tissue.parquet"
    pd.read_parquet(file).rename(columns={"CD8": "CD8a"}).to_parquet(file)
    with pytest.raises(TableError, match=r"CD8"):
        imc(own_lake)


@pytest.mark.parametrize(
    ("file", "options", "text"),
    [
        ("metadata/tissues.parquet", {}, r"metadata/tissues\.parquet"),
        ("metadata/cells.parquet", {"load_cell_metadata": True}, r"metadata/cells\.parquet"),
        ("imc/channels.parquet", {}, r"channels\.parquet"),
    ],
)
def test_a_missing_table_is_an_error_naming_it(own_lake, file, options, text):
    (own_lake / "alpha" / file).unlink()
    with pytest.raises(TableError, match=text):
        imc(own_lake, **options)


def test_a_tile_id_that_is_repeated_is_an_error_naming_the_file(own_lake):
    file = own_lake / "alpha/tiling/1_0mpp/default/32_tile_coordinates.parquet"
    table = pd.read_parquet(file)
    pd.concat([table, table.iloc[[4]]]).to_parquet(file)
    with pytest.raises(TableError, match=r"'alpha_0000' has 2 rows with tile_id 4 in 32_tile_coordinates\.parquet"):
        imc(own_lake)


def test_a_path_that_is_neither_given_nor_in_the_environment(monkeypatch, lake):
    monkeypatch.delenv("SPORA_DATASETS_DIR", raising=False)
    with pytest.raises(DatasetNotFoundError, match="SPORA_DATASETS_DIR"):
        HEImagingDataset("alpha", resolution=1)
    monkeypatch.setenv("SPORA_DATASETS_DIR", str(lake))
    assert len(HEImagingDataset("alpha", resolution=1).get_tissue_ids()) == 3
    assert len(SporaDataset("alpha", tile_size=32)) == 36
    assert ComposedImagingDataset("beta", modalities="he", resolution=1).get_available_modalities() == ["he"]


def test_accesses_of_composed_datasets(lake):
    dataset = ComposedImagingDataset("alpha", path=lake / "alpha", modalities=["he", "imc"], resolution=1)
    with pytest.raises(KeyError, match="codex"):
        dataset.get_dataset("codex")
    with pytest.raises(UnknownNameError, match="alpha_0009"):
        dataset.get_composed_tissue("alpha_0009")
    with pytest.raises(UnknownNameError, match="complete, qc_filtered, uniprot_filtered"):
        dataset.get_composed_tissue("alpha_0000", kind="all")
    many = spora(lake)
    with pytest.raises(UnknownNameError, match="alpha, beta"):
        many.get_dataset("gamma")
    for number in (72, 2**70, np.uint64(2**63)):
        with pytest.raises(IndexError, match="72"):
            many[number]
    with pytest.raises(TableError, match=f"row {2**70}, col 0 of tissue 'alpha_0000' lies outside"):
        many.get_dataset("alpha").get_composed_tile_by_coordinates("alpha_0000", 2**70, 0)
    tissues = spora(lake, tile_size=None)
    with pytest.raises(ArgumentError, match="tile_size"):
        tissues.sample_random_tile()


def test_absent_chunks_are_errors_unless_asked_for(own_lake):
    for dataset, modality in ((imc(own_lake), "imc"), (he(own_lake), "he")):
        image = own_lake / f"alpha/{modality}/1_0mpp/images/alpha_0000.ome.zarr"
        for shard in [path for path in image.rglob("*") if path.is_file() and path.suffix != ".json"]:
            shard.unlink()
        with pytest.raises(ImageNotFoundError, match="alpha_0000"):
            dataset.get_tile("alpha_0000", 0)
    assert (imc(own_lake, missing_chunks="zeros").get_tile("alpha_0000", 0).image == 0).all()
    assert (he(own_lake, missing_chunks="zeros").get_tile("alpha_0000", 0, preprocess=False).image == 0).all()
