"""Import: what people have becomes a dataset that validates, pixel for pixel, or nothing at all."""

import json
import re
import shlex

import imagecodecs
import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from imports import importing
from lakes import coordinates_image
from spora_db import Catalog, SporaQuery, errors
from spora_db.cli import app
from spora_db.images import open_image, read_region, write_ometiff, write_omezarr
from spora_db.importing.mask_files import SUFFIXES
from spora_db.importing.tissue_masks import smooth, threshold, tissue_mask
from spora_db.masks import load_label_mask, load_tissue_mask
from spora_db.validation import validate

NAMES = ["DNA", "CD3", "CD8", "Ki-67"]
METALS = ["Ir191", "Er170", "Dy162", "Er168"]
STEINBOCK = "channel,name,keep\n" + "".join(f"{m},{n},1\n" for m, n in zip(METALS, NAMES, strict=True))
HEIGHT, WIDTH = 70, 90


def pixels(number, channels=4):
    return coordinates_image(channels, HEIGHT, WIDTH, offset=11 * number)


def folder_of_channels(raw, names=NAMES, channels=4):
    """A sub-folder per field of view, a TIFF per channel."""
    for number, tissue in enumerate(["roi_1", "roi_2"]):
        (raw / tissue).mkdir(parents=True)
        for name, plane in zip(names, pixels(number, channels), strict=True):
            tifffile.imwrite(raw / tissue / f"{name}.tiff", plane)


def multi_page(raw, names=NAMES):
    """A TIFF per field of view, every page with a name."""
    raw.mkdir()
    for number, tissue in enumerate(["roi_1", "roi_2"]):
        with tifffile.TiffWriter(raw / f"{tissue}.tif") as tiff:
            for name, plane in zip(names, pixels(number), strict=True):
                tiff.write(plane, extratags=[(285, "s", 0, name, True)], metadata=None)


def ome_tiff(raw, names=NAMES):
    for number, tissue in enumerate(["roi_1", "roi_2"]):
        write_ometiff(raw / f"{tissue}.ome.tiff", pixels(number), mpp=1.0, channel_names=names)


def ome_zarr(raw, names=NAMES):
    for number, tissue in enumerate(["roi_1", "roi_2"]):
        write_omezarr(raw / f"{tissue}.ome.zarr", pixels(number), mpp=1.0, channel_names=names)


def unnamed_pages(raw):
    raw.mkdir()
    for number, tissue in enumerate(["roi_1", "roi_2"]):
        tifffile.imwrite(raw / f"{tissue}.tiff", pixels(number), photometric="minisblack")


SHAPES = [folder_of_channels, multi_page, ome_tiff, ome_zarr, unnamed_pages]


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


@pytest.fixture
def bring(tmp_path, raw):
    run = importing(tmp_path)
    return lambda *, source=raw, **options: run(source, **options)


def image_of(report, tissue, modality="imc", mpp="1_0mpp"):
    [path] = (report.path / modality / mpp / "images").glob(f"{tissue}.ome.*")
    return read_region(open_image(path))


