"""A client assigns to every public attribute: it has its effect, in copies and workers too, or it is an error."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lakes import PANEL, coordinates_image
from published_lake import rgb, write_published_lake
from spora_db import build_standardizer
from spora_db.datasets import (
    CODEXModality,
    ComposedImagingDataset,
    HEImagingDataset,
    HEModality,
    IHCModality,
    MultiplexImagingDataset,
    SingleIHCImagingDataset,
    SporaDataset,
)
from spora_db.errors import ArgumentError, ReadOnlyError, TableError, UnknownNameError
from spora_db.standardization.filters import FilterFactory

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, which clients still use

SPEC = "quantile_clipping/uq_0.99_image"
NAMES = [channel[0] for channel in PANEL]
T0, T1, T2, T3 = (f"alpha_{number:04d}" for number in range(4))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_published_lake(tmp_path_factory.mktemp("assigned") / "lake")


def make(lake, which):
    arguments = {"path": lake / "alpha", "resolution": 1.0, "verbose": False, "load_cell_metadata": True}
    tiles = {**arguments, "tile_size": 32}
    if which == "imc":
        return MultiplexImagingDataset("alpha", "imc", SPEC, label="label", **tiles)
    if which == "he":
        return HEImagingDataset("alpha", **tiles)
    if which == "ihc":
        return SingleIHCImagingDataset("alpha", "Ki67", **tiles)
    if which == "composed":
        return ComposedImagingDataset("alpha", ["he", "imc"], **tiles)
    return SporaDataset(
        ["alpha", "beta"], datasets_dir=lake, modalities=["imc", "he"], tile_size=32, verbose=False, seed=0,
        modality_kwargs={"imc": {"standardization": "identity"}}, dataset_modality_kwargs={"beta": {"he": {}}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def handed_over(lake):
    """Return every kind of dataset as bytes, so that each test has one of its own."""
    return {which: pickle.dumps(make(lake, which)) for which in ("imc", "he", "ihc", "composed", "spora")}


@pytest.fixture
def imc(handed_over):
    return pickle.loads(handed_over["imc"])


@pytest.fixture
def he(handed_over):
    return pickle.loads(handed_over["he"])


@pytest.fixture
def ihc(handed_over):
    return pickle.loads(handed_over["ihc"])


@pytest.fixture
def composed(handed_over):
    return pickle.loads(handed_over["composed"])


@pytest.fixture
def spora(handed_over):
    return pickle.loads(handed_over["spora"])


def raw_corner(dataset, tile_id=0, tissue=T0):
    return float(dataset.get_tile(tissue, tile_id, preprocess=False).image[0, 0, 0])


def names(dataset, kind, tissue=T0):
    return dataset.get_tile(tissue, 0, kind).channel_names.tolist()


def ids(dataset, kind="complete", tissue=T0):
    return dataset.get_tile(tissue, 0, kind).uniprot_ids.tolist()


def set_qc(d):
    mask = d.quality_control_mask.copy()
    mask[2] = False
    d.quality_control_mask = mask


def set_qc_list(d):
    d.quality_control_mask = [True, True, False, False, 1]


def edit_qc(d):
    d.quality_control_mask[2] = False


def edit_qc_whole(d):
    d.quality_control_mask &= np.array([True, True, False, True, True])


def edit_qc_column(d):
    d.channel_list.loc[2, "qc_pass"] = False


def qc_column_anew(d):
    d.channel_list["qc_pass"] = [True, True, False, False, True]


def allow_bad(d):
    d.channel_list.loc[3, "qc_pass"] = True


def edit_uniprot(d):
    d.uniprot_mask[2] = False


def set_uniprot(d):
    d.uniprot_mask = np.array([1, 0, 0, 0, 1])


def edit_id(d):
    d.channel_list.loc[2, "uniprot_id"] = "P68431"


def give_id(d):
    d.channel_list.loc[0, "uniprot_id"] = "P68431"


def take_id(d):
    d.channel_list.loc[2, "uniprot_id"] = None


def rename(d):
    d.channel_list.loc[2, "channel_name"] = "CD8a"


def rename_by_set(d):
    d.channel_list = d.channel_list.assign(channel_name=["a", "b", "c", "d", "e"])


def unmeasured(d):
    d.image_channel_map.loc[T0, "CD3e"] = False


def unmeasured_by_set(d):
    table = d.image_channel_map.copy()
    table["CD3e"] = False
    d.image_channel_map = table[table.columns[::-1]]


PANEL_EDITS = [
    (set_qc, "qc_filtered", ["DNA", "CD3e", "Junk"]),
    (set_qc_list, "qc_filtered", ["DNA", "CD3e", "Junk"]),
    (edit_qc, "uniprot_filtered", ["CD3e"]),
    (edit_qc_whole, "qc_filtered", ["DNA", "CD3e", "Junk"]),
    (edit_qc_column, "qc_filtered", ["DNA", "CD3e", "Junk"]),
    (qc_column_anew, "qc_filtered", ["DNA", "CD3e", "Junk"]),
    (allow_bad, "uniprot_filtered", ["CD3e", "CD8", "Bad"]),
    (edit_uniprot, "uniprot_filtered", ["CD3e"]),
    (edit_uniprot, "complete", NAMES),
    (set_uniprot, "uniprot_filtered", ["DNA", "Junk"]),
    (edit_id, "uniprot_filtered", ["CD3e", "CD8"]),
    (give_id, "uniprot_filtered", ["DNA", "CD3e", "CD8"]),
    (take_id, "uniprot_filtered", ["CD3e"]),
    (rename, "complete", ["DNA", "CD3e", "CD8a", "Bad", "Junk"]),
    (rename_by_set, "uniprot_filtered", ["b", "c"]),
    (unmeasured, "complete", ["DNA", "CD8", "Bad", "Junk"]),
    (unmeasured_by_set, "complete", ["DNA", "CD8", "Bad", "Junk"]),
]


def as_is(dataset):
    return dataset


def pickled(dataset):
    return pickle.loads(pickle.dumps(dataset))


PASSAGES = [as_is, pickled, copy.copy, copy.deepcopy]


@pytest.mark.some(4)
@pytest.mark.parametrize("passage", PASSAGES)
@pytest.mark.parametrize(("edit", "kind", "expected"), PANEL_EDITS)
def test_edits_of_the_panel_are_delivered(imc, edit, kind, expected, passage):
    before = imc.get_tissue(T0, "complete", preprocess=False)  # what is remembered must not hide the edit
    edit(imc)
    found = passage(imc)
    tissue = found.get_tissue(T0, kind, preprocess=False)
    assert names(found, kind) == tissue.channel_names.tolist() == expected
    assert found.get_channel_names(T0, kind).tolist() == expected
    pages = [before.channel_names.tolist().index(name) for name in NAMES]
    order = found.channel_list["channel_name"].tolist()
    assert torch.equal(tissue.image, before.image[[pages[order.index(name)] for name in expected]])
    with pytest.raises(ArgumentError, match="edited"):
        found.query()


def test_edited_accessions_are_delivered(imc):
    for edit, kind, expected in (
        (edit_id, "complete", [None, "P07766", "P68431", "P62736", "not-an-id"]),
        (give_id, "uniprot_filtered", ["P68431", "P07766", "P68431"]),
        (take_id, "complete", ["P68431", "P07766", None, "P62736", "not-an-id"]),
    ):
        edit(imc)
        assert ids(imc, kind) == imc.get_uniprot_ids(T0, kind).tolist() == expected
    imc.return_uniprot_ids = False
    assert imc.get_tile(T0, 0).uniprot_ids is imc.get_uniprot_ids(T0) is None


def test_a_mask_edited_first_stays_as_it_is_when_another_row_is(imc):
    imc.uniprot_mask[1] = False
    imc.channel_list.loc[0, "uniprot_id"] = "P68431"
    assert imc.uniprot_mask.tolist() == [True, False, True, True, False]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: setattr(d, "quality_control_mask", [True]), "one truth value per channel of the panel, 5"),
        (lambda d: setattr(d, "uniprot_mask", ["yes"] * 5), "uniprot_mask holds 'yes'"),
        (lambda d: setattr(d, "channel_list", d.channel_list.iloc[:3]), "3 rows"),
        (lambda d: setattr(d, "channel_list", d.channel_list.drop(columns="channel_name")), "expected the 5 channels"),
        (lambda d: d.channel_list.sort_values("channel_name", inplace=True), "another order"),
        (lambda d: d.channel_list.drop(index=1, inplace=True), "4 rows"),
        (lambda d: setattr(d, "image_channel_map", np.ones((4, 5))), "DataFrame"),
        (lambda d: d.image_channel_map.drop(columns="DNA", inplace=True), "columns"),
        (lambda d: d.channel_list.drop(columns="qc_pass", inplace=True), "columns"),
        (lambda d: d.__setattr__("tile_coordinates", {T0: [(5.5, 7)]}), r"expected a pair of whole numbers"),
        (lambda d: d.__setattr__("tile_coordinates", [(5, 7)]), r"dict of tissue id"),
        (lambda d: setattr(d, "tile_size", 0), "positive"),
        (lambda d: setattr(d, "tile_size", "32"), "positive"),
    ],
)
def test_edits_that_fit_nothing_are_errors_at_once_or_when_they_are_read(imc, edit, message):
    def work():
        edit(imc)
        imc.get_tile(T0, 0, "qc_filtered")

    with pytest.raises(ArgumentError, match=message):
        work()


def test_a_corrected_map_reads_the_planes_that_the_image_has(imc):
    assert imc.get_tissue(T2, "complete").channel_names.tolist() == ["DNA", "CD8", "Bad", "Junk"]
    imc.image_channel_map.loc[T2] = [True, True, False, True, True]
    found = imc.get_tissue(T2, "complete", preprocess=False)
    assert found.channel_names.tolist() == ["DNA", "CD3e", "Bad", "Junk"]
    assert np.array_equal(found.image.numpy(), coordinates_image(5, 96, 96, offset=34)[[0, 2, 3, 4]])
    imc.image_channel_map.loc[T2] = True
    with pytest.raises(TableError, match="4 channels; expected the 5 measured ones"):
        imc.get_tissue(T2, "complete")


def move_by_dict(d):
    d.tile_coordinates = {T0: [(5, 7)]}


def move_in_place(d):
    d.tile_coordinates[T0][0] = (5, 7)


def move_with_numbers_of_numpy(d):
    d.tile_coordinates[T0] = np.array([[5, 7], [0, 0]])


@pytest.mark.parametrize("passage", PASSAGES)
@pytest.mark.parametrize("edit", [move_by_dict, move_in_place, move_with_numbers_of_numpy])
def test_edited_places_are_read(imc, edit, passage):
    edit(imc)
    assert raw_corner(passage(imc)) == coordinates_image(5, 96, 96)[1, 5, 7]
    assert imc.tile_coordinates[T0][0][0] == 5


def test_places_come_and_go(imc):
    imc.tile_coordinates[T0].append((10, 11))
    assert imc.corner(T0, 9) == (10, 11)
    del imc.tile_coordinates[T1]
    imc.tile_coordinates["alpha_9999"] = [(1, 2)]
    assert imc.corner("alpha_9999", 0) == (1, 2)
    for tissue, tile in ((T1, 0), (T0, 10), (T0, -1)):
        with pytest.raises(UnknownNameError, match="tile_coordinates"):
            imc.get_tile(tissue, tile)
    assert len(imc._tiles) == 9 * 3 + 2
    imc.tile_coordinates = None
    np.random.seed(0)  # noqa: NPY002 - what random tiles follow
    assert imc.get_tile(T1, 0).image.shape == (2, 32, 32)


def test_ids_with_gaps_keep_their_tiles(tmp_path):
    root = write_published_lake(tmp_path / "lake", names=("alpha",))
    file = root / "alpha/tiling/1_0mpp/default/32_tile_coordinates.parquet"
    pd.DataFrame({"tissue_id": [T0] * 2, "tile_id": [4, 9], "row": [0, 32], "col": [0, 1]}).to_parquet(file)
    dataset = MultiplexImagingDataset("alpha", "imc", "identity", 1.0, root / "alpha", 32, False)
    dataset.tile_coordinates[T0][1] = (8, 9)
    assert (dataset.corner(T0, 4), dataset.corner(T0, 9)) == ((0, 0), (8, 9))
    dataset.tile_coordinates[T0].append((1, 1))
    with pytest.raises(ArgumentError, match="which tile is which"):
        dataset.corner(T0, 4)


def test_a_size_that_is_assigned_is_delivered(imc, he):
    for dataset in (imc, he):
        dataset.tile_size = 48
        assert dataset.get_tile(T1, 4).image.shape[1:] == (48, 48)
        with pytest.raises(ArgumentError, match="tile_size"):
            dataset.query()
        dataset.tile_size = None
        with pytest.raises(ArgumentError, match="without a tile size"):
            dataset.get_tile(T1, 4)


def test_metadata_and_patients_are_read_at_every_access(imc):
    imc.tissue_metadata = imc.tissue_metadata[imc.tissue_metadata["split"] == "test"]
    imc.tissue_modality_metadata.drop(index=T1, inplace=True)
    assert imc.get_tissue_ids("all").tolist() == [T1, T3]
    assert imc.get_tissue_ids().tolist() == [T0, T3]
    imc.patient_tissue_map = {170: [T1]}
    assert [tissue.tissue_id for tissue in imc.get_tissue_by_patient("170")] == [T1]
    assert [tissue.tissue_id for tissue in imc.get_tissue_by_patient(170)] == [T1]
    with pytest.raises(ArgumentError, match="tissue_metadata"):
        imc.query()


def test_a_patient_map_is_edited_by_either_spelling(he):
    he.patient_tissue_map[170] = [T1]
    assert [tissue.tissue_id for tissue in he.get_tissue_by_patient("170")] == [T1]
    he.patient_tissue_map.update({170.0: [T0]})
    he.patient_tissue_map |= {"171": [T3]}
    assert (he.patient_tissue_map["170"], he.patient_tissue_map.pop(171)) == ([T0], [T3])
    assert he.patient_tissue_map.setdefault("170", []) == [T0]
    del he.patient_tissue_map[170]
    assert he.get_tissue_by_patient(170) == []


def test_tables_of_labels_and_cells_are_the_clients_own(imc):
    imc.label_encoder, imc.unique_labels = {"x": 7}, np.array(["x"])
    imc.cell_metadata = imc.cell_metadata.head(1)
    found = pickled(imc)
    assert (found.label_encoder, found.unique_labels.tolist(), len(found.cell_metadata)) == ({"x": 7}, ["x"], 1)


def test_a_standardizer_that_is_assigned_standardizes(imc, lake):
    imc.standardizer = build_standardizer(
        standardization="identity", modality_dir=lake / "alpha/imc/1_0mpp", channels_per_image=imc.image_channel_map
    )
    raw = imc.get_tissue(T0, "complete", preprocess=False)
    assert torch.equal(imc.get_tissue(T0, "complete").image, raw.image)
    assert imc.query().to_torch()[0]["spec"] == "identity"


class Halved:
    """A standardizer of one's own, as the published base class asks for."""

    def apply(self, x, tissue_id, measured_mask, selected_mask):
        kept = selected_mask.copy()
        kept[np.flatnonzero(kept)[0]] = False
        return x[1:] / 2, kept


