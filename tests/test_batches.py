"""What collates make of samples: types that follow from the query, moves of frameworks, torch's own collate."""

import copy
import datetime
import math
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, default_collate
from torch.utils.data._utils.pin_memory import pin_memory

from lakes import write_lake
from spora_db import Batch, SporaQuery, collate_list, collate_packed, collate_padded, collate_panel, standardize_batch
from spora_db.errors import ArgumentError, QueryError
from spora_db.loading.sample import Sample
from spora_db.plot.sources import samples_of

COLLATES = [collate_padded, collate_packed, collate_panel(["CD8", "P07766"])]
ROWS = [0, 20, 40]
"""Of three tissues, the second without CD3e and H&E."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_lake(tmp_path_factory.mktemp("batches") / "lake")


@pytest.fixture(scope="module")
def tiles(lake):
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).select("age", "cancer_type").to_torch()


@pytest.fixture(scope="module")
def places(lake):
    query = SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32, mpp=1.0)
    return query.select("age", "cancer_type").to_torch()


def equal(found, expected):
    """Whether values are the same, of the same classes."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, torch.Tensor):
        return found.dtype == expected.dtype and torch.equal(found.nan_to_num(-99.0), expected.nan_to_num(-99.0))
    if isinstance(found, dict):
        return list(found) == list(expected) and all(equal(found[name], expected[name]) for name in expected)
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(equal, found, expected))
    return found == expected


# -- types ------------------------------------------------------------------------------------------------------------

COLUMNS = {
    "tile_id::TINYINT": torch.int64,
    "tile_id::UBIGINT": torch.int64,
    "tile_id::HUGEINT": torch.int64,
    "CASE WHEN tile_id <> 1 THEN tile_id END": torch.float64,
    "CASE WHEN tile_id <> 1 THEN tile_id::HUGEINT END": torch.float64,
    "tile_id > 1": torch.bool,
    "CASE WHEN tile_id <> 1 THEN tile_id > 1 END": torch.float64,
    "(tile_id / 3)::FLOAT": torch.float64,
    "CASE WHEN tile_id <> 1 THEN tile_id / 3 END": torch.float64,
    "tile_id * 0.1": torch.float64,  # DECIMAL
    "CASE WHEN tile_id <> 1 THEN tile_id * 0.1 END": torch.float64,
    "CAST(NULL AS INTEGER)": torch.float64,
    "tissue_id || tile_id": list,
    "CASE WHEN tile_id <> 1 THEN tissue_id END": list,
    "CASE WHEN tile_id <> 1 THEN DATE '2020-01-01' + tile_id::INTEGER END": list,
    "TIMESTAMP '2020-01-01 10:00:00'": list,
    "CASE WHEN tile_id <> 1 THEN [tile_id, 2] END": list,
    "[tile_id, 2]": list,
    "{'a': tile_id}": list,
    "CASE WHEN tile_id <> 1 THEN {'a': tile_id} END": list,
    "encode(tissue_id)": list,
}


@pytest.fixture(scope="module")
def typed(lake):
    """Rows 0, 1 and 2 of a dataset whose columns have every kind of type; where there are nulls, row 1 has one."""
    columns = ", ".join(f"{text} AS column_{number}" for number, text in enumerate(COLUMNS))
    text = f"""SELECT dataset, tissue_id, tile_id, "row", col, {columns} FROM tiles
        WHERE tissue_id = 'alpha_0000' AND modality = 'imc' AND tile_id < 3"""
    query = SporaQuery.from_sql(lake, text).modality("imc").tiles(size=32, mpp=1.0)
    return query.select(*(f"column_{number}" for number in range(len(COLUMNS)))).to_torch()


@pytest.mark.parametrize("collate", COLLATES)
def test_the_type_of_a_column_is_that_of_the_query_whichever_rows_meet(typed, collate):
    values = typed.plan.columns
    for rows in ([0], [1], [2], [0, 2], [2, 1], [0, 1, 2]):
        batch = collate(typed.__getitems__(rows))
        for number, (text, kind) in enumerate(COLUMNS.items()):
            found, expected = batch[f"column_{number}"], values.column(f"column_{number}").take(rows).to_pylist()
            if kind is list:
                assert (type(found), found) == (list, expected), text
            else:
                assert (found.dtype, found.shape) == (kind, (len(rows),)), text
                numbers = [math.nan if value is None else float(value) for value in expected]
                assert found.tolist() == pytest.approx(numbers, nan_ok=True, rel=0, abs=0), text


