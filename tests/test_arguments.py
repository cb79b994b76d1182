"""Wrong arguments of the verbs are told where they are given; numbers and texts of any library become Python's own."""

import dataclasses
import enum
import json
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError, SporaError, UnknownNameError
from spora_db.lock.json_values import to_json

Build = Callable[[SporaQuery], object]
ROWS = pa.table({"dataset": ["alpha"], "tissue_id": ["alpha_0001"], "tile_id": [4], "row": [32], "col": [32]})
TWICE = ROWS.append_column("tissue_id", ROWS.column("tissue_id"))


class Name(enum.StrEnum):
    """Names as some callers keep them: members that are texts."""

    IMC = "imc"
    BLUR = "gaussian_blur"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("arguments") / "lake")


@pytest.fixture
def query() -> SporaQuery:
    """A query of a lake that is not there: nothing is read before an answer is asked for."""
    return SporaQuery("lake").modality("imc")


def divide(fractions: object) -> Build:
    return lambda q: q.split(by="patient", fractions=fractions)


def blurred(parameters: object) -> Build:
    return lambda q: q.standardize("identity", filters={"gaussian_blur": parameters})


@pytest.mark.parametrize(
    "value", ["32", (32, 32), 32.5, 0, -1, True, math.nan, math.inf, Decimal("sNaN"), b"32", [32], 2**63]
)
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q, v: q.tiles(size=v), ["tiles(size=", "whole number of pixels"]),
        (lambda q, v: q.cells(size=v), ["cells(size=", "whole number of pixels"]),
        (lambda q, v: q.channels(at_least=v), ["channels(at_least=", "whole number of markers"]),
        (lambda q, v: q.sample(v), ["sample(n=", "whole number of rows"]),
        (lambda q, v: q.sample(per_tissue=v), ["sample(per_tissue=", "whole number of rows"]),
        (lambda q, v: q.sample(per_patient=v), ["sample(per_patient=", "whole number of rows"]),
        (lambda q, v: q.sample(by="age", quota={"40": v}), ["sample(quota['40']=", "whole number of rows"]),
    ],
)
def test_whole_numbers(query, build, words, value):
    with pytest.raises(ArgumentError) as caught:
        build(query, value)
    assert all(word in str(caught.value) for word in [*words, repr(value)]), str(caught.value)


def test_a_size_of_cells_is_needed(query):
    with pytest.raises(ArgumentError, match=r"cells\(size=None\)"):
        query.cells(size=None)


@pytest.mark.parametrize("seed", [1.0, "1", None, True, Decimal(1), math.nan])
def test_seeds(query, seed):
    for build in (lambda: query.sample(3, seed=seed), lambda: divide({"a": 1})(query.split("a")).split("a", seed=seed)):
        with pytest.raises(ArgumentError, match=r"\(seed=.*whole number, such as seed=0"):
            build()


@pytest.mark.parametrize(
    "value", ["0.5", 0, -0.5, 1.5, True, math.nan, math.inf, [0.5], Decimal("NaN"), Fraction(3, 2)]
)
def test_the_share_of_a_sample(query, value):
    with pytest.raises(ArgumentError, match=r"sample\(fraction=.*\(0, 1\]"):
        query.sample(fraction=value)


@pytest.mark.parametrize(
    "fractions",
    [
        [0.5, 0.5],
        0.5,
        "ab",
        {},
        {"a": "0.5", "b": 0.5},
        {"a": None, "b": 0.5},
        {"a": True},
        {"a": math.nan, "b": 1},
        {"a": math.inf, "b": 1},
        {"a": 0.0, "b": 1},
        {"a": 1.5, "b": -0.5},
        {"a": 0.5, "b": 0.4},
        {1: 0.5, 2: 0.5},
        {None: 0.5, "b": 0.5},
    ],
)
def test_shares_of_splits(query, fractions):
    with pytest.raises(ArgumentError) as caught:
        divide(fractions)(query)
    assert str(caught.value).startswith(f"split(fractions={fractions!r}): expected")
    assert "add up to 1, such as {'train': 0.8" in str(caught.value)