def test_a_standardizer_of_ones_own_is_applied(imc):
    imc.standardizer = Halved()
    raw = imc.get_tile(T0, 3, "complete", preprocess=False)
    found = pickled(imc).get_tile(T0, 3, "complete")
    assert found.channel_names.tolist() == NAMES[1:]
    assert torch.equal(found.image, raw.image[1:] / 2)
    assert found.image_loading_mask.tolist() == [False, True, True, True, True]
    with pytest.raises(ArgumentError, match="standardizer"):
        imc.query()
    imc.standardizer.apply = lambda x, *_: (x, np.ones(4, bool))
    with pytest.raises(ArgumentError, match=r"standardizer\.apply"):
        imc.get_tile(T0, 0, "complete")


def test_what_a_standardizer_reads_may_be_assigned(imc):
    def tile():
        return imc.get_tile_by_coordinates(T0, 2, 8, "complete").image

    plain = tile()
    imc.standardizer.use_mean_std = False
    scaled = tile()
    assert torch.allclose(plain, (scaled - 0.5) / 0.25, atol=1e-5)
    assert torch.equal(imc.query("complete").to_torch()[0]["image"], imc.get_tile(T0, 0, "complete").image)
    imc.filter_factory = FilterFactory(["gaussian_blur"])
    assert torch.equal(tile(), imc.filter_factory.apply_filters(scaled))
    assert imc.standardizer.filter_factory is imc.filter_factory
    imc.halo = True
    assert torch.allclose(tile(), imc.get_tissue(T0, "complete").image[:, 2:34, 8:40], atol=1e-6)
    imc.filter_factory = None
    assert torch.equal(tile(), scaled)


