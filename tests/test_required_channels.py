"""What is required of tissues, where statistics drop channels: rows against pandas, and against what plans deliver."""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lakes import coordinates_image, write_zarr
from spora_db import SporaQuery
from spora_db.errors import StatisticsNotFoundError

SPEC = "quantile_clipping/uq_0.99_image"
GLOBAL = "quantile_clipping/uq_0.99_global"
NAMES = ["CD3", "FOXP3", "TCF1/TCF7"]
TISSUES = [f"t{number}" for number in range(6)]
MEASURED = {"imc": {"t3": ["FOXP3"]}, "codex": {"t1": ["CD3"], "t4": ["FOXP3", "CD3"]}}  # what is not, by tissue
ABSENT = {"imc": ["t5"], "codex": ["t2"]}
"""Tissues without an image."""
DROPPED = {
    ("imc", "t0"): {"FOXP3": ("upper_quantiles", 0.0)},
    ("imc", "t1"): {"CD3": ("upper_quantiles", np.nan), "FOXP3": ("stds", 0.0)},
    ("imc", "t2"): {"FOXP3": ("means", np.inf), "TCF1/TCF7": ("upper_quantiles", -1.0)},
    ("codex", "t0"): {"FOXP3": ("upper_quantiles", 1e300)},
    ("codex", "t3"): {"CD3": ("stds", np.nan)},
}
MISSING = {("imc", "t4"): ["CD3"]}
"""Values that no table of another spec has."""


def write(root: Path) -> Path:
    base = root / "cohort"
    (base / "metadata").mkdir(parents=True)
    rows = []
    for modality in ("imc", "codex"):
        folder = base / modality
        there = [tissue for tissue in TISSUES if tissue not in ABSENT[modality]]
        wide = pd.DataFrame(True, columns=NAMES, index=pd.Index(there, name="tissue_id"))
        for tissue, names in MEASURED[modality].items():
            wide.loc[tissue, names] = False
        (folder / "1_0mpp/images").mkdir(parents=True)
        wide.to_parquet(folder / "channels_per_tissue.parquet")
        panel = pd.DataFrame({"channel_name": NAMES, "qc_pass": True, "uniprot_id": None, "is_nuclear_marker": False})
        panel.to_parquet(folder / "channels.parquet")
        for tissue in there:
            write_zarr(
                folder / f"1_0mpp/images/{tissue}.ome.zarr", coordinates_image(int(wide.loc[tissue].sum()), 8, 8)
            )
            rows.append({"tissue_id": tissue, "modality": modality})
        for spec, level in ((SPEC, "image"), (GLOBAL, "global")):
            tables = {
                kind: pd.DataFrame(value, columns=NAMES, index=there)
                for kind, value in (("upper_quantiles", 9.0), ("means", 0.4), ("stds", 0.3))
            }
            for tissue in there if level == "image" else ():
                for name, (kind, value) in DROPPED.get((modality, tissue), {}).items():
                    tables[kind].loc[tissue, name] = value
            (folder / "1_0mpp/standardization" / spec).mkdir(parents=True)
            for kind, table in tables.items():
                table = table if level == "image" else table.iloc[:1].reset_index(drop=True).assign(FOXP3=0.0)
                table.to_parquet(folder / "1_0mpp/standardization" / spec / f"{level}_level_{kind}.parquet")
    pd.DataFrame(rows).to_parquet(base / "metadata/tissues.parquet")
    return root


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("required") / "lake")


def offers(modality: str, tissue: str, spec: str, *, disabled: bool = False) -> set[str]:
    """Return the channels that samples of a tissue's image have: the oracle."""
    if tissue in ABSENT[modality]:
        return set()
    found = set(NAMES) - set(MEASURED[modality].get(tissue, ()))
    if spec == SPEC and not disabled:
        found -= DROPPED.get((modality, tissue), {}).keys()
    return found - {"FOXP3"} if spec == GLOBAL and not disabled else found


CHOICES = {
    "one": ({"require": ["FOXP3"]}, lambda found: "FOXP3" in found),
    "two": ({"require": ["CD3", "FOXP3"]}, lambda found: {"CD3", "FOXP3"} <= found),
    "slash": ({"require": ["TCF1/TCF7"]}, lambda found: "TCF1/TCF7" in found),
    "any": ({"any_of": ["CD3", "FOXP3"]}, lambda found: bool({"CD3", "FOXP3"} & found)),
    "two of": ({"any_of": NAMES, "at_least": 2}, lambda found: len(found) >= 2),
    "three channels": ({"at_least": 3}, lambda found: len(found) >= 3),
    "of named": ({"names": ["CD3", "FOXP3"], "at_least": 2}, lambda found: {"CD3", "FOXP3"} <= found),
    "and excluded": ({"exclude": ["CD3"], "at_least": 2}, lambda found: {"FOXP3", "TCF1/TCF7"} <= found),
    "nothing": ({}, lambda found: True),
}


def delivered(plan) -> dict[tuple[str, str], set[str]]:
    return {
        (image["modality"], image["tissue_id"]): {plan.channel_names[code] for code in plan.channels.of(number).name}
        for number, image in enumerate(plan.images.to_pylist())
    }


