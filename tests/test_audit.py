"""The audit's numbers against pandas, its leaks against lakes that leak, its picture looked at by size and ink."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from lakes import coordinates_image, write_lake, write_zarr
from spora_db import SporaQuery
from spora_db.errors import ArgumentError, FileFormatError, UnknownNameError

SPEC = "quantile_clipping/uq_0.99_image"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("audit") / "lake")


@pytest.fixture
def lake(written: Path, tmp_path: Path) -> Path:
    """A copy of its own for every test."""
    return Path(shutil.copytree(written, tmp_path / "lake"))


def ask(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


def tiles(lake: Path) -> pd.DataFrame:
    """All IMC tiles with their tissue's columns, joined by pandas: the oracle."""
    frames = []
    for base in sorted(lake.iterdir()):
        coordinates = pd.read_parquet(base / "tiling/1_0mpp/default/32_tile_coordinates.parquet")
        tissues = pd.read_parquet(base / "metadata/tissues.parquet").query("modality == 'imc'")
        frames.append(coordinates.merge(tissues, on="tissue_id").assign(dataset=base.name))
    return pd.concat(frames, ignore_index=True)


def change_tissues(lake: Path, dataset: str, **columns: object) -> None:
    file = lake / dataset / "metadata/tissues.parquet"
    pd.read_parquet(file).assign(**columns).to_parquet(file)


def texts(audit, level: str) -> list[str]:
    return [finding.text for finding in audit.findings if finding.level == level]


def test_totals_and_composition_against_pandas(written):
    audit = ask(written).where("age > 40").audit(columns=["cancer_type", "split"])
    frame = tiles(written).query("age > 40")
    assert audit.totals == {
        "rows": len(frame),
        "tissues": frame["tissue_id"].nunique(),
        "patients": len(frame.drop_duplicates(["dataset", "patient_id"])),
        "cohorts": 2,
        "panels": 2,
        "images": frame["tissue_id"].nunique(),
    }
    expected = (
        frame.assign(patient=frame["dataset"] + frame["patient_id"])
        .groupby(["cancer_type", "split"])
        .agg(rows=("tile_id", "size"), tissues=("tissue_id", "nunique"), patients=("patient", "nunique"))
        .reset_index()
    )
    pd.testing.assert_frame_equal(audit.table("composition"), expected, check_dtype=False)
    assert audit.table().set_index("dataset")["rows"].to_dict() == frame.groupby("dataset").size().to_dict()
    by_split = audit.table("splits").set_index(["dataset", "split"])["rows"].to_dict()
    assert by_split == frame.groupby(["dataset", "split"]).size().to_dict()


def test_any_column_of_the_rows_or_the_tissues_counts(written):
    audit = ask(written).audit(columns=["row", "X..spots"])
    expected = tiles(written).groupby(["row", "X..spots"]).size().to_dict()
    assert audit.table("composition").set_index(["row", "X..spots"])["rows"].to_dict() == expected
    text = "SELECT dataset, tissue_id, tile_id, \"row\", col, tile_id % 2 AS odd FROM tiles WHERE modality = 'imc'"
    mine = SporaQuery.from_sql(written, text).modality("imc").audit(columns=["odd", "cancer_type"])
    frame = tiles(written)
    expected = frame.groupby([frame["tile_id"] % 2, "cancer_type"]).size().to_dict()
    assert mine.table("composition").set_index(["odd", "cancer_type"])["rows"].to_dict() == expected
    assert mine.totals == ask(written).audit().totals
    with pytest.raises(UnknownNameError, match="cancer_type"):
        ask(written).audit(columns=["cancr_type"])
    with pytest.raises(UnknownNameError, match="leakage"):
        mine.table("leaks")


def test_panels_and_overlap(written):
    audit = ask(written).channels(kind="uniprot_filtered").audit()
    assert audit.table("panels").to_dict("records") == [
        {"dataset": name, "modality": "imc", "images": 4, "panel": 5, "fewest": 1, "most": 2}
        for name in ("alpha", "beta")
    ]
    assert audit.table("overlap").to_numpy().tolist() == [[2, 2], [2, 2]]


def test_one_column_may_be_given_by_its_name(written):
    pd.testing.assert_frame_equal(
        ask(written).audit("cancer_type").table("composition"),
        ask(written).audit(columns=["cancer_type"]).table("composition"),
    )


@pytest.mark.parametrize(("value", "kind"), [({"stage": 1}, "STRUCT"), ([1, 2], "BIGINT\\[\\]")])
def test_columns_that_cannot_be_counted_by_are_told(lake, value, kind):
    rows = len(pd.read_parquet(lake / "alpha/metadata/tissues.parquet"))
    change_tissues(lake, "alpha", staging=[value] * rows)
    with pytest.raises(ArgumentError, match=f"'staging' holds {kind}"):
        ask(lake).audit(columns=["staging"])


