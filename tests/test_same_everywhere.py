"""One answer everywhere: the demo's bytes and what is made of them on any processor, and an order of the rows alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy._core import _multiarray_umath

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.kernels.logarithms import log, log1p
from spora_db.loading.sampler import TileSampler
from spora_db.loading.substitutes import ATTEMPTS
from spora_db.plan import plan as plan_module

SPEC = "quantile_clipping/uq_0.99_image"
LOG_SPEC = "quantile_clipping_log1p/uq_0.99_image"

WRITE = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from spora_db.demo import demo_lake, write_demo_lake
from spora_db.kernels.logarithms import log, log1p

def digests():
    files = [path for path in lake.rglob("*.*") if path.is_file()]
    return {str(path.relative_to(lake)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

lake = write_demo_lake(sys.argv[1], tissues=2, size=256)
found = digests()
x = np.random.default_rng(0).random(10_000)
found["logarithms"] = hashlib.sha256(log(x).tobytes() + log1p(1e4 * x - 0.9).tobytes()).hexdigest()
"""
MAKE = f"""
import torch
from spora_db import SporaQuery
from spora_db.loading.sampler import TileSampler

demo_lake(lake)
found |= digests()
query = SporaQuery(lake).modality(("imc", "codex")).tiles(size=128, mpp=1.0)
for spec in ("{LOG_SPEC}", "identity"):
    dataset = query.channels(kind="uniprot_filtered").standardize(spec).select("age").to_torch()
    sampler = TileSampler(dataset, weights=np.arange(1.0, len(dataset) + 1), replacement=False)
    found[spec] = [dataset.plan.hash, dataset.plan.rows_hash, list(dataset.loader(2, seed=0).tiles), list(sampler)]
    found[spec] += [hashlib.sha256(dataset[i]["image"].numpy().tobytes()).hexdigest() for i in range(len(dataset))]
for dtype in ("float16", "bfloat16"):
    image = query.channels(kind="uniprot_filtered").standardize("{LOG_SPEC}").to_torch(dtype=dtype)[0]["image"]
    found[dtype] = hashlib.sha256(image.view(torch.int16).numpy().tobytes()).hexdigest()
"""
TELL = "json.dump(found, sys.stdout)"
PLAIN = {
    "NPY_DISABLE_CPU_FEATURES": " ".join(_multiarray_umath.__cpu_dispatch__),
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
}
"""As on a processor without extensions."""


def made(folder: Path, script: str, environment: dict[str, str]) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script + TELL, str(folder)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_the_demo_and_logarithms_have_the_same_bytes_on_every_processor(tmp_path: Path) -> None:
    here, there = made(tmp_path / "here", WRITE, {}), made(tmp_path / "there", WRITE, PLAIN)
    assert len(here) > 20
    assert {name for name in here if here[name] != there.get(name)} == set()
    assert here.keys() == there.keys()


@pytest.mark.slow
def test_all_that_is_made_of_the_demo_has_the_same_bytes_on_every_processor(tmp_path: Path) -> None:
    here, there = made(tmp_path / "here", WRITE + MAKE, {}), made(tmp_path / "there", WRITE + MAKE, PLAIN)
    assert sum(name.endswith("parquet") for name in here) == 20
    assert {name for name in here if here[name] != there.get(name)} == set()
    assert here.keys() == there.keys()
    assert here[LOG_SPEC][1:4] == here["identity"][1:4]  # other channels, one order
    assert here[LOG_SPEC][0] != here["identity"][0]


def test_logarithms_are_those_of_numpy() -> None:
    x = np.concatenate([np.random.default_rng(0).random(10_000), 10.0 ** np.arange(-300, 300)])
    np.testing.assert_allclose(log(x), np.log(x), rtol=4e-16)
    y = np.concatenate([x, -x[x < 1], [-1.0, -2.0, np.inf, np.nan, 1e308]])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(log1p(y), np.log1p(y), rtol=4e-16)


# ---- an order is a function of the rows, the seed and the epoch ----


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path / "state"))
    return write_lake(tmp_path / "lake")