@pytest.mark.some(2)
@pytest.mark.parametrize("text", ["tile_id::UBIGINT + 18446744073709551600", "(2::HUGEINT ** 70)::HUGEINT"])
def test_whole_numbers_that_no_tensor_holds_are_refused(lake, text):
    nulls = "CASE WHEN tile_id <> 1 THEN 9007199254740993 END"
    for column, limit in ((text, "beyond 64 bits"), (nulls, r"beyond 2\*\*53, beside nulls")):
        sql = f"SELECT dataset, tissue_id, tile_id, \"row\", col, {column} AS large FROM tiles WHERE modality = 'imc'"
        query = SporaQuery.from_sql(lake, sql).modality("imc").tiles(size=32, mpp=1.0).select("large")
        with pytest.raises(QueryError, match=rf"'large' of the query .*{limit}.*AS VARCHAR"):
            query.to_torch()


TIMES = {
    "DATE 'infinity'": None,
    "TIMESTAMP '-infinity'": None,
    "TIMESTAMPTZ '290000-01-01 00:00:00+00'": None,
    "DATE '0044-03-15 (BC)'": None,
    "TIME '24:00:00'": None,
    "TIME_NS '10:00:00.123456789'": None,
    "DATE '9999-12-31'": datetime.date(9999, 12, 31),
    "TIMESTAMP '0001-01-01 00:00:00'": datetime.datetime(1, 1, 1),
    "TIME '23:59:59.999999'": datetime.time(23, 59, 59, 999999),
    "TIME_NS '10:00:00.123456'": datetime.time(10, 0, 0, 123456),
}
"""Times of DuckDB, and what they are in Python; pyarrow gave 00:00 for 24:00, and ended in an OverflowError."""


@pytest.mark.some(3)
@pytest.mark.parametrize(("text", "expected"), TIMES.items())
def test_times_that_python_has_not_are_refused(lake, text, expected):
    column = f"CASE WHEN tile_id = 1 THEN {text} END AS at"
    sql = f"SELECT dataset, tissue_id, tile_id, \"row\", col, {column} FROM tiles WHERE modality = 'imc'"
    query = SporaQuery.from_sql(lake, sql).modality("imc").tiles(size=32, mpp=1.0).select("at")
    if expected is None:
        with pytest.raises(QueryError, match=r"'at' of the query holds times .*AS VARCHAR"):
            query.to_torch()
    else:
        assert [sample["at"] for sample in query.to_torch().__getitems__([0, 1])] == [None, expected]


@pytest.mark.parametrize("collate", COLLATES)
def test_numbers_of_a_sample_are_tensors(tiles, collate):
    samples = tiles.__getitems__(ROWS)
    batch = collate(samples)
    assert type(batch) is Batch
    for name, dtype in (("tile_id", torch.int64), ("row", torch.int64), ("col", torch.int64), ("mpp", torch.float64)):
        assert equal(batch[name], torch.tensor([sample[name] for sample in samples], dtype=dtype))
    assert equal(batch["age"], torch.tensor([40, 60, 40]))
    for name in ("dataset", "tissue_id", "cancer_type", "spec"):
        assert batch[name] == [sample[name] for sample in samples]


def test_cells_substitutes_and_modalities(lake, tmp_path):
    from cell_lakes import write_cells, write_masks

    own = write_lake(tmp_path / "lake", names=("alpha",))
    write_cells(own / "alpha", write_masks(own), names=("Pos_Y", "Pos_X"))
    cells = SporaQuery(own).modality("imc", "he").cells(size=24).with_masks("instances").with_cells("area")
    dataset = cells.to_torch(on_error="replace")
    samples = dataset.__getitems__([0, 1])
    for name, part in collate_padded(samples).items():
        assert type(part) is Batch
        assert equal(part["cell_id"], torch.tensor([sample[name]["cell_id"] for sample in samples]))
        assert equal(part["substituted_for"], torch.tensor([-1, -1]))
        assert equal(part["tile_id"], torch.tensor([-1, -1]))
        assert part["masks"]["instances"].shape == (2, 24, 24)
        assert equal(part["cells"], [sample[name]["cells"] for sample in samples])


