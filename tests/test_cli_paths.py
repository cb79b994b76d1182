"""Every command with every kind of bad path: one sentence and an exit code, never a traceback."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.cli import main
from spora_db.drawing.canvas import Picture, save_picture
from spora_db.errors import WriteError
from spora_db.files.writing import named_file
from spora_db.images import write_ometiff

Run = Callable[..., tuple[int, str, str]]
BAD = {
    "missing": "missing",
    "below what is missing": "missing/deep.csv",
    "below a file": "table.csv/x",
    "a missing image": "missing.ome.tiff",
    "a name too long": "n" * 300,
    "an empty folder": "empty",
    "a folder named like a TIFF": "folder.ome.tiff",
    "a folder named like a CSV": "folder.csv",
    "a folder named like a mask": "folder.npz",
    "an empty store": "hollow.ome.zarr",
    "a file named like a store": "file.ome.zarr",
    "a table": "table.csv",
    "bytes": "bytes.csv",
    "a field without an end": "endless.csv",
    "no bytes": "nothing.csv",
    "a scanner's format": "slide.svs",
    "a broken image": "broken.ome.tiff",
    "an image of no bytes": "nothing.tiff",
    "a folder of broken images": "images",
    "no parquet": "text.parquet",
    "no mask": "text.npz",
    "no JSON": "text.json",
    "a link that leads nowhere": "dangling",
    "a link to itself": "loop",
}
COMMANDS = {
    "info": ("info", "BAD"),
    "info --provenance": ("info", "BAD", "--provenance"),
    "sql": ("sql", "BAD", "SELECT 1"),
    "sql --file": ("sql", "LAKE", "--file", "BAD"),
    "sql --aliases": ("sql", "LAKE", "SELECT 1", "--aliases", "BAD"),
    "sql --query": ("sql", "LAKE", "--query", "BAD"),
    "index": ("index", "BAD"),
    "index --beside": ("index", "BAD", "--beside"),
    "tile": ("tile", "BAD", "--tile-size", "32", "--mpp", "1"),
    "standardize": ("standardize", "BAD", "--modality", "imc", "--mpp", "1"),
    "validate": ("validate", "BAD"),
    "validate --deep": ("validate", "BAD", "--deep"),
    "quarantine": ("quarantine", "BAD"),
    "quarantine --forget": ("quarantine", "BAD", "--forget"),
    "diff": ("diff", "BAD"),
    "diff with": ("diff", "LOCK", "BAD"),
    "diff --lake": ("diff", "LOCK", "--lake", "BAD"),
    "import": ("import", "BAD", "--into", "NEW"),
    "import --panel": ("import", "IMAGE", "--into", "NEW", "--panel", "BAD"),
    "import --metadata": ("import", "IMAGE", "--into", "NEW", "--metadata", "BAD"),
    "import --cells": ("import", "IMAGE", "--into", "NEW", "--cells", "BAD"),
    "import --masks": ("import", "IMAGE", "--into", "NEW", "--masks", "BAD"),
    "import --cell-masks": ("import", "IMAGE", "--into", "NEW", "--cell-masks", "BAD"),
}
NOT_TO_WRITE = ("below what is missing", "below a file", "a name too long", "an empty folder")
WRITING = {
    "sql --output": ("sql", "LAKE", "SELECT 1", "--format", "csv", "--output", "BAD"),
    "quarantine --output": ("quarantine", "LAKE", "--format", "csv", "--output", "BAD"),
    "tile --preview": ("tile", "LAKE", "--tile-size", "32", "--mpp", "1", "--preview", "BAD"),
}
NOT_TO_MAKE = ("below a file", "a name too long", "a table", "a link that leads nowhere", "a link to itself")
MAKING = {"demo": ("demo", "BAD"), "import --into": ("import", "IMAGE", "--into", "BAD")}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder of bad paths, a lake, a lock of it and an image."""
    root = tmp_path_factory.mktemp("paths")
    folder = root / "bad"
    for name in ("empty", "folder.ome.tiff", "folder.csv", "hollow.ome.zarr", "folder.npz", "images"):
        (folder / name).mkdir(parents=True)
    header = b"II*\0" + b"\0" * 64
    for name, content in {
        "table.csv": b"a,b\n1,2\n", "bytes.csv": bytes(range(256)), "endless.csv": b'a,"' + b"x" * 200_000,
        "nothing.csv": b"", "slide.svs": header, "broken.ome.tiff": header, "nothing.tiff": b"",
        "images/a.ome.tiff": header, "text.parquet": b"text", "text.npz": b"text", "text.json": b"{",
        "file.ome.zarr": b"",
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
    (folder / "dangling").symlink_to(folder / "gone")
    (folder / "loop").symlink_to(folder / "loop")
    lake = write_lake(root / "lake", names=("alpha",), tissues=2)
    lock = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).lock(root / "a.lock.json")
    image = write_ometiff(root / "a.ome.tiff", np.ones((2, 40, 50), np.float32), mpp=1, channel_names=["a", "b"])
    return {"folder": folder, "LAKE": lake, "LOCK": lock, "IMAGE": image}


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], places: dict[str, Path], tmp_path: Path
) -> Run:
    """Run a command as the shell does: exit code, standard output, standard error."""
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def command(*words: object, bad: str = "") -> tuple[int, str, str]:
        named = {**places, "NEW": tmp_path / "new", "BAD": places["folder"] / bad}
        arguments = [str(named.get(str(word), word)) for word in words]
        if words[0] == "import":
            arguments += ["--dataset", "mine", "--modality", "imc", "--mpp", "1"]
        monkeypatch.setattr(sys, "argv", ["spora-db", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        told = capfd.readouterr()
        return left.value.code, told.out, told.err

    return command


def is_told(answer: tuple[int, str, str]) -> bool:
    """Tell whether a command ended with one sentence of ours and an exit code."""
    code, out, err = answer
    assert "Traceback" not in out + err
    assert code in (1, 2), out + err
    assert err.startswith("spora-db: "), out + err
    return err.count("\n") == 1


@pytest.mark.some(5)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_path_is_one_sentence(run, command, bad):
    one_line = is_told(run(*COMMANDS[command], bad=BAD[bad]))
    assert one_line or command == "sql --file"  # where the text is no SQL, a caret shows the place


@pytest.mark.parametrize("bad", NOT_TO_WRITE)
@pytest.mark.parametrize("command", WRITING)
def test_a_file_that_cannot_be_written_is_one_sentence(run, places, command, bad):
    name = BAD[bad] if command != "tile --preview" or bad == "an empty folder" else f"{BAD[bad]}.png"
    before = sorted(places["folder"].rglob("*"))
    assert is_told(run(*WRITING[command], bad=name))
    assert sorted(places["folder"].rglob("*")) == before


@pytest.mark.parametrize("bad", NOT_TO_MAKE)
@pytest.mark.parametrize("command", MAKING)
def test_a_folder_that_cannot_be_made_is_one_sentence(run, places, command, bad):
    before = sorted(places["folder"].rglob("*"))
    assert is_told(run(*MAKING[command], bad=BAD[bad]))
    assert sorted(places["folder"].rglob("*")) == before


def refused(*_arguments: object, **_options: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", "some/file")


@pytest.mark.parametrize(
    "command",
    [
        ("demo", "NEW"), ("index", "LAKE"), ("index", "LAKE", "--beside"), ("import", "IMAGE", "--into", "NEW"),
        ("tile", "LAKE", "--tile-size", "16", "--mpp", "1", "--quiet"),
        ("standardize", "LAKE", "--modality", "imc", "--mpp", "1", "--upper-quantile", "0.9", "--quiet"),
    ],
    ids=lambda words: " ".join(words[:3]),
)  # fmt: skip
def test_a_read_only_place_is_one_sentence(run, monkeypatch, tmp_path, command):
    monkeypatch.setattr(Path, "mkdir", refused)
    assert is_told(run(*command))
    assert not (tmp_path / "new").exists()


@pytest.mark.some(4)
@pytest.mark.parametrize("command", [*COMMANDS.values(), *WRITING.values()], ids=[*COMMANDS, *WRITING])
def test_what_the_system_refuses_is_one_sentence(run, monkeypatch, command):
    """Rights are asked for in many places, and a test as root has all of them: here every listing is refused."""
    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.setattr(os, "listdir", refused)
    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr(Path, "read_text", refused)
    assert is_told(run(*command, bad=BAD["a table"] if command in WRITING.values() else BAD["an empty folder"]))


def test_what_was_written_is_said_on_a_terminal(run, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    one, none = tmp_path / "a.csv", tmp_path / "b.json"
    assert run("sql", "LAKE", "SELECT 1 AS n", "--output", one) == (0, f"1 row written to {one}\n", "")
    assert run("quarantine", "LAKE", "-o", none) == (0, f"0 rows written to {none}\n", "")
    monkeypatch.undo()
    assert run("sql", "LAKE", "SELECT 1 AS n", "--output", one) == (0, "", "")


def test_no_file_that_a_user_names_makes_its_folder(places, tmp_path):
    query = SporaQuery(places["LAKE"]).modality("imc").tiles(size=32, mpp=1.0)
    for name, write in {
        "a.lock.json": query.lock,
        "a.png": lambda path: save_picture(Picture(), path),
        "b.png": lambda path: query.audit().save_png(path),
        "c.csv": named_file,
    }.items():
        path = tmp_path / "misspelt" / name
        with pytest.raises(WriteError, match=f"{name}: there is no folder {path.parent}"):
            write(path)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_demo_is_written_leaves_nothing(run, monkeypatch, tmp_path):
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spora_db.demo.lake.simulate", interrupt)
    assert run("demo", "NEW") == (130, "", "spora-db: interrupted\n")
    assert list((tmp_path / "new").rglob("*")) == []