@pytest.mark.parametrize("passage", PASSAGES)
def test_tables_of_statistics_may_be_edited(imc, passage):
    plain = imc.get_tile(T0, 0, "complete").image
    imc.standardizer.means_df.loc[0, "CD8"] = 1.5
    imc.standardizer.upper_quantiles.loc[T0, "Bad"] = np.nan
    found = passage(imc)
    tile = found.get_tile(T0, 0, "complete")
    assert tile.channel_names.tolist() == ["DNA", "CD3e", "CD8", "Junk"]
    assert torch.allclose(tile.image[2], plain[2] - 4, atol=1e-5)
    found.standardizer.stds_df = pd.DataFrame([dict.fromkeys(NAMES, 0.5)])
    assert torch.allclose(found.get_tile(T0, 0, "complete").image[0], plain[0] / 2, atol=1e-5)
    found.standardizer.disable_quantile_mask = True
    with pytest.warns(RuntimeWarning, match="Bad"):
        assert found.get_tile(T0, 0, "complete").image.shape[0] == 5
    with pytest.raises(ArgumentError, match="standardizer"):
        found.query()
    raw = found.get_tile(T0, 0, "complete", preprocess=False)
    with pytest.warns(RuntimeWarning, match="Bad"):
        applied, _ = found.standardizer.apply(raw.image, T0, raw.measured_mask, raw.image_loading_mask)
    assert torch.allclose(applied[0], plain[0] / 2, atol=1e-5)