ADDED = [
    ([torch.tensor(3), torch.tensor(-1)], torch.tensor([3, -1])),
    ([torch.tensor(0.5), torch.tensor(1.5)], torch.tensor([0.5, 1.5])),
    ([3, -1], torch.tensor([3, -1])),
    ([0.5, 2], torch.tensor([0.5, 2.0], dtype=torch.float64)),
    ([True, False], torch.tensor([True, False])),
    ([*torch.arange(2).numpy()], torch.arange(2)),
    ([*torch.ones(2).numpy()], torch.ones(2)),
    ([torch.ones(4), torch.zeros(4)], torch.stack([torch.ones(4), torch.zeros(4)])),
    ([torch.ones(4), torch.zeros(3)], [torch.ones(4), torch.zeros(3)]),
    ([{"box": torch.ones(4), "score": 1}] * 2, {"box": torch.ones(2, 4), "score": torch.tensor([1, 1])}),
    ([{"score": 1}, {"score": 2}], [{"score": 1}, {"score": 2}]),
    (["a", None], ["a", None]),
]


@pytest.mark.parametrize("collate", COLLATES)
@pytest.mark.parametrize(("values", "expected"), ADDED)
def test_what_is_added_to_samples(tiles, places, collate, values, expected):
    samples = [Sample({**tiles[row], "added": value}) for row, value in zip(ROWS, values, strict=False)]
    assert equal(collate(samples)["added"], expected)
    several = [Sample({**places[row], "added": value}) for row, value in zip(ROWS, values, strict=False)]
    assert equal(collate(several)["added"], expected)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1, None], "NoneType and number"),
        ([torch.ones(2), None], "NoneType and torch.float32"),
        ([torch.tensor(1), torch.tensor(1.0)], "torch.float32 and torch.int64"),
        ([1.5, "high"], "number and str"),
        ([...], "1 of the 2 samples of a batch have the field 'added'"),
    ],
)
def test_fields_that_differ_from_sample_to_sample_are_refused(tiles, places, values, told):
    for dataset in (tiles, places):
        samples = dataset.__getitems__([0, 1])
        for sample, value in zip(samples, values, strict=False):
            sample["added"] = value
        for collate in COLLATES:
            with pytest.raises(ArgumentError, match=r"'added'(?s:.*)collate_list") as raised:
                collate(samples)
            assert told in str(raised.value)
        assert collate_list(samples) == samples


# -- a dict that moves ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[*COLLATES, "several"])
def batch(request, tiles, places):
    """Batches of all kinds, with dicts, lists and None in them."""
    dataset, collate = (places, collate_padded) if request.param == "several" else (tiles, request.param)
    made = collate(dataset.__getitems__(ROWS))
    made["deep"] = {"list": [torch.ones(2), {"tensor": torch.zeros(1), "text": "a"}], "none": None}
    made["pair"] = (torch.ones(1), "b", None)
    return made


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [tensor for part in parts for tensor in tensors(part)]


def classes(value):
    """The classes of a batch and of all that it holds."""
    if isinstance(value, dict):
        return type(value), {name: classes(part) for name, part in value.items()}
    return (type(value), [classes(part) for part in value]) if isinstance(value, list | tuple) else type(value)


def check_moved(found, batch):
    assert classes(found) == classes(batch)
    assert {tensor.device.type for tensor in tensors(found)} == {"meta"}
    assert {tensor.device.type for tensor in tensors(batch)} == {"cpu"}  # the batch itself stays
    assert [tensor.shape for tensor in tensors(found)] == [tensor.shape for tensor in tensors(batch)]


def test_a_batch_goes_to_a_device(batch):
    check_moved(batch.to("meta"), batch)
    check_moved(batch.to(torch.device("meta"), non_blocking=True), batch)
    assert equal(dict(batch.to("cpu")), dict(batch))


