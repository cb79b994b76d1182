"""Markers named across panels: one protein under several names, one name for several proteins."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakes import coordinates_image, write_zarr
from spora_db import Catalog, SporaQuery
from spora_db.catalog.aliases import read_aliases
from spora_db.errors import ArgumentError, FileFormatError, QueryError, SporaError, TableError, UnknownNameError
from spora_db.selection import ChannelChoice
from spora_db.selection.markers import find_markers

PANELS = {
    "alpha": [("DNA", None), ("CD3e", "P07766"), ("CD8a", "P01732"), ("SMA", "P62736"), ("sma", "P68133")],
    "beta": [("DAPI", None), ("CD3", "P07766"), ("CD8", "P01732-2"), ("Vimentin", "P08670"), ("NA", "not-an-id")],
    "gamma": [("Dapi", None), ("cd3E", "P07766"), ("CD45", "P08575-4"), ("CD45RO", "P08575-8"), ("XYZ", "not-an-id")],
    "delta": [("T", "P07766"), ("CD8x", "P01732"), ("CD3", "P04234"), ("Ki67", "P46013")],
}
TISSUES = 3


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cohorts of three IMC tissues; tissue i lacks every channel whose position is i plus a multiple of 4."""
    root = tmp_path_factory.mktemp("markers") / "lake"
    for name, panel in PANELS.items():
        base, measured, rows = root / name, {}, []
        for folder in ("metadata", "imc/1_0mpp/images"):
            (base / folder).mkdir(parents=True)
        for i in range(TISSUES):
            tissue = f"{name}_{i}"
            present = np.arange(len(panel)) % 4 != i + 1
            measured[tissue] = present
            write_zarr(base / "imc/1_0mpp/images" / f"{tissue}.ome.zarr", coordinates_image(int(present.sum()), 32, 32))
            rows.append({"tissue_id": tissue, "patient_id": tissue, "specimen_id": "", "split": "x", "modality": "imc"})
        pd.DataFrame(rows).to_parquet(base / "metadata/tissues.parquet")
        channels = pd.DataFrame(panel, columns=["channel_name", "uniprot_id"])
        channels.assign(qc_pass=channels.index != 3, is_nuclear_marker=channels.index == 0).to_parquet(
            base / "imc/channels.parquet"
        )
        wide = pd.DataFrame.from_dict(measured, orient="index", columns=channels["channel_name"])
        wide.rename_axis("tissue_id").to_parquet(base / "imc/channels_per_tissue.parquet")
    return root


@pytest.fixture
def query(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tissues(mpp=1.0)


def meant_by(lake: Path, name: str, **choice: object) -> set[str]:
    """Return what a name means, as texts ``dataset channel``."""
    with Catalog(lake) as catalog:
        found = find_markers(ChannelChoice(require=(name,), **choice), ["imc"], catalog).found[name]
    return {f"{channel.dataset} {channel.channel_name}" for channel in found}


def measured_names(lake: Path) -> dict[str, set[tuple[str, str]]]:
    """Return, read by pandas, the (dataset, channel) pairs measured in each tissue."""
    found = {}
    for base in lake.iterdir():
        wide = pd.read_parquet(base / "imc/channels_per_tissue.parquet")
        for tissue, row in wide.iterrows():
            found[tissue] = {(base.name, name) for name in wide.columns if row[name]}
    return found


MEANINGS = {
    # by accession, in every panel, isoforms included unless one is named
    "P07766": {"alpha CD3e", "beta CD3", "gamma cd3E", "delta T"},
    "P01732": {"alpha CD8a", "beta CD8", "delta CD8x"},
    "P01732-2": {"beta CD8"},
    "P08575": {"gamma CD45", "gamma CD45RO"},
    # by exact name, then letter case, then the protein of the name elsewhere
    "SMA": {"alpha SMA"},
    "sma": {"alpha sma"},
    "CD8": {"alpha CD8a", "beta CD8", "delta CD8x"},
    "cd3e": {"alpha CD3e", "beta CD3", "gamma cd3E", "delta T"},
    "dapi": {"beta DAPI", "gamma Dapi"},
    "Ki67": {"delta Ki67"},
    # channels without a proper accession are never the same protein
    "NA": {"beta NA"},
}


@pytest.mark.some(3)
@pytest.mark.parametrize(("name", "meant"), MEANINGS.items())
def test_a_name_means_these_channels(lake, name, meant):
    assert meant_by(lake, name) == meant


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Sma", ["'SMA' (P62736) in alpha/imc", "'sma' (P68133) in alpha/imc"]),
        ("CD3", ["P07766", "P04234", "'CD3e' (P07766) in alpha/imc", "accession"]),
    ],
)
def test_ambiguity_lists_the_candidates(query, name, words):
    with pytest.raises(ArgumentError, match="ambiguous") as caught:
        query.channels(require=[name]).count()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_unknown_names_list_near_ones(query):
    for argument in ("names", "require", "any_of", "exclude"):
        with pytest.raises(UnknownNameError, match="Vimentin"):
            query.channels(**{argument: ["Vimentine"]}).count()