@pytest.mark.parametrize("passage", PASSAGES)
def test_colours_follow_mean_and_std(he, passage):
    he.mean[0] = 0
    he.std = torch.ones(3, 1, 1)
    found = passage(he)
    expected = rgb(0).astype(np.float64) / 255 - np.array([0, 0.456, 0.406])[:, None, None]
    assert np.abs(found.get_tissue(T0).image.numpy() - expected).max() < 1e-6
    with pytest.raises(ArgumentError, match="mean or std"):
        found.query()
    found.mean_std_type = "identity"
    assert torch.allclose(found.get_tissue(T0).image, torch.from_numpy(rgb(0) / np.float32(255)), atol=1e-6)
    found.mean = [1, 2]
    with pytest.raises(ArgumentError, match="one number or three"):
        found.get_tissue(T0)
    with pytest.raises(UnknownNameError, match="hibou"):
        found.mean_std_type = "none"


def test_what_is_assigned_to_a_copy_stays_with_it(imc, spora):
    for other in (copy.copy(imc), copy.deepcopy(imc), pickled(imc)):
        set_qc(other)
        other.channel_list = other.channel_list.assign(uniprot_id=None)
        other.image_channel_map = other.image_channel_map & False
        other.tile_coordinates = {T0: [(1, 1)]}
        other.standardizer = Halved()
        other.tile_size = 16
        assert imc.get_tile(T0, 8).channel_names.tolist() == ["CD3e", "CD8"]
        assert imc.get_tile(T0, 8).uniprot_ids.tolist() == ["P07766", "P01732-2"]
        assert imc.query().count() == 27
    for second in (copy.copy(spora), copy.deepcopy(spora)):
        second.tile_index = second.tile_index.iloc[:3]
        second.rng = np.random.default_rng(0)
        assert (len(second), len(spora)) == (3, 72)
    assert drawn(spora) == drawn(pickled(spora))


def truth(text):
    return text == "x"


def test_functions_of_labels_are_kept_where_other_processes_find_them(lake):
    options = {"path": lake / "alpha", "resolution": 1.0, "verbose": False, "label": "label"}
    found = pickled(HEImagingDataset("alpha", label_modifying_fn=truth, **options))
    assert (found.label_modifying_fn, found.unique_labels.tolist()) == (truth, [False, True])
    local = pickled(HEImagingDataset("alpha", label_modifying_fn=lambda text: text, **options))
    assert (local.label_modifying_fn, local.unique_labels.tolist()) == (None, ["x", "y", "z"])


# ---- several modalities, several cohorts ----


def test_a_composed_dataset_reads_what_is_assigned(composed):
    composed.modalities = ["imc"]
    assert composed.get_modalities_of_tissue(T0) == composed.get_available_modalities() == ["imc"]
    assert list(composed.get_composed_tile(T0, 0).modalities) == ["imc"]
    composed.modalities.insert(0, "he")
    assert list(pickled(composed).get_composed_tissue(T0).modalities) == ["he", "imc"]
    composed.modalities.append("codex")
    with pytest.raises(UnknownNameError, match="codex"):
        composed.get_composed_tile(T0, 0)
    composed.all_tissue_ids.remove(T0)
    assert composed.get_tissue_ids() == [T1, T2, T3]
    composed.patient_tissue_map = {"9": [T3]}
    composed.modalities = ["imc"]
    assert [tissue.tissue_id for tissue in composed.get_composed_tissue_by_patient(9)] == [T3]


def test_rows_of_a_spora_dataset_may_be_chosen_and_moved(spora):
    spora.tile_index = spora.tile_index[spora.tile_index["dataset_name"] == "beta"]
    assert len(spora) == 36
    assert spora[0]["dataset_name"] == "beta"
    spora.tile_index.drop(index=spora.tile_index.index[:9], inplace=True)
    assert (len(spora), spora[0]["tissue_id"]) == (27, "beta_0001")
    spora.tile_index.iloc[0, spora.tile_index.columns.get_loc("row")] = 3
    part = spora.datasets["beta"].get_dataset("imc")
    for found in (spora, pickled(spora), copy.deepcopy(spora)):
        moved = part.get_tile_by_coordinates("beta_0001", 3, 0)
        assert torch.equal(found[0]["modalities"]["imc"].image, moved.image)
        assert {found.sample_random_tile()["dataset_name"] for _ in range(5)} == {"beta"}
    assert len(spora.query().to_arrow()) == 27
    spora.sampling_unit = "tissues"
    assert len(spora) == 8
    spora.tissue_index = spora.tissue_index.iloc[[5, 2]]
    assert [sample["tissue_id"] for sample in spora] == ["beta_0001", T2]
    assert len(spora.query().to_arrow()) == 2