def test_colours_of_brightfield_images_are_no_markers(written, tmp_path):
    he = SporaQuery(written).modality("he").tiles(size=32)
    audit = he.audit()
    assert audit.table("overlap").empty
    assert he.panel_overlap().empty
    words = " ".join(text.get_text() for text in audit.save_png(tmp_path / "audit.png").texts)
    assert "Markers that cohorts share" not in words
    both = SporaQuery(written).modality("imc", "he").tiles(size=32)
    assert both.audit().table("overlap").to_dict() == ask(written).audit().table("overlap").to_dict()


def test_leaking_patients_and_specimens(lake):
    audit = ask(lake).audit()
    frame = tiles(lake)
    split = frame.groupby(["dataset", "patient_id"])["split"].nunique()
    found = audit.table("leakage").query("group == 'patient'")
    assert list(zip(found["dataset"], found["name"], strict=True)) == split.index[split > 1].tolist()
    assert found["splits"].tolist() == [["test", "train"]] * 4
    assert not audit.ok
    assert texts(audit, "error")[0].startswith("4 patients in several splits: alpha p0")
    assert ask(lake).split("train").audit().table("leakage").empty
    parted = ask(lake).split(by="patient", fractions={"train": 0.5, "test": 0.5}, seed=1, replace=True).audit()
    assert parted.table("leakage").empty
    assert "no patient is in several splits" in texts(parted, "ok")
    for name in ("alpha", "beta"):
        change_tissues(lake, name, patient_id=None, specimen_id="s")
    specimens = ask(lake).audit()
    assert specimens.table("leakage")["group"].tolist() == ["specimen", "specimen"]
    assert any("8 tissues of alpha, beta without a patient" in text for text in texts(specimens, "warning"))


def test_one_tissue_under_two_names(lake):
    """The same pixels stored with other chunks are found; images that agree in the probes only are not."""
    size = 96
    images = lake / "beta/imc/1_0mpp/images"
    twin = coordinates_image(5, size, size, offset=0)
    write_zarr(images / "beta_0001.ome.zarr", twin, chunk=16, shard=48)
    near = twin.copy()
    near[2, 95, 95] += 1
    write_zarr(images / "beta_0003.ome.zarr", near)
    for name in ("alpha", "beta"):
        change_tissues(lake, name, patient_id=range(len(pd.read_parquet(lake / name / "metadata/tissues.parquet"))))
    plain = ask(lake).audit()
    assert plain.table("leakage").query("group == 'pixels'").empty
    audit = ask(lake).audit(fingerprints=True)
    found = audit.table("leakage").query("group == 'pixels'")
    assert found["name"].tolist() == ["alpha_0000 = beta_0001"]
    assert found["splits"].tolist() == [["test", "train"]]
    assert "one image under several names: alpha_0000 = beta_0001, in the splits test, train" in texts(audit, "error")
    shutil.rmtree(images / "beta_0000.ome.zarr/0/c")
    assert any("1 image cannot be read" in text for text in texts(ask(lake).audit(fingerprints=True), "error"))


def test_missing_images_masks_tiles_and_statistics(lake):
    shutil.rmtree(lake / "alpha/imc/1_0mpp/images/alpha_0003.ome.zarr")
    file = lake / "beta/tiling/1_0mpp/default/32_tile_coordinates.parquet"
    pd.read_parquet(file).query("tissue_id != 'beta_0001'").to_parquet(file)
    masks = lake / "beta/segmentations/1_0mpp/tissue_masks"
    masks.mkdir(parents=True)
    np.savez_compressed(masks / "beta_0000.npz", mask=np.ones((96, 96), bool))
    file = lake / f"beta/imc/1_0mpp/standardization/{SPEC}/image_level_upper_quantiles.parquet"
    pd.read_parquet(file).drop(index="beta_0002").to_parquet(file)
    audit = ask(lake).standardize(SPEC).audit()
    found = audit.table("missing").set_index(["what", "dataset", "modality"])["examples"].to_dict()
    assert found == {
        ("image", "alpha", "imc"): ["alpha_0003"],
        ("tiles", "beta", ""): ["beta_0001"],
        ("tissue mask", "alpha", ""): ["alpha_0000", "alpha_0001", "alpha_0002"],
        ("tissue mask", "beta", ""): ["beta_0002", "beta_0003"],
        ("statistics: no quantiles", "beta", "imc"): ["beta_0002"],
    }
    assert "statistics: no quantiles for 1 tissue (beta imc)" in texts(audit, "error")
    chosen = ask(lake).standardize(SPEC, missing="drop_tissue").audit()
    assert not any("statistics" in text for text in texts(chosen, "error"))
    assert chosen.totals["tissues"] == audit.totals["tissues"] - 1


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("stated", "licence"),
    [
        ({"license": "CC BY 4.0"}, "CC BY 4.0"),
        ({"Licence": "MIT"}, "MIT"),
        ({"license": {"name": "CC0-1.0", "url": "x"}}, "CC0-1.0"),
        ({"license": ["MIT", "CC0"]}, "MIT, CC0"),
        ({"name": "alpha"}, None),
    ],
)
def test_licences_of_dataset_json(lake, stated, licence):
    (lake / "alpha/metadata/dataset.json").write_text(json.dumps(stated))
    found = ask(lake).audit().table("licences").set_index("dataset")
    assert found.loc["alpha", "licence"] == licence or (licence is None and found.loc["alpha", "licence"] is None)
    assert pd.isna(found.loc["beta", "source"])


