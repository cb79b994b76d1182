"""A lock gives the same plan, or says precisely what differs."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lakes import write_lake, write_zarr
from spora_db import SporaQuery
from spora_db.cli import app
from spora_db.errors import FileFormatError, LockError, QueryError
from spora_db.images import clear_cache, close_images, write_omezarr
from spora_db.lock.json_values import from_json, to_json
from spora_db.lock.lockfile import read_lock
from spora_db.lock.locking import check_lock, make_lock
from spora_db.selection import Selection

SPEC = "quantile_clipping/uq_0.99_image"
ROWS = "SELECT dataset, tissue_id, tile_id, \"row\", col FROM tiles WHERE modality = 'imc'"
ORDERED = f"{ROWS} ORDER BY dataset, tissue_id, tile_id"
FOLDER = "imc/1_0mpp/standardization/quantile_clipping/uq_0.99_image"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("lock") / "lake")


@pytest.fixture
def lake(written: Path, tmp_path: Path) -> Path:
    """A copy of its own for every test."""
    return Path(shutil.copytree(written, tmp_path / "lake"))


@pytest.fixture
def query(lake: Path) -> SporaQuery:
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).where("age > 40").select("age", "cancer_type")
    return query.standardize(SPEC).channels(kind="uniprot_filtered")


def rewrite(file: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(file)).to_parquet(file)


def broken(path: Path, lake: Path | None = None) -> str:
    with pytest.raises(LockError) as caught:
        SporaQuery.from_lock(path, lake=lake)
    return str(caught.value)


def test_a_lock_gives_the_same_query_and_plan(query, tmp_path):
    path = query.lock(tmp_path / "cohort.lock.json")
    again = SporaQuery.from_lock(path)
    assert again.selection == query.selection
    assert again.plan().hash == query.plan().hash
    content = json.loads(path.read_text())
    assert content["rows"] == query.count()
    assert content["plan"] == query.plan().hash
    assert content["versions"]["duckdb"]
    assert content["images"] is None
    assert set(content["files"]) == {
        f"{name}/{file}"
        for name in ("alpha", "beta")
        for file in (
            "metadata/tissues.parquet",
            "imc/channels.parquet",
            "imc/channels_per_tissue.parquet",
            "tiling/1_0mpp/default/32_tile_coordinates.parquet",
            *(f"{FOLDER}/{level}.parquet" for level in ("image_level_upper_quantiles", "global_level_means")),
            f"{FOLDER}/global_level_stds.parquet",
        )
    }


@pytest.mark.some(3)
@pytest.mark.parametrize(
    "build",
    [
        lambda q: q.modality("imc", ("he",), missing="keep").split("train").standardize({"imc": SPEC, "he": "hibou"}),
        lambda q: q.tissues(mpp=1.0).channels(any_of=["CD3e", "CD8"], at_least=2, aliases={"T": ["CD3e", "CD3"]}),
        lambda q: q.sample(10, by=["dataset", "cancer_type"], weights="1.0 / n_tiles", seed=7),
        lambda q: q.sample(quota={"LUAD": 3}, by="cancer_type"),
        lambda q: q.limit(4).sample(9),
        lambda q: q.sample(quota={50: 3}, by="age"),
        lambda q: q.standardize("identity"),
        lambda q: q.cells(size=8, source="masks").standardize("identity").where("FALSE"),
        lambda q: q.split(by="patient", fractions={"train": 0.5, "test": 0.5}, replace=True),
        lambda q: q.standardize({"imc": SPEC}, filters={"gaussian_blur": {"kernel_size": 5}}, missing="drop_channel"),
    ],
)
def test_every_choice_survives(query, tmp_path, build):
    built = build(query)
    again = SporaQuery.from_lock(built.lock(tmp_path / "a.json"))
    assert again.selection == built.selection
    assert again.plan().hash == built.plan().hash


def test_rows_of_sql_and_arrow_survive(lake, query, tmp_path):
    text = "SELECT dataset, tissue_id, tile_id, \"row\", col FROM tiles WHERE modality = 'imc' AND age > 50"
    by_sql = SporaQuery.from_sql(lake, text).modality("imc")
    by_arrow = SporaQuery.from_arrow(lake, by_sql.to_arrow())
    for built in (by_sql, by_arrow):
        path = built.lock(tmp_path / "a.json")
        assert SporaQuery.from_lock(path).plan().hash == built.plan().hash
    assert from_json(Selection, to_json(by_arrow.selection), where="").rows_table.equals(by_arrow.selection.rows_table)


def test_times_and_places_are_no_difference(query, lake, tmp_path):
    path = query.lock(tmp_path / "cohort.lock.json", images=True)
    for file in lake.rglob("*.parquet"):
        os.utime(file, (1, 1))
    assert SporaQuery.from_lock(path).selection == query.selection
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    lake.rename(moved)
    assert "give lake=" in broken(path)
    assert SporaQuery.from_lock(path, lake=moved).plan().hash == json.loads(path.read_text())["plan"]


def test_touched_files_are_told_as_a_note(query, lake, tmp_path):
    path = query.lock(tmp_path / "cohort.lock.json", images=True)
    image, table = "alpha/imc/1_0mpp/images/alpha_0001.ome.zarr", "alpha/metadata/tissues.parquet"
    for file in (lake / table, *(file for file in (lake / image).rglob("*") if file.is_file())):
        os.utime(file)
    told = CliRunner().invoke(app, ["diff", str(path)])
    notes = [
        f"note: files touched, content equal (1):\n  {table}\n",
        f"note: images touched, ends equal (between them they are not compared) (1):\n  {image}\n",
    ]
    assert told.exit_code == 0
    assert told.output == f"No difference: 54 rows, plan {query.plan().hash}.\n" + "".join(notes)
    rewrite(lake / table, lambda f: f.assign(age=f["age"] + 1))
    told = CliRunner().invoke(app, ["diff", str(path)])
    assert told.exit_code == 1
    assert told.output.endswith(notes[1])
    assert "files touched" not in told.output


def test_a_column_of_structs_and_lists_survives(query, lake, tmp_path):
    file = lake / "alpha/metadata/tissues.parquet"
    rewrite(file, lambda f: f.assign(staging=[{"t": i, "n": [i, 0]} for i in range(len(f))], nodes=[[1, 2]] * len(f)))
    path = query.select("staging", "nodes").lock(tmp_path / "a.json")
    assert SporaQuery.from_lock(path).count() == 54
    rewrite(file, lambda f: f.assign(staging=[{"t": i, "n": [i, int(i == 2)]} for i in range(len(f))]))
    assert "columns changed in alpha (1 tissue)" in broken(path)


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: q.where("now() > DATE '2020-01-01'"), "now\\(\\)"),
        (lambda q: q.where("tissue_id IN (SELECT tissue_id FROM tissues WHERE today() > DATE '2020-01-01')"), "today"),
        (lambda q: q.where("current_date > DATE '2020-01-01'"), "current_date"),
        (lambda q: q.where("age(TIMESTAMP '2020-01-01') > INTERVAL 1 DAY"), "age\\(\\)"),
        (lambda q: q.sample(5, weights="epoch(current_timestamp)"), "current_timestamp"),
        (lambda q: SporaQuery.from_sql(q.lake, f"{ROWS} ORDER BY random() LIMIT 9").modality("imc"), "random"),
        (lambda q: SporaQuery.from_sql(q.lake, f"{ROWS} USING SAMPLE 9").modality("imc"), "a sample clause"),
        (lambda q: SporaQuery.from_sql(q.lake, ROWS.replace("tiles", "tiles TABLESAMPLE 50%")), "a sample clause"),
        (lambda q: SporaQuery.from_sql(q.lake, f"{ROWS} LIMIT 9"), "LIMIT without ORDER BY"),
        (lambda q: q.where("age > (SELECT age FROM tissues OFFSET 1 LIMIT 1)"), "LIMIT without ORDER BY"),
        (
            lambda q: SporaQuery.from_sql(q.lake, f"{ROWS} QUALIFY row_number() OVER (PARTITION BY tissue_id) = 1"),
            r"row_number\(\) OVER without ORDER BY",
        ),
        (
            lambda q: SporaQuery.from_sql(q.lake, ROWS.replace("SELECT", "SELECT DISTINCT ON (tissue_id)")),
            "DISTINCT ON without ORDER BY",
        ),
    ],
)
def test_rows_that_change_from_run_to_run_are_not_locked(query, tmp_path, build, words):
    path = tmp_path / "a.json"
    with pytest.raises(QueryError, match=rf"lock\(\): the SQL of this query uses {words}.*\.sample\(n, seed=\)"):
        build(query).modality("imc").lock(path)
    assert not path.exists()


@pytest.mark.some(3)
@pytest.mark.parametrize(
    "build",
    [
        lambda q: SporaQuery.from_sql(q.lake, f"({ORDERED}) LIMIT 9").modality("imc"),
        lambda q: SporaQuery.from_sql(q.lake, f"SELECT * FROM ({ORDERED}) LIMIT 9").modality("imc"),
        lambda q: SporaQuery.from_sql(q.lake, f"WITH a AS ({ORDERED}) SELECT * FROM a LIMIT 9").modality("imc"),
        lambda q: q.where("tile_id = 0 AND age <= (SELECT max(age) FROM tissues LIMIT 1)"),
        lambda q: q.where("EXISTS (SELECT 1 FROM images AS i WHERE i.tissue_id = tiles.tissue_id LIMIT 1)"),
    ],
)
def test_a_limit_that_keeps_the_same_rows_is_locked(query, tmp_path, build):
    asked = build(query)
    assert SporaQuery.from_lock(asked.lock(tmp_path / "a.json")).count() == asked.count() > 0


def test_a_hash_of_another_form_says_so(query, tmp_path):
    path = query.lock(tmp_path / "a.json")
    content = json.loads(path.read_text())
    del content["versions"]["plan hash"]
    path.write_text(json.dumps({**content, "plan": "0" * 32}))
    assert "hashes of two forms" in broken(path)


def test_another_cohort_may_widen_a_column(query, lake, tmp_path):
    for name, kind in (("alpha", np.int32), ("beta", np.int64)):
        rewrite(lake / name / "metadata/tissues.parquet", lambda f, kind=kind: f.assign(count=kind(7)))
    (tmp_path / "beta").mkdir()
    shutil.move(lake / "beta", tmp_path / "beta")
    path = query.where("dataset = 'alpha'").select("count").lock(tmp_path / "a.json")
    shutil.move(tmp_path / "beta/beta", lake)
    assert SporaQuery.from_lock(path).count() == 27


def test_other_tilings_specs_and_cohorts_are_no_difference(query, lake, tmp_path):
    path = query.where("dataset = 'alpha'").lock(tmp_path / "a.json")
    tiling = lake / "alpha/tiling/1_0mpp/default"
    shutil.copy(tiling / "32_tile_coordinates.parquet", tiling / "64_tile_coordinates.parquet")
    shutil.copytree(lake / "alpha" / FOLDER, lake / "alpha" / FOLDER.replace("0.99", "0.5"))
    write_lake(lake, names=("gamma",))
    assert SporaQuery.from_lock(path).count() == 27


def test_one_byte_of_a_parquet_file(query, lake, tmp_path):
    path = query.lock(tmp_path / "a.json")
    file = lake / "beta/imc/channels.parquet"
    content = file.read_bytes()
    for position in (content.rindex(b"pandas"), content.index(b"CD3e") + 1):  # in its metadata; in a value
        file.write_bytes(content[:position] + b"X" + content[position + 1 :])
        text = broken(path)
        assert "files changed (1):\n  beta/imc/channels.parquet\n" in text
        assert "files added" not in text
        assert "files missing" not in text
        assert "rows gained" not in text
    assert "now it cannot be made" in text  # the panels name different channels by now
    assert "'CXe" not in text.split("\n")[0]


def test_a_byte_that_no_row_depends_on_is_told_with_the_same_plan(query, lake, tmp_path):
    path = query.lock(tmp_path / "a.json")
    rewrite(lake / "alpha/metadata/tissues.parquet", lambda f: f.assign(**{"X..spots": 9.0}))
    lines = broken(path).splitlines()
    assert lines[1:3] == ["files changed (1):", "  alpha/metadata/tissues.parquet"]
    assert lines[3].startswith("plan: 54 rows")
    assert lines[3].endswith("(the same)")


def test_an_added_cohort(query, lake, tmp_path):
    path = query.lock(tmp_path / "a.json")
    write_lake(lake, names=("gamma",))
    lines = broken(path).splitlines()
    assert lines[1] == "files added (7):"
    assert all(line.startswith("  gamma/") for line in lines[2:9])
    assert lines[9] == "rows gained in gamma: 27 of 3 tissues: gamma_0001, gamma_0002, gamma_0003"
    assert lines[10].startswith("plan: 54 rows, ")
    assert "; now 81 rows, " in lines[10]
    assert len(lines) == 12


def test_a_removed_cohort(query, lake, tmp_path):
    path = query.lock(tmp_path / "a.json")
    shutil.rmtree(lake / "beta")
    text = broken(path)
    assert "files missing (7):" in text
    assert "rows lost in beta: 27 of 3 tissues: beta_0001, beta_0002, beta_0003" in text


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("file", "change", "lines"),
    [
        (
            "metadata/tissues.parquet",
            lambda f: f.assign(age=f["age"].where(f["tissue_id"] != "alpha_0001", 51)),
            ["columns changed in alpha (1 tissue): alpha_0001"],
        ),
        (
            "metadata/tissues.parquet",
            lambda f: f.assign(age=f["age"].where(f["tissue_id"] != "alpha_0001", 1)),
            ["rows lost in alpha: 9 of 1 tissue: alpha_0001"],
        ),
        (
            "tiling/1_0mpp/default/32_tile_coordinates.parquet",
            lambda f: f[(f["tissue_id"] != "alpha_0002") | (f["tile_id"] < 7)],
            ["rows changed in alpha (1 tissue): alpha_0002 (9 rows, now 7)"],
        ),
        (
            f"{FOLDER}/image_level_upper_quantiles.parquet",
            lambda f: f.assign(CD8=f["CD8"].where(f.index != "alpha_0003", 1.5)),
            ["statistics changed in alpha (1 tissue): alpha_0003"],
        ),
        (
            "imc/channels.parquet",
            lambda f: f.assign(uniprot_id=f["uniprot_id"].replace("P07766", "P07767")),
            ["channels changed in alpha (2 tissues): alpha_0001, alpha_0003"],
        ),
    ],
)
def test_what_changed_is_told_by_tissue(query, lake, tmp_path, file, change, lines):
    path = query.lock(tmp_path / "a.json")
    rewrite(lake / "alpha" / file, change)
    found = broken(path).splitlines()
    assert found[1:3] == ["files changed (1):", f"  alpha/{file}"]
    assert found[3:-2] == lines
    assert found[-2].startswith("plan: ")


def test_files_of_a_cohort_that_lost_all_rows_are_not_missing(query, lake, tmp_path):
    path = query.lock(tmp_path / "a.json", images=True)
    rewrite(lake / "beta/metadata/tissues.parquet", lambda f: f.assign(age=1))
    text = broken(path)
    assert "files changed (1):\n  beta/metadata/tissues.parquet" in text
    assert "missing" not in text
    assert "rows lost in beta: 27 of 3 tissues" in text


def test_images_are_fingerprinted_when_asked(query, lake, tmp_path):
    plain, full = query.lock(tmp_path / "a.json"), query.lock(tmp_path / "b.json", images=True)
    image = lake / "alpha/imc/1_0mpp/images/alpha_0001.ome.zarr"
    from spora_db import open_image, read_region

    pixels = read_region(open_image(image)).copy()
    pixels[0, 0, 0] += 1
    write_zarr(image, pixels)
    assert SporaQuery.from_lock(plain).selection == query.selection
    assert "images changed (1):\n  alpha/imc/1_0mpp/images/alpha_0001.ome.zarr\n" in broken(full)
    assert len(read_lock(full).images) == 6


def flip(file: Path) -> None:
    """Change one bit in the middle of a file, and nothing that a folder tells of it."""
    state, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def exchange(first: Path, second: Path) -> None:
    spare = first.with_name("spare")
    for source, target in ((first, spare), (second, first), (spare, second)):
        source.rename(target)


def test_a_verified_lock_finds_one_changed_bit(query, lake, tmp_path, monkeypatch):
    monkeypatch.setattr("spora_db.lock.state.EDGE", 50)
    folder = lake / "alpha/imc/1_0mpp/images"
    pixels = np.random.default_rng(0).integers(0, 2**16, (5, 96, 96)).astype(np.uint16)
    write_omezarr(folder / "alpha_0001.ome.zarr", pixels, mpp=1.0, chunk=32, shard=32, overwrite=True)
    ends, whole = query.lock(tmp_path / "a.json", images=True), query.lock(tmp_path / "b.json", verify=True)
    assert SporaQuery.from_lock(whole).selection == query.selection
    first, second = (folder / "alpha_0001.ome.zarr/0/c/0/0" / name for name in "01")
    exchange(first, second)
    assert "images changed (1)" in broken(whole)
    exchange(first, second)
    flip(first)
    close_images()
    clear_cache()
    assert SporaQuery.from_lock(ends).selection == query.selection
    assert "images changed (1):\n  alpha/imc/1_0mpp/images/alpha_0001.ome.zarr\n" in broken(whole)
    with pytest.raises(FileFormatError, match=r"alpha_0001.*crc32c"):
        query.lock(tmp_path / "c.json", verify=True)
    assert not (tmp_path / "c.json").exists()
    told = CliRunner().invoke(app, ["diff", str(ends), str(whole)])
    assert told.exit_code == 0
    assert "note: images were not compared" in told.output


def test_a_verified_lock_reads_masks_and_leaves_absent_chunks_absent(query, lake, tmp_path):
    folder = lake / "alpha/segmentations/1_0mpp/tissue_masks"
    folder.mkdir(parents=True, exist_ok=True)
    for image in (lake / "alpha/imc/1_0mpp/images").iterdir():
        np.savez_compressed(folder / f"{image.name[:-9]}.npz", mask=np.eye(96, dtype=bool))
    masked = query.where("dataset = 'alpha'").with_masks("tissue")
    shutil.rmtree(lake / "alpha/imc/1_0mpp/images/alpha_0001.ome.zarr/0/c/0/1")
    path = masked.lock(tmp_path / "a.json", verify=True)
    assert any(name.endswith(".npz") for name in read_lock(path).images)
    flip(folder / "alpha_0001.npz")
    assert "images changed (1):\n  alpha/segmentations/1_0mpp/tissue_masks/alpha_0001.npz\n" in broken(path)
    with pytest.raises(FileFormatError, match=r"alpha_0001\.npz"):
        masked.lock(tmp_path / "b.json", verify=True)


def test_a_plan_that_cannot_be_made_says_why(query, lake, tmp_path):
    path = query.lock(tmp_path / "a.json")
    file = f"alpha/{FOLDER}/image_level_upper_quantiles.parquet"
    (lake / file).unlink()
    text = broken(path)
    assert f"files missing (1):\n  {file}\n" in text
    assert "now it cannot be made: No image_level_upper_quantiles" in text


def test_two_locks_are_compared(query, tmp_path):
    first = query.lock(tmp_path / "a.json")
    second = query.where("age < 70").standardize(SPEC, use_mean_std=False).lock(tmp_path / "b.json")
    result = CliRunner().invoke(app, ["diff", str(first), str(second)])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert "asked for: conditions ['age > 40'], now ['age > 40', 'age < 70']" in lines
    assert "asked for: standardization.use_mean_std True, now False" in lines
    assert "rows lost in alpha: 9 of 1 tissue: alpha_0003" in lines
    same = CliRunner().invoke(app, ["diff", str(first), str(first)])
    assert (same.exit_code, same.output) == (0, f"No difference: 54 rows, plan {query.plan().hash}.\n")


def test_what_cannot_be_compared_has_an_exit_code_of_its_own(query, tmp_path):
    path = query.lock(tmp_path / "a.lock.json")
    for wrong in (["diff", str(tmp_path / "none.json")], ["diff", str(path), "--lake", str(tmp_path / "nowhere")]):
        result = CliRunner().invoke(app, wrong)
        assert result.exit_code == 2
        assert "spora-db: " in result.output
        assert "none.json" in result.output or "nowhere" in result.output


def test_a_lock_is_compared_with_the_lake(query, lake, tmp_path):
    path = query.lock(tmp_path / "a.json")
    assert CliRunner().invoke(app, ["diff", str(path)]).exit_code == 0
    moved = lake.rename(tmp_path / "moved")
    assert CliRunner().invoke(app, ["diff", str(path), "--lake", str(moved)]).exit_code == 0
    write_lake(moved, names=("gamma",))
    changed = CliRunner().invoke(app, ["diff", str(path), "--lake", str(moved)])
    assert changed.exit_code == 1
    assert "rows gained in gamma" in changed.output


def test_versions_are_told_but_no_difference(query, lake):
    lock = make_lock(lake, query.selection)
    older = replace(lock, versions={**lock.versions, "duckdb": "1.0"})
    assert not check_lock(older)
    told = f"duckdb '1.0', now {lock.versions['duckdb']!r}"
    assert check_lock(older).versions == (told,)
    assert str(check_lock(older)).endswith(f"\nversion: {told}")


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="spora-db lock 9"), "spora-db lock 2"),
        (lambda c: c.update(format="spora-db lock 1"), "one fingerprint mixed rows with channels.*lock it with"),
        (lambda c: c["selection"].update(colour="red"), "newer version"),
        (lambda c: c["selection"].update(unit="slide"), "'slide'"),
        (lambda c: c.pop("sql"), "sql"),
        (lambda c: c.update(rows="many"), "'many'"),
        (lambda c: c["selection"].update(rows_table={"arrow": "AAAA"}), "rows"),
    ],
)
def test_files_that_are_no_locks(query, tmp_path, change, words):
    path = query.lock(tmp_path / "a.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=words):
        SporaQuery.from_lock(path)


def test_no_lock_at_all(tmp_path):
    with pytest.raises(LockError, match=r"query\.lock"):
        SporaQuery.from_lock(tmp_path / "nowhere.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(FileFormatError, match="no lock"):
        SporaQuery.from_lock(tmp_path / "a.json")