@pytest.mark.parametrize(
    ("aliases", "name", "meant"),
    [
        ({"CD3": "P07766"}, "CD3", {"alpha CD3e", "beta CD3", "gamma cd3E", "delta CD3"}),
        ({"T cells": ["CD3e", "CD8a"]}, "t cells", {"alpha CD3e", "beta CD3", "gamma cd3E", "delta T"}),
        ({"nuclei": ["DNA", "DAPI"]}, "nuclei", {"alpha DNA", "beta DAPI", "gamma Dapi"}),
    ],
)
def test_aliases_come_after_names(lake, aliases, name, meant):
    assert meant_by(lake, name, aliases=read_aliases(aliases)) == meant


def test_aliases_of_a_parquet_file_are_those_of_a_dict(query, tmp_path):
    path = tmp_path / "aliases.parquet"
    pd.DataFrame({"alias": ["nuclei", "T cells", "nuclei"], "marker": ["DNA", "P07766", "DAPI"]}).to_parquet(path)
    by_file = query.channels(names=["nuclei"], aliases=path)
    assert by_file == query.channels(names=["nuclei"], aliases={"nuclei": ["DNA", "DAPI"], "T cells": "P07766"})
    assert set(by_file.plan().channel_names) >= {"DNA", "DAPI", "Dapi"}
    pd.read_parquet(path).to_csv(tmp_path / "aliases.csv", index=False)
    assert query.channels(names=["nuclei"], aliases=tmp_path / "aliases.csv") == by_file
    with pytest.raises(FileFormatError, match=r"nowhere\.parquet.*no such file"):
        query.channels(aliases=tmp_path / "nowhere.parquet")
    pd.DataFrame({"alias": ["a"], "name": ["b"]}).to_parquet(path)
    with pytest.raises(TableError, match="'marker'"):
        query.channels(aliases=path)
    for wrong in ({"nuclei": []}, {"nuclei": None}, {"nuclei": 3}, {"nuclei": ["DAPI", 3]}, {"": "DAPI"}, {3: "DAPI"}):
        with pytest.raises(ArgumentError, match="stands for"):
            query.channels(aliases=wrong)


def test_aliases_of_a_table_are_those_of_a_dict(query):
    frame = pd.DataFrame({"alias": ["nuclei", "T cells", "nuclei"], "marker": ["DNA", "P07766", "DAPI"]})
    expected = query.channels(names=["nuclei"], aliases={"nuclei": ["DNA", "DAPI"], "T cells": "P07766"})
    for table in (frame, pa.Table.from_pandas(frame)):
        assert query.channels(names=["nuclei"], aliases=table) == expected
    with pytest.raises(TableError, match="'marker'"):
        query.channels(aliases=frame[["alias"]])
    for wrong in ([("nuclei", "DAPI")], 3):
        with pytest.raises(ArgumentError, match="alias and marker"):
            query.channels(aliases=wrong)