def test_edited_places_of_a_part_move_the_tiles_of_all(spora):
    for part in ("imc", "he"):
        spora.datasets["alpha"].get_dataset(part).tile_coordinates[T0][0] = (5, 7)
    found = spora[0]["modalities"]["imc"].image
    assert torch.equal(found, spora.datasets["alpha"].get_dataset("imc").get_tile_by_coordinates(T0, 5, 7).image)


def test_options_of_a_spora_dataset_are_read_at_every_access(spora):
    spora.kind, spora.preprocess, spora.image_mode = "complete", False, "HWC"
    assert spora[0]["modalities"]["imc"].image.shape == (32, 32, 5)
    spora.modalities_by_dataset["alpha"].remove("he")
    assert list(spora[0]["modalities"]) == ["imc"]
    spora.datasets["alpha"].modalities = ["he"]
    assert list(spora[0]["modalities"]) == ["he"]
    spora.kind = "filtered"
    with pytest.raises(UnknownNameError, match="complete, qc_filtered, uniprot_filtered"):
        spora[0]
    del spora.datasets["alpha"]
    with pytest.raises(UnknownNameError, match="beta"):
        spora[0]


def drawn(spora, count=12):
    return [spora.sample_random_tile()["tile_id"] for _ in range(count)]


def test_random_samples_follow_rng_and_balance(spora):
    first = drawn(spora)
    spora.rng = np.random.default_rng(11)
    second = drawn(spora)
    spora.rng = np.random.default_rng(11)
    assert drawn(spora) == second != first
    with pytest.raises(ArgumentError, match="Generator"):
        spora.rng = 11
    spora.tile_index = pd.concat([spora.tile_index.iloc[:30], spora.tile_index.iloc[36:37]])
    assert sum(spora.sample_random_tile()["dataset_name"] == "beta" for _ in range(60)) < 15
    spora.balance = "dataset"
    assert sum(spora.sample_random_tile()["dataset_name"] == "beta" for _ in range(60)) > 15
    spora.tile_index.loc[0:20, "dataset_name"] = "alpha"
    spora.balance = "cancer_type"
    spora.sample_random_tile()
    for part in spora.datasets.values():
        part.all_tissue_metadata["cancer_type"] = "one"
    assert len(spora._grouped("tiles").starts) == 2
    with pytest.raises(UnknownNameError, match="balance"):
        spora.balance = "colour"


class Draws(Dataset):
    """What a worker sees of an edited dataset."""

    def __init__(self, imc, spora):
        self.imc, self.spora = imc, spora

    def __len__(self):
        return 4

    def __getitem__(self, index):
        tile = self.imc.get_tile(T0, 0, "qc_filtered", preprocess=False)
        draws = tuple(drawn(self.spora, 6))
        return torch.utils.data.get_worker_info().id, tile.channel_names.tolist(), float(tile.image[0, 0, 0]), draws


@pytest.mark.some(2)
@pytest.mark.parametrize(("context", "workers"), [("spawn", 1), ("fork", 2)])
def test_workers_see_what_was_assigned(imc, spora, context, workers):
    edit_qc(imc)
    move_in_place(imc)
    spora.rng = np.random.default_rng(5)
    spora.tile_index = spora.tile_index.iloc[:9]
    loader = DataLoader(
        Draws(imc, spora), batch_size=2, num_workers=workers, collate_fn=list, multiprocessing_context=context,
        timeout=120,
    )  # fmt: skip
    found = [item for batch in loader for item in batch]
    assert {item[2] for item in found} == {float(coordinates_image(1, 96, 96)[0, 5, 7])}
    assert all(item[1] == ["DNA", "CD3e", "Junk"] for item in found)
    assert workers == 1 or found[0][3] != found[2][3]  # each worker draws its own


# ---- what cannot be assigned, and that nothing was forgotten ----

SETTLED = {
    "imc": "path modality resolution mpp tile_strategy split label labels_to_keep label_modifying_fn label_type "
    "verbose img_folder tissue_masks_dir standardization replace_nuclear_uniprot_ids",
    "he": "path modality resolution mpp tile_strategy split label labels_to_keep label_modifying_fn label_type "
    "verbose img_folder tissue_masks_dir",
    "ihc": "path modality resolution mpp tile_strategy split label labels_to_keep label_modifying_fn label_type "
    "verbose img_folder tissue_masks_dir marker_name",
    "composed": "path resolution mpp tile_size tile_strategy split verbose load_cell_metadata",
    "spora": "dataset_names datasets_dir requested_modalities resolution resolution_dir mpp tile_size tile_strategy "
    "verbose load_cell_metadata split modality_kwargs dataset_modality_kwargs modalities_by_dataset",
}
_OF_ALL = "name tissue_metadata tissue_modality_metadata patient_tissue_map cell_metadata label_encoder unique_labels "
READ = {
    "imc": _OF_ALL + "tile_coordinates tile_size default_kind channel_list image_channel_map quality_control_mask "
    "uniprot_mask standardizer filter_factory return_uniprot_ids halo",
    "he": _OF_ALL + "tile_coordinates tile_size default_kind mean std mean_std_type",
    "ihc": _OF_ALL + "tile_coordinates tile_size default_kind mean std mean_std_type",
    "composed": "name modalities all_tissue_ids all_tissue_metadata patient_tissue_map cell_metadata",
    "spora": "datasets tissue_index tile_index sampling_unit balance kind preprocess image_mode rng",
}


