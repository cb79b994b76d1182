"""Channels without statistics: listed before training, and four explicit ways to go on."""

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from lakes import PANEL, write_lake
from spora_db import SporaQuery
from spora_db.errors import StatisticsNotFoundError, UnknownNameError

SPEC = "quantile_clipping/uq_0.99_image"
FOLDER = "imc/1_0mpp/standardization/quantile_clipping"
UPPER = f"alpha/{FOLDER}/uq_0.99_image/image_level_upper_quantiles.parquet"
NAMES = [channel[0] for channel in PANEL]
Missing = set[tuple[str, str, str]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cohorts; alpha has global tables too. Without quantiles: alpha_0001, beta_0003, and Junk in all of beta.

    Without moments: DNA in all of alpha's own spec. Unusable: CD8 of alpha_0000, whose quantile is 0.
    """
    root = write_lake(tmp_path_factory.mktemp("coverage") / "lake")
    for name, tissue in (("alpha", "alpha_0001"), ("beta", "beta_0003")):
        file = root / name / FOLDER / "uq_0.99_image/image_level_upper_quantiles.parquet"
        table = pd.read_parquet(file).drop(index=tissue)
        if name == "alpha":
            table.loc["alpha_0000", "CD8"] = 0.0
        else:
            table = table.drop(columns="Junk")
        table.to_parquet(file)
        for kind in ("means", "stds"):
            file = root / name / FOLDER / f"uq_0.99_image/global_level_{kind}.parquet"
            pd.read_parquet(file).drop(columns="DNA" if name == "alpha" else "Junk").to_parquet(file)
    spare = root / "alpha" / FOLDER / "uq_0.99_global"
    spare.mkdir()
    for kind, value in (("upper_quantiles", 7_000.0), ("means", 0.3), ("stds", 0.2)):
        pd.DataFrame([[value] * len(NAMES)], columns=NAMES).to_parquet(spare / f"global_level_{kind}.parquet")
    return root


@pytest.fixture
def query(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


def delivered(lake: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (dataset, tissue, channel) as measured, read by pandas."""
    for base in sorted(lake.iterdir()):
        wide = pd.read_parquet(base / "imc/channels_per_tissue.parquet")
        yield from ((base.name, tissue, name) for tissue, name in product(wide.index, wide) if wide.loc[tissue, name])


def gaps(lake: Path) -> dict[tuple[str, str, str], str]:
    """Return what is wrong with each entry, looked up in the files by pandas: the oracle."""
    found = {}
    for dataset, tissue, name in delivered(lake):
        folder = lake / dataset / FOLDER / "uq_0.99_image"
        upper = pd.read_parquet(folder / "image_level_upper_quantiles.parquet")
        means = pd.read_parquet(folder / "global_level_means.parquet")
        problems = [] if name in upper and tissue in upper.index else ["no quantiles"]
        problems += [] if name in means else ["no moments"]
        if not problems and not upper.loc[tissue, name] > 0:
            problems = ["unusable values"]
        if problems:
            found[dataset, tissue, name] = ", ".join(problems)
    return found


def entries(plan, *, use_mean_std: bool = True) -> dict[tuple[str, str, str], tuple[float, ...]]:
    """Return what a plan delivers and with which statistics: (upper, mean, std)."""
    found = {}
    for number, image in enumerate(plan.images.to_pylist()):
        own = plan.channels.of(number)
        statistics = (own.upper, own.mean, own.std) if use_mean_std else (own.upper,)
        for name, *values in zip(own.name, *statistics, strict=True):
            found[image["dataset"], image["tissue_id"], plan.channel_names[name]] = tuple(map(float, values))
    return found


def test_coverage_lists_what_pandas_misses(lake, query):
    expected = gaps(lake)
    frame = query.standardize(SPEC).coverage()
    names = ["dataset", "modality", "mpp", "tissue_id", "channel_name", "uniprot_id", "spec", "problem"]
    assert list(frame) == [*names, "reason", "remedy"]
    assert set(frame["reason"]) == {"", "the upper quantile is 0"}
    assert frame["remedy"].str.contains("spora-db standardize").all()
    assert frame.loc[frame["reason"] != "", "remedy"].str.contains("--upper-quantile").all()
    found = {(r.dataset, r.tissue_id, r.channel_name): r.problem for r in frame.itertuples()}
    assert found == expected
    assert set(found.values()) == {"no quantiles", "no moments", "no quantiles, no moments", "unusable values"}
    assert set(frame["spec"]) == {SPEC}
    assert frame.set_index("channel_name").loc["CD8", "uniprot_id"].eq("P01732-2").all()


def test_coverage_looks_at_what_is_asked(lake, query):
    expected = gaps(lake)
    asked = query.where("dataset = 'alpha' AND tissue_id <> 'alpha_0001'").channels(names=["DNA", "CD8"])
    found = asked.standardize(SPEC).coverage()
    assert {(r.dataset, r.tissue_id, r.channel_name) for r in found.itertuples()} == {
        key for key in expected if key[0] == "alpha" and key[1] != "alpha_0001" and key[2] in ("DNA", "CD8")
    }
    no_moments = asked.standardize(SPEC, use_mean_std=False).coverage()
    assert no_moments["channel_name"].tolist() == ["CD8"]
    assert query.coverage().empty
    assert len(query.standardize("quantile_clipping/uq_0.5_image").coverage()) == len(list(delivered(lake)))
    for missing in ("drop_channel", "drop_tissue", "global"):
        assert len(query.standardize(SPEC, missing=missing).coverage()) == len(expected)
    pair = SporaQuery(lake).modality("he", "imc").tiles(size=32).standardize({"he": "imagenet", "imc": SPEC})
    assert set(pair.coverage()["modality"]) == {"imc"}


def test_missing_is_an_error_unless_a_choice_is_made(query):
    with pytest.raises(StatisticsNotFoundError, match=r"coverage\(\).*'drop_channel' or 'drop_tissue' or 'global'"):
        query.standardize(SPEC).plan()
    with pytest.raises(UnknownNameError, match="drop_tissue"):
        query.standardize(SPEC, missing="ignore")
    with pytest.raises(UnknownNameError):
        query.standardize(SPEC, missing="defer")


def test_drop_channel_leaves_out_exactly_what_coverage_lists(lake, query):
    expected = gaps(lake)
    asked = query.where("tissue_id NOT IN ('alpha_0001', 'beta_0003')").standardize(SPEC, missing="drop_channel")
    plan = asked.plan()
    kept = {key for key in delivered(lake) if key not in expected and key[1] not in ("alpha_0001", "beta_0003")}
    assert set(entries(plan)) == kept
    assert plan.standardization.missing_statistics == "drop_channel"
    assert len(plan) == asked.count()
    nothing_left = r"alpha_0001.*left without a channel.*missing='drop_tissue' or 'global'\)"
    with pytest.raises(StatisticsNotFoundError, match=nothing_left):
        query.standardize(SPEC, missing="drop_channel").plan()


@pytest.mark.some(2)
@pytest.mark.parametrize("names", [("CD8", "CD3e"), ("DNA", "Bad")])
def test_drop_tissue_leaves_out_rows_before_sampling(lake, query, names):
    expected = {key for key, problem in gaps(lake).items() if problem != "unusable values"}
    lost = {tissue for _, tissue, name in expected if name in names}
    asked = query.channels(names=names).standardize(SPEC, missing="drop_tissue")
    assert set(asked.df()["tissue_id"]) == {tissue for _, tissue, _ in delivered(lake)} - lost
    plan = asked.plan()
    assert len(plan) == asked.count() == len(asked.df())
    assert asked.sample(20).count() == 20
    assert query.standardize(SPEC, missing="drop_tissue").count() == 0
    both = asked.modality("he", "imc", missing="keep").standardize({"imc": SPEC}, missing="drop_tissue")
    assert lost.isdisjoint(both.df()["tissue_id"])
    either = asked.modality(("imc", "he")).standardize({"imc": SPEC}, missing="drop_tissue").df()
    assert lost.isdisjoint(either.query("modality == 'imc'")["tissue_id"])
    assert len(either.query("modality == 'he'")) == 6 * 9


def test_drop_tissue_knows_the_levels(lake, query):
    moments = {"stats_level": "image", "missing": "drop_tissue"}
    assert query.standardize(SPEC, **moments).count() == 0
    assert query.standardize(SPEC, **moments, use_mean_std=False).df()["tissue_id"].nunique() == 3
    spare = query.standardize("quantile_clipping/uq_0.99_global", missing="drop_tissue")
    assert set(spare.df()["dataset"]) == {"alpha"}
    assert spare.df()["tissue_id"].nunique() == 4


def test_global_statistics_stand_in_quantiles_and_moments_together(lake, query):
    wrong = gaps(lake)
    alpha = query.where("dataset = 'alpha'").standardize(SPEC, missing="global")
    found = entries(alpha.plan())
    assert set(found) == {key for key in delivered(lake) if key[0] == "alpha"} - {("alpha", "alpha_0000", "CD8")}
    for key, values in found.items():
        if key[1] == "alpha_0001":
            assert values == pytest.approx((7_000.0, 0.3, 0.2)), key
        elif key not in wrong:
            assert values == pytest.approx((1_000.0 * (NAMES.index(key[2]) + 1), 0.5, 0.25)), key
    with pytest.raises(StatisticsNotFoundError, match=r"uq_0\.99_global"):
        query.standardize(SPEC, missing="global").plan()


def test_a_channel_may_be_called_as_an_index_of_pandas(tmp_path):
    plain, renamed = (write_lake(tmp_path / name, names=("alpha",)) for name in ("plain", "renamed"))
    for file in (renamed / "alpha/imc").rglob("*.parquet"):
        frame = pd.read_parquet(file).rename(columns={"CD8": "index"})
        if "channel_name" in frame:
            frame["channel_name"] = frame["channel_name"].replace("CD8", "index")
        frame.to_parquet(file)
    expected, found = (
        entries(SporaQuery(root).modality("imc").tissues(mpp=1.0).standardize(SPEC).plan()) for root in (plain, renamed)
    )
    assert found == {(*key, "index" if name == "CD8" else name): value for (*key, name), value in expected.items()}


def test_absent_moments_are_those_of_the_level_that_tables_have(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",))
    folder = root / "alpha" / FOLDER / "uq_0.99_image"
    for kind in ("means", "stds"):
        table = pd.read_parquet(folder / f"global_level_{kind}.parquet").set_axis(["alpha_0000"])
        table.to_parquet(folder / f"image_level_{kind}.parquet")
        (folder / f"global_level_{kind}.parquet").unlink()
    said = r"^No image_level_means and stds for channel 'DNA' of tissue 'alpha_0001' .* --stats-level image "
    with pytest.raises(StatisticsNotFoundError, match=said):
        SporaQuery(root).modality("imc").tissues(mpp=1.0).standardize(SPEC).plan()


def test_image_level_moments_give_way_to_global_ones(lake, tmp_path):
    """Moments at image level for one tissue only, beside quantiles for all: the others have none at this level."""
    root = write_lake(tmp_path / "lake", names=("alpha",))
    folder = root / "alpha" / FOLDER / "uq_0.99_image"
    for kind, value in (("means", 0.9), ("stds", 0.8)):
        pd.DataFrame([[value] * 5], columns=NAMES, index=["alpha_0000"]).to_parquet(
            folder / f"image_level_{kind}.parquet"
        )
    query = SporaQuery(root).modality("imc").tissues(mpp=1.0)
    with pytest.raises(StatisticsNotFoundError, match="means"):
        query.standardize(SPEC, stats_level="image").plan()
    some = query.standardize(SPEC, stats_level="image", missing="drop_tissue")
    assert some.df()["tissue_id"].tolist() == ["alpha_0000"]
    assert len(some.plan()) == 1
    found = entries(query.standardize(SPEC, stats_level="image", missing="global").plan())
    assert {key[1]: values[1:] for key, values in found.items()} == {
        "alpha_0000": pytest.approx((0.9, 0.8)),
        **{f"alpha_000{i}": pytest.approx((0.5, 0.25)) for i in (1, 2, 3)},
    }


def test_the_choice_is_part_of_the_plans_hash(query):
    whole = query.where("tissue_id = 'beta_0000'").channels(names=["CD8"])
    hashes = {whole.standardize(SPEC, missing=missing).plan().hash for missing in ("error", "drop_channel", "global")}
    assert len(hashes) == 3


KINDS = ("lower_quantiles", "upper_quantiles", "means", "stds")
BOUNDED = "quantile_clipping/uq_0.99_lq_0.01_image"
LACKS = [
    *((f"image_level_{kind}", what) for kind in KINDS for what in ("column", "row", "values", "file")),
    *((f"global_level_{kind}", what) for kind in KINDS[2:] for what in ("column", "values", "file")),
]


@pytest.mark.some(5)
@pytest.mark.parametrize("use_mean_std", [True, False])
@pytest.mark.parametrize(("file", "what"), LACKS, ids=[f"{what}-of-{file}" for file, what in LACKS])
def test_one_table_lacks_what_the_others_have(tmp_path, file, what, use_mean_std):
    """The gap is named, and never silent; only a column that is there without a value makes a channel unusable."""
    root = write_lake(tmp_path / "lake", names=("alpha",))
    tissues = [f"alpha_000{number}" for number in range(4)]
    folder = root / "alpha" / FOLDER / "uq_0.99_lq_0.01_image"
    folder.mkdir()
    for kind, value in zip(KINDS, (1.0, 9_000.0, 0.5, 0.25), strict=True):
        level = "image" if "quantiles" in kind else file.split("_")[0]
        table = pd.DataFrame(value, index=tissues if level == "image" else [0], columns=NAMES)
        if file == f"{level}_level_{kind}":
            if what == "column":
                table = table.drop(columns="CD8")
            elif what == "values":
                table["CD8"] = float("nan")
            elif what == "row":
                table = table.drop(index="alpha_0002")
        if (file, what) != (f"{level}_level_{kind}", "file"):
            table.to_parquet(folder / f"{level}_level_{kind}.parquet", index=level == "image")
    half = "quantiles" if "quantiles" in file else "moments"
    whole = {(tissue, name) for _, tissue, name in delivered(root)}
    lost = set()
    if half == "quantiles" or use_mean_std:
        at = {"row": ("alpha_0002", None), "file": (None, None)}.get(what, (None, "CD8"))
        lost = {(tissue, name) for tissue, name in whole if at[0] in (tissue, None) and at[1] in (name, None)}
    is_gap = bool(lost) and what != "values"

    query = SporaQuery(root).modality("imc").tissues(mpp=1.0)
    found = query.standardize(BOUNDED, use_mean_std=use_mean_std).coverage()
    problem = f"no {half}" if is_gap else "unusable values"
    assert {(r.tissue_id, r.channel_name, r.problem) for r in found.itertuples()} == {(*key, problem) for key in lost}
    if is_gap:
        with pytest.raises(StatisticsNotFoundError, match="quantiles" if half == "quantiles" else "means and stds"):
            query.standardize(BOUNDED, use_mean_std=use_mean_std).plan()
    fewer = query.standardize(BOUNDED, use_mean_std=use_mean_std, missing="drop_tissue")
    assert set(fewer.df()["tissue_id"]) == set(tissues) - {tissue for tissue, _ in lost if is_gap}
    kept = whole - lost
    if {tissue for tissue, _ in kept} == set(tissues):
        plan = query.standardize(
            BOUNDED, use_mean_std=use_mean_std, missing="drop_channel" if is_gap else "error"
        ).plan()
        assert {key[1:] for key in entries(plan, use_mean_std=use_mean_std)} == kept


def answers(query: SporaQuery, *specs: object) -> tuple[int, set[tuple[str, str]], int]:
    """Return the gaps of a query, and with drop_tissue its rows as (modality, tissue), and how many the plan has."""
    fewer = query.standardize(*specs, missing="drop_tissue")
    rows = fewer.df()
    assert fewer.count() == len(rows)
    listed = {(row.modality, row.tissue_id) for row in rows.itertuples()}
    return len(query.standardize(*specs).coverage()), listed, len(fewer.plan())


def test_columns_that_are_no_channels_do_not_count(tmp_path):
    """A row with a value in such a column alone is no row; a table of such columns alone is no level of moments."""
    root = write_lake(tmp_path / "lake", names=("alpha",))
    query = SporaQuery(root).modality("imc").tissues(mpp=1.0)
    folder = root / "alpha" / FOLDER / "uq_0.99_image"
    quantiles = pd.read_parquet(folder / "image_level_upper_quantiles.parquet").assign(Extra=1.0)
    tissues = list(quantiles.index)
    for kind, value in (("means", 0.5), ("stds", 0.25)):
        pd.DataFrame(value, index=tissues, columns=NAMES).to_parquet(folder / f"image_level_{kind}.parquet")
        pd.DataFrame({"Extra": [value]}).to_parquet(folder / f"global_level_{kind}.parquet")
    assert answers(query, SPEC) == (0, {("imc", tissue) for tissue in tissues}, 4)
    quantiles.loc["alpha_0000", NAMES] = None
    quantiles.to_parquet(folder / "image_level_upper_quantiles.parquet")
    assert answers(query, SPEC) == (5, {("imc", tissue) for tissue in tissues[1:]}, 3)


def test_tables_without_a_channel_have_gaps_only(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",))
    file = root / UPPER
    pd.read_parquet(file)[[]].to_parquet(file)
    query = SporaQuery(root).modality("imc").tissues(mpp=1.0)
    assert answers(query, SPEC) == (len(list(delivered(root))), set(), 0)
    with pytest.raises(StatisticsNotFoundError, match="upper_quantiles"):
        query.standardize(SPEC).plan()


def test_values_beyond_float32_are_unusable(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",))
    file = root / UPPER
    table = pd.read_parquet(file)
    table.loc["alpha_0001", "CD8"] = 1e39
    table.to_parquet(file)
    query = SporaQuery(root).modality("imc").tissues(mpp=1.0).standardize(SPEC)
    assert query.coverage()[["tissue_id", "channel_name", "problem"]].to_numpy().tolist() == [
        ["alpha_0001", "CD8", "unusable values"]
    ]
    assert set(entries(query.plan())) == set(delivered(root)) - {("alpha", "alpha_0001", "CD8")}


def test_only_the_alternative_that_is_delivered_counts(tmp_path):
    """In a later place a tissue has the first alternative it has; in the first place, a row for each of them."""
    root = write_lake(tmp_path / "lake", names=("alpha",))
    shutil.copytree(root / "alpha/imc", root / "alpha/codex")
    shutil.rmtree(root / "alpha/codex/1_0mpp/standardization")
    specs = {"he": "imagenet", "imc": SPEC, "codex": SPEC}
    beside = SporaQuery(root).modality("he", ("imc", "codex")).tissues(mpp=1.0)
    assert answers(beside, specs) == (0, {("he", f"alpha_000{i}") for i in (0, 1, 3)}, 3)
    shutil.rmtree(root / "alpha/imc/1_0mpp/images/alpha_0003.ome.zarr")
    assert answers(beside, specs) == (5, {("he", "alpha_0000"), ("he", "alpha_0001")}, 2)


def test_a_dropped_tissue_does_not_come_back_without_its_image(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",))
    file = root / UPPER
    pd.read_parquet(file).drop(index="alpha_0000").to_parquet(file)
    shutil.copytree(root / "alpha/imc", root / "alpha/codex")
    shutil.rmtree(root / "alpha/codex/1_0mpp/images/alpha_0000.ome.zarr")
    specs = {"he": "imagenet", "imc": SPEC, "codex": SPEC}
    query = SporaQuery(root).modality(("imc", "codex"), "he", missing="keep").tissues(mpp=1.0)
    left = {(modality, f"alpha_000{i}") for modality in ("imc", "codex") for i in (1, 2, 3)}
    assert answers(query, specs) == (5, left, 6)
