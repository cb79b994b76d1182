"""Runs the notebooks and keeps their outputs: ``python tests/refresh_notebooks.py [01_explore_a_lake ...]``.

Outputs are made fit to be committed: no machine's folder, no times, no colour codes, figures below 300 kB.
"""

import base64
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LARGEST = 290_000  # bytes of a figure
SECONDS = 600  # for one cell, on a busy machine
ANSI = re.compile(r"\x1b\[[0-9;]*m")
VARIES = "varies"
"""Tag of cells whose text differs from run to run."""


def execute(path: Path, *, folder: Path) -> nbformat.NotebookNode:
    """Return a notebook run from its first to its last cell in a folder, with outputs fit to be committed."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=SECONDS, record_timing=False, resources={"metadata": {"path": str(folder)}}
    ).execute()
    clean(notebook, folder=folder)
    return notebook


def clean(notebook: nbformat.NotebookNode, *, folder: Path) -> None:
    """Take out of the outputs what belongs to the machine, and make figures small."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        kept = []
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise AssertionError(f"A cell wrote to standard error:\n{cell.source}\n{output.text}")
            if "text" in output:
                output["text"] = _neutral(output["text"], folder)
            for kind, value in output.get("data", {}).items():
                output["data"][kind] = _small(value) if kind == "image/png" else _neutral(value, folder)
            output.pop("metadata", None)
            if output.output_type in ("display_data", "execute_result"):
                output["metadata"] = {}
            kept.append(output)
        if "outputs" in cell:
            cell["outputs"] = kept


def _neutral(text: Any, folder: Path) -> Any:
    if not isinstance(text, str):
        return text
    for place in {str(folder), str(folder.resolve())}:
        text = text.replace(f"{place}/", "").replace(place, ".")
    return ANSI.sub("", text)


def _small(encoded: str) -> str:
    """Return a PNG of at most `LARGEST` bytes, with 256 colours and, if need be, fewer pixels."""
    data = base64.b64decode(encoded)
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    while len(data) > LARGEST:
        buffer = io.BytesIO()
        picture.quantize(256, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
        data = buffer.getvalue()
        picture = picture.resize([round(0.85 * side) for side in picture.size], Image.Resampling.LANCZOS)
    return base64.b64encode(data).decode()


def texts(notebook: nbformat.NotebookNode) -> list[tuple[str, list[str]]]:
    """Return source and text outputs of every code cell whose text does not vary."""
    return [
        (
            cell.source,
            [
                text
                for output in cell.outputs
                for text in (output.get("text"), output.get("data", {}).get("text/plain"))
                if text is not None and "image/png" not in output.get("data", {})
            ],
        )
        for cell in notebook.cells
        if cell.cell_type == "code" and VARIES not in cell.metadata.get("tags", [])
    ]


def figures(notebook: nbformat.NotebookNode) -> list[bytes]:
    """Return the figures of a notebook as PNG."""
    return [
        base64.b64decode(output["data"]["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


if __name__ == "__main__":
    wanted = [NOTEBOOKS / f"{name}.ipynb" for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as made:
        for file in wanted:
            nbformat.write(execute(file, folder=Path(made)), file)
            sys.stdout.write(f"{file.name}\n")