@pytest.mark.some(3)
@pytest.mark.parametrize("images", ["zarr", "tiff", "copy", "link"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_shape_of_input_comes_back_pixel_for_pixel(bring, raw, shape, images):
    shape(raw)
    if shape is folder_of_channels and images in ("copy", "link"):
        with pytest.raises(errors.ArgumentError, match="single-channel files"):
            bring(panel=STEINBOCK, images=images)
        return
    report = bring(panel=STEINBOCK, images=images)
    assert (report.tissues, report.channels) == (("roi_1", "roi_2"), tuple(NAMES))
    for number, tissue in enumerate(report.tissues):
        np.testing.assert_array_equal(image_of(report, tissue), pixels(number), strict=True)
    assert not [item for item in validate(report.path.parent, deep=True) if item.severity != "note"]
    linked = [path for path in (report.path / "imc/1_0mpp/images").iterdir() if path.is_symlink()]
    assert len(linked) == (2 if images == "link" else 0)


def test_an_imported_dataset_can_be_queried(bring, raw):
    ome_tiff(raw)
    report = bring(panel=STEINBOCK, metadata="tissue_id,patient_id,age\nroi_2,007,61\nroi_1,008,\n", tissue_mask="full")
    with Catalog(report.path.parent) as catalog:
        rows = catalog.sql("SELECT tissue_id, modality, patient_id, age FROM tissues ORDER BY ALL").fetchall()
        assert rows == [("roi_1", "imc", "008", None), ("roi_2", "imc", "007", 61)]
        pages = catalog.sql("SELECT channel_name, page FROM tissue_channels WHERE tissue_id = 'roi_1' ORDER BY page")
        assert pages.fetchall() == list(zip(NAMES, range(4), strict=True))
    with pytest.raises(errors.QueryError, match="spora-db tile"):
        SporaQuery(report.path.parent).modality("imc").count()


def test_pages_follow_the_panel_whatever_their_order_in_the_file(bring, raw):
    ome_tiff(raw)
    turned = "channel_name,qc_pass,uniprot,nuclear,clone\nKi-67,1,P46013,0,B56\nDNA,0,,1,\n"
    turned += "CD8,yes,P01732,no,C8\nCD3,1,P07766,0,\n"
    report = bring(panel=turned)
    np.testing.assert_array_equal(image_of(report, "roi_1"), pixels(0)[[3, 0, 2, 1]])
    assert pq.read_table(report.path / "imc/channels.parquet").to_pydict() == {
        "channel_name": ["Ki-67", "DNA", "CD8", "CD3"],
        "qc_pass": [True, False, True, True],
        "uniprot_id": ["P46013", None, "P01732", "P07766"],
        "is_nuclear_marker": [False, True, False, False],
        "clone": ["B56", None, "C8", None],
    }
    with pytest.raises(errors.ArgumentError, match=r"in the panel's order.*3, 0, 2, 1 of 4"):
        bring(panel=turned, images="link", dataset="linked")


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "names",
    [NAMES, METALS, [f"{m}_{n}" for m, n in zip(METALS, NAMES, strict=True)], [name.lower() for name in NAMES]],
    ids=["name", "metal", "metal_name", "lower case"],
)
def test_a_page_is_known_by_its_name_its_metal_or_both(bring, raw, names):
    ome_tiff(raw, names=names)
    assert bring(panel=STEINBOCK).channels == tuple(NAMES)


def test_rows_not_kept_leave_their_page_out(bring, raw):
    multi_page(raw)
    report = bring(panel=STEINBOCK.replace("CD3,1", "CD3,0"))
    assert report.channels == ("DNA", "CD8", "Ki-67")
    np.testing.assert_array_equal(image_of(report, "roi_2"), pixels(1)[[0, 2, 3]])
    unnamed = raw.with_name("unnamed")
    unnamed_pages(unnamed)
    report = bring(source=unnamed, panel=STEINBOCK.replace("CD3,1", "CD3,0"), dataset="by_order")
    np.testing.assert_array_equal(image_of(report, "roi_2"), pixels(1)[[0, 2, 3]])


def test_without_a_panel_the_images_name_the_channels(bring, raw):
    folder_of_channels(raw)
    report = bring()
    assert report.channels == ("CD3", "CD8", "DNA", "Ki-67")
    assert any("No panel was given" in note for note in report.notes)
    np.testing.assert_array_equal(image_of(report, "roi_1"), pixels(0)[[1, 2, 0, 3]])


def test_a_channel_may_be_unmeasured_in_a_tissue_if_said_so(bring, raw):
    folder_of_channels(raw)
    (raw / "roi_2" / "CD8.tiff").unlink()
    with pytest.raises(errors.TableError, match="roi_2 has no page for 'CD8'"):
        bring(panel=STEINBOCK)
    report = bring(panel=STEINBOCK, missing="unmeasured")
    assert pq.read_table(report.path / "imc/channels_per_tissue.parquet")["CD8"].to_pylist() == [True, False]
    np.testing.assert_array_equal(image_of(report, "roi_2"), pixels(1)[[0, 1, 3]])


@pytest.mark.some(3)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_masks_of_every_format(bring, raw, tmp_path, suffix):
    ome_tiff(raw)
    mask = (pixels(0)[0] % 7).astype(np.uint16)
    (tmp_path / "masks").mkdir()
    for tissue, name in (("roi_1", f"roi_1{suffix}"), ("roi_2", f"roi_2_mask{suffix}")):
        path = tmp_path / "masks" / name
        if suffix == ".npz":
            np.savez(path, mask=mask)
        elif suffix == ".npy":
            np.save(path, mask)
        elif suffix == ".png":
            path.write_bytes(imagecodecs.png_encode(mask))
        else:
            tifffile.imwrite(path, mask)
        assert tissue in name
    report = bring(panel=STEINBOCK, masks=tmp_path / "masks", cell_masks=tmp_path / "masks")
    folder = report.path / "segmentations/1_0mpp"
    np.testing.assert_array_equal(load_tissue_mask(folder / "tissue_masks/roi_1.npz"), mask > 0)
    np.testing.assert_array_equal(load_label_mask(folder / "cell_masks/instances/roi_2.npz"), mask)
    card = json.loads((report.path / "metadata/dataset.json").read_text())
    assert card["tissue_masks"] == "from files"


def test_tissue_masks_are_made_by_a_stated_method(bring, raw):
    image = np.zeros((4, HEIGHT, WIDTH), np.float32)
    image[:, 20:50, 30:60] = np.random.default_rng(0).gamma(9, 2, (4, 30, 30))
    write_ometiff(raw / "roi.ome.tiff", image, mpp=20.0, channel_names=NAMES)
    report = bring(mpp=20.0)
    mask = load_tissue_mask(report.path / "segmentations/20_0mpp/tissue_masks/roi.npz")
    truth = np.zeros((HEIGHT, WIDTH), bool)
    truth[20:50, 30:60] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85
    stated = json.loads((report.path / "metadata/dataset.json").read_text())["tissue_masks"]
    assert stated.startswith("tissue: sum of channels by their means, a quarter between the two Otsu classes")
    assert any(stated in note for note in report.notes)


def test_tissue_of_a_stained_slide_is_what_is_dark():
    slide = np.full((3, 60, 60), 240, np.uint8)
    slide[:, 10:40, 10:40] = [[[150]], [[80]], [[160]]]
    mask = tissue_mask(slide, method="otsu", mpp=2.0, is_rgb=True)
    assert mask[15:35, 15:35].all()
    assert not mask[45:].any()


def test_threshold_is_the_best_of_all():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(1, 0.2, 900), rng.normal(4, 0.5, 300)]).reshape(30, 40)
    found = threshold(values)

    def between(mask):
        inside, outside = values[mask], values[~mask]
        return inside.size * outside.size * (inside.mean() - outside.mean()) ** 2

    cuts = np.linspace(values.min(), values.max(), 257)[1:-1]
    assert between(found) >= 0.999 * max(between(values > cut) for cut in cuts if (values > cut).any())
    assert not threshold(np.full((4, 4), 2.0)).any()