@pytest.mark.parametrize("which", SETTLED)
def test_every_public_attribute_is_read_or_refused(which, request):
    dataset = request.getfixturevalue(which)
    public = {name for name in dir(dataset) if not name.startswith("_") and not callable(getattr(dataset, name))}
    assert public - {"VALID_MODALITIES"} == set(SETTLED[which].split()) | set(READ[which].split())
    for found in (dataset, pickled(dataset), copy.deepcopy(dataset)):
        for name in SETTLED[which].split():
            with pytest.raises(AttributeError, match=rf"'{name}' of a .*cannot be changed once it is made\. \w+"):
                setattr(found, name, getattr(found, name))
            with pytest.raises(AttributeError):
                delattr(found, name)


def test_the_name_is_what_messages_call_a_dataset(he):
    he.name = "renamed"
    assert "renamed" in repr(he)


def test_a_kind_by_default_is_read(imc):
    imc.default_kind = "complete"
    assert imc.get_tile(T0, 0, None).channel_names.tolist() == NAMES


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.dataset_names.append("gamma"),
        lambda d: d.requested_modalities.clear(),
        lambda d: d.modality_kwargs.update(he={}),
        lambda d: d.modality_kwargs["imc"].__setitem__("use_mean_std", False),
        lambda d: d.dataset_modality_kwargs["beta"]["he"].setdefault("mean_std_type", "hibou"),
        lambda d: d.modalities_by_dataset.__setitem__("alpha", ["he"]),
    ],
)
def test_arguments_cannot_be_edited_in_place(spora, edit):
    for dataset in (spora, pickled(spora)):
        with pytest.raises(ReadOnlyError, match="Make the object anew"):
            edit(dataset)


@pytest.mark.parametrize("modality", [HEModality(), CODEXModality(), IHCModality(name="ihc_Ki67")])
def test_modalities_keep_their_names(modality):
    for name in vars(modality).keys() - {"_is_settled"}:
        with pytest.raises(AttributeError, match="Make another modality"):
            setattr(modality, name, "other")
    assert pickled(modality) == copy.deepcopy(modality) == modality


def test_a_modality_with_another_folder_is_an_error(lake):
    with pytest.raises(ArgumentError, match=r"canonical_dir='imc_old'.*'codex'"):
        MultiplexImagingDataset(
            "alpha", CODEXModality(canonical_dir="imc_old"), "identity", 1.0, path=lake / "alpha", verbose=False
        )


def test_filters_keep_what_they_were_made_of():
    factory = FilterFactory(["gaussian_blur"], {"gaussian_blur": {"sigma": 2.0}})
    for edit in (
        lambda: factory.filters_to_apply.append("median_filter"),
        lambda: factory.filter_params["gaussian_blur"].update(sigma=1.0),
        lambda: setattr(factory, "filters_to_apply", []),
        lambda: setattr(factory, "filter_params", {}),
    ):
        with pytest.raises(AttributeError, match=r"Make another FilterFactory|Make the object anew"):
            edit()


@pytest.mark.parametrize("keep", [["x"], ("x",), {"x"}, np.array(["x"], object)])
def test_labels_to_keep_stay_as_they_were(lake, keep):
    dataset = HEImagingDataset(
        "alpha", path=lake / "alpha", resolution=1.0, verbose=False, label="label", labels_to_keep=keep
    )
    assert sorted(dataset.labels_to_keep) == ["x"]
    for change in (lambda kept: kept.append("y"), lambda kept: kept.add("y"), lambda kept: kept.__setitem__(0, "y")):
        with pytest.raises(AttributeError):
            change(dataset.labels_to_keep)


def test_a_standardizer_refuses_what_it_would_not_read(imc):
    names = "spec folder channel_names stats_level name method quantile_level stats_dir modality_dir channels_per_image"
    for name in names.split():
        with pytest.raises(AttributeError, match="build_standardizer"):
            setattr(imc.standardizer, name, None)
    for value in (None, 3, [[1.0]]):
        with pytest.raises(ArgumentError, match="DataFrame"):
            imc.standardizer.means_df = value


def test_tissues_and_masks_are_the_clients_own(imc):
    tissue, mask = imc.get_tissue(T0), imc.get_tissue_mask(T0)
    cells = imc.get_cell_task_mask(T0, "types")
    tissue.measured_mask[:] = tissue.image_loading_mask[:] = mask.mask[:] = False
    tissue.channel_names[:] = tissue.uniprot_ids[:] = "x"
    tissue.image.zero_()
    cells.mask.zero_()
    cells.mapping.clear()
    tissue.kind = mask.tissue_id = "other"
    again = imc.get_tissue(T0)
    assert again.measured_mask.all()
    assert again.channel_names.tolist() == ["CD3e", "CD8"]
    assert (again.image != 0).any()
    assert imc.get_tissue_mask(T0).mask.sum() == 72 * 96
    assert imc.get_cell_task_mask(T0, "types").mask.any()
    assert len(imc.get_cell_task_mask(T0, "types").mapping) == 3
    assert isinstance(imc.path, Path)


# ---- copies that share nothing that is remembered; numbers that are none; parts of one another ----


