"""Pictures of queries, datasets, batches and catalogs; what is missing is said with the command that makes it."""

import pickle
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imread
from torch.utils.data import DataLoader, default_collate

from job_lakes import write_images
from lakes import write_lake
from spora_db import Catalog, SporaQuery, plot
from spora_db.demo import write_demo_lake
from spora_db.drawing.canvas import MARGIN
from spora_db.drawing.markers import PALETTE
from spora_db.errors import (
    ArgumentError,
    DatasetNotFoundError,
    MaskNotFoundError,
    QueryError,
    SporaError,
    StatisticsNotFoundError,
    UnknownNameError,
)
from spora_db.jobs import tile_lake
from spora_db.jobs.preview import draw_preview
from spora_db.loading.batch import Batch
from spora_db.loading.collates import collate_list, collate_packed, collate_padded, collate_panel
from spora_db.loading.sample import Sample, summary
from spora_db.tiling.parameters import TilingParameters

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
    monkeypatch.setattr(import_module("spora_db.drawing.overview"), "LARGEST", 40)
    monkeypatch.setattr(import_module("spora_db.drawing.overview"), "BAND", 7)
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
    view = plot.tissue_view(imc, mask=False)
    assert all(len(plot.cohort_sheet(source, [view]).axes) == 4 for source in sources)
    assert len(plot.contact_sheet(dataset, count=5).axes) == 5
    assert len(plot.contact_sheet(dataset[row] for row in range(9)).axes) == 9
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
    with pytest.raises(UnknownNameError, match=r"Available: instances"):
        plot.contact_sheet(query, mask="tissue")


def test_the_cell_of_a_sample_is_outlined_among_the_others(demo: Path) -> None:
    query = SporaQuery(demo).modality("imc").cells(size=48, mpp=1.0).with_masks("instances").sample(3, seed=0)
    drawn = [axes for axes in plot.contact_sheet(query, mask="instances").axes if axes.images]
    for axes, sample in zip(drawn, query.to_torch(), strict=True):
        inside = sample["masks"]["instances"].numpy() == sample["cell_id"]
        assert inside.any()
        crossed = np.zeros((2, inside.shape[0] + 1, inside.shape[1] + 1), int)  # sides that run across, and down
        for (left, top), (right, _) in axes.collections[0].get_segments():
            crossed[int(left == right), int(top), int(left)] += 1
        np.testing.assert_array_equal(crossed[0].cumsum(axis=0)[:-1, :-1] % 2, inside)
        np.testing.assert_array_equal(crossed[1].cumsum(axis=1)[:-1, :-1] % 2, inside)
        others = np.asarray(axes.images[1].get_array())[..., 3]
        assert not others[inside].any()
        assert 0 < others.max() < 0.5


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
    assert type(batch) is Batch
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


@pytest.mark.some(3)
@pytest.mark.parametrize("most", [1, 3, 60])
@pytest.mark.parametrize("cohorts", ["demo", "demo/lung_imc"])
def test_no_word_of_the_panels_is_cut_or_covers_another(demo: Path, most: int, cohorts: str) -> None:
    figure = plot.panels(demo.parent / cohorts, most=most)
    figure.draw_without_rendering()
    words = [*figure.texts, *(axes.yaxis.label for axes in figure.axes)]
    boxes = [text.get_window_extent() for text in words]
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[:i])


def test_panels_take_a_path_as_a_catalog(demo: Path) -> None:
    with Catalog(demo) as catalog:
        assert texts(plot.panels(catalog)) == texts(plot.panels(demo)) == texts(plot.panels(str(demo)))
    with pytest.raises(DatasetNotFoundError, match="nowhere"):
        plot.panels(demo / "nowhere")


# The audit


def test_an_audit_tells_no_value_from_the_value_unknown(imc: SporaQuery, tmp_path: Path) -> None:
    audit = imc.audit(columns=["cancer_type"])
    values = [None, "unknown", "LUAD", float("nan"), *"abcdef"]
    table = pd.DataFrame({"cancer_type": values, "rows": [500, 65, 80, 7, *range(9, 3, -1)]})
    changed = replace(audit, sections={**audit.sections, "composition": table})
    written = texts(changed.save_png(tmp_path / "audit.png"))
    start = written.index("LUAD")
    pairs = ["LUAD", "80", "unknown", "65", "a", "9", "b", "8", "c", "7", "d", "6", "2 others", "9", "no value", "507"]
    assert [word for word in written[start:] if word != "Findings"][: len(pairs)] == pairs


@pytest.mark.some(2)
@pytest.mark.parametrize("values", [[None, None], ["a", "b"]])
def test_an_audit_draws_columns_with_and_without_values(imc: SporaQuery, tmp_path: Path, values: list[Any]) -> None:
    audit = imc.audit(columns=["cancer_type"])
    table = pd.DataFrame({"cancer_type": values, "rows": [5, 3]})
    drawn = replace(audit, sections={**audit.sections, "composition": table}).save_png(tmp_path / "audit.png")
    assert ("no value" in texts(drawn)) == (values[0] is None)


def test_an_audit_of_one_cohort_has_no_shared_markers(imc: SporaQuery, tmp_path: Path) -> None:
    heading = "Markers that cohorts share"
    alone = imc.where("dataset = 'alpha'").audit().save_png(tmp_path / "alone.png")
    assert heading in texts(imc.audit().save_png(tmp_path / "both.png"))
    assert heading not in texts(alone)
    bars = next(axes for axes in alone.axes if len(axes.patches) == 2)  # a piece per split
    assert bars.get_window_extent().width > alone.bbox.width / 2