def offering(lake: Path, name: str) -> set[str]:
    meant = {tuple(text.split(" ")) for text in MEANINGS[name]}
    return {tissue for tissue, has in measured_names(lake).items() if has & meant}


def selected(query: SporaQuery) -> set[str]:
    return set(query.df()["tissue_id"])


@pytest.mark.parametrize("names", [["P07766"], ["cd3e", "CD8"], ["SMA"], ["P01732-2", "P07766"], ["P08575"]])
def test_require_and_any_of_against_pandas(lake, query, names):
    every = [offering(lake, name) for name in names]
    assert selected(query.channels(require=names)) == set.intersection(*every)
    assert selected(query.channels(any_of=names)) == set.union(*every)


@pytest.mark.parametrize("least", [1, 2, 3, 4])
def test_at_least_so_many_of_any(lake, query, least):
    names = ["P07766", "CD8", "P08575", "dapi"]
    counts = pd.Series([tissue for name in names for tissue in offering(lake, name)]).value_counts()
    assert selected(query.channels(any_of=names, at_least=least)) == set(counts.index[counts >= least])


def test_two_names_of_one_marker_count_once(query):
    assert query.channels(any_of=["P07766", "cd3e"], at_least=2).count() == 0


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("choice", "dropped"),
    [({}, set()), ({"exclude": ["P07766"]}, {"CD3e", "CD3", "cd3E", "T"}), ({"names": ["CD8", "SMA"]}, None)],
)
@pytest.mark.parametrize("least", [1, 2, 3, 4])
def test_at_least_so_many_channels(lake, query, choice, dropped, least):
    asked = query.channels(**choice, at_least=least)
    expected = set()
    for tissue, has in measured_names(lake).items():
        names = {(d, n) for d, n in has if dropped is None or n not in dropped or (d, n) == ("delta", "CD3")}
        if dropped is None:
            names &= {tuple(text.split(" ")) for name in choice["names"] for text in MEANINGS[name]}
        if len(names) >= least:
            expected.add(tissue)
    assert selected(asked) == expected
    plan = asked.plan()
    assert np.diff(plan.channels.offsets).min(initial=99) >= least
    assert len(plan) == len(expected)


def test_at_least_looks_at_the_kind(query):
    assert query.channels(kind="uniprot_filtered", at_least=4).count() < query.channels(at_least=4).count()


def test_excluded_channels_are_not_delivered(lake, query):
    plan = query.channels(exclude=["P07766", "SMA", "CD45RO"]).plan()
    for image, tissue in enumerate(plan.images.column("tissue_id").to_pylist()):
        names = [plan.channel_names[code] for code in plan.channels.of(image).name]
        gone = {("alpha", "SMA"), ("gamma", "CD45RO"), *(tuple(t.split(" ")) for t in MEANINGS["P07766"])}
        assert {(tissue.split("_")[0], name) for name in names} == measured_names(lake)[tissue] - gone
    assert query.channels(exclude=["CD3e"]).count() == query.count()


def write_held(lake: Path, held: dict[str, dict[str, str]]) -> Path:
    """Write tissues with the images that each holds; the panels list all tissues, images or not."""
    base = lake / "both"
    for modality, names in (("imc", ["A", "B"]), ("codex", ["A", "C"]), ("he", ["r", "g", "b"])):
        for tissue in (tissue for tissue, images in held.items() if modality in images):
            image = base / modality / f"1_0mpp/images/{tissue}.ome.zarr"
            image.parent.mkdir(parents=True, exist_ok=True)
            write_zarr(image, coordinates_image(len(names), 32, 32))
        if modality != "he":
            pd.DataFrame(
                {"channel_name": names, "qc_pass": True, "uniprot_id": None, "is_nuclear_marker": False}
            ).to_parquet(base / modality / "channels.parquet")
            panel = pd.DataFrame(True, columns=names, index=pd.Index(list(held), name="tissue_id"))
            panel.to_parquet(base / modality / "channels_per_tissue.parquet")
    return lake