def test_smoothing_keeps_the_mean_of_a_constant_and_spreads_a_point():
    np.testing.assert_allclose(smooth(np.full((9, 5), 3.0), radius=2), 3.0)
    point = np.zeros((41, 41))
    point[20, 20] = 1.0
    blurred = smooth(point, radius=2)
    assert blurred.sum() == pytest.approx(1.0)
    assert np.sqrt((blurred.sum(1) * (np.arange(41) - 20) ** 2).sum()) == pytest.approx(np.sqrt(3 * 24 / 12))


def test_cells_and_metadata_of_steinbock(bring, raw):
    ome_tiff(raw)
    report = bring(
        panel=STEINBOCK,
        metadata="image;Sex;group\nroi_1.tiff;F;1.5\nroi_2.tiff;M;\nroi_9.tiff;M;2\n",
        cells="image,Object,area\nroi_1.tiff,1,30.5\nroi_1.tiff,2,41\nroi_7.tiff,1,9\n",
        id_column="image",
    )
    assert "1 row of metadata.csv left out, without an image here: 'roi_9.tiff'." in report.notes
    assert "1 row of cells.csv left out, of other tissues: 'roi_7.tiff'." in report.notes
    tissues = pq.read_table(report.path / "metadata/tissues.parquet").to_pylist()
    assert tissues[0] == {
        "tissue_id": "roi_1", "dataset": "mine", "modality": "imc", "image": "roi_1.tiff", "Sex": "F", "group": 1.5,
    }  # fmt: skip
    cells = pq.read_table(report.path / "metadata/cells.parquet").to_pydict()
    assert cells == {
        "tissue_id": ["roi_1"] * 2, "cell_id": [1, 2], "image": ["roi_1.tiff"] * 2, "area": [30.5, 41.0],
    }  # fmt: skip