@pytest.mark.parametrize("value", [5, None, b"CD8", [5], [None], ["CD8", 5], [["CD8"]]])
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q, v: q.channels(names=v), ["channels(names=", "['CD3e', 'P01732']"]),
        (lambda q, v: q.channels(require=v), ["channels(require="]),
        (lambda q, v: q.channels(any_of=v), ["channels(any_of="]),
        (lambda q, v: q.channels(exclude=v), ["channels(exclude="]),
        (lambda q, v: q.standardize("identity", filters=v), ["standardize(filters=", "['gaussian_blur']"]),
        (lambda q, v: q.sample(3, by=v), ["sample(by=", "'dataset', or a list"]),
        (lambda q, v: q.audit(columns=v), ["audit(columns=", "'cancer_type', or a list"]),
        (lambda q, v: q.modality(v), ["modality(", "'imc', or a list"]),
    ],
)
def test_names(query, build, words, value):
    with pytest.raises(ArgumentError) as caught:
        build(query, value)
    assert all(word in str(caught.value) for word in [*words, "list of names", repr(value)]), str(caught.value)


@pytest.mark.parametrize("argument", ["names", "require", "any_of", "exclude"])
def test_one_name_is_no_list_of_markers(query, argument):
    with pytest.raises(ArgumentError, match=rf"channels\({argument}='CD8'\): .*such as \['CD8'\]"):
        query.channels(**{argument: "CD8"})


@pytest.mark.parametrize("value", [5, None, ["age"], ("age", "split"), b"age"])
@pytest.mark.parametrize("verb", ["split", "select", "with_masks", "with_cells"])
def test_names_one_by_one(query, verb, value):
    with pytest.raises(ArgumentError) as caught:
        getattr(query, verb)("given", value)
    assert all(word in str(caught.value) for word in (f"{verb}({value!r})", "one by one, such as", f".{verb}('"))


@pytest.mark.parametrize("value", ["no", "yes", 0, 1, None, [True]])
@pytest.mark.parametrize(
    ("build", "at"),
    [
        (lambda q, v: q.standardize("identity", use_mean_std=v), "standardize(use_mean_std="),
        (lambda q, v: q.standardize("identity", disable_quantile_mask=v), "standardize(disable_quantile_mask="),
        (lambda q, v: q.standardize("identity", halo=v), "standardize(halo="),
        (lambda q, v: q.channels(replace_nuclear_uniprot_ids=v), "channels(replace_nuclear_uniprot_ids="),
        (lambda q, v: q.split(by="patient", fractions={"a": 1}, replace=v), "split(replace="),
        (lambda q, v: q.audit(fingerprints=v), "audit(fingerprints="),
        (lambda q, v: q.lock("cohort.lock.json", images=v), "lock(images="),
    ],
)
def test_yes_or_no(query, build, at, value):
    with pytest.raises(ArgumentError) as caught:
        build(query, value)
    assert str(caught.value) == f"{at}{value!r}): expected True or False."


