"""What becomes of sparse channels, whose upper quantile is 0: each answer against numpy in float64; what is told."""

import numpy as np
import pytest

from array_reader import cohort
from job_lakes import write_images
from lakes import write_zarr
from spora_db import Catalog, SporaQuery
from spora_db.errors import ArgumentError, UnknownNameError
from spora_db.files.parquet import read_provenance
from spora_db.images import open_image, read_region
from spora_db.jobs import standardize_lake
from spora_db.standardization.specs import Spec, parse_spec
from spora_db.standardization.standardizer import build_standardizer
from spora_db.standardization.usable import REASONS, UNMEASURED
from spora_db.statistics import compute_statistics
from spora_db.validation import validate

RNG, SHAPE = np.random.default_rng(1), (41, 53)
PIXELS = {
    "good": RNG.gamma(2.0, 5.0, SHAPE).round(),
    "sparse": (RNG.random(SHAPE) < 0.004) * RNG.integers(1, 9, SHAPE),
    "one pixel": np.where(np.arange(41 * 53).reshape(SHAPE) == 77, 40.0, 0.0),
    "zero": np.zeros(SHAPE),
    "floor": np.where(RNG.random(SHAPE) < 0.004, 900.0, 5.0),
    "below": np.where(RNG.random(SHAPE) < 0.004, 30.0, -RNG.integers(1, 9, SHAPE)),
}
LADDER = (0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0)
SPECS = [
    f"{method}/uq_{shares}_zq_{answer}_{level}"
    for method, shares in (
        ("quantile_clipping", "0.99"),
        ("quantile_clipping", "0.99_lq_0.01"),
        ("quantile_clipping_log1p", "0.95"),
    )
    for answer in ("drop", "raise-quantile", "max")
    for level in ("image", "global")
]  # fmt: skip


def answered(values, spec):
    """The bounds by numpy, and the quantile that the upper one is."""
    lower = 0.0 if spec.lower is None else float(np.quantile(values, spec.lower))
    floor, shares = max(lower, 0.0), {"drop": (), "raise-quantile": LADDER, "max": (1.0,)}[spec.on_zero_quantile]
    for share in (spec.upper, *(share for share in shares if share > spec.upper)):
        if (upper := float(np.quantile(values, share))) > floor:
            return lower, upper, share
    return 0.0, 0.0, spec.upper


def moments(values, spec, lower, upper):
    clipped = np.clip(values, lower, upper)
    z = np.log1p(clipped) if "log1p" in spec.method else (clipped - lower) / (upper - lower + 1e-8)
    return z.mean(), z.std()


@pytest.mark.some(4)
@pytest.mark.parametrize(("dtype", "kept"), [("float32", 10**9), ("float32", 0), ("int16", 10**9)])
@pytest.mark.parametrize("text", SPECS)
def test_every_answer_against_numpy(monkeypatch, text, dtype, kept):
    spec, whole = parse_spec(text), np.concatenate([pixels.ravel() for pixels in PIXELS.values()])
    result = compute_statistics(cohort(monkeypatch, PIXELS, dtype), spec=spec, channel_names=["X"], kept_bytes=kept)
    for row, tissue in enumerate(result.tissue_ids):
        values = PIXELS[tissue].ravel()
        at = 0 if spec.quantile_level == "global" else row
        lower, upper, share = answered(whole if spec.quantile_level == "global" else values, spec)
        assert (result.lower[at, 0], result.upper[at, 0], result.used[at, 0]) == (lower, upper, share)
        found = result.means[row, 0], result.stds[row, 0]
        np.testing.assert_allclose(found, moments(values, spec, lower, upper), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("answer", ["drop", "raise-quantile", "max"])
def test_channels_without_a_bound_stay_out_of_the_pool(monkeypatch, answer):
    spec = parse_spec(f"quantile_clipping/uq_0.99_zq_{answer}_image")
    result = compute_statistics(cohort(monkeypatch, PIXELS), spec=spec, channel_names=["X"])
    pool = []
    for pixels in PIXELS.values():
        lower, upper, _ = answered(pixels.ravel(), spec)
        z = np.clip(pixels, lower, upper).ravel() / (upper + 1e-8)
        pool += [z] if upper > 0 and z.std() > 0 else []
    pooled = np.concatenate(pool)
    np.testing.assert_allclose(
        [result.pooled.means[0], result.pooled.std[0]], [pooled.mean(), pooled.std()], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("quantile_clipping/uq_0.99_zq_drop_image", {"on_zero_quantile": "drop"}),
        ("quantile_clipping/uq_0.99_lq_0.01_zq_max_image", {"lower": 0.01, "on_zero_quantile": "max"}),
        ("quantile_clipping/uq_0.99_zq_raise-quantile_image", {"on_zero_quantile": "raise-quantile"}),
        ("quantile_clipping/uq_0.99_image", {}),
    ],
)
def test_the_name_of_a_spec_says_the_answer(text, spec):
    made = Spec(method="quantile_clipping", upper=0.99, quantile_level="image", **spec)
    assert (str(made), parse_spec(text), str(parse_spec(text))) == (text, made, text)
    assert parse_spec(text.removesuffix("_image"), quantile_level="image") == made


