"""Pictures: channels and colours as agreed, exact pixels of composites, figures neither blank nor clipped."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from torch.utils.data import DataLoader

from spora_db.drawing.canvas import picture_format, wrap_legend, wrap_text
from spora_db.drawing.markers import PALETTE, SLOTS
from spora_db.errors import ArgumentError, UnknownNameError
from spora_db.plot import (
    Picture,
    TissueView,
    brightfield,
    choose_channels,
    cohort_sheet,
    composite,
    contact_sheet,
    contrast_limits,
    overview,
    spell_markers,
    tile,
)

IMC = {
    "dataset": "lung",
    "modality": "imc",
    "channel_names": ["DNA1", "panCK", "CD3e", "CD8a"],
    "uniprot_ids": [None, "P02533", "P07766", "P01732"],
}
CODEX = {
    "dataset": "tonsil",
    "modality": "codex",
    "channel_names": ["DAPI", "CD8", "CD20"],
    "uniprot_ids": [None, "P01732", "P11836"],
}
HE = {"dataset": "lung", "modality": "he", "spec": "imagenet", "channel_names": ["red", "green", "blue"]}


def sample(kind: dict[str, Any], *, row: int = 0, seed: int = 0, size: int = 48) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).gamma(2, size=(len(kind["channel_names"]), size, size)).astype(np.float32)
    place = {"tissue_id": f"{kind['dataset']}_0001", "tile_id": row // size, "row": row, "col": 0, "mpp": 1.0}
    return {"spec": "identity", **place, "image": torch.from_numpy(pixels), **kind}


def view(kind: dict[str, Any], *, height: int = 96, width: int = 120, **more: Any) -> TissueView:
    rng = np.random.default_rng(5)
    image = rng.gamma(2, size=(len(kind["channel_names"]), height, width)).astype(np.float32)
    if kind["modality"] == "he":
        image = rng.integers(0, 256, image.shape).astype(np.uint8)
    mask = np.hypot(*np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]) < 0.9
    return TissueView(
        image=image,
        dataset=kind["dataset"],
        tissue_id=f"{kind['dataset']}_0001",
        modality=kind["modality"],
        channel_names=tuple(kind["channel_names"]),
        uniprot_ids=tuple(kind["uniprot_ids"]) if "uniprot_ids" in kind else None,
        **{"mask": mask, "tiles": [[0, 0], [48, 0]], "tile_size": 48, "mpp": 1.0, **more},
    )


def texts(figure: Picture) -> list[str]:
    inner = [text.get_text() for axes in figure.axes for text in axes.texts]
    return [text.get_text() for text in figure.texts] + inner


def assert_drawn(path: Path) -> None:
    """Assert that a PNG has varied pixels and that nothing touches its border."""
    picture = imread(path)[..., :3]
    assert picture.std() > 0.05
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert np.ptp(border, axis=0).max() == 0


# Channels and colours


@pytest.mark.parametrize(
    ("names", "ids", "expected"),
    [
        ("CD45, DAPI", "P08575,", "blue DAPI, magenta CD45"),
        (
            "CD3e, Pan-Cytokeratin, Histone H3",
            "P07766,,P68431",
            "blue Histone H3, magenta Pan-Cytokeratin, yellow CD3e",
        ),
        ("CD8, CD20, CD68, SMA", "P01732,P11836,P34810,P62736", "yellow CD8, aqua CD20, orange CD68, silver SMA"),
        ("A, B, C, D", None, "blue A, magenta B, yellow C"),
        ("CD45 iso", "P08575-8", "blue CD45 iso"),
    ],
)
def test_channels_chosen(names: str, ids: str | None, expected: str) -> None:
    panel = names.split(", ")
    shown = choose_channels(panel, None if ids is None else [text or None for text in ids.split(",")])
    colours = {code: colour for colour, code in PALETTE.items()}
    assert ", ".join(f"{colours[channel.colour]} {channel.name}" for channel in shown) == expected
    assert [panel[channel.index] for channel in shown] == [channel.name for channel in shown]


@given(st.lists(st.sampled_from(["DAPI", "DNA1", "panCK", "CD3e", "CD8", "CD20", "SMA", "X", "Y"]), unique=True))
def test_no_channel_or_colour_is_chosen_twice(names: list[str]) -> None:
    shown = choose_channels(names)
    assert len({channel.index for channel in shown}) == len({channel.colour for channel in shown}) == len(shown)
    assert len(shown) <= len(SLOTS)
    assert bool(shown) == bool(names)


def test_a_marker_asked_by_one_panels_name_is_found_in_the_other() -> None:
    imc, codex = ((kind["channel_names"], kind["uniprot_ids"]) for kind in (IMC, CODEX))
    markers = spell_markers(["CD8a", "P11836"], [imc, codex])
    assert markers == (("CD8a", "P01732"), ("P11836",))
    assert [channel.name for channel in choose_channels(*codex, markers=markers)] == ["CD8", "CD20"]
    assert [channel.name for channel in choose_channels(*imc, markers=markers)] == ["CD8a"]


def test_a_channel_that_no_panel_holds_is_an_error_with_near_names() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'CD3e'"):
        contact_sheet([sample(IMC)], channels=["CD3d"])


def test_more_channels_than_colours_are_refused() -> None:
    with pytest.raises(ArgumentError, match="7 channels to show; at most 6"):
        choose_channels(["A"], markers=[["A"]] * 7)
    with pytest.raises(ArgumentError, match="2 channel_names but 1 uniprot_ids"):
        choose_channels(["A", "B"], ["P1"])


# Pixels


def test_a_pure_pixel_at_its_upper_limit_has_the_colour_of_the_legend() -> None:
    shown = choose_channels(IMC["channel_names"], IMC["uniprot_ids"])
    pixels = np.eye(len(shown), dtype=np.float32)[:, None] * 7
    picture = composite(pixels, [channel.colour for channel in shown], limits=[[0, 7, 2.5]] * len(shown))
    seen = ["#" + bytes(np.rint(pixel * 255).astype(np.uint8)).hex() for pixel in picture[0]]
    assert seen == [channel.colour for channel in shown]


def test_composite_mixes_colours_between_limits() -> None:
    image = np.array([[[0, 5, 10, 20]], [[0, 0, 10, np.nan]]], dtype=np.float32)
    picture = composite(image, ["#ff0000", "#0000ff"], limits=[[0, 10], [0, 20]])
    # Levels 1 and 0.5: as bright as the stronger, red and blue as 1 to 0.25.
    np.testing.assert_allclose(picture, [[[0, 0, 0], [0.5, 0, 0], [0.8, 0, 0.2], [1, 0, 0]]], atol=1e-6)
    squared = composite(image, ["red", "blue"], limits=[[0, 10, 2], [0, 20, 1]])
    assert squared[0, 1, 0] == pytest.approx(0.25)


@given(st.integers(0, 99), st.integers(1, 6))
def test_what_is_mixed_lies_between_the_colours_it_is_of(seed: int, channels: int) -> None:
    levels = np.random.default_rng(seed).random((channels, 5, 5)).astype(np.float32)
    colours = list(PALETTE.values())[:channels]
    weights = levels.astype(np.float64) ** 2
    table = np.array([list(bytes.fromhex(colour[1:])) for colour in colours]) / 255
    expected = np.einsum("chw,cx->hwx", weights, table) / weights.sum(axis=0)[..., None] * levels.max(axis=0)[..., None]
    np.testing.assert_allclose(composite(levels, colours, limits=[[0, 1]] * channels), expected, atol=1e-5)


@given(st.integers(0, 4), st.floats(0.01, 1000), st.floats(-100, 100))
def test_a_composite_does_not_depend_on_scale_or_offset(seed: int, scale: float, offset: float) -> None:
    image = np.random.default_rng(seed).gamma(2, size=(2, 16, 16)).astype(np.float32)
    plain = composite(image, ["red", "aqua"])
    np.testing.assert_allclose(composite(image * scale + offset, ["red", "aqua"]), plain, atol=0.02)


def test_limits_are_percentiles_over_all_images_and_a_flat_channel_is_black() -> None:
    images = [np.random.default_rng(seed).normal(size=(2, 30, 40)).astype(np.float32) for seed in (0, 1)]
    for image in images:
        image[1] = 7
    images[0][0, 0, 0] = np.inf
    limits = contrast_limits(images, percentiles=(10, 90))
    pooled = np.concatenate([image[0].ravel() for image in images])
    np.testing.assert_allclose(limits[0, :2], np.percentile(pooled[np.isfinite(pooled)], (10, 90)), rtol=1e-6)
    assert limits[1].tolist() == [7, 7, 1]
    assert composite(images[1][1:], ["red"], limits=limits[1:]).max() == 0


@pytest.mark.parametrize("kind", ["counts", "logarithms", "z-scores"])
def test_gamma_makes_channels_about_as_bright_whatever_their_pixels_are(kind: str) -> None:
    counts = np.random.default_rng(0).gamma(0.5, 20, size=(1, 200, 200))
    logarithms = np.log1p(counts)
    pixels = {"counts": counts, "logarithms": logarithms, "z-scores": (logarithms - 1.9) / 1.3}[kind]
    low, high, gamma = contrast_limits([pixels])[0]
    assert np.mean(np.clip((pixels - low) / (high - low), 0, 1) ** gamma) == pytest.approx(0.1, abs=0.003)


@pytest.mark.parametrize(
    ("spec", "mean", "std"),
    [
        ("identity", (0, 0, 0), (1, 1, 1)),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("hibou", (0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816)),
    ],
)
def test_brightfield_undoes_the_preset(spec: str, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 4)).astype(np.uint8)
    standardized = (pixels / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    expected = np.moveaxis(pixels, 0, -1) / 255
    np.testing.assert_allclose(brightfield(standardized.astype(np.float32), spec=spec), expected, atol=1e-6)
    np.testing.assert_allclose(brightfield(pixels), expected, atol=1e-6)
    np.testing.assert_allclose(brightfield(torch.from_numpy(pixels)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: composite(np.zeros((4, 4)), ["red"]), r"shape \(4, 4\)"),
        (lambda: composite(np.zeros((2, 4, 4)), ["red"]), "1 colours for 2 channels"),
        (lambda: composite(np.zeros((1, 4, 4)), ["red"], limits=[0, 1]), "limits has shape"),
        (lambda: brightfield(np.zeros((2, 4, 4), np.uint8)), "three colours; received 2"),
        (lambda: contrast_limits([]), "No images"),
        (lambda: contact_sheet([]), "batch is empty"),
        (lambda: contact_sheet([{"pixels": 1}]), "keys \\['pixels'\\]"),
        (lambda: tile({"image": np.zeros((1, 4, 4))}), "keys \\['image'\\]; expected channel_names, dataset, image"),
        (lambda: tile({"imc": {"image": np.zeros((1, 4, 4))}}), "keys \\['image'\\]"),
        (lambda: tile([sample(IMC)]), r"type list; expected one sample. Write plot.tile\(query.to_torch\(\)\[0\]\)"),
        (lambda: tile("demo"), "Received 'demo'; expected one sample"),
        (lambda: contact_sheet("demo"), r"'demo'; expected a query.*Write plot.contact_sheet\(SporaQuery\('lake'\)"),
        (lambda: contact_sheet(Path("demo")), "Path.'demo'.; expected a query, its dataset, a batch or samples"),
        (lambda: contact_sheet(DataLoader([sample(IMC)])), r"plot.contact_sheet\(next\(iter\(loader\)\)\)"),
        (lambda: contact_sheet(3), "type int; expected a query"),
        (lambda: contact_sheet(["demo"]), "'demo'; expected one sample"),
        (lambda: overview("demo"), r"'demo'; expected a TissueView. Write plot.tissue\(query\)"),
        (lambda: cohort_sheet([sample(IMC)], []), "no tissues to draw"),
        (lambda: cohort_sheet([sample(IMC)], view(IMC)), "type TissueView; expected a list of TissueViews"),
        (lambda: cohort_sheet([sample(IMC)], ["lung_0001"]), "'lung_0001'; expected a TissueView"),
        (lambda: tile(sample(IMC), path=3), "path is of type int; expected the name of a file"),
        (lambda: view(IMC, mask=np.ones((3, 3))), "mask of lung_0001 has shape"),
        (lambda: view(IMC, tile_size=None), "without tile_size"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()


def test_brightfield_of_an_unknown_spec_lists_the_presets() -> None:
    with pytest.raises(UnknownNameError, match="hibou, identity, imagenet"):
        brightfield(np.zeros((3, 4, 4), np.float32), spec=None)


# Figures


def test_contact_sheet_draws_every_tile_with_its_caption_and_legend(tmp_path: Path) -> None:
    samples = [
        {"imc": sample(IMC, row=48), "he": sample(HE, row=48)},
        sample(CODEX, seed=1),
        sample({**IMC, "dataset": "x", "tissue_id": "t7"}, seed=2),
    ]
    figure = contact_sheet(samples, title="Batch", subtitle="three", path=tmp_path / "sheet.png")
    assert len([axes for axes in figure.axes if axes.images]) == 4
    written = texts(figure)
    expected = {"Batch", "three", "lung_0001", "x  ·  t7", "DNA1 / DAPI", "panCK", "10 µm"}
    assert expected | {"IMC + H&E  ·  tile 1  ·  row 48, col 0"} <= set(written)
    assert_drawn(tmp_path / "sheet.png")
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_without_a_resolution_there_is_no_scale_bar() -> None:
    plain = sample(IMC)
    del plain["mpp"]
    assert not any("µm" in text for text in texts(contact_sheet([plain])))
    assert "10 µm" in texts(contact_sheet([plain], mpp=1.0))


def test_whole_tissues_without_a_place_are_drawn() -> None:
    whole = {key: value for key, value in sample(IMC).items() if key not in {"row", "col", "tile_id"}}
    assert "IMC  ·  whole tissue" in texts(contact_sheet([whole]))


def test_tiles_of_a_cohort_share_contrast() -> None:
    dim, bright = sample(IMC, seed=1), sample(IMC, seed=1, row=48)
    dim["image"] = dim["image"] * 0.2
    figure = contact_sheet([dim, bright])
    low, high = (np.asarray(axes.images[0].get_array()).mean() for axes in figure.axes)
    assert low < 0.5 * high


def test_cohort_sheet_numbers_the_tiles_on_their_tissue(tmp_path: Path) -> None:
    samples = [{"imc": sample(IMC, row=48), "he": sample(HE, row=48)}, sample(CODEX, row=0)]
    views = [view(IMC), view(HE, height=240, width=96), view(CODEX)]
    figure = cohort_sheet(samples, views, title="Cohort", path=tmp_path / "cohort.png")
    numbers = [[text.get_text() for text in axes.texts if text.get_text().isdigit()] for axes in figure.axes]
    assert numbers == [["1"], ["1"], ["2"], ["1"], [], ["2"]]
    assert_drawn(tmp_path / "cohort.png")


@pytest.mark.some(2)
@pytest.mark.parametrize("kind", [IMC, HE], ids=["imc", "he"])
def test_overview_thins_large_tissues_and_keeps_full_coordinates(tmp_path: Path, kind: dict[str, Any]) -> None:
    figure = overview(view(kind, height=1_900, width=1_000), path=tmp_path / "tissue.png")
    axes = figure.axes[0]
    assert axes.images[0].get_array().shape[0] == 634  # 1,900 in squares of 3, the last one repeating the rim
    assert axes.get_xlim() == (0, 1_000)
    assert axes.get_ylim() == (1_900, 0)
    assert any("1900 by 1000 pixels" in text for text in texts(figure))
    assert_drawn(tmp_path / "tissue.png")


def test_outlines_of_tiles_that_overlap_by_half_never_fall_on_each_other() -> None:
    figure = overview(view(IMC, mask=None, tiles=[[0, 0], [0, 24], [0, 48], [24, 0], [48, 48]]))
    boxes = [path.get_extents() for path in figure.axes[0].collections[0].get_paths()]
    for low, high in (("x0", "x1"), ("y0", "y1")):
        begin, end = ({round(getattr(box, name), 3) for box in boxes} for name in (low, high))
        assert not begin & end
    assert [round(box.width, 3) for box in boxes] == [round(0.92 * 48, 3)] * 5


def test_long_names_lose_their_middle_and_stay_in_their_place() -> None:
    figure = contact_sheet([sample({**IMC, "tissue_id": "lung_" + "long" * 30})])
    name = next(text for text in figure.texts if text.get_text().startswith("lung_"))
    assert "…" in name.get_text()
    assert name.get_window_extent().width / figure.dpi <= 1.75


def test_the_number_of_a_tile_is_never_cut() -> None:
    ki67 = {**HE, "modality": "ihc_Ki67", "tile_id": 1234, "col": 448}
    captions = {
        panel: next(text for text in contact_sheet([sample(ki67, row=1216)], panel=panel).texts if "tile" in str(text))
        for panel in (3.0, 1.75, 0.8)
    }
    assert captions[3.0].get_text() == "IHC Ki67  ·  tile 1234  ·  row 1216, col 448"
    assert captions[1.75].get_text() == "IHC Ki67  ·  tile 1234"
    assert captions[0.8].get_text().endswith("…7  ·  tile 1234")
    for panel, caption in captions.items():
        assert caption.get_window_extent().width / caption.figure.dpi <= panel


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"tile_id": 7}, "IMC  ·  tile 7  ·  row 0, col 0"),
        ({"tile_id": -1, "cell_id": 12}, "IMC  ·  cell 12  ·  row 0, col 0"),
        ({"tile_id": torch.tensor(3), "cell_id": torch.tensor(-1)}, "IMC  ·  tile 3  ·  row 0, col 0"),
        ({"tile_id": None}, "IMC  ·  row 0, col 0"),
    ],
)
def test_a_caption_names_the_tile_or_the_cell(numbers: dict[str, Any], expected: str) -> None:
    assert expected in texts(tile({**sample(IMC), **numbers}))


@pytest.mark.some(2)
@pytest.mark.parametrize("draw", [contact_sheet, lambda items, **more: cohort_sheet(items, [view(IMC)], **more)])
def test_long_titles_are_wrapped_within_the_page(tmp_path: Path, draw: Any) -> None:
    title, subtitle = "a title of many words " * 12, "and " * 120 + "a" * 300
    figure = draw([sample(IMC)], title=title, subtitle=subtitle, path=tmp_path / "sheet.png")
    lines = [text for text in figure.texts if text.get_fontsize() in (14, 9)]
    written = " ".join(text.get_text() for text in lines)
    assert written.startswith((title + subtitle)[:-300])
    assert written[-1] == "a"
    boxes = [text.get_window_extent() for text in lines]
    assert max(box.x1 for box in boxes) <= figure.bbox.x1 - 0.3 * figure.dpi
    assert all(upper.y0 > lower.y0 for upper, lower in itertools.pairwise(boxes))
    highest = max(axes.get_window_extent().y1 for axes in figure.axes)
    assert boxes[-1].y0 > highest
    assert_drawn(tmp_path / "sheet.png")


def test_lines_that_the_user_broke_stay_broken() -> None:
    assert wrap_text("one\ntwo three", size=9, room=5.0) == ["one", "two three"]
    assert wrap_text("", size=9, room=5.0) == []


def test_a_legend_breaks_into_rows() -> None:
    entries = [(f"marker {number}", "red") for number in range(6)]
    rows = wrap_legend(entries, room=2.5)
    assert [entry for row in rows for entry in row] == entries
    assert 1 < len(rows) < 6
    assert wrap_legend([], room=2.5) == []


MAGIC = {".png": b"\x89PNG", ".PDF": b"%PDF-", ".svg": b"<?xml"}


@pytest.mark.some(3)
@pytest.mark.parametrize("suffix", MAGIC)
@pytest.mark.parametrize(("draw", "drawn"), [(tile, sample(IMC)), (overview, view(HE))], ids=["tile", "overview"])
def test_a_picture_is_what_its_suffix_says(tmp_path: Path, suffix: str, draw: Any, drawn: Any) -> None:
    path = tmp_path / f"picture{suffix}"
    draw(drawn, path=str(path))
    assert path.read_bytes().startswith(MAGIC[suffix])
    assert b"spora-db" in path.read_bytes()


@pytest.mark.parametrize(
    ("name", "found", "better"),
    [("x.docx", r"ends in '\.docx'", "x.png"), ("x", "has no suffix", "x.png"), ("", "no suffix", "picture.png")],
)
def test_other_suffixes_are_refused(tmp_path: Path, name: str, found: str, better: str) -> None:
    message = rf"{found}; pictures are written as \.png, \.pdf, \.svg\. Name it '{better}'"
    with pytest.raises(ArgumentError, match=message):
        picture_format(name)
    for draw in (lambda path: tile(sample(IMC), path=path), lambda path: contact_sheet([], path=path)):
        with pytest.raises(ArgumentError, match="pictures are written as"):
            draw(tmp_path / (name or "y"))
    assert not list(tmp_path.iterdir())


def test_a_figure_shows_itself_without_pyplot() -> None:
    code = (
        "import sys, numpy as np; from spora_db.plot import contact_sheet\n"
        "s = dict(image=np.eye(8)[None], channel_names=['DAPI'], dataset='d', tissue_id='t', modality='imc')\n"
        "assert contact_sheet([s])._repr_png_()[:4] == b'\\x89PNG'\n"
        "assert not {'matplotlib.pyplot', 'torch', 'duckdb'} & set(sys.modules), 'imported too much'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
