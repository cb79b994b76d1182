"""A cohort without channels_per_tissue.parquet reads with every channel measured, and a warning that names the file."""

import warnings

import duckdb
import numpy as np
import pandas as pd
import pytest
import torch

from lakes import PANEL, coordinates_image, write_zarr
from published_lake import write_published_lake
from spora_db import MultiplexImagingDataset, SporaDataset, SporaQuery, standardize_lake
from spora_db.catalog import Catalog, close_kept_catalog
from spora_db.errors import AbsentFileWarning, TableError
from spora_db.standardization.specs import parse_spec
from spora_db.validation import validate

SPEC = "quantile_clipping/uq_0.99_image"
NAMES = [channel[0] for channel in PANEL]
IDS = [f"alpha_{number:04d}" for number in range(4)]
ABSENT = r"no .*alpha/imc/channels_per_tissue\.parquet"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Return two cohorts; alpha has no table of what was measured, all of its images hold the whole panel."""
    root = write_published_lake(tmp_path_factory.mktemp("unmeasured") / "lake")
    (root / "alpha/imc/channels_per_tissue.parquet").unlink()
    folder = root / "alpha/imc/1_0mpp"
    write_zarr(folder / "images/alpha_0002.ome.zarr", coordinates_image(5, 96, 96, offset=34))
    table = folder / "standardization" / SPEC / "image_level_upper_quantiles.parquet"
    pd.read_parquet(table).ffill().to_parquet(table)
    return root


@pytest.fixture(autouse=True)
def newly_opened():
    """Let the next question open its lake: one lent again, as it is 2 s after its folders changed, is silent."""
    close_kept_catalog()


def ask(lake, text):
    with pytest.warns(AbsentFileWarning, match=ABSENT), Catalog(lake) as catalog:
        return catalog.sql(text).fetchall()


RELATIONS = {
    "SELECT tissue_id, channel_name, measured FROM channels_per_tissue WHERE dataset = 'alpha' ORDER BY ALL": sorted(
        (tissue, name, True) for tissue in IDS for name in NAMES
    ),
    "SELECT tissue_id, channel_name, page FROM tissue_channels WHERE dataset = 'alpha' ORDER BY tissue_id, page": [
        (tissue, name, page) for tissue in IDS for page, name in enumerate(NAMES)
    ],
    "SELECT dataset, count(*) FROM tissue_channels WHERE measured GROUP BY ALL ORDER BY 1": [
        ("alpha", 20),
        ("beta", 19),
    ],
    "SELECT uniprot_id, n_tissues, datasets FROM markers WHERE uniprot_id = 'P07766'": [
        ("P07766", 7, ["alpha", "beta"])
    ],
    "SELECT tissue_id FROM tissues WHERE modality = 'imc' AND has_all_markers(dataset, modality, tissue_id, ['CD3e']) "
    "ORDER BY 1": [(tissue,) for tissue in [*IDS, "beta_0000", "beta_0001", "beta_0003"]],
}


@pytest.mark.parametrize("text", RELATIONS)
def test_views_and_macros_count_every_channel_as_measured(lake, text):
    assert ask(lake, text) == RELATIONS[text]


def scripts(lake):
    with Catalog(lake) as catalog:
        return catalog.ddl(), catalog.ddl(dialect="spark")


def test_the_script_of_the_views_does_too(lake):
    with pytest.warns(AbsentFileWarning, match=ABSENT):
        script, spark = scripts(lake)
    connection = duckdb.connect()
    connection.execute(script)
    found = connection.sql("SELECT count(*) FROM channels_per_tissue WHERE dataset = 'alpha' AND measured")
    assert found.fetchall() == [(20,)]
    connection.close()
    assert "TRUE AS `measured`" in spark


def test_queries_deliver_all_channels(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).where("dataset = 'alpha'").standardize(SPEC)
    with pytest.warns(AbsentFileWarning, match=ABSENT):
        plan = query.channels(kind="complete", require=["CD3e"]).to_torch()
    assert len(plan) == 36
    sample = plan[18]
    assert (sample["tissue_id"], list(sample["channel_names"])) == ("alpha_0002", NAMES)
    expected = np.clip(
        coordinates_image(5, 96, 96, offset=34)[:, :32, :32], 0, 1_000.0 * np.arange(1, 6)[:, None, None]
    )
    expected = (expected / (1_000.0 * np.arange(1, 6)[:, None, None] + 1e-8) - 0.5) / (0.25 + 1e-8)
    assert np.abs(np.asarray(sample["image"]) - expected).max() < 1e-5


def test_the_classes_deliver_all_channels(lake):
    with pytest.warns(AbsentFileWarning, match=ABSENT):
        dataset = MultiplexImagingDataset("alpha", "imc", SPEC, 1.0, lake / "alpha", 32, False)
    assert dataset.image_channel_map.index.tolist() == IDS
    assert dataset.image_channel_map.columns.tolist() == NAMES
    assert dataset.image_channel_map.to_numpy().all()
    found = dataset.get_tissue("alpha_0002", "complete", preprocess=False)
    assert np.array_equal(found.image.numpy(), coordinates_image(5, 96, 96, offset=34))
    assert found.measured_mask.tolist() == found.image_loading_mask.tolist() == [True] * 5
    close_kept_catalog()
    with pytest.warns(AbsentFileWarning, match=ABSENT):
        many = SporaDataset(["alpha", "beta"], datasets_dir=lake, modalities="imc", tile_size=32, verbose=False)
    assert torch.equal(many[18]["modalities"]["imc"].image, dataset_tile(lake))


def dataset_tile(lake):
    close_kept_catalog()
    with pytest.warns(AbsentFileWarning):
        return MultiplexImagingDataset("alpha", "imc", "identity", 1.0, lake / "alpha", 32).get_tile(IDS[2], 0).image


def test_statistics_are_computed_of_all_channels(lake):
    with pytest.warns(AbsentFileWarning, match=ABSENT):
        standardize_lake(
            lake, dataset="alpha", modality="imc", mpp=1.0, spec=parse_spec("quantile_clipping/uq_0.9_image")
        )
    folder = lake / "alpha/imc/1_0mpp/standardization/quantile_clipping/uq_0.9_image"
    table = pd.read_parquet(folder / "image_level_upper_quantiles.parquet")
    assert (sorted(table.columns), table.loc["alpha_0002"].notna().all()) == (sorted(NAMES), True)


def test_validate_reports_it_without_warning_besides(lake):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [item for item in validate(lake / "alpha") if item.rule == "measured_absent"]
    assert [(item.severity, item.file) for item in found] == [("warning", "alpha/imc/channels_per_tissue.parquet")]


def test_an_image_of_part_of_the_panel_is_an_error_that_names_the_absent_file(tmp_path):
    root = write_published_lake(tmp_path / "lake", names=("alpha",))
    (root / "alpha/imc/channels_per_tissue.parquet").unlink()
    message = r"4 channels; expected the 5 measured ones \(.*channels_per_tissue\.parquet"
    with pytest.warns(AbsentFileWarning):
        dataset = MultiplexImagingDataset("alpha", "imc", "identity", 1.0, root / "alpha", 32, False)
    with pytest.raises(TableError, match=message):
        dataset.get_tile("alpha_0002", 0)
    with pytest.warns(AbsentFileWarning):
        plan = SporaQuery(root).modality("imc").tiles(size=32, mpp=1.0).where("tissue_id = 'alpha_0002'").to_torch()
    with pytest.raises(TableError, match=message):
        plan[0]
    found = [item.reason for item in validate(root / "alpha") if item.rule == "image_channels"]
    assert len(found) == 1
    assert "alpha_0002" in found[0]


def test_a_panel_without_images_says_nothing(tmp_path):
    folder = tmp_path / "d/codex"
    folder.mkdir(parents=True)
    pd.DataFrame({"channel_name": ["a"], "qc_pass": [True]}).to_parquet(folder / "channels.parquet")
    with Catalog(tmp_path) as catalog:
        assert catalog.sql("SELECT * FROM tissue_channels").fetchall() == []
