import numpy as np
import pandas as pd
import pytest
import torch

from lakes import PANEL
from published_lake import CELL_TYPES, cells, write_published_lake
from spora_db.datasets import (
    BaseImagingDataset,
    CODEXModality,
    CycIFModality,
    HEImagingDataset,
    HEModality,
    IHCModality,
    IMCModality,
    MIBIModality,
    MultiplexImagingDataset,
    get_modality_from_str,
    is_valid_modality_instance,
    modalities,
)
from spora_db.errors import UnknownNameError
from spora_db.layout import modality_folder
from spora_db.layout import names as layout_names


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_published_lake(tmp_path_factory.mktemp("annotations") / "lake")


@pytest.fixture(scope="module")
def dataset(lake):
    return MultiplexImagingDataset(
        "a cohort of another name", path=lake / "alpha", modality=IMCModality(), resolution=1, load_cell_metadata=True
    )


@pytest.mark.parametrize(
    ("name", "kind", "folder"),
    [
        ("he", HEModality, "he"),
        ("HE", HEModality, "he"),
        ("imc", IMCModality, "imc"),
        ("CODEX", CODEXModality, "codex"),
        ("phenocycler", CODEXModality, "codex"),
        ("CycIF", CycIFModality, "cycif"),
        ("mibi", MIBIModality, "mibi"),
        ("ihc_Ki67", IHCModality, "ihc/ihc_Ki67"),
    ],
)
def test_modalities_by_name(name, kind, folder):
    modality = get_modality_from_str(name)
    assert isinstance(modality, kind)
    assert is_valid_modality_instance(modality)
    assert modality.canonical_dir == folder == modality_folder(modality.name)


def test_an_unknown_modality_lists_those_there_are():
    with pytest.raises(UnknownNameError, match="codex, cycif, he, ihc_<marker>, imc, map_<name>, mibi, phenocycler"):
        get_modality_from_str("desi")
    assert not is_valid_modality_instance("imc")


def test_a_modality_that_is_one_row_more_is_found_by_name(monkeypatch):
    rows = (*layout_names.MODALITIES, layout_names.Modality(name="orion", title="Orion"))
    for module in (layout_names, modalities):
        monkeypatch.setattr(module, "MODALITIES", rows)
    found = get_modality_from_str("Orion")
    assert (found.name, found.canonical_dir, is_valid_modality_instance(found)) == ("orion", "orion", True)
    assert found == modalities.modality_of(found)


def test_cell_instances_are_int32(dataset):
    mask = dataset.get_cell_instance_mask("alpha_0001")
    assert mask.mask.dtype == torch.int32
    assert np.array_equal(mask.mask.numpy(), cells(1))
    assert mask.mapping is None


def test_cell_tasks_have_their_classes(dataset):
    assert dataset.get_cell_task_mask_types() == ["types"]
    mask = dataset.get_cell_task_mask("alpha_0001", "types")
    assert mask.mask.dtype == torch.int32
    assert np.array_equal(mask.mask.numpy(), np.sign(cells(1)))
    assert mask.mapping == dict(enumerate(CELL_TYPES))


def test_instances_of_another_model(lake, tmp_path):
    own = write_published_lake(tmp_path / "lake", names=("alpha",))
    folder = own / "alpha/segmentations/1_0mpp/cell_masks/instances_virtues"
    folder.mkdir()
    np.savez_compressed(folder / "alpha_0000.npz", mask=np.eye(96, dtype=np.uint8))
    dataset = HEImagingDataset("alpha", path=own / "alpha", resolution=1)
    assert dataset.get_cell_instance_mask("alpha_0000", use_instances_from_virtues=True).mask.sum() == 96
    assert dataset.get_cell_task_mask_types() == ["types"]


def test_cells_by_tissue(dataset, lake):
    table = pd.read_parquet(lake / "alpha/metadata/cells.parquet")
    found = dataset.cell_metadata.loc["alpha_0002"]
    assert found["cell_id"].tolist() == table[table["tissue_id"] == "alpha_0002"]["cell_id"].tolist()
    assert set(found["cell_type"]) == {"T cell"}
    assert MultiplexImagingDataset("alpha", path=lake / "alpha", modality="imc", resolution=1).cell_metadata is None


def test_metadata_and_attributes(dataset, lake):
    assert isinstance(dataset, BaseImagingDataset)
    assert dataset.name == "a cohort of another name"
    assert dataset.path == lake / "alpha"
    assert dataset.modality == IMCModality()
    assert dataset.resolution == "1_0mpp"
    assert dataset.tissue_metadata.index.name == "tissue_id"
    assert set(dataset.tissue_metadata["modality"]) == {"he", "imc", "ihc_Ki67"}
    assert dataset.tissue_modality_metadata.index.tolist() == [f"alpha_{i:04d}" for i in range(4)]
    assert dataset.tissue_modality_metadata["X..spots"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert dataset.get_tissue_ids("all").tolist() == dataset.get_tissue_ids().tolist()
    assert (dataset.path / "metadata" / "cells.parquet").is_file()
    assert dataset.patient_tissue_map == {"p0": ["alpha_0000", "alpha_0001"], "p1": ["alpha_0002", "alpha_0003"]}
    assert dataset.unique_labels is dataset.label_encoder is None
    assert "n_tissues=4" in repr(dataset)


def test_panel_frames(dataset):
    assert dataset.channel_list["channel_name"].tolist() == [channel[0] for channel in PANEL]
    assert dataset.channel_list["uniprot_id"].tolist() == [channel[2] for channel in PANEL]
    assert dataset.channel_list["qc_pass"].dtype == bool
    assert dataset.image_channel_map.dtypes.eq(bool).all()
    assert dataset.image_channel_map.all(axis=0).tolist() == [True, False, True, True, True]
    assert dataset.quality_control_mask.tolist() == [True, True, True, False, True]
    assert dataset.uniprot_mask.tolist() == [False, True, True, True, False]


@pytest.mark.some(3)
@pytest.mark.parametrize("nuclear", [True, False])
@pytest.mark.parametrize("kind", ["complete", "qc_filtered", "uniprot_filtered"])
def test_names_and_ids_are_those_of_the_tissue(lake, kind, nuclear):
    dataset = MultiplexImagingDataset(
        "alpha", path=lake / "alpha", modality="imc", resolution=1, replace_nuclear_uniprot_ids=nuclear
    )
    for tissue_id in ("alpha_0000", "alpha_0002"):
        tissue = dataset.get_tissue(tissue_id, kind=kind)
        names, ids = dataset.get_channel_names(tissue_id, kind=kind), dataset.get_uniprot_ids(tissue_id, kind=kind)
        assert names.tolist() == tissue.channel_names.tolist()
        assert ids.tolist() == tissue.uniprot_ids.tolist()
        assert len(names) == len(tissue.image) == tissue.image_loading_mask.sum()
    assert ("P68431" in ids.tolist()) == nuclear
    assert (dataset.channel_list["uniprot_id"][0] == "P68431") == nuclear


def test_without_uniprot_ids(lake):
    dataset = MultiplexImagingDataset(
        "alpha", path=lake / "alpha", modality="imc", resolution=1, return_uniprot_ids=False
    )
    assert dataset.get_uniprot_ids("alpha_0000") is None
    assert dataset.get_tissue("alpha_0000").uniprot_ids is None