@pytest.fixture
def told(monkeypatch):
    """Arguments of all `Tensor.to`."""
    seen, to = [], torch.Tensor.to

    def record(tensor, *args, **options):
        seen.append((args, options))
        return to(tensor, *args, **options)

    monkeypatch.setattr(torch.Tensor, "to", record)
    return seen


def test_non_blocking_reaches_every_tensor(batch, told):
    for chosen in (True, False):
        batch.to("meta", non_blocking=chosen)
        assert len(told) == len(tensors(batch))
        assert {options["non_blocking"] for _, options in told} == {chosen}
        told.clear()


def test_mps_gets_no_float64(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *args, **options: args)
    assert Batch(mpp=torch.ones(2, dtype=torch.float64), row=torch.ones(2, dtype=torch.int64)).to("mps") == {
        "mpp": (torch.device("mps"), torch.float32),
        "row": (torch.device("mps"),),
    }


def test_standardize_batch_keeps_the_class(lake):
    query = SporaQuery(lake).modality("imc", "he").tiles(size=32, mpp=1.0)
    samples = query.to_torch(standardize_on="device").__getitems__([0, 1])
    found = standardize_batch(collate_padded(samples), "cpu")
    assert [type(part) for part in (found, *found.values())] == [Batch] * 3
    assert [type(sample) for sample in standardize_batch(samples, "cpu")] == [Sample] * 2


def test_pinning(batch, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.to("meta"))
        check_moved(batch.pin_memory(), batch)
        check_moved(pin_memory(batch), batch)
        check_moved(pin_memory([batch, (batch,)])[1][0], batch)
        clone = pin_memory(list(collate_list([Sample(image=torch.ones(1), masks={"a": torch.ones(1)}, text="b")])))
        assert (type(clone[0]), {tensor.device.type for tensor in tensors(clone)}) == (Sample, {"meta"})


def test_accelerate(batch, told):
    operations = pytest.importorskip("accelerate.utils.operations")
    for found in (
        operations.send_to_device(batch, "meta"),
        operations.send_to_device(batch, torch.device("meta"), non_blocking=True),
        operations.send_to_device([batch, 1], "meta")[0],
        operations.send_to_device({"x": batch, "y": 1}, "meta", skip_keys="y")["x"],
    ):
        check_moved(found, batch)
    told.clear()
    operations.send_to_device(batch, "meta", non_blocking=True)
    assert {options["non_blocking"] for _, options in told} == {True}
    assert operations.send_to_device({"x": batch}, "meta", skip_keys=["x"])["x"] is batch
    found = operations.recursively_apply(lambda tensor: tensor[:1], batch)
    assert (type(found), tensors(found)[0].shape[0]) == (Batch, 1)


def test_lightning(batch):
    utilities = pytest.importorskip("lightning.fabric.utilities.apply_func")
    check_moved(utilities.move_data_to_device(batch, torch.device("meta")), batch)
    check_moved(utilities.move_data_to_device([batch, {"x": batch}], torch.device("meta"))[1]["x"], batch)
    check_moved(utilities.apply_to_collection(batch, torch.Tensor, lambda tensor: tensor.to("meta")), batch)
    samples = collate_list([Sample(image=torch.ones(1), channel_names=["a"], uniprot_ids=[None])])
    found = utilities.move_data_to_device(samples, torch.device("meta"))
    assert (type(found[0]), found[0]["image"].device.type, found[0]["uniprot_ids"]) == (Sample, "meta", [None])


def test_transformers(batch):
    trainer = pytest.importorskip("transformers.trainer").Trainer

    class Prepared(trainer):
        def __init__(self):
            self.args, self.is_deepspeed_enabled = SimpleNamespace(device=torch.device("meta"), past_index=-1), False

    check_moved(Prepared()._prepare_inputs(batch), batch)


@pytest.mark.parametrize("collate", COLLATES)
def test_frameworks_find_the_number_of_samples(tiles, collate):
    batch = collate(tiles.__getitems__(ROWS))
    assert pytest.importorskip("accelerate.utils.operations").find_batch_size(batch) == len(ROWS)
    assert pytest.importorskip("transformers.trainer_pt_utils").find_batch_size(batch) == len(ROWS)
    sizes = pytest.importorskip("lightning.pytorch.utilities.data")._extract_batch_size(batch)
    assert next(sizes) == len(ROWS)