def test_alternatives_are_looked_at_one_by_one(tmp_path):
    """A marker of a tissue's CODEX image says nothing of its IMC image."""
    lake = write_held(tmp_path / "lake", {"t": {"imc": "AB", "codex": "AC"}})
    query = SporaQuery(lake).modality(("imc", "codex")).tissues(mpp=1.0)
    assert query.count() == 2
    assert query.channels(require=["C"]).df()["modality"].tolist() == ["codex"]
    assert query.channels(any_of=["B", "C"], at_least=2).count() == 0
    pair = SporaQuery(lake).modality("imc", "codex").tissues(mpp=1.0)
    assert pair.channels(any_of=["B", "C"], at_least=2).count() == 1
    overlap = query.panel_overlap()
    assert overlap.to_dict() == {
        "both/codex": {"both/codex": 2, "both/imc": 1},
        "both/imc": {"both/codex": 1, "both/imc": 2},
    }


HELD = {
    "t": {"imc": "AB", "codex": "AC", "he": ""},
    "u": {"codex": "AC", "he": ""},
    "v": {"he": ""},
    "w": {"imc": "AB"},
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_held(tmp_path_factory.mktemp("mixed") / "lake", HELD)


@pytest.mark.some(5)
@pytest.mark.parametrize("missing", ["drop", "keep"])
@pytest.mark.parametrize(
    "modalities",
    [
        ("he", "imc", "codex"),
        ("imc", "he", "codex"),
        ("he", ("imc", "codex")),
        ("he", ("codex", "imc")),
        (("imc", "codex"), "he"),
        (("codex", "imc"), "he"),
        (("imc", "codex"),),
        (("imc", "he"), "codex"),
        (("imc", "he", "codex"),),
    ],
    ids=str,
)
def test_what_a_row_delivers_decides(mixed, modalities, missing):
    """Alternatives that a row does not show offer nothing: the rows are those whose images hold the markers."""
    query = SporaQuery(mixed).modality(*modalities, missing=missing).tissues(mpp=1.0)
    plan = query.plan()
    images = plan.images.to_pylist()
    shown = [[(images[n]["modality"], images[n]["tissue_id"]) for n in row if n >= 0] for row in plan.image.tolist()]
    for verb, holds in (
        ({"require": ["A"]}, lambda found: "A" in found),
        ({"require": ["C"]}, lambda found: "C" in found),
        ({"require": ["B", "A"]}, lambda found: "A" in found and "B" in found),
        ({"any_of": ["B", "C"]}, lambda found: "B" in found or "C" in found),
        ({"any_of": ["A", "C"], "at_least": 2}, lambda found: "A" in found and "C" in found),
    ):
        left = query.channels(**verb)
        expected = [row for row in shown if holds("".join(HELD[tissue][modality] for modality, tissue in row))]
        chosen = left.plan()
        of = chosen.images.to_pylist()
        found = [[(of[n]["modality"], of[n]["tissue_id"]) for n in row if n >= 0] for row in chosen.image.tolist()]
        assert sorted(found) == sorted(expected), verb
        assert left.count() == len(expected), verb


def test_what_a_row_of_ones_own_shows_decides(mixed):
    """A row that names the later modality shows that one, whatever other images its tissue has."""
    text = "SELECT dataset, tissue_id, modality, mpp FROM images WHERE tissue_id = 't' AND modality = 'imc'"
    query = SporaQuery.from_sql(mixed, text).modality("he", "imc", missing="keep").tissues()
    assert query.plan().image.tolist() == [[-1, 0]]
    assert query.channels(require=["A"]).count() == 1


@pytest.mark.some(3)
@pytest.mark.parametrize("name", MEANINGS)
def test_macros_mean_the_same_channels(lake, name):
    with Catalog(lake) as catalog:
        for macro in ("has_all_markers", "has_any_marker"):
            text = f"SELECT tissue_id FROM images WHERE {macro}(dataset, modality, tissue_id, ['{name}'])"
            assert {row[0] for row in catalog.sql(text).fetchall()} == offering(lake, name)


ALIASES = [
    {"CD3": "P07766"},
    {"T cells": ["CD3e", "CD8a"]},
    {"nuclei": ["DNA", "DAPI"]},
    {"CD8A": ["Vimentin", "SMA"]},  # what a name means elsewhere comes after its aliases
    {"killer": ["nothing", "Ki67", "P01732-2", "P01732"], "KILLER": ["CD8a"]},
    {"memory": ["P08575", "XYZ"], "stroma": "vimentin"},
]


@pytest.mark.some(3)
@pytest.mark.parametrize("aliases", ALIASES, ids=str)
def test_macros_know_the_same_aliases(lake, query, aliases):
    names = ["t cells", "CD3", "nuclei", "cd8a", "Killer", "memory", "stroma", "Ki67", "nothing"]
    with Catalog(lake, aliases=aliases) as catalog:
        for name in names:
            text = "SELECT tissue_id FROM images WHERE has_all_markers(dataset, modality, tissue_id, [$name])"
            macro = query.channels(aliases=aliases).where(text[text.index("has") :].replace("$name", f"'{name}'"))
            try:
                expected = set(query.channels(require=[name], aliases=aliases).df()["tissue_id"])
            except UnknownNameError:
                for ask in (lambda text=text, name=name: catalog.sql(text, {"name": name}).fetchall(), macro.count):
                    with pytest.raises(UnknownNameError, match=f"Unknown channel '{name}'"):
                        ask()
                continue
            except ArgumentError:
                for ask in (lambda text=text, name=name: catalog.sql(text, {"name": name}).fetchall(), macro.count):
                    with pytest.raises(QueryError, match="is ambiguous in"):
                        ask()
                continue
            assert {row[0] for row in catalog.sql(text, {"name": name}).fetchall()} == expected, name
            assert set(macro.df()["tissue_id"]) == expected, name


ODD_PANELS = {
    "one": {"imc": [("CD3", "P01732", False), ("not-an-id", None, False), ("H3", "P84243", True)]},
    "two": {"imc": [("CD8a", "P01732", False), ("Cd8A", None, False), ("DNA", None, True)]},
    "three": {
        "imc": [("X", "not-an-id", False), ("SMA", "P62736", False), ("P08575", None, False)],
        "codex": [("SMA", "P62736", False), ("sma", "P68133", False), ("Only", "P46013-2", False)],
    },
}
ODD_NAMES = [
    "CD3", "cd3", "CD8a", "Cd8A", "cd8a", "CD8A", "P01732", "P01732-1", "p01732", "not-an-id", "not", "X", "SMA", "sma",
    "Sma", "P68133", "Only", "P46013", "P46013-2", "P46013-1", "H3", "P84243", "P68431", "DNA", "dna", "P08575", "Z",
    "", "T8", "t8", "both",
]  # fmt: skip
ODD_ALIASES = {"T8": ["nowhere", "CD8a"], "both": ["Cd8A", "CD3"]}


@pytest.fixture(scope="module")
def odd_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tissue per channel, which measures this channel alone, and one that measures all."""
    root = tmp_path_factory.mktemp("odd") / "lake"
    for dataset, panels in ODD_PANELS.items():
        for modality, panel in panels.items():
            base, names = root / dataset / modality, [name for name, *_ in panel]
            (base / "1_0mpp/images").mkdir(parents=True)
            measured = np.vstack([np.eye(len(names), dtype=bool), np.ones(len(names), bool)])
            ids = [f"{dataset}_{modality}_{number}" for number in range(len(measured))]
            for tissue, row in zip(ids, measured, strict=True):
                write_zarr(base / f"1_0mpp/images/{tissue}.ome.zarr", coordinates_image(int(row.sum()), 32, 32))
            frame = pd.DataFrame(panel, columns=["channel_name", "uniprot_id", "is_nuclear_marker"])
            frame.assign(qc_pass=True).to_parquet(base / "channels.parquet")
            wide = pd.DataFrame(measured, columns=names, index=pd.Index(ids, name="tissue_id"))
            wide.to_parquet(base / "channels_per_tissue.parquet")
    return root


def outcome(ask: Callable[[], object]) -> object:
    """Return an answer, or which error it is."""
    try:
        return ask()
    except UnknownNameError as error:
        return f"{type(error).__name__}: {str(error).partition(' in the panels')[0]}"
    except SporaError as error:
        return "ambiguous" if "ambiguous" in str(error) else str(error)


def by_verb(lake: Path, name: str, choice: ChannelChoice, catalog: Catalog) -> list[str]:
    """Return the tissues, read by pandas, that measured a channel that the verbs of a query take a name for."""
    meant = find_markers(replace(choice, require=(name,)), ["imc", "codex"], catalog).found[name]
    found = set()
    for channel in meant:
        wide = pd.read_parquet(lake / channel.dataset / channel.modality / "channels_per_tissue.parquet")
        found |= set(wide.index[wide[channel.channel_name]])
    return sorted(found)


def by_macros(name: str, catalog: Catalog) -> list[str]:
    text = "SELECT tissue_id FROM images WHERE n_markers(dataset, modality, tissue_id, [$name]) = 1 ORDER BY 1"
    return [row[0] for row in catalog.sql(text, {"name": name}).fetchall()]


@pytest.mark.some(2)
@pytest.mark.parametrize("given", [{}, {"aliases": read_aliases(ODD_ALIASES)}, {"replace_nuclear": True}], ids=list)
def test_macros_and_verbs_mean_the_same_tissues(odd_lake, given):
    choice, found = ChannelChoice(**given), {}
    with Catalog(odd_lake) as catalog:
        for name in ODD_NAMES:
            found[name] = outcome(lambda name=name: by_verb(odd_lake, name, choice, catalog))
            assert outcome(lambda name=name: by_macros(name, catalog)) == found[name], name
    if not given:
        assert found["Cd8A"] == ["two_imc_1", "two_imc_3"]
        assert found["cd3"] == found["P01732"] == found["CD8a"]
        assert found["CD8A"] == found["Sma"] == "ambiguous"
        assert found["not"] == "UnknownNameError: Unknown channel 'not'"
    assert ("replace_nuclear" in given) is (found["P68431"] == ["one_imc_2", "one_imc_3", "two_imc_2", "two_imc_3"])


@pytest.mark.some(3)
@pytest.mark.parametrize("name", ["Cd8A", "CD8A", "P68431", "Only", "Z", "T8"])
def test_conditions_and_verbs_select_the_same_rows(odd_lake, name):
    query = SporaQuery(odd_lake).modality("imc").tissues(mpp=1.0)
    query = query.channels(aliases=ODD_ALIASES, replace_nuclear_uniprot_ids=True)
    require = query.channels(require=[name], aliases=ODD_ALIASES, replace_nuclear_uniprot_ids=True)
    macro = query.where(f"has_all_markers(dataset, modality, tissue_id, ['{name}'])")
    assert outcome(lambda: sorted(macro.df()["tissue_id"])) == outcome(lambda: sorted(require.df()["tissue_id"]))


def test_a_macro_names_near_spellings_of_a_name_that_no_panel_knows(odd_lake):
    text = "SELECT count(*) FROM images WHERE n_markers(dataset, modality, tissue_id, ['CD8b', 'CD3']) > 0"
    with (
        Catalog(odd_lake) as catalog,
        pytest.raises(UnknownNameError, match=r"'CD8b'.*Did you mean 'C[dD]8[aA]'") as told,
    ):
        catalog.sql(text).fetchall()
    assert "this lake" in str(told.value)
    with duckdb.connect() as bare, Catalog(odd_lake) as catalog:
        bare.execute(catalog.ddl())
        with pytest.raises(duckdb.InvalidInputException, match="Marker 'CD8b' is in no panel"):
            bare.execute(text).fetchall()


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("has_all_markers(dataset, 'IMC', tissue_id, ['CD3e'])", "Unknown modality 'IMC'. Did you mean 'imc'"),
        ("n_markers(dataset, 'imcc', tissue_id, ['CD3e']) > 0", "Unknown modality 'imcc'"),
        (
            "has_any_marker('{upper}', modality, tissue_id, ['CD3e'])",
            "Unknown dataset '{upper}'. Did you mean '{name}'",
        ),
        ("NOT has_any_marker(upper(dataset), modality, tissue_id, ['CD3e'])", "Unknown dataset '{upper}'"),
    ],
)
def test_a_macro_refuses_a_dataset_or_modality_that_the_lake_does_not_have(lake, query, call, words):
    with Catalog(lake) as catalog:
        (name,) = catalog.sql("SELECT min(dataset) FROM tissues WHERE modality = 'imc'").fetchall()[0]
        names = {"name": name, "upper": name.upper()}
        call, words = call.format(**names), re.escape(words.format(**names))
        with pytest.raises(UnknownNameError, match=words):
            catalog.sql(f"SELECT count(*) FROM tissues WHERE {call}").fetchall()
    with pytest.raises(UnknownNameError, match=words):
        query.where(call).count()


def test_a_macro_answers_for_a_modality_without_panel_and_for_none(lake):
    with Catalog(lake) as catalog:
        for modality in ("NULL", "'imc'"):
            asked = f"SELECT n_markers(dataset, {modality}, 'no_such_tissue', ['CD3e']) FROM tissues LIMIT 1"
            assert catalog.sql(asked).fetchall() == [(0,)]


def test_a_macro_looks_at_the_panels_of_its_own_modality(odd_lake):
    text = "SELECT count(*) FROM images WHERE modality = '{}' AND has_any_marker(dataset, modality, tissue_id, ['Sma'])"
    with Catalog(odd_lake) as catalog:
        assert catalog.sql(text.format("imc")).fetchall() == [(2,)]
        with pytest.raises(QueryError, match="'Sma' is ambiguous in three/codex"):
            catalog.sql(text.format("codex")).fetchall()


@pytest.mark.slow
def test_aliases_are_of_one_query_and_not_of_the_next(lake, query, tmp_path):
    wanted = "has_any_marker(dataset, modality, tissue_id, ['T cells'])"
    pd.DataFrame({"alias": ["T cells"], "marker": ["P07766"]}).to_parquet(tmp_path / "aliases.parquet")
    aliases = tmp_path / "aliases.parquet"
    number = query.channels(require=["P07766"]).count()
    assert number
    for choice in (aliases, None, {"T cells": "P07766"}, {"B cells": "CD20"}):
        asked, found = query.channels(aliases=choice).where(wanted), number
        if choice is None or choice == {"B cells": "CD20"}:
            with Catalog(lake, aliases=choice) as catalog:
                for ask in (
                    asked.count, asked.plan, asked.sql,
                    lambda catalog=catalog: catalog.sql(f"SELECT 1 FROM images WHERE {wanted}").fetchall(),
                ):  # fmt: skip
                    with pytest.raises(UnknownNameError, match="'T cells'"):
                        ask()
            continue
        assert asked.count() == found
        assert len(asked.lock(tmp_path / "lock.json").read_text()) > 0
        assert SporaQuery.from_lock(tmp_path / "lock.json").count() == found
        with Catalog(lake, aliases=choice) as catalog:
            assert len(catalog.sql(f"SELECT 1 FROM images WHERE {wanted}").fetchall()) == found
            with duckdb.connect() as bare:
                bare.execute(catalog.ddl())
                assert len(bare.execute(f"SELECT 1 FROM images WHERE {wanted}").fetchall()) == found
            assert catalog.explain_sql(f"SELECT 1 FROM images WHERE {wanted}").files
    with pytest.raises(UnknownNameError, match="source_aliases"), Catalog(lake) as catalog:
        catalog.sql("SELECT * FROM source_aliases")


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Sma", "ambiguous in alpha/imc; it may mean: SMA .P62736., sma .P68133.. Give the accession"),
        ("CD3", "Marker 'CD3' is ambiguous"),
    ],
)
@pytest.mark.parametrize("macro", ["has_all_markers", "has_any_marker", "n_markers"])
def test_macros_refuse_ambiguous_names(lake, macro, name, words):
    with Catalog(lake) as catalog, pytest.raises(QueryError, match=words) as caught:
        catalog.sql(f"SELECT {macro}(dataset, modality, tissue_id, ['{name}']) FROM images").fetchall()
    assert "DuckDB" not in str(caught.value)


@pytest.mark.some(3)
@pytest.mark.parametrize("macro", ["has_all_markers", "HAS_ANY_MARKER", "n_markers"])
@pytest.mark.parametrize("wanted", ["'CD8'", "[8]", "8"])
def test_macros_say_that_they_want_a_list_of_names(lake, query, macro, wanted):
    call = f"{macro}(dataset, modality, tissue_id, {wanted}) > 0"
    words = f"{macro.lower()} wants a list of markers as its last argument"
    with pytest.raises(QueryError, match=words):
        query.where(call).count()
    with Catalog(lake) as catalog, pytest.raises(QueryError, match=words):
        catalog.sql(f"SELECT {call} FROM images").fetchall()


@pytest.mark.parametrize("name", ["source_channels", "source_panels", "source_panel_columns", "source_aliases"])
def test_ctes_of_a_caller_do_not_reach_into_macros(lake, name):
    text = "SELECT tissue_id FROM tissues WHERE n_markers(dataset, modality, tissue_id, ['P07766']) = 1 ORDER BY ALL"
    with Catalog(lake) as catalog:
        asked = f"WITH {name} AS (SELECT 1 AS alias) {text}"
        assert catalog._run(asked).fetchall() == catalog.sql(text).fetchall() != []
        with pytest.raises(QueryError, match=f"CTE name '{name}'"):
            catalog.sql(asked)


def test_n_markers_counts_names(lake):
    names = ["P07766", "CD8", "P08575", "dapi"]
    counts = pd.Series([tissue for name in names for tissue in offering(lake, name)]).value_counts()
    with Catalog(lake) as catalog:
        text = f"SELECT tissue_id, n_markers(dataset, modality, tissue_id, {names}) AS n FROM images"
        found = catalog.sql(text).df().set_index("tissue_id")["n"]
    assert found[found > 0].to_dict() == counts.to_dict()
    assert (found[~found.index.isin(counts.index)] == 0).all()


def test_panel_overlap_counts_shared_proteins(lake, query):
    overlap = query.panel_overlap()
    markers = {}
    for name, panel in PANELS.items():
        proper = {text: (u or "").split("-")[0] for text, u in panel if u and u != "not-an-id"}
        markers[name] = {proper.get(text, text.lower()) for text, _ in panel}
    for one in PANELS:
        for other in PANELS:
            assert overlap.loc[one, other] == len(markers[one] & markers[other]), (one, other)
    assert overlap.index.name == "cohort"
    fewer = query.channels(kind="uniprot_filtered", exclude=["P07766"]).where("dataset <> 'delta'").panel_overlap()
    assert list(fewer) == ["alpha", "beta", "gamma"]
    assert fewer.loc["alpha", "beta"] == 1
    assert query.where("dataset = 'none'").panel_overlap().empty


@pytest.mark.parametrize(
    "choice", [{"at_least": 0}, {"any_of": ["CD8"], "at_least": 2}, {"any_of": "CD8"}, {"exclude": "CD8"}]
)
def test_choices_that_make_no_sense(query, choice):
    with pytest.raises(SporaError):
        query.channels(**choice)
