"""Pictures of queries, datasets, batches and catalogs; what is missing is said with the command that makes it."""

import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch.utils.data import DataLoader, default_collate

from lakes import write_lake
from spora_db import Catalog, SporaQuery, plot
from spora_db.demo import write_demo_lake
from spora_db.errors import (
    ArgumentError,
    DatasetNotFoundError,
    MaskNotFoundError,
    QueryError,
    SporaError,
    StatisticsNotFoundError,
    UnknownNameError,
)
from spora_db.loading.collates import collate_list, collate_packed, collate_padded, collate_panel
from spora_db.loading.sample import Sample, summary

SPEC = "quantile_clipping/uq_0.99_image"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("plot") / "lake", tissues=3)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a demo lake with masks, without tiles and statistics."""
    return write_demo_lake(tmp_path_factory.mktemp("plot") / "demo", tissues=2, size=160)


@pytest.fixture(scope="module")
def imc(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


def texts(figure: plot.Picture) -> list[str]:
    inner = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
    inner += [label.get_text() for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return [text.get_text() for text in figure.texts] + inner


# One tissue


def test_a_tissue_shows_the_tiles_that_the_query_selects(imc: SporaQuery, tmp_path: Path) -> None:
    query = imc.where("row = 0 AND tissue_id = 'alpha_0001'")
    figure = plot.tissue(query, mask=False, channels=["CD8"], path=tmp_path / "tissue.png")
    assert "alpha  ·  IMC  ·  96 by 96 pixels  ·  1 µm per pixel  ·  3 tiles of 32" in texts(figure)
    assert imread(tmp_path / "tissue.png")[..., :3].std() > 0.02


def test_only_the_channels_shown_are_read_and_slides_are_thinned(
    imc: SporaQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = plot.tissue_view(imc, "alpha_0000", mask=False)
    assert whole.channel_names == ("DNA", "CD3e", "Bad")
    monkeypatch.setattr(import_module("spora_db.plot.overview"), "LARGEST", 40)
    monkeypatch.setattr(import_module("spora_db.plot.overview"), "BAND", 7)
    thinned = plot.tissue_view(imc, "alpha_0000", mask=False)
    assert (thinned.thinned, thinned.image.shape, thinned.height, thinned.width) == (3, (3, 32, 32), 96, 96)
    expected = whole.image.reshape(3, 32, 3, 32, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(thinned.image, expected, rtol=1e-5)


def test_the_mask_is_outlined(demo: Path) -> None:
    query = SporaQuery(demo).modality("imc", "he").tissues(mpp=1.0)
    view = plot.tissue_view(query, "lung_imc_l001_0001", modality="he", channels=None)
    assert (view.modality, view.spec, view.tiles) == ("he", "identity", None)
    assert 0.3 < view.mask.mean() < 0.9


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tissue_id": "alpha_001"}, UnknownNameError, "Did you mean 'alpha_0001'"),
        ({"tissue_id": "alpha_0001", "modality": "he"}, UnknownNameError, "in the query"),
        ({"tissue_id": "alpha_0001", "dataset": "gamma"}, UnknownNameError, "alpha, beta"),
        ({"tissue_id": "alpha_0001", "channels": ["CD9"]}, UnknownNameError, "CD8"),
        ({"tissue_id": "alpha_0001"}, MaskNotFoundError, "mask=False"),
    ],
)
def test_what_a_tissue_lacks_is_named(imc: SporaQuery, arguments: Any, error: type[SporaError], message: str) -> None:
    with pytest.raises(error, match=message):
        plot.tissue(imc, **arguments)


def test_a_query_without_rows_has_no_tissue(imc: SporaQuery) -> None:
    with pytest.raises(QueryError, match=r"selects no tiles .* loosen a condition"):
        plot.tissue(imc.where("age > 200"))


# Samples, batches, queries


def test_a_sheet_takes_a_query_a_dataset_and_every_batch(imc: SporaQuery) -> None:
    dataset = imc.channels(kind="qc_filtered").to_torch()
    rows = [dataset[0], dataset[9], dataset[40]]
    sources = [rows, collate_padded(rows), collate_packed(rows), collate_panel(["CD8", "CD3e", "DNA"])(rows)]
    for source in sources:
        assert len(plot.contact_sheet(source, channels=["CD8"]).axes) == 3
    assert len(plot.contact_sheet(dataset, count=5).axes) == 5
    assert len(plot.contact_sheet(imc).axes) == 12
    captions = texts(plot.contact_sheet(imc, count=2))
    assert {"alpha_0000", "beta_0002"} <= set(captions)


def test_batches_hold_the_pixels_of_their_samples(imc: SporaQuery) -> None:
    from spora_db.plot.sources import samples_of

    dataset = imc.to_torch()
    rows = [dataset[0], dataset[20]]  # five channels, and four
    for batch in (collate_padded(rows), collate_packed(rows)):
        for sample, row in zip(samples_of(batch), rows, strict=True):
            torch.testing.assert_close(sample["image"], row["image"])
            assert sample["channel_names"] == row["channel_names"]
    both = SporaQuery(imc.lake).modality("imc", "he", missing="keep").tiles(size=32, mpp=1.0).to_torch()
    pairs = [both[0], both[20]]
    assert [list(place) for place in samples_of(collate_padded(pairs))] == [list(pair) for pair in pairs]


def test_limits_are_those_of_the_user(imc: SporaQuery) -> None:
    sample = imc.to_torch()[0]
    full = sample["image"][2]
    figure = plot.tile(sample, channels=["CD8"], limits={"P01732": (float(full.min()), float(full.max()))})
    drawn = np.asarray(figure.axes[0].images[0].get_array()).max(axis=2)
    level = (full - full.min()) / (full.max() - full.min())
    np.testing.assert_allclose(drawn, level * drawn.max(), atol=1e-5)
    with pytest.raises(ArgumentError, match=r"two levels .* that rise"):
        plot.tile(sample, limits={"CD8": (2, 1)})
    with pytest.raises(UnknownNameError, match="Did you mean 'CD8'"):
        plot.contact_sheet([sample], limits={"CD8b": (0, 1)})


def test_a_mask_that_was_not_asked_for_is_named(demo: Path) -> None:
    query = SporaQuery(demo).modality("imc").cells(size=48, mpp=1.0).with_masks("instances").sample(3)
    sample = query.to_torch()[0]
    assert len(plot.tile(sample, mask="instances").axes[0].images) == 2
    with pytest.raises(UnknownNameError, match=r"Available: instances"):
        plot.tile(sample, mask="tissue")


def test_a_sample_is_a_dict_that_shows_its_picture(imc: SporaQuery) -> None:
    sample = imc.to_torch()[0]
    assert isinstance(sample, dict)
    assert sample._repr_png_()[:4] == b"\x89PNG"
    assert summary(sample) == "Sample of imc: alpha, tissue alpha_0000, tile 0, row 0, col 0, 5 x 32 x 32 torch.float32"
    again = pickle.loads(pickle.dumps(sample))
    assert type(again) is Sample
    assert again.keys() == sample.keys()
    assert Sample(a=1)._repr_png_() is None
    names = ("image", "tissue_id", "row")
    batch = default_collate([Sample({name: sample[name] for name in names}) for _ in range(2)])
    assert batch["image"].shape == (2, 5, 32, 32)
    assert batch._repr_png_() is None
    loader = DataLoader(imc.to_torch(), batch_size=2, num_workers=1, collate_fn=collate_list)
    assert all(isinstance(item, Sample) for item in next(iter(loader)))


# Heat maps


def test_panels_are_matched_by_accession(demo: Path) -> None:
    with Catalog(demo) as catalog:
        figure = plot.panels(catalog)
        fewer = plot.panels(catalog, most=3)
    shown = texts(figure)
    assert {"CD8a", "CD8", "23 markers in 2 panels, 11 shared", "PD-1   1/2", "lung_imc\nIMC"} <= set(shown)
    assert figure.axes[0].images[0].get_array().shape == (23, 2)
    assert any("20 more not drawn" in text for text in texts(fewer))


def test_coverage_tells_there_from_missing_and_not_delivered(lake: Path, tmp_path: Path) -> None:
    import pandas as pd

    query = SporaQuery(lake).modality("imc").tissues(mpp=1.0).channels(kind="qc_filtered").standardize(SPEC)
    states = [axes.images[0].get_array() for axes in plot.coverage(query, path=tmp_path / "a.png").axes]
    complete = [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1]]
    assert [state.tolist() for state in states] == [complete, complete]
    folder = lake / "alpha/imc/1_0mpp/standardization" / SPEC
    table = pd.read_parquet(folder / "image_level_upper_quantiles.parquet")
    try:
        table.drop(index="alpha_0001").to_parquet(folder / "image_level_upper_quantiles.parquet")
        figure = plot.coverage(query)
        assert figure.axes[0].images[0].get_array().tolist()[1] == [3, 3, 3, 3]
        assert "alpha  ·  IMC  ·  4 of 11 without" in {axes.get_title(loc="left") for axes in figure.axes}
    finally:
        table.to_parquet(folder / "image_level_upper_quantiles.parquet")
    with pytest.raises(ArgumentError, match="needs no statistics"):
        plot.coverage(query.standardize("identity"))


# Representations of queries and catalogs


def test_queries_and_catalogs_show_short_tables(imc: SporaQuery, lake: Path) -> None:
    html = imc.where("age < 60").channels(require=["<b>"])._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "Unknown" in html  # the error stands in the table
    assert "36 tiles" in imc.where("age < 60")._repr_html_()
    with Catalog(lake) as catalog:
        shown = catalog._repr_html_()
    assert all(f">{word}</td>" in shown for word in ("alpha", "beta", "he, imc", "27"))


# Lakes that lack something


def test_an_empty_lake_says_what_a_dataset_is(tmp_path: Path) -> None:
    for ask in (Catalog, lambda lake: SporaQuery(lake).modality("imc").count()):
        with pytest.raises(DatasetNotFoundError, match="dataset"):
            ask(tmp_path)
    assert "dataset" in SporaQuery(tmp_path).modality("imc")._repr_html_()


@pytest.fixture
def only_he(lake: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(lake / "alpha", tmp_path / "only" / "alpha", ignore=shutil.ignore_patterns("imc"))
    return tmp_path / "only"


def test_a_lake_of_he_alone_has_pictures_and_says_how_panels_come(only_he: Path) -> None:
    query = SporaQuery(only_he).modality("he").tiles(size=32, mpp=1.0).standardize("imagenet")
    assert plot.tissue(query, "alpha_0001", mask=False).axes
    assert plot.contact_sheet(query, count=2).axes
    with Catalog(only_he) as catalog, pytest.raises(QueryError, match=r"modalities with images: he.*spora-db import"):
        plot.panels(catalog)
    with pytest.raises(ArgumentError, match="needs no statistics"):
        plot.coverage(query)
    with pytest.raises(UnknownNameError, match="Available: he"):
        plot.tissue(SporaQuery(only_he).modality("imc").tiles(size=32, mpp=1.0))


def test_a_lake_without_tiles_or_statistics_says_which_command_makes_them(demo: Path) -> None:
    with pytest.raises(QueryError, match="spora-db tile"):
        plot.tissue(SporaQuery(demo).modality("imc").tiles(size=128, mpp=1.0))
    query = SporaQuery(demo).modality("imc").tissues(mpp=1.0).standardize(SPEC)
    for draw in (plot.tissue, plot.contact_sheet):
        with pytest.raises(StatisticsNotFoundError, match="spora-db standardize"):
            draw(query)
    figure = plot.coverage(query)
    assert "lung_imc  ·  IMC  ·  39 of 39 without" in {axes.get_title(loc="left") for axes in figure.axes}