@pytest.mark.some(2)
@pytest.mark.parametrize("images", ["zarr", "tiff", "link", "copy"])
def test_stained_slides(bring, raw, images):
    rng = np.random.default_rng(3)
    slide = rng.integers(0, 255, (3, HEIGHT, WIDTH)).astype(np.uint8)
    write_ometiff(raw / "slide.ome.tiff", slide, mpp=0.5, photometric="rgb")
    report = bring(modality="ihc_Ki67", mpp="0.5", images=images)
    assert report.channels == ()
    np.testing.assert_array_equal(image_of(report, "slide", "ihc/ihc_Ki67", "0_5mpp"), slide)
    assert not [item for item in validate(report.path.parent, deep=True) if item.severity != "note"]


def test_one_image_and_a_store_of_version_2(bring, raw):
    store = zarr.open_group(raw / "a.zarr", mode="w", zarr_format=2)
    store.create_array("0", data=pixels(0), chunks=(1, 32, 32))
    store.attrs["omero"] = {"channels": [{"label": name} for name in NAMES]}
    assert bring(source=raw / "a.zarr", panel=STEINBOCK).tissues == ("a",)


def spoil_size(raw):
    folder_of_channels(raw)
    tifffile.imwrite(raw / "roi_1" / "CD8.tiff", np.zeros((9, 9), np.float32))


def spoil_pages(raw):
    folder_of_channels(raw)
    tifffile.imwrite(raw / "roi_1" / "CD8.tiff", pixels(0), photometric="minisblack")


def mixed(raw):
    folder_of_channels(raw)
    ome_tiff(raw)


def twice(raw):
    ome_tiff(raw)
    tifffile.imwrite(raw / "ROI_1.tif", np.zeros((9, 9), np.float32))


def doubled(raw):
    ome_tiff(raw, names=["DNA", "CD3", "CD3", "Ki-67"])


def broken(raw):
    raw.mkdir()
    (raw / "a.tiff").write_text("version https://git-lfs")


def empty(raw):
    raw.mkdir()
    (raw / "notes.txt").touch()


