"""Every verb's SQL as it is compiled, kept as text and run against a pandas oracle.

The texts lie in ``tests/snapshots``; ``python tests/test_compiled_sql.py`` writes them anew, where a change is meant.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lakes import write_lake
from spora_db import SporaQuery

SNAPSHOTS = Path(__file__).parent / "snapshots"


def tile_frame(lake: Path, modality: str = "imc") -> pd.DataFrame:
    """Return all tiles of a modality with their tissue's columns, joined by pandas."""
    frames = []
    for base in sorted(lake.iterdir()):
        tissues = pd.read_parquet(base / "metadata/tissues.parquet")
        coordinates = pd.read_parquet(base / "tiling/1_0mpp/default/32_tile_coordinates.parquet")
        own = tissues[tissues.modality == modality]
        frames.append(coordinates.merge(own, on="tissue_id").assign(dataset=base.name))
    return pd.concat(frames).sort_values(["dataset", "tissue_id", "tile_id"], ignore_index=True)


def texts(frame: pd.DataFrame, seed: int = 0) -> list[str]:
    return [f"spora-db/1|{seed}|{r.dataset}|{r.tissue_id}|{r.tile_id}" for r in frame.itertuples()]


def keyed(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    return frame.assign(key=[hashlib.md5(text.encode()).hexdigest() for text in texts(frame, seed)])


def unit(text: str) -> float:
    """Return the first 52 bits of a text's hash as a number in (0, 1)."""
    return (int(hashlib.md5(text.encode()).hexdigest()[:13], 16) + 0.5) / 2**52


Build = Callable[[SporaQuery], SporaQuery]
Oracle = Callable[[pd.DataFrame], pd.DataFrame]
WITHOUT_CD3E = ["alpha_0002", "beta_0002"]
SPEC = "quantile_clipping/uq_0.99_image"
WITHOUT_QUANTILES = "alpha_0001"

CASES: dict[str, tuple[Build, Oracle]] = {
    "tiles": (lambda q: q, lambda f: f),
    "where": (
        lambda q: q.where('age > 50 AND "X..spots" < 3'),
        lambda f: f[(f.age > 50) & (f["X..spots"] < 3)],
    ),
    "split": (lambda q: q.split("train"), lambda f: f[f.split == "train"]),
    "split_anew": (
        lambda q: q.split(by="patient", fractions={"train": 0.5, "test": 0.5}, seed=1, replace=True).split("train"),
        lambda f: f[[unit(f"spora-db/1|1|{r.dataset}|{r.patient_id}") < 0.5 for r in f.itertuples()]],
    ),
    "sub_select": (
        lambda q: q.where("EXISTS (SELECT 1 FROM images AS i WHERE i.tissue_id = tiles.tissue_id AND modality = 'he')"),
        lambda f: f[~f.tissue_id.isin(WITHOUT_CD3E)],
    ),
    "require": (
        lambda q: q.channels(kind="uniprot_filtered", require=["CD3e", "P01732"]),
        lambda f: f[~f.tissue_id.isin(WITHOUT_CD3E)],
    ),
    "pairs": (lambda q: q.modality("imc", "he"), lambda f: f[~f.tissue_id.isin(WITHOUT_CD3E)]),
    "pairs_kept": (lambda q: q.modality("imc", "he", missing="keep"), lambda f: f),
    "sample": (lambda q: q.sample(11), lambda f: keyed(f).sort_values("key")[:11]),
    "limit": (lambda q: q.limit(11), lambda f: f[:11]),
    "limit_of_sample": (lambda q: q.limit(4).sample(11), lambda f: keyed(f).sort_values("key")[:11].sort_index()[:4]),
    "sample_by": (
        lambda q: q.sample(8, by="dataset"),
        lambda f: keyed(f).sort_values("key").groupby("dataset").head(4),
    ),
    "per_tissue": (
        lambda q: q.sample(per_tissue=2, seed=7),
        lambda f: keyed(f, 7).sort_values("key").groupby("tissue_id").head(2),
    ),
    "fraction": (
        lambda q: q.sample(fraction=0.25),
        lambda f: f[[unit(text) < 0.25 for text in texts(f)]],
    ),
    "weights": (
        lambda q: q.sample(9, weights="age - 40"),
        lambda f: f.assign(
            clock=[-math.log(unit(t)) / (a - 40) if a > 40 else math.inf for t, a in zip(texts(f), f.age, strict=True)]
        ).sort_values("clock")[:9],
    ),
    "quota_of_numbers": (
        lambda q: q.sample(quota={50: 3}, by="age"),
        lambda f: keyed(f[f.age == 50]).sort_values("key")[:3],
    ),
    "drop_tissue": (
        lambda q: q.standardize(SPEC, missing="drop_tissue"),
        lambda f: f[f.tissue_id != WITHOUT_QUANTILES],
    ),
    "quota": (
        lambda q: q.sample(quota={"LUAD": 5}, by="cancer_type"),
        lambda f: keyed(f[f.cancer_type == "LUAD"]).sort_values("key")[:5],
    ),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("compiled") / "lake")
    quantiles = root / "alpha/imc/1_0mpp/standardization" / SPEC / "image_level_upper_quantiles.parquet"
    pd.read_parquet(quantiles).drop(index=WITHOUT_QUANTILES).to_parquet(quantiles)
    return root


def asked(lake: Path, name: str) -> SporaQuery:
    return CASES[name][0](SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0))


@pytest.mark.some(4)
@pytest.mark.parametrize("name", CASES)
def test_the_text_is_the_one_on_record(lake, name):
    assert asked(lake, name).sql() + "\n" == (SNAPSHOTS / f"{name}.sql").read_text()


@pytest.mark.some(4)
@pytest.mark.parametrize("name", CASES)
def test_the_rows_are_those_of_pandas(lake, name):
    columns = ["dataset", "tissue_id", "tile_id", "row", "col"]
    expected = CASES[name][1](tile_frame(lake)).sort_values(columns[:3])[columns].to_numpy().tolist()
    assert asked(lake, name).df()[columns].to_numpy().tolist() == expected


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        lake_written = write_lake(Path(folder) / "lake")
        SNAPSHOTS.mkdir(exist_ok=True)
        for case in CASES:
            (SNAPSHOTS / f"{case}.sql").write_text(asked(lake_written, case).sql() + "\n")