@pytest.mark.some(4)
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(
    ("spec", "disabled"), [("identity", False), (SPEC, False), (GLOBAL, False), (SPEC, True), (GLOBAL, True)]
)
def test_tissues_that_are_selected_deliver_what_is_required(lake, spec, choice, disabled):
    asked, holds = CHOICES[choice]
    query = SporaQuery(lake).modality("imc").tissues(mpp=1.0).channels(**asked)
    query = query.standardize(spec, disable_quantile_mask=disabled)
    expected = [t for t in TISSUES if t not in ABSENT["imc"] and holds(offers("imc", t, spec, disabled=disabled))]
    with warned(expected=not expected or disabled):
        assert query.count() == len(expected)
        plan = query.plan()
    assert sorted(plan.images.column("tissue_id").to_pylist()) == expected
    names = set(asked.get("names", NAMES)) - set(asked.get("exclude", ()))
    for (modality, tissue), found in delivered(plan).items():
        assert found == offers(modality, tissue, spec, disabled=disabled) & names


@contextmanager
def warned(*, expected: bool) -> Iterator[None]:
    """Ignore warnings of empty selections and of channels without usable statistics, where they are expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if expected else "error")
        yield


PLACES = {
    "both": (("imc", "codex"), "drop", lambda t: [["imc", "codex"]] if both(t) else []),
    "either": ((("imc", "codex"),), "drop", lambda t: [[m] for m in ("imc", "codex") if t not in ABSENT[m]]),
    "keep": (
        ("imc", "codex"),
        "keep",
        lambda t: [[m for m in ("imc", "codex") if t not in ABSENT[m]]],
    ),
}


def both(tissue: str) -> bool:
    return all(tissue not in ABSENT[modality] for modality in ABSENT)


@pytest.mark.some(4)
@pytest.mark.parametrize(("places", "choice"), list(itertools.product(PLACES, ["one", "two", "any", "two of"])))
@pytest.mark.parametrize("specs", [SPEC, {"imc": SPEC, "codex": "identity"}, "identity"], ids=str)
def test_several_modalities_offer_what_their_images_deliver(lake, places, choice, specs):
    modalities, missing, rows_of = PLACES[places]
    asked, holds = CHOICES[choice]
    query = (
        SporaQuery(lake).modality(*modalities, missing=missing).tissues(mpp=1.0).channels(**asked).standardize(specs)
    )
    of = specs if isinstance(specs, dict) else dict.fromkeys(("imc", "codex"), specs)
    expected = []
    for tissue in TISSUES:
        for shown in rows_of(tissue):
            found = set().union(*(offers(modality, tissue, of[modality]) for modality in shown))
            if holds(found) and shown:
                expected.append((shown[0], tissue))
    with warned(expected=not expected):
        frame, number, plan = query.df(), query.count(), query.plan()
    assert sorted(zip(frame["modality"], frame["tissue_id"], strict=True)) == sorted(expected)
    assert number == len(plan) == len(expected)


@pytest.mark.parametrize("unit", ["tissue", "own rows"])
def test_samples_have_what_was_required_of_them(lake, unit):
    query = SporaQuery(lake).modality("imc").tissues(mpp=1.0)
    if unit == "own rows":
        query = SporaQuery.from_sql(lake, "SELECT dataset, tissue_id FROM tissues WHERE modality = 'imc'")
        query = query.modality("imc").tissues(mpp=1.0)
    dataset = query.channels(require=["CD3", "FOXP3"]).standardize(SPEC).to_torch()
    samples = [dataset[number] for number in range(len(dataset))]
    assert [sample["tissue_id"] for sample in samples] == ["t4"]
    assert {"CD3", "FOXP3"} <= set(samples[0]["channel_names"])


def test_statistics_that_no_table_has_drop_a_channel_only_if_told(tmp_path):
    root = write(tmp_path / "lake")
    path = root / f"cohort/imc/1_0mpp/standardization/{SPEC}/image_level_upper_quantiles.parquet"
    pd.read_parquet(path).drop(columns="CD3").to_parquet(path)
    query = SporaQuery(root).modality("imc").tissues(mpp=1.0).channels(require=["CD3"])
    with pytest.raises(StatisticsNotFoundError, match="'CD3'"):
        query.standardize(SPEC).plan()
    for missing in ("drop_channel", "drop_tissue"):
        with pytest.warns(UserWarning, match="selects no rows") if missing == "drop_channel" else warned(expected=True):
            assert query.standardize(SPEC, missing=missing).count() == 0
    # quantiles and moments are both taken from the global spec, which has CD3 of every tissue
    assert (
        query.standardize(SPEC, missing="global").count() == len(query.standardize(SPEC, missing="global").plan()) == 5
    )


def test_dropped_channels_are_told(lake):
    query = SporaQuery(lake).modality("imc").tissues(mpp=1.0).channels(require=["FOXP3"]).standardize(SPEC)
    listed = query.coverage().set_index(["tissue_id", "channel_name"])["reason"].to_dict()
    assert listed["t0", "FOXP3"] == "the upper quantile is 0"
    assert listed["t1", "FOXP3"] == "the standard deviation is 0: the channel is constant"
    told = str(query.audit())
    assert "statistics drop FOXP3 of 3 tissues" in told
    told = str(SporaQuery(lake).modality("imc").tissues(mpp=1.0).standardize(SPEC).audit())
    assert "unusable values of FOXP3 (the upper quantile is 0) for 1 tissue" in told
    assert "--upper-quantile" in told
    with pytest.warns(UserWarning, match=r"4 tissues measured channels .*coverage\(\)"):
        assert query.standardize(GLOBAL).count() == 0