def tiles(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


def spoil_statistics(lake: Path) -> None:
    """Change one figure in its last digits, and make CD8 of one tissue unusable."""
    for name in ("alpha", "beta"):
        for path in (lake / name / "imc/1_0mpp/standardization").rglob("image_level_upper_quantiles.parquet"):
            table = pd.read_parquet(path)
            table["DNA"] *= 1 + 1e-12
            table.loc[table.index[1], "CD8"] = 0.0
            table.to_parquet(path)


def more_columns(lake: Path) -> None:
    for name in ("alpha", "beta"):
        path = lake / name / "metadata/tissues.parquet"
        pd.read_parquet(path).assign(grade=1.5).to_parquet(path)


def another_cohort(lake: Path) -> None:
    write_lake(lake, names=("aaa",))


def another_version(lake: Path) -> None:
    del lake
    plan_module.VERSION += 1


VARIANTS: list[tuple[str, Callable[[Path], SporaQuery], Callable[[Path], None] | None]] = [
    ("statistics", lambda lake: tiles(lake).standardize(SPEC), None),
    ("other figures", lambda lake: tiles(lake).standardize(SPEC), spoil_statistics),
    ("kind", lambda lake: tiles(lake).channels(kind="qc_filtered"), None),
    ("channels", lambda lake: tiles(lake).channels(names=["CD8"]), None),
    ("options", lambda lake: tiles(lake).standardize(SPEC, use_mean_std=False), None),
    ("columns", lambda lake: tiles(lake).select("age", "cancer_type"), None),
    ("columns of the lake", tiles, more_columns),
    ("the same rows by a condition", lambda lake: tiles(lake).where("dataset <> 'aaa'"), another_cohort),
    ("own rows", lambda lake: SporaQuery.from_sql(lake, "SELECT * FROM tiles").modality("imc").tiles(size=32), None),
    ("version", tiles, another_version),
]


@pytest.mark.some(3)
@pytest.mark.parametrize(("other", "change"), [item[1:] for item in VARIANTS], ids=[item[0] for item in VARIANTS])
@pytest.mark.parametrize("shuffle", ["locality", "global"])
def test_an_order_follows_the_rows_and_nothing_else(
    lake: Path,
    shuffle: str,
    other: Callable[[Path], SporaQuery],
    change: Callable[[Path], None] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_module, "VERSION", plan_module.VERSION)
    options: dict[str, Any] = {"shuffle": shuffle, "seed": 3, "block": 4}
    weights = np.arange(1.0, 73.0)
    one = tiles(lake).to_torch(on_error="replace")
    first = TileSampler(one, **options)
    expected = [list(first), TileSampler(one, weights=weights, replacement=False, **options).order(2).tolist()]
    stands_in = one._substitutes.drawn(one.plan, 9).tolist()  # type: ignore[union-attr]
    assert len(stands_in) == ATTEMPTS
    if change is not None:
        change(lake)
    two = other(lake).to_torch(on_error="replace")
    second = TileSampler(two, **options)
    assert (two.plan.rows_hash, second.order(0).tolist()) == (one.plan.rows_hash, first.order(0).tolist())
    assert [list(second), TileSampler(two, weights=weights, replacement=False, **options).order(2).tolist()] == expected
    assert two._substitutes.drawn(two.plan, 9).tolist() == stands_in  # type: ignore[union-attr]
    first.load_state_dict(TileSampler(one, **options).state_dict(taken=30))
    second.load_state_dict(first.state_dict(taken=0))  # of the other plan: the same rows, so it goes on there
    assert list(second) == expected[0][30:]


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "other",
    [
        lambda lake: tiles(lake).where("tile_id <> 8"),
        lambda lake: tiles(lake).where("tile_id <> 8 OR tissue_id <> 'beta_0003'"),
        lambda lake: SporaQuery(lake).modality("imc").tissues(mpp=1.0),
        lambda lake: SporaQuery(lake).modality("imc", "he").tiles(size=32, mpp=1.0),
    ],
)
def test_other_rows_have_another_fingerprint(lake: Path, other: Callable[[Path], SporaQuery]) -> None:
    assert other(lake).plan().rows_hash != tiles(lake).plan().rows_hash


def test_a_substitute_in_a_batch_of_one_panel_has_its_channels(lake: Path) -> None:
    spoil_statistics(lake)  # alpha_0001 loses CD8, alpha_0002 has never had CD3e
    shard = next((lake / "alpha/imc/1_0mpp/images/alpha_0001.ome.zarr").rglob("c/0/0/0"))
    shard.write_bytes(shard.read_bytes()[:50])
    dataset = tiles(lake).standardize(SPEC).to_torch(on_error="replace")
    stood_in = 0
    for batch in dataset.loader(4, collate="panel"):
        assert {len(names) for names in batch["channel_names"]} == {batch["image"].shape[1]}
        stood_in += int((batch["substituted_for"] >= 0).sum())
    assert stood_in == 4