@pytest.mark.parametrize("value", ["foo", 5, ["image"], np.array(["image", "drop"])])
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda q, v: q.standardize("identity", stats_level=v),
            ["stats_level", "global, image"],
        ),
        (lambda q, v: q.standardize("identity", quantile_level=v), ["quantile level", "global, image"]),
        (lambda q, v: q.standardize("identity", missing=v), ["missing=", "drop_channel, drop_tissue, error, global"]),
        (lambda q, v: q.modality("imc", missing=v), ["missing=", "drop, keep"]),
        (lambda q, v: q.channels(kind=v), ["kind of channels", "complete, qc_filtered"]),
        (lambda q, v: q.channels(accessions=v), ["accession pattern", "published, uniprot"]),
    ],
)
def test_choices_are_listed(query, build, words, value):
    with pytest.raises(UnknownNameError) as caught:
        build(query, value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("value", [5, b"text", ["text"]])
@pytest.mark.parametrize(
    ("build", "at"),
    [
        (lambda q, v: q.where(v), "where("),
        (lambda q, v: q.tiles(strategy=v), "tiles(strategy="),
        (lambda q, v: q.split("train", by=v), "split(by="),
        (lambda q, v: q.sample(3, weights=v), "sample(weights="),
        (lambda q, v: SporaQuery.from_sql("lake", v), "SporaQuery.from_sql(lake, "),
    ],
)
def test_texts(query, build, at, value):
    with pytest.raises(ArgumentError) as caught:
        build(query, value)
    assert str(caught.value).startswith(f"{at}{value!r}): expected a text, such as ")


@pytest.mark.parametrize("value", [5, b"lake", {"lake"}])
@pytest.mark.parametrize(
    ("build", "at"),
    [
        (lambda q, v: SporaQuery(v), "SporaQuery("),
        (lambda q, v: q.lock(v), "lock("),
        (lambda q, v: SporaQuery.from_lock(v), "SporaQuery.from_lock("),
        (lambda q, v: SporaQuery.from_lock("cohort.lock.json", v), "SporaQuery.from_lock(path, lake="),
        (lambda q, v: SporaQuery.from_sql(v, "SELECT 1"), "SporaQuery("),
        (lambda q, v: SporaQuery.from_arrow(v, ROWS), "SporaQuery("),
    ],
)
def test_paths(query, build, at, value):
    with pytest.raises(ArgumentError) as caught:
        build(query, value)
    assert str(caught.value).startswith(f"{at}{value!r}): expected a path, such as ")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: SporaQuery(None), ["SporaQuery(None)", "path"]),
        (lambda q: SporaQuery("lake", "imc"), ["SporaQuery(lake, 'imc')", "Selection"]),
        (lambda q: q.where(None), ["where(None)", "text"]),
        (lambda q: SporaQuery.from_sql("lake", None), ["from_sql(lake, None)", "text"]),
        (lambda q: q.lock(None), ["lock(None)", "path"]),
        (lambda q: q.modality(("imc", ("he",))), ["modality(('imc', ('he',)))", "list of names"]),
        (lambda q: q.modality("imc", ()), ["at least one name"]),
        (lambda q: q.channels(any_of=["CD8", "CD3e", "CD8"], at_least=3), ["at_least=3", "at most 2"]),
        (lambda q: q.to_spora_dataset(seed="a"), ["to_spora_dataset(seed='a')", "whole number"]),
        (lambda q: q.to_spora_dataset(balance=5), ["to_spora_dataset(balance=5)", "'cancer_type', or a list"]),
        (lambda q: q.sample(0.5), ["sample(n=0.5)", "fraction=0.5"]),
        (lambda q: q.tissues(mpp=True), ["mpp True"]),
        (lambda q: q.tiles(mpp=Decimal("NaN")), ["mpp Decimal('NaN')"]),
        (lambda q: q.standardize({}), ["standardize({})", "'identity'", "{'imc': 'identity'}"]),
        (lambda q: q.standardize(5), ["standardize(5)", "'identity'"]),
        (lambda q: q.standardize({"imc": None}), ["standardize({'imc': None})"]),
        (lambda q: q.standardize({5: "identity"}), ["standardize({5: 'identity'})"]),
        (blurred(5), ["filters['gaussian_blur']=5", "{'kernel_size': 5}"]),
        (blurred({"sigma": "2"}), ["filters['gaussian_blur']['sigma']='2'", "number"]),
        (blurred({"kernel_size": [5]}), ["['kernel_size']=[5]", "number"]),
        (blurred({"sigma": True}), ["['sigma']=True", "number"]),
        (blurred({"padding": ["reflect"]}), ["['padding']=['reflect']", "text"]),
    ],
)
def test_other_mistakes(query, build, words):
    with pytest.raises(ArgumentError) as caught:
        build(query)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("parameters", [{"sigmaa": "2"}, {"padding": "mirror"}, {"padding": 5}, {5: 5}])