BAD = [
    (empty, {}, errors.ImageNotFoundError, "no image in .*notes.txt"),
    (lambda raw: None, {}, errors.ImageNotFoundError, "nothing at"),
    (broken, {}, errors.FileFormatError, "git-lfs pointer"),
    (mixed, {}, errors.ArgumentError, "both images .* and folders"),
    (twice, {}, errors.ArgumentError, "same tissue"),
    (spoil_size, {}, errors.FileFormatError, "files of field 'roi_1' differ"),
    (spoil_pages, {}, errors.FileFormatError, "every TIFF has one"),
    (doubled, {"panel": STEINBOCK}, errors.TableError, "several pages for the channel 'CD3'"),
    (unnamed_pages, {}, errors.ArgumentError, "does not name its channel 0, and no panel"),
    (unnamed_pages, {"panel": STEINBOCK, "match": "name"}, errors.TableError, "match 'order'"),
    (unnamed_pages, {"panel": "name\nA\nB\n"}, errors.TableError, "4 pages, the panel has 2 rows"),
    (ome_tiff, {"panel": "name\nA\nB\nC\nD\n"}, errors.TableError, "not in the panel: 'DNA'.*match 'order'"),
    (ome_tiff, {"panel": STEINBOCK + "Gd1,CD4,1\n"}, errors.TableError, "no page for 'CD4'"),
    (ome_tiff, {"panel": STEINBOCK + "Gd1,CD8,1\n"}, errors.TableError, "more than once: CD8"),
    (ome_tiff, {"panel": "channel,nam,keep\nIr1,DNA,1\n"}, errors.TableError, "Did you mean 'name'"),
    (ome_tiff, {"panel": "clone,lot\nX,1\n"}, errors.TableError, "no column of channel names"),
    (ome_tiff, {"panel": "name,keep\nDNA,maybe\n"}, errors.TableError, "keep is 'maybe'; expected 1 or 0"),
    (ome_tiff, {"panel": "channel,name,keep\nIr1,,1\n"}, errors.TableError, "Row 2 .* has no name"),
    (ome_tiff, {"panel": "name,keep\nDNA,0\n"}, errors.TableError, "keeps no channel"),
    (ome_tiff, {"panel": "name,keep\nDNA\n"}, errors.FileFormatError, "Row 2 .* has 1 values, the header has 2"),
    (ome_tiff, {"panel": ""}, errors.FileFormatError, "is empty"),
    (ome_tiff, {"metadata": "tissue_id\nroi_1\n"}, errors.TableError, "1 of 2 images: 'roi_2'. .*has nothing besides"),
    (ome_tiff, {"metadata": "ROI\nroi_1\nroi_02b\n", "id_column": "roi"}, errors.TableError, "has 'roi_02b' besides"),
    (ome_tiff, {"metadata": "tissue_id\nroi_1\nroi_1\nroi_2\n"}, errors.TableError, "several rows .* roi_1"),
    (ome_tiff, {"metadata": "x\na\nb\n"}, errors.TableError, "no column that names the 2 images: 'roi_1'"),
    (ome_tiff, {"metadata": "image\nroi_1\n", "id_column": "imag"}, errors.UnknownNameError, "Did you mean 'image'"),
    (ome_tiff, {"metadata": "tissue_id,modality\nroi_1,codex\nroi_2,imc\n"}, errors.TableError, "says 'codex'"),
    (ome_tiff, {"cells": "tissue_id,area\nroi_1,1\n"}, errors.TableError, "no column of cell ids"),
    (ome_tiff, {"cells": "tissue_id,cell_id\nroi_1,x\n"}, errors.TableError, "expected whole numbers"),
    (ome_tiff, {"images": "move"}, errors.ArgumentError, "expected one of link, copy, zarr, tiff"),
    (ome_tiff, {"tissue_mask": "masks"}, errors.ArgumentError, "masks=<folder>"),
    (ome_tiff, {"modality": "he"}, errors.TableError, "4 channels of float32; H&E"),
    (ome_tiff, {"modality": "he", "panel": STEINBOCK}, errors.ArgumentError, "Leave it out"),
    (ome_tiff, {"modality": "xray"}, errors.ArgumentError, "'xray' has no folder"),
    (ome_tiff, {"mpp": 0}, errors.ArgumentError, "not a resolution"),
    (ome_tiff, {"dataset": "../x"}, errors.ArgumentError, "The dataset '../x' is refused"),
]


@pytest.mark.parametrize(("make", "options", "error", "message"), BAD, ids=range(len(BAD)))
def test_bad_input_is_refused_with_a_reason_and_nothing_is_left(bring, raw, tmp_path, make, options, error, message):
    make(raw)
    with pytest.raises(error, match=re.compile(message, re.DOTALL)):
        bring(**options)
    assert not (tmp_path / "lake").exists()