def test_a_batch_is_a_dict_in_every_respect(batch):
    assert isinstance(batch, dict)
    assert batch == dict(batch)
    for clone in (batch.copy(), copy.copy(batch), Batch(batch), Batch(**batch), batch | {}, {} | batch):
        assert type(clone) is Batch
        assert clone is not batch
        assert list(map(id, clone.values())) == list(map(id, batch.values()))
    for clone in (copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert equal(clone, batch)
        assert not {tensor.data_ptr() for tensor in tensors(clone)} & {tensor.data_ptr() for tensor in tensors(batch)}
    assert {**batch, "more": 1} == (batch | {"more": 1}) == ({"more": 1} | batch)
    assert (batch | {"pair": 1})["pair"] == 1
    assert ({"pair": 1} | batch)["pair"] is batch["pair"]
    with pytest.raises(TypeError):
        batch | 1
    grown = batch.copy()
    grown |= {"more": 1}
    assert (type(grown), grown.pop("more"), grown == batch) == (Batch, 1, True)
    batch.kept = "on the object"
    assert pickle.loads(pickle.dumps(batch)).kept == "on the object"
    del batch.kept


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).view(2, 3).T,
        torch.tensor(True),
        torch.empty(0, 4),
        torch.ones(3, dtype=torch.bfloat16),
        torch.ones(3, dtype=torch.uint16),
        torch.ones(3).to_sparse(),
        torch.ones(2, requires_grad=True),
        torch.nn.Parameter(torch.ones(2)),
        torch.ones(2, device="meta"),
        torch.ones(300, 300),
    ],
)
def test_tensors_of_every_kind_are_pickled(tensor):
    for dumps in (pickle.dumps, ForkingPickler.dumps):
        found = pickle.loads(dumps(Batch(tensor=tensor)))["tensor"]
        assert type(found) is type(tensor)
        assert (found.dtype, found.shape, found.device, found.requires_grad) == (
            tensor.dtype, tensor.shape, tensor.device, tensor.requires_grad
        )  # fmt: skip
        if tensor.device.type == "cpu":
            assert torch.equal(found.to_dense(), tensor.to_dense())


def test_a_batch_says_what_it_holds(tiles, places):
    batch = collate_packed(tiles.__getitems__(ROWS))
    batch["masks"] = {"tissue": torch.ones(3, 32, 32, dtype=torch.bool)}
    assert repr(batch).splitlines() == [
        "Batch of alpha (2), beta (1)",
        "  mpp: float64 (3,)",
        "  tile_id, row, col, age: int64 (3,)",
        "  image: float32 (14, 32, 32)",
        "  cu_seqlens: int32 (4,)",
        "  max_seqlen: 5",
        "  marker_index: int64 (14,)",
        "  channel_names, uniprot_ids, dataset, tissue_id, modality, spec, cancer_type: list of 3",
        "  masks:",
        "    tissue: bool (3, 32, 32)",
    ]
    assert "  image: float32 (14, 32, 32) on meta" in repr(batch.to("meta")).splitlines()
    several = repr(collate_padded(places.__getitems__(ROWS))).splitlines()
    assert several[0] == "Batch"
    assert [line for line in several if "Batch" in line or "image" in line] == [
        "Batch",
        "  imc: Batch of alpha (2), beta (1)",
        "    image: float32 (3, 5, 32, 32)",
        "  he: Batch of alpha (1), beta (1)",
        "    image: float32 (2, 3, 32, 32)",
    ]
    written = []
    Batch(batch)._repr_pretty_(SimpleNamespace(text=written.append), False)
    Batch(batch)._repr_pretty_(SimpleNamespace(text=written.append), True)
    assert written == [repr(batch), "Batch(...)"]
    assert repr(Batch({3: "text", "dataset": "one"})) == "Batch\n  3, dataset: str"


def test_samples_taken_out_of_a_batch_have_numbers(tiles):
    samples = tiles.__getitems__(ROWS)
    for collate in COLLATES[:2]:
        for found, sample in zip(samples_of(collate(samples)), samples, strict=True):
            for name in ("tile_id", "row", "col", "mpp", "age", "tissue_id"):
                assert (type(found[name]), found[name]) == (type(sample[name]), sample[name])