def test_filters_list_their_parameters_and_paddings(query, parameters):
    with pytest.raises(UnknownNameError, match="Available: "):
        blurred(parameters)(query)


@pytest.mark.parametrize("rows", [None, 5, "rows", [1], ["alpha_0001"], pl.DataFrame, pd.DataFrame({"row": [1, "a"]})])
@pytest.mark.parametrize(
    ("build", "at"),
    [(lambda q, v: q.exclude(v), "exclude("), (lambda q, v: SporaQuery.from_arrow("lake", v), "from_arrow(lake, ")],
)
def test_what_is_no_table(query, build, at, rows):
    with pytest.raises(ArgumentError) as caught:
        build(query, rows)
    assert all(
        word in str(caught.value)
        for word in (f"{at}{type(rows).__name__})", "DataFrame", "dataset and tissue_id", "cannot be read")
    )


@pytest.mark.parametrize("build", [lambda q: q.exclude(TWICE), lambda q: SporaQuery.from_arrow("lake", TWICE)])
def test_an_identity_column_is_there_once(query, build):
    with pytest.raises(ArgumentError, match=r"2 columns tissue_id; expected one\. Drop or rename"):
        build(query)
    notes = ROWS.append_column("note", pa.array(["blurred"])).append_column("note", pa.array(["dark"]))
    assert query.exclude(notes).selection.excluded == query.exclude(ROWS).selection.excluded


@pytest.mark.some(2)
@pytest.mark.parametrize("convert", [lambda t: t, pa.Table.to_pandas, pl.from_arrow, lambda t: t.to_batches()[0]])
def test_rows_of_any_table(lake, convert):
    rows = convert(ROWS)
    found = SporaQuery.from_arrow(lake, rows).modality("imc").tiles(size=32, mpp=1.0)
    assert found.df()[ROWS.column_names].to_dict("records") == ROWS.to_pylist()
    everything = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)
    assert everything.exclude(rows).count() == everything.count() - 1


def test_rows_of_a_filtered_data_frame(lake):
    frame = pd.concat([ROWS.to_pandas().assign(tile_id=0, row=0, col=0), ROWS.to_pandas()]).set_axis([3, 7])
    found = SporaQuery.from_arrow(lake, frame[frame.tile_id == 4]).modality("imc").tiles(size=32)
    assert found.df()[ROWS.column_names].to_dict("records") == ROWS.to_pylist()