def test_an_edit_by_a_copy_changes_no_other(imc):
    before = {tissue: imc.get_tile(tissue, 0, "qc_filtered") for tissue in (T0,)}  # T0 is remembered, T1 is not
    other = copy.copy(imc)
    other.channel_list.loc[2, "qc_pass"] = False
    other.image_channel_map.loc[T0, "DNA"] = False
    other.uniprot_mask[1] = False
    other.standardizer.use_mean_std = False
    other.standardizer.upper_quantiles.loc[T1, "CD3e"] = np.nan
    assert names(other, "qc_filtered") == ["CD3e", "Junk"]
    assert names(other, "qc_filtered", T1) == ["DNA", "Junk"]
    for tissue in (T0, T1):
        assert names(imc, "qc_filtered", tissue) == ["DNA", "CD3e", "CD8", "Junk"]
        assert names(imc, "uniprot_filtered", tissue) == ["CD3e", "CD8"]
    assert torch.equal(imc.get_tile(T0, 0, "qc_filtered").image, before[T0].image)
    assert imc.standardizer.use_mean_std
    second = copy.copy(other)  # of one whose tables are lent already
    second.standardizer.upper_quantiles.loc[T1, "CD8"] = 1.0
    assert not other.standardizer.upper_quantiles.equals(second.standardizer.upper_quantiles)


def test_tables_that_are_edited_between_two_tiles_are_read(imc):
    """Every handle stays alive however many tiles were read meanwhile."""
    channels, measured, qc, uniprot = (
        imc.channel_list,
        imc.image_channel_map,
        imc.quality_control_mask,
        imc.uniprot_mask,
    )
    standardizer = imc.standardizer
    for _ in range(2):
        assert names(imc, "uniprot_filtered") == ["CD3e", "CD8"]
    channels.iloc[1, channels.columns.get_loc("qc_pass")] = False
    assert names(imc, "uniprot_filtered") == ["CD8"]
    channels.at[1, "qc_pass"] = True
    assert names(imc, "uniprot_filtered") == ["CD3e", "CD8"]
    qc[2] = False
    assert names(imc, "uniprot_filtered") == ["CD3e"]
    uniprot[0] = True
    assert names(imc, "uniprot_filtered") == ["DNA", "CD3e"]
    measured.at[T0, "DNA"] = False
    assert names(imc, "uniprot_filtered") == ["CD3e"]
    channels.loc[1, "channel_name"], channels.loc[1, "uniprot_id"] = "renamed", "P68431"
    assert (names(imc, "uniprot_filtered"), ids(imc, "uniprot_filtered")) == (["renamed"], ["P68431"])
    plain = imc.get_tile(T0, 0).image
    standardizer.use_mean_std = False
    assert torch.allclose(imc.get_tile(T0, 0).image, plain * 0.25 + 0.5, atol=1e-5)
    standardizer.upper_quantiles.at[T0, "CD3e"] = np.nan
    assert imc.get_tile(T0, 0).image.shape[0] == 0
    assert imc.get_tile(T0, 0, preprocess=False).image.shape[0] == 1
    standardizer.apply = Halved().apply
    raw = imc.get_tile(T0, 0, "complete", preprocess=False).image
    assert torch.equal(imc.get_tile(T0, 0, "complete").image, raw[1:] / 2)


def test_a_mask_that_names_its_channels_is_taken_by_name(imc):
    passed = imc.channel_list.set_index("channel_name")["qc_pass"].astype(bool)
    passed["CD8"] = False
    imc.quality_control_mask = passed[::-1]
    assert names(imc, "qc_filtered") == ["DNA", "CD3e", "Junk"]


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf"), None, "x", True, [0], torch.tensor(0.5)])
def test_numbers_that_are_not_whole_are_refused(imc, spora, value):
    for call in (
        lambda: imc.get_tile(T0, value),
        lambda: imc.get_tile_by_coordinates(T0, value, 0),
        lambda: imc.get_tile_by_coordinates(T0, 0, value),
        lambda: spora[value],
        lambda: spora.get_tile_sample(dataset_name="alpha", tissue_id=T0, tile_id=value),
        lambda: spora.datasets["alpha"].get_composed_tile(T0, value),
    ):
        with pytest.raises(ArgumentError, match="whole number"):
            call()
    if value is not None:
        with pytest.raises(ArgumentError, match="positive number of pixels"):
            imc.tile_size = value
    imc.tile_coordinates = {T0: [(value, 0)]}
    with pytest.raises(ArgumentError, match="pair of whole numbers"):
        imc.get_tile(T0, 0)
    if isinstance(value, torch.Tensor):  # pandas makes no column of them
        return
    spora.tile_index = spora.tile_index.astype({"row": object})
    spora.tile_index["row"] = pd.Series([value] * len(spora), dtype=object)
    with pytest.raises(ArgumentError, match=r"Row 0 of the tile index: row=.*whole number"):
        spora[0]


@pytest.mark.parametrize("value", [1, 1.0, np.int64(1), np.float32(1), np.array(1), torch.tensor(1), "1"])
def test_whole_numbers_of_any_library_are_taken(imc, spora, value):
    assert imc.corner(T0, value) == (0, 32)
    assert spora[value]["tile_id"] == 1
    imc.tile_size = 32 if value == "1" else value * 32
    assert imc.tile_size == 32


def test_the_kind_by_default_is_checked(imc, he):
    for dataset in (imc, he):
        dataset.default_kind = "filtered"
        with pytest.raises(UnknownNameError, match="uniprot_filtered"):
            dataset.get_tile(T0, 0)


@pytest.mark.parametrize("value", [None, 5, [1], {"channel_name": []}, pd.Series([1] * 5)])
def test_a_channel_list_is_a_table(imc, value):
    with pytest.raises(ArgumentError, match="channel_list must be a DataFrame"):
        imc.channel_list = value
    assert names(imc, "qc_filtered") == ["DNA", "CD3e", "CD8", "Junk"]


def test_filters_that_would_not_run_are_refused(imc, lake):
    for filters in (["gaussian_blur"], Halved()):
        with pytest.raises(ArgumentError, match="must be a FilterFactory or None"):
            imc.filter_factory = filters
        with pytest.raises(ArgumentError, match="must be a FilterFactory or None"):
            build_standardizer(
                standardization="identity", modality_dir=lake, channels_per_image=NAMES, filter_factory=filters
            )
    imc.standardizer = Halved()
    with pytest.raises(ArgumentError, match="Halved that was assigned has no filter_factory"):
        imc.filter_factory = FilterFactory(["gaussian_blur"])