def test_masks_that_do_not_fit(bring, raw, tmp_path):
    ome_tiff(raw)
    masks = tmp_path / "masks"
    masks.mkdir()
    np.save(masks / "roi_1.npy", np.ones((HEIGHT, WIDTH), bool))
    with pytest.raises(errors.MaskNotFoundError, match="'roi_2'"):
        bring(masks=masks)
    np.save(masks / "roi_2.npy", np.ones((HEIGHT, WIDTH + 1), bool))
    with pytest.raises(errors.FileFormatError, match=r"70 x 91, but the image .* is 70 x 90"):
        bring(masks=masks)
    np.save(masks / "roi_2.npy", np.full((HEIGHT, WIDTH), 0.5))
    with pytest.raises(errors.FileFormatError, match="no whole numbers"):
        bring(masks=masks)
    np.save(masks / "roi_2.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(errors.FileFormatError, match="cannot be read"):
        bring(masks=masks)
    np.save(masks / "roi_2.npy", np.full((HEIGHT, WIDTH), -1))
    with pytest.raises(errors.FileFormatError, match="labels from -1"):
        bring(cell_masks=masks)
    np.savez(masks / "roi_2_mask.npz", mask=np.ones((HEIGHT, WIDTH)))
    with pytest.raises(errors.TableError, match="several masks of 'roi_2'"):
        bring(masks=masks)
    with pytest.raises(errors.ArgumentError, match="no folder"):
        bring(masks=masks / "roi_1.npy")
    assert not (tmp_path / "lake").exists()


def test_an_existing_dataset_stays_unless_it_is_to_be_replaced(bring, raw, tmp_path):
    ome_tiff(raw)
    bring()
    with pytest.raises(errors.WriteError, match="overwrite"):
        bring()
    folder_of_channels(raw.with_name("other"), names=NAMES[:2], channels=2)
    with pytest.raises(errors.TableError):
        bring(source=raw.with_name("other"), panel=STEINBOCK, overwrite=True)
    assert image_of(bring(source=raw.with_name("other"), overwrite=True), "roi_1").shape[0] == 2
    assert [path.name for path in (tmp_path / "lake").iterdir()] == ["mine"]
    with pytest.raises(errors.ArgumentError, match="would be replaced"):
        bring(source=tmp_path / "lake/mine/imc/1_0mpp/images", overwrite=True)
    with pytest.raises(errors.ArgumentError, match="is a dataset, not a lake"):
        bring(into=tmp_path / "lake/mine")
    (tmp_path / "lake/papers").mkdir()
    with pytest.raises(errors.WriteError, match="no dataset's folder"):
        bring(dataset="papers", overwrite=True)


def test_a_failure_while_writing_leaves_the_old_dataset(bring, raw, monkeypatch, tmp_path):
    ome_tiff(raw)
    before = image_of(bring(), "roi_1")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spora_db.importing.dataset.write_parquet", full)
    with pytest.raises(errors.WriteError, match="No space left"):
        bring(overwrite=True)
    with pytest.raises(errors.WriteError, match="No space left"):
        bring(into=tmp_path / "deep" / "lake")
    monkeypatch.undo()
    np.testing.assert_array_equal(image_of(bring(dataset="again"), "roi_1"), before)
    assert sorted(path.name for path in (tmp_path / "lake").iterdir()) == ["again", "mine"]
    assert not (tmp_path / "deep").exists()


def test_command_imports_and_says_what_is_next(raw, tmp_path):
    multi_page(raw)
    (tmp_path / "panel.csv").write_text(STEINBOCK)
    lake = tmp_path / "my lake"
    arguments = ["import", str(raw), "--dataset", "it's mine", "--into", str(lake), "--modality", "imc"]
    arguments += ["--mpp", "1.0", "--panel", str(tmp_path / "panel.csv"), "--tissue-mask", "full"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "it's mine: 2 tissues, 4 channels" in result.stdout
    assert "metadata: No metadata was given" in result.stdout
    command = shlex.split(result.stdout.partition("Next: ")[2])  # as a shell reads it
    assert command[:5] == ["spora-db", "tile", str(lake), "--dataset", "it's mine"]
    with pytest.raises(errors.QueryError, match="Make one with: ") as failed:
        SporaQuery(lake).modality("imc").tiles(size=16, mpp=1.0).count()
    command = shlex.split(str(failed.value).partition("Make one with: ")[2])
    assert CliRunner().invoke(app, command[1:]).exit_code == 0
    query = SporaQuery(lake).modality("imc").tiles(size=16, mpp=1.0).standardize("quantile_clipping/uq_0.99_image")
    with pytest.raises(errors.StatisticsNotFoundError, match="make them with: ") as failed:
        query.to_torch()
    command = shlex.split(str(failed.value).partition("make them with: ")[2].partition(" (")[0])
    assert CliRunner().invoke(app, [str(lake) if word == "LAKE" else word for word in command[1:]]).exit_code == 0
    assert len(query.to_torch()) == query.count() > 0
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, errors.WriteError)
