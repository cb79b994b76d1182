"""Batches that are read as a whole: the same bits as row by row, each chunk once, samples only when asked for."""

import pickle
from functools import partial

import numpy as np
import pytest
import tifffile
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from alone import standardize_region
from array_reader import ArrayReader
from in_numpy import CLOSE, in_float64, region_of, unrounded
from lakes import write_lake
from spora_db import SporaQuery, collate_packed, collate_padded
from spora_db.errors import ArgumentError
from spora_db.images import cache_info, clear_cache, open_image, set_cache_bytes, write_omezarr
from spora_db.images.pieces import Regions, decode
from spora_db.loading.read_rows import ReadRows
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.precision import PIXELS
from spora_db.standardization.regions import Formula, standardize_regions
from spora_db.standardization.standardize import copy_raw, placed
from spora_db.standardization.transform import Transform

SHAPE = (3, 70, 90)


def write_v2(path, pixels):
    """Write Zarr of version 2, as most other programs do."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, chunks=(1, 24, 40))[:] = pixels
    axes = [{"name": name, "type": kind} for name, kind in (("c", "channel"), ("y", "space"), ("x", "space"))]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return readers of all formats with the pixels that they hold: types and chunks differ."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4000, SHAPE).astype(np.uint16)
    colours = rng.integers(0, 255, SHAPE).astype(np.uint8)
    numbers = rng.normal(3, 9, SHAPE).astype(np.float32)
    interleaved = np.moveaxis(colours, 0, 2)
    write_omezarr(folder / "v3.ome.zarr", numbers, mpp=1.0, chunk=32)
    write_omezarr(folder / "shards.ome.zarr", counts, mpp=1.0, chunk=16, shard=48)
    write_v2(folder / "v2.ome.zarr", colours)
    for name, pixels, how in (
        ("tiles", counts, {"tile": (16, 32), "compression": "zlib"}),
        ("lines", counts, {}),
        ("strips", numbers, {"rowsperstrip": 20, "compression": "zlib"}),
        ("colours", interleaved, {"tile": (32, 48), "photometric": "rgb", "compression": "zlib"}),
        ("jpeg", interleaved, {"tile": (32, 48), "photometric": "rgb", "compression": "jpeg"}),
    ):
        tifffile.imwrite(folder / f"{name}.tif", pixels, **{"photometric": "minisblack"} | how)
    held = {"v3": numbers, "shards": counts, "v2": colours, "tiles": counts, "lines": counts, "strips": numbers}
    held |= {name: np.moveaxis(tifffile.imread(folder / f"{name}.tif"), 2, 0) for name in ("colours", "jpeg")}
    opened = {path.name.partition(".")[0]: open_image(path) for path in folder.iterdir()}
    return [*((opened[name], pixels) for name, pixels in held.items()), (ArrayReader(numbers), numbers)]


def formula(method, channels, filters, halo):
    bounds = np.linspace(1, 2, channels)
    transform = Transform(method=method, lower=bounds, upper=90 * bounds, mean=bounds, std=3 * bounds)
    return Formula(transform, FilterFactory(["gaussian_blur"]) if filters else None, halo)


def expected(pixels, given, place):
    """Return a region as whole arrays give it: standardized in float64, filtered as it is or with what lies around."""
    row, col, height, width = place.values()
    if not given.margin:
        planes = in_float64(region_of(pixels, **place), given.transform).astype(np.float32)
        if given.filters is not None:
            given.filters.apply_in_place(planes)
        return planes
    out = in_float64(np.zeros((len(pixels), height, width)), given.transform).astype(np.float32)
    ends = [(max(at, 0), min(at + size, end)) for at, size, end in ((row, height, SHAPE[1]), (col, width, SHAPE[2]))]
    (top, bottom), (left, right) = ends
    if bottom <= top or right <= left:
        return out
    up, start = max(row - given.margin, 0), max(col - given.margin, 0)
    around = pixels[:, up : row + height + given.margin, start : col + width + given.margin]
    planes = in_float64(around, given.transform).astype(np.float32)
    given.filters.apply_in_place(planes)
    out[:, top - row : bottom - row, left - col : right - col] = planes[
        :, top - up : bottom - up, left - start : right - start
    ]
    return out


def check_regions(images, data):
    precision = data.draw(st.sampled_from([*CLOSE, "raw"]))
    method = data.draw(st.sampled_from(["identity", "quantile_clipping", "quantile_clipping_log1p", "rgb"]))
    filters, halo = data.draw(st.booleans()), data.draw(st.booleans())
    pages = [np.array(data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))) for _ in images]
    count = data.draw(st.integers(1, 8))
    numbers = {"row": (-40, 90), "col": (-40, 110), "height": (8, 50), "width": (8, 50), "image": (0, len(images) - 1)}
    drawn = {name: np.array([data.draw(st.integers(*own)) for _ in range(count)]) for name, own in numbers.items()}
    readers = [reader for reader, _ in images]
    regions = Regions(readers=readers, pages=pages, **drawn)
    formulas = [formula(method, len(own), filters, halo) for own in pages]
    kinds = [reader.dtype if precision == "raw" else PIXELS[precision] for reader in readers]
    shapes = zip(drawn["image"].tolist(), drawn["height"].tolist(), drawn["width"].tolist(), strict=True)
    outs = [np.empty((len(pages[image]), height, width), kinds[image]) for image, height, width in shapes]
    faults = {}
    if precision == "raw":
        for found in decode(regions, faults):
            copy_raw(found, placed(outs))
    else:
        standardize_regions(regions, formulas, placed(outs), dtype=PIXELS[precision], faults=faults)
    for i, out in enumerate(outs):
        image, place = drawn["image"][i], regions.at(i)
        own, pixels = formulas[image], images[image][1][pages[image]]
        if precision == "raw":
            np.testing.assert_array_equal(out, region_of(pixels, **place))
            continue
        alone = partial(standardize_region, readers[image], pages[image], own.transform, **place, halo=halo)
        if i in faults:  # too little of it lies in the image for a filter
            with pytest.raises(ArgumentError, match="too small for a gaussian_blur"):
                alone(filters=own.filters)
            continue
        assert alone(out=np.empty_like(out), filters=own.filters).tobytes() == out.tobytes()
        np.testing.assert_allclose(unrounded(out), expected(pixels, own, place), **CLOSE[precision])


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_regions_together_are_those_of_numpy_and_the_regions_alone(images, data):
    """Of any formats, pages, places and sizes, across edges and outside, filtered or not, in any precision or raw."""
    check_regions(images, data)


@pytest.mark.slow
@settings(deadline=None, max_examples=600)
@given(data=st.data())
def test_many_more_regions(images, data):
    check_regions(images, data)


def test_each_chunk_of_a_batch_is_decoded_once(images):
    reader = images[0][0]
    places = {name: np.array([0, 5, 20, 40]) for name in ("row", "col")}
    regions = Regions(
        readers=[reader], pages=[np.arange(3)], image=np.zeros(4, np.int64), **places,
        height=np.full(4, 30), width=np.full(4, 30),
    )  # fmt: skip
    before = cache_info().bytes_limit
    set_cache_bytes(0)
    clear_cache()
    try:
        assert sum(len(found.pieces) for found in decode(regions, {})) > 9
        assert cache_info().bytes_decoded == 7 * 32 * 32 * 3 * 4
    finally:
        set_cache_bytes(before)


# -- samples ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_lake(tmp_path_factory.mktemp("read") / "lake")


@pytest.fixture(params=[("imc",), ("imc", "he")], ids=["one", "two"])
def dataset(lake, request):
    query = SporaQuery(lake).modality(*request.param, missing="keep").tiles(size=32, mpp=1.0).select("age")
    return query.label("cancer_type").to_torch()


def same(found, expected):
    if isinstance(found, torch.Tensor):
        return found.dtype == expected.dtype and torch.equal(found.nan_to_num(-1.0), expected.nan_to_num(-1.0))
    if isinstance(found, dict):
        return list(found) == list(expected) and all(same(found[name], expected[name]) for name in found)
    return found == expected or found != found


@pytest.mark.some(3)
@pytest.mark.parametrize("collate", [collate_padded, collate_packed])
@pytest.mark.parametrize("rows", [[0, 1, 2], [0, 20, 40, 20]], ids=["one panel", "three"])
def test_a_batch_of_columns_is_that_of_samples(dataset, collate, rows):
    together = dataset.__getitems__(rows)
    batch = collate(together)
    assert together.columns() is not None  # no sample was made
    assert same(batch, collate([dataset[row] for row in rows]))
    assert same(batch, collate(list(dataset.__getitems__(rows))))


def test_samples_are_made_once_and_kept(dataset):
    rows = dataset.__getitems__([0, 20, 40])
    assert isinstance(rows, ReadRows)
    rows[1]["added"] = 5
    assert rows.columns() is None
    assert rows[-2] is rows[1] is rows[:2][1]
    assert [sample.get("added") for sample in rows] == [None, 5, None]
    assert len(rows) == 3
    with pytest.raises(IndexError):
        rows[3]


def test_rows_that_are_sent_arrive_as_a_list(dataset):
    rows = dataset.__getitems__([0, 20])
    sent = pickle.loads(pickle.dumps(rows))
    assert type(sent) is list
    assert all(map(same, sent, rows))