def test_licences_of_a_column(lake):
    change_tissues(lake, "beta", license="CC BY-NC 4.0")
    audit = ask(lake).audit()
    assert audit.table("cohorts").set_index("dataset")["licence"]["beta"] == "CC BY-NC 4.0"
    assert audit.table("licences").set_index("dataset").loc["beta", "source"] == "column license"
    assert "no licence is stated for alpha" in texts(audit, "warning")


@pytest.mark.some(2)
@pytest.mark.parametrize("content", ["{", "[]", '{"license": 3}', "[" * 100_000])
def test_broken_dataset_json_is_named(lake, content):
    (lake / "alpha/metadata/dataset.json").write_text(content)
    with pytest.raises(FileFormatError, match=r"alpha/metadata/dataset\.json"):
        ask(lake).audit()


def test_one_name_for_two_proteins_is_told(lake):
    file = lake / "beta/imc/channels.parquet"
    pd.read_parquet(file).replace({"uniprot_id": {"P07766": "P04234"}}).to_parquet(file)
    assert any("cd3e (P04234, P07766)" in text for text in texts(ask(lake).audit(), "warning"))


def test_other_units_and_modalities(written):
    pair = SporaQuery(written).modality("he", "imc", missing="keep").tiles(size=32).audit()
    assert pair.totals["rows"] == 72
    assert pair.totals["images"] == 14
    assert pair.totals["panels"] == 2
    assert "he with imc tiles" in str(pair)
    tissues = SporaQuery(written).modality("he").tissues(mpp=1.0).audit()
    assert (tissues.totals["rows"], tissues.totals["panels"]) == (6, 0)


def test_no_rows(written):
    audit = ask(written).where("age > 1000").audit()
    assert texts(audit, "error") == ["the query selects no rows"]
    assert audit.to_dict()["cohorts"] == []


def test_the_audit_as_text_dict_and_html(written):
    audit = ask(written).audit(columns=["cancer_type"])
    text = str(audit)
    assert text.splitlines()[:2] == [
        "Audit of imc tiles at 1 mpp of lake",
        "72 rows, 8 tissues, 4 patients, 2 cohorts, 2 panels, 8 images",
    ]
    assert "x 4 patients in several splits" in text
    assert "LUAD" in text
    content = audit.to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["overlap"][0] == {"cohort": "alpha", "alpha": 5, "beta": 5}
    assert "<b>72</b> rows" in audit._repr_html_()


def test_a_dataset_may_be_called_as_a_column_of_the_audit_is(tmp_path):
    names = ("cohort", "cohort_", "dataset", "rows")
    audit = ask(write_lake(tmp_path / "lake", names=names, tissues=1)).audit()
    overlap = audit.to_dict()["overlap"]
    assert [row.pop("cohort__") for row in overlap] == sorted(names)
    assert overlap == audit.table("overlap").to_dict(orient="records")


def test_html_escapes_what_files_say(lake):
    change_tissues(lake, "alpha", cancer_type="<script>alert(1)</script>", patient_id="<b>p</b>")
    page = ask(lake).audit(columns=["cancer_type"])._repr_html_()
    assert "<script>" not in page
    assert "<b>p</b>" not in page


@pytest.mark.some(2)
@pytest.mark.parametrize("condition", ["TRUE", "age > 1000"])
def test_the_picture(written, tmp_path, condition):
    path = tmp_path / "audit.png"
    audit = ask(written).where(condition).audit(columns=["cancer_type", "age"])
    figure = audit.save_png(path)
    pixels = imread(path)
    assert pixels.shape[1] == round(figure.get_figwidth() * 140)
    assert (np.ptp(pixels[..., :3], axis=2) > 0.3).mean() > (0.005 if condition == "TRUE" else 0)
    words = " ".join(text.get_text() for text in figure.texts)
    assert "imc tiles at 1 mpp" in words
    assert "Rows by cancer_type" in words
    assert "Findings" in words