# -- a plain DataLoader -----------------------------------------------------------------------------------------------


class Paired(Dataset):
    """What users wrap a dataset in."""

    def __init__(self, dataset, form):
        self.dataset, self.form = dataset, form

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, position):
        sample = self.dataset[position]
        if self.form == "tuple":
            return sample, position
        if self.form == "dict":
            return {"sample": sample, "target": position}
        return sample | {"target": position}


def first_batch(dataset, method, **options):
    workers = 0 if method is None else 2
    loader = DataLoader(
        dataset, batch_size=4, num_workers=workers, multiprocessing_context=method, timeout=120 if workers else 0,
        **options,
    )  # fmt: skip
    return next(iter(loader))


@pytest.mark.some(2)
@pytest.mark.parametrize("method", [None, "fork"])
@pytest.mark.parametrize("kind", ["tiles", "places"])
def test_a_plain_dataloader_makes_padded_batches(request, kind, method):
    dataset = request.getfixturevalue(kind)
    rows = range(16, 20)  # two panels, two tissues
    expected = collate_padded(dataset.__getitems__(rows))
    part = Subset(dataset, rows)
    found = [first_batch(part, method), first_batch(ConcatDataset([part, dataset]), method)]
    pair = first_batch(Paired(part, "tuple"), method)
    named = first_batch(Paired(part, "dict"), method)
    added = first_batch(Paired(part, "added"), method)
    assert equal(added.pop("target"), torch.arange(4))
    for batch in (*found, pair[0], named["sample"], added):
        assert equal(batch, expected)
    assert equal(pair[1], torch.arange(4))
    assert (type(named), named["target"].tolist()) == (dict, [0, 1, 2, 3])


@pytest.mark.slow
def test_a_plain_dataloader_with_spawned_workers(places):
    loader = DataLoader(Paired(places, "dict"), batch_size=4, num_workers=1, multiprocessing_context="spawn")
    found = next(iter(loader))
    assert equal(found, {"sample": collate_padded(places.__getitems__(range(4))), "target": torch.arange(4)})


def test_samples_alone_are_enough_for_torch(tiles):
    samples = [pickle.loads(pickle.dumps(sample)) for sample in tiles.__getitems__(ROWS)]
    assert equal(default_collate(samples), collate_padded(samples))
    assert equal(default_collate([[sample] for sample in samples])[0], collate_padded(samples))


@pytest.mark.parametrize("method", [None, "fork"])
def test_shapes_that_differ_are_told_in_our_words(tmp_path, method):
    root = write_lake(tmp_path / "lake", names=("alpha",), tissues=2)
    write_lake(root, names=("gamma",), tissues=2, size=64)
    with pytest.raises(ArgumentError, match=r"64 x 64, 96 x 96 pixels do not fit into one batch. Use collate_list"):
        first_batch(SporaQuery(root).modality("imc").tissues().to_torch(), method)


@pytest.mark.some(3)
@pytest.mark.parametrize("collate", ["padded", "packed", "panel", COLLATES[2]])
@pytest.mark.parametrize("kind", ["tiles", "places"])
def test_batches_of_workers_are_those_of_the_process(request, kind, collate):
    if (kind, collate) == ("places", COLLATES[2]):
        pytest.skip("H&E has no CD8")
    dataset = request.getfixturevalue(kind)
    here = list(dataset.loader(8, collate=collate))
    there = list(dataset.loader(8, collate=collate, num_workers=2, start_method="fork", timeout=120))
    assert {type(batch) for batch in there} == {Batch}
    assert all(map(equal, there, here))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors where Linux lists them")
@pytest.mark.parametrize("collate", [collate_padded, collate_list])
def test_a_batch_of_a_worker_takes_few_descriptors(tiles, collate):
    loader = DataLoader(tiles, batch_size=4, num_workers=1, collate_fn=collate, multiprocessing_context="fork")
    batches = iter(loader)
    held = [next(batches)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    held += [next(batches) for _ in range(8)]
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 8 + 2  # that of the pixels
    del held