EQUAL: list[tuple[Build, Build]] = [
    (lambda q: q.tiles(size=np.int64(32), mpp=np.float32(0.65)), lambda q: q.tiles(size=32, mpp=0.65)),
    (lambda q: q.tiles(size=32.0, mpp=Fraction(1, 2)), lambda q: q.tiles(size=32, mpp=0.5)),
    (lambda q: q.tissues(mpp=Decimal("0.5")), lambda q: q.tissues(mpp=0.5)),
    (lambda q: q.cells(size=np.uint8(24)), lambda q: q.cells(size=24)),
    (lambda q: q.channels(at_least=np.int64(2)), lambda q: q.channels(at_least=2)),
    (lambda q: q.channels(names=np.array(["CD8", "CD3e"])), lambda q: q.channels(names=["CD8", "CD3e"])),
    (lambda q: q.channels(require=pd.Series(["CD8"])), lambda q: q.channels(require=["CD8"])),
    (lambda q: q.channels(any_of=set("CDEFGHIJKL")), lambda q: q.channels(any_of=list("CDEFGHIJKL"))),
    (lambda q: q.sample(fraction=np.float32(0.1)), lambda q: q.sample(fraction=0.1)),
    (lambda q: q.sample(fraction=Fraction(1, 4)), lambda q: q.sample(fraction=0.25)),
    (lambda q: q.sample(fraction=np.int64(1)), lambda q: q.sample(fraction=1.0)),
    (lambda q: q.sample(np.float64(1e4), seed=np.int8(3)), lambda q: q.sample(10_000, seed=3)),
    (lambda q: q.sample(Decimal(9), by=np.array(["age"])), lambda q: q.sample(9, by="age")),
    (
        lambda q: q.sample(by="age", quota={np.int64(40): np.int64(5)}, weights=np.str_("age")),
        lambda q: q.sample(by="age", quota={"40": 5}, weights="age"),
    ),
    (divide({"a": np.float32(0.8), "b": np.float32(0.2)}), divide({"a": 0.8, "b": 0.2})),
    (divide({"a": Decimal("0.8"), "b": Fraction(1, 5)}), divide({"a": 0.8, "b": 0.2})),
    (divide({np.str_("a"): 1}), divide({"a": 1.0})),
    (
        lambda q: q.split("a", by=np.str_("tissue"), fractions={"a": 1.0}, replace=np.True_),
        lambda q: q.split("a", by="tissue", fractions={"a": 1.0}, replace=True),
    ),
    (lambda q: q.modality(Name.IMC), lambda q: q.modality("imc")),
    (lambda q: q.modality(["imc", "codex"]), lambda q: q.modality(("imc", "codex"))),
    (lambda q: q.select(np.str_("age")).where(np.str_("age > 5")), lambda q: q.select("age").where("age > 5")),
    (lambda q: q.with_masks(np.str_("tissue")), lambda q: q.with_masks("tissue")),
    (lambda q: q.with_cells(np.str_("area")), lambda q: q.with_cells("area")),
    (
        lambda q: q.standardize({Name.IMC: np.str_("identity")}, halo=np.False_, stats_level=np.str_("image")),
        lambda q: q.standardize({"imc": "identity"}, stats_level="image"),
    ),
    (
        lambda q: q.standardize("identity", filters={Name.BLUR: {"kernel_size": np.int64(5), "sigma": Decimal("0.5")}}),
        blurred({"kernel_size": 5, "sigma": 0.5}),
    ),
]  # fmt: skip


def types(value: object) -> set[type]:
    """Return the types of a value's leaves."""
    if dataclasses.is_dataclass(value):
        return set().union(*(types(getattr(value, field.name)) for field in dataclasses.fields(value)))
    return set().union(*map(types, value)) if isinstance(value, tuple) else {type(value)}


@pytest.mark.parametrize(("given", "plain"), EQUAL)
def test_selections_hold_plain_values(query, given, plain):
    asked, expected = given(query).selection, plain(query).selection
    assert asked == expected
    assert types(asked) <= {str, int, float, bool, type(None)}
    assert json.dumps(to_json(asked)) == json.dumps(to_json(expected))


def test_numbers_of_numpy_are_answered_and_locked(lake, tmp_path):
    plain = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).channels(at_least=4).sample(fraction=0.5)
    plain = plain.split(by="patient", fractions={"a": 0.8, "b": 0.2}, replace=True)
    given = SporaQuery(lake).modality("imc").tiles(size=np.int64(32), mpp=np.float32(1)).channels(at_least=np.int64(4))
    shares = {"a": np.float32(0.8), "b": np.float32(0.2)}
    given = given.sample(fraction=Fraction(1, 2)).split(by="patient", fractions=shares, replace=True)
    assert 0 < given.count() == plain.count()
    assert given.plan().hash == plain.plan().hash
    assert SporaQuery.from_lock(given.lock(tmp_path / "cohort.lock.json")) == SporaQuery(str(lake), plain.selection)


def test_every_mistake_is_both_errors(query):
    for error in (SporaError, ValueError):
        with pytest.raises(error, match=r"tiles\(size='32'\)"):
            query.tiles(size="32")