@pytest.mark.parametrize("value", [None, "x", [None] * 3, object()])
def test_colours_are_numbers(he, value):
    he.mean = value
    with pytest.raises(ArgumentError, match="one number or three"):
        he.get_tile(T0, 0)
    with pytest.raises(UnknownNameError, match="mean_std_type"):
        he.mean_std_type = ["imagenet"]


def test_places_of_any_part_move_the_tiles_of_all(composed, spora):
    composed.get_dataset("imc").tile_coordinates[T0][0] = (5, 7)  # its first modality is H&E
    expected = composed.get_dataset("imc").get_tile_by_coordinates(T0, 5, 7).image
    for found in (composed, pickled(composed), copy.deepcopy(composed)):
        tile = found.get_composed_tile(T0, 0)
        assert torch.equal(tile.modalities["imc"].image, expected)
        assert torch.equal(
            tile.modalities["he"].image, composed.get_dataset("he").get_tile_by_coordinates(T0, 5, 7).image
        )
    assert composed.get_composed_tile(T0, 1).modalities["imc"].image.shape[1:] == (32, 32)
    composed.get_dataset("he").tile_coordinates[T0][0] = (1, 1)
    with pytest.raises(ArgumentError, match=r"different places.*\(1, 1\).*\(5, 7\)"):
        composed.get_composed_tile(T0, 0)
    composed.get_dataset("he").tile_coordinates[T0][0] = (5, 7)
    assert torch.equal(composed.get_composed_tile(T0, 0).modalities["imc"].image, expected)
    spora.datasets["alpha"].get_dataset("he").tile_coordinates[T0][0] = (5, 7)  # its second
    assert torch.equal(spora[0]["modalities"]["imc"].image, expected)


def test_rows_of_ones_own_stay_where_places_are_only_looked_at(spora):
    spora.tile_index = spora.tile_index.iloc[:1].assign(tile_id=100, row=3, col=5)
    first = spora[0]["modalities"]["imc"].image
    for part in ("imc", "he"):
        assert spora.datasets["alpha"].get_dataset(part).tile_coordinates is not None
    assert torch.equal(spora[0]["modalities"]["imc"].image, first)


def test_metadata_of_a_part_says_what_tissues_have(composed):
    part = composed.get_dataset("imc")
    part.tissue_modality_metadata = part.tissue_modality_metadata.drop(index=T0)
    assert composed.get_modalities_of_tissue(T0) == ["he"]
    assert list(composed.get_composed_tissue(T0).modalities) == ["he"]
    composed.get_dataset("he").tissue_modality_metadata.drop(index=T0, inplace=True)
    with pytest.raises(UnknownNameError, match=T0):
        composed.get_composed_tissue(T0)


def test_modalities_are_any_iterable_of_names(composed):
    for given in ("imc", (name for name in ["IMC"]), composed.get_dataset("imc").modality):
        composed.modalities = given
        assert list(composed.get_composed_tile(T0, 0).modalities) == composed.modalities == ["imc"]
    with pytest.raises(UnknownNameError, match="codex"):
        composed.modalities = ["codex"]
    with pytest.raises(ArgumentError, match="name such as 'imc'"):
        composed.modalities = None


def test_modalities_of_a_spora_dataset_are_those_of_its_parts(spora):
    spora.datasets["alpha"].modalities = ["he"]
    for found in (spora, pickled(spora), copy.deepcopy(spora)):
        assert found.modalities_by_dataset == {"alpha": ["he"], "beta": ["imc", "he"]}
        found.modalities_by_dataset["alpha"].append("imc")
        assert list(found[0]["modalities"]) == ["he", "imc"]
        found.modalities_by_dataset["alpha"].pop()


def test_modalities_of_a_row_are_delivered(spora):
    spora.sampling_unit = "tissues"
    spora.tissue_index.at[0, "modalities"] = ("he",)
    assert [list(spora[i]["modalities"]) for i in (0, 1)] == [["he"], ["imc", "he"]]
    spora.tissue_index["modalities"] = "imc"
    assert list(pickled(spora)[5]["modalities"]) == ["imc"]
    spora.tissue_index.drop(columns="modalities", inplace=True)
    assert list(spora[0]["modalities"]) == ["imc", "he"]
    spora.tissue_index["modalities"] = "codex"
    with pytest.raises(UnknownNameError, match="codex"):
        spora[0]
    spora.balance = None
    assert spora.balance == ()


def test_what_is_remembered_holds_until_something_is_edited(imc):
    def found(tissue=T0):
        return imc._delivery(tissue, "qc_filtered", preprocess=True)

    channels, measured, qc = imc.channel_list, imc.image_channel_map, imc.quality_control_mask
    standardizer, uniprot = imc.standardizer, imc.uniprot_mask
    for edit in (
        lambda: channels.__setitem__("uniprot_id", ["P68431"] * 5),
        lambda: measured.__setitem__("DNA", measured["DNA"].to_numpy() & [False, True, True, True]),
        lambda: qc.__setitem__(2, False),
        lambda: uniprot.__setitem__(2, False),
        lambda: setattr(standardizer, "use_mean_std", False),
        lambda: setattr(standardizer, "filter_factory", FilterFactory(["median_filter"])),
        lambda: setattr(imc, "halo", True),
        lambda: setattr(imc, "standardizer", pickled(standardizer)),
    ):
        before = found()
        assert found() is before
        edit()
        assert found() is not before
        assert found() is found()
    assert imc.standardizer.upper_quantiles is not None  # a frame whose every value may be edited
    assert found() is not found()