def test_cards_of_an_audit_begin_and_end_at_the_margins(imc: SporaQuery, tmp_path: Path) -> None:
    figure = imc.audit().save_png(tmp_path / "audit.png")
    cards = [axes.patches[0].get_window_extent() for axes in figure.axes[:6]]
    title = next(text for text in figure.texts if "imc tiles" in text.get_text())
    margin = MARGIN * figure.dpi
    assert cards[0].x0 == pytest.approx(margin, abs=1)
    assert title.get_window_extent().x0 == pytest.approx(cards[0].x0, abs=2)
    assert cards[-1].x1 == pytest.approx(figure.bbox.x1 - margin, abs=1)
    pixels = imread(tmp_path / "audit.png")[:, :, 0]
    row = pixels[round(1.4 * figure.dpi)]
    assert np.flatnonzero(row != row[0])[0] == pytest.approx(margin, abs=1)


def test_an_audit_is_written_as_its_suffix_says(imc: SporaQuery, tmp_path: Path) -> None:
    imc.audit().save_png(tmp_path / "audit.pdf")
    assert (tmp_path / "audit.pdf").read_bytes().startswith(b"%PDF-")
    with pytest.raises(ArgumentError, match=r"ends in '\.docx'; pictures are written as \.png, \.pdf, \.svg"):
        imc.audit().save_png(tmp_path / "audit.docx")


# The preview of a tiling


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that draws the preview of a tiling of IMC images alone."""
    root = write_images(tmp_path_factory.mktemp("preview"))
    parameters = TilingParameters(tile_size=32, stride=16)
    report = tile_lake(root, mpp=1.0, parameters=parameters)
    return lambda path: draw_preview(root, path, report=report, mpp=1.0, parameters=parameters)


def test_a_preview_has_a_legend_of_its_colours(tiled: Any, tmp_path: Path) -> None:
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        drawn = tiled(tmp_path / "preview.svg").read_text()
    words = re.findall(r">([^<>]+)</text>", drawn)
    # By accession: where CD3e was not measured, CD8 is the T cells.
    assert words[-3:] == ["DNA", "CD3e / CD8", "CD8"]
    chips = re.findall(r'style="fill: (#\w{6})"', drawn)[-3:]
    assert chips == [PALETTE[name] for name in ("blue", "yellow", "magenta")]


def test_a_preview_is_written_as_its_suffix_says(tiled: Any, tmp_path: Path) -> None:
    assert tiled(tmp_path / "preview.pdf").read_bytes().startswith(b"%PDF-")
    with pytest.raises(ArgumentError, match="pictures are written as"):
        tiled(tmp_path / "preview.jpg")


# What is no query, no sample, no catalog


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda query, _: plot.panels(query),
            r"type SporaQuery; expected a Catalog.*plot.panels\(query.lake\)",
        ),
        (lambda query, _: plot.tile(query), r"type SporaQuery; expected one sample. Write plot.tile\(query.to_torch\("),
        (lambda query, _: plot.tile(query.to_torch()), "type PlanDataset; expected one sample"),
        (
            lambda query, _: plot.tile(collate_padded([query.to_torch()[0]])),
            "a batch of 1 samples; expected one",
        ),
        (lambda query, _: plot.tile(collate_packed([query.to_torch()[0]])), r"Write plot.contact_sheet\(batch\)"),
        (lambda query, _: plot.contact_sheet(query.to_torch().loader(batch_size=2)), r"next\(iter\(loader\)\)"),
        (lambda query, _: plot.contact_sheet(query.df()), "'dataset'; expected one sample"),
        (lambda query, _: plot.contact_sheet(query.plan()), "type Plan; expected a query, its dataset, a batch"),
        (lambda _, catalog: plot.contact_sheet(catalog), "type Catalog; expected a query, its dataset, a batch"),
        (lambda _, catalog: plot.coverage(catalog), "type Catalog; expected a SporaQuery.*standardize"),
        (lambda _, catalog: plot.coverage("demo"), "'demo'; expected a SporaQuery"),
        (lambda _, catalog: plot.tissue(catalog), r"type Catalog; expected a SporaQuery. Write plot.tissue\(SporaQ"),
        (lambda _, catalog: plot.tissue_view("demo"), "'demo'; expected a SporaQuery"),
        (lambda query, _: plot.overview(query), "type SporaQuery; expected a TissueView"),
    ],
)
def test_what_cannot_be_drawn_is_told_with_what_can(imc: SporaQuery, lake: Path, draw: Any, message: str) -> None:
    with Catalog(lake) as catalog, pytest.raises(ArgumentError, match=message):
        draw(imc, catalog)


def test_a_wrong_suffix_is_refused_before_anything_is_read(imc: SporaQuery, tmp_path: Path) -> None:
    nothing = imc.where("age > 200")
    for draw in (plot.tissue, plot.contact_sheet, plot.coverage):
        with pytest.raises(ArgumentError, match="pictures are written as"):
            draw(nothing, path=tmp_path / "x.jpg")
    with pytest.raises(ArgumentError, match="pictures are written as"):
        plot.panels(tmp_path / "nowhere", path=tmp_path / "x.jpg")
    plot.panels(imc.lake, path=tmp_path / "panels.pdf")
    assert (tmp_path / "panels.pdf").read_bytes().startswith(b"%PDF-")


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