def test_answers_that_do_not_exist():
    with pytest.raises(UnknownNameError, match=r"zero 'median'\. Available: drop, max, raise-quantile"):
        Spec(method="quantile_clipping", upper=0.99, quantile_level="image", on_zero_quantile="median")
    with pytest.raises(ArgumentError, match="needs both upper and quantile_level"):
        Spec(method="identity", on_zero_quantile="max")
    with pytest.raises(ArgumentError, match="not of the form"):
        parse_spec("quantile_clipping/uq_0.99_zq_median_image")


def sparse_lake(tmp_path):
    """CD3e is sparse in one tissue and zero throughout in another; a third has it, a fourth never measured it."""
    root = write_images(tmp_path, tissues=4, size=60)
    for number, density in ((0, 0.004), (1, 0.0)):
        path = root / f"cohort/imc/1_0mpp/images/cohort_{number:04d}.ome.zarr"
        image = read_region(open_image(path))
        image[1] = 6 * (np.random.default_rng(0).random(image[1].shape) < density)
        write_zarr(path, image)
    return root


def standardized(root, spec, **options):
    (part,) = standardize_lake(root, modality="imc", mpp=1.0, spec=parse_spec(spec), **options).datasets
    return part


def delivered(root, spec, **options):
    query = SporaQuery(root).modality("imc").tissues(mpp=1.0).standardize(spec, **options)
    return {sample["tissue_id"] for sample in query.to_torch() if "CD3e" in sample["channel_names"]}


def test_without_an_answer_it_is_as_published_and_the_answers_are_named(tmp_path):
    root = sparse_lake(tmp_path)
    part = standardized(root, "quantile_clipping/uq_0.99_image")
    assert "CD3e (in 2 of 3 tissues: cohort_0000, cohort_0001), because the upper quantile is 0" in part.note
    assert "--on-zero-quantile raise-quantile, max or drop" in part.note
    assert read_provenance(part.files[-1])["parameters"]["on_zero_quantile"] is None


ANSWERS = [("drop", {"3"}, "image"), ("raise-quantile", {"0", "3"}, "global"), ("max", {"0", "3"}, "image")]


@pytest.mark.some(2)
@pytest.mark.parametrize(("answer", "kept", "level"), ANSWERS)
def test_an_answer_from_the_command_to_the_samples(tmp_path, answer, kept, level):
    root, spec = sparse_lake(tmp_path), f"quantile_clipping/uq_0.99_zq_{answer}_image"
    part = standardized(root, spec, stats_level=level)
    assert {file.parent.name for file in part.files} == {spec.partition("/")[2]}
    assert read_provenance(part.files[-1])["parameters"]["on_zero_quantile"] == answer
    (gone,) = part.summary["dropped"]
    assert (gone["reason"], gone["tissues"], gone["of"]) == (REASONS[UNMEASURED], 3 - len(kept), 3)
    raised = [] if answer == "drop" else [("CD3e", {"max": 1.0, "raise-quantile": 0.999}[answer], 1, 3)]
    assert [tuple(item.values()) for item in part.summary.get("raised", [])] == raised
    assert ("clipped to the quantile" in part.note) == bool(raised)
    with_it = {f"cohort_000{number}" for number in kept}
    assert delivered(root, spec) == with_it
    with_all = delivered(root, spec, disable_quantile_mask=True)
    assert with_all == with_it, "not measured is not measured"
    standardizer = build_standardizer(
        standardization=spec, modality_dir=root / "cohort/imc/1_0mpp", channels_per_image=["CD3e"],
        disable_quantile_mask=True,
    )  # fmt: skip
    for number in (0, 1, 3):
        _, mask = standardizer.apply(np.ones((1, 2, 2), np.float32), f"cohort_000{number}", [True], [True])
        assert mask.tolist() == [str(number) in kept]
    with Catalog(root) as catalog:
        query = "SELECT tissue_id FROM standardization_stats WHERE spec = $spec AND channel_name = 'CD3e' AND upper = 0"
        in_sql = {row[0] for row in catalog.sql(query, {"spec": spec}).fetchall()}
    assert in_sql == {"cohort_0000", "cohort_0001", "cohort_0003"} - with_it
    query = SporaQuery(root).modality("imc").tissues(mpp=1.0).channels(require=["CD3e"])
    asked = query.standardize(spec, disable_quantile_mask=True)
    assert set(asked.df()["tissue_id"]) == with_it
    assert "cohort/imc/cohort_0001/CD3e" in str(asked.explain())
    lost = query.standardize(spec).coverage().set_index("tissue_id")
    assert set(lost.index) == in_sql
    assert set(lost["reason"]) == {REASONS[UNMEASURED]}
    found = [finding for finding in validate(root) if finding.rule.startswith("statistics_")]
    assert [finding for finding in found if "CD3e" in finding.message] == []


def test_a_lock_keeps_the_answer(tmp_path):
    root, spec = sparse_lake(tmp_path / "lake"), "quantile_clipping/uq_0.99_zq_max_image"
    standardized(root, spec)
    query = SporaQuery(root).modality("imc").tissues(mpp=1.0).standardize(spec)
    query.lock(tmp_path / "lock.json")
    again = SporaQuery.from_lock(tmp_path / "lock.json")
    assert again.plan().hash == query.plan().hash
    assert again.to_torch()[0]["spec"] == spec
