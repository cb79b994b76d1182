"""Put the pages of the site together, from guides, notebooks, README, and what code and SQL say: ``make docs``.

1. `pages` returns every page as Markdown, by its place in the navigation.
2. `write` puts them and their pictures below a folder, and mkdocs.yml with the navigation beside them.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {
    "Relations and macros": "The relations",
    "File layout": "The layout",
    "Standardization": "Standardization",
    "Glossary": "Glossary",
    "Moving from the published loader": "Moving from the published loader",
    "Performance": "Speed",
}
"""Pages of the reference that are sections of the README, by their titles."""
API = {
    "Queries": "SporaQuery Catalog Plan Audit",
    "Loaders": "PlanDataset TileLoader TileSampler PanelBatchSampler Batch collate_list collate_padded collate_packed "
    "collate_panel collate_bags_padded collate_bags_packed standardize_batch",
    "Images and masks": "open_image read_region load_mask load_label_mask load_tissue_mask",
    "Making lakes": "import_dataset tile_lake standardize_lake validate tile_mask tile_grid",
    "Maps": "assemble cell_vectors CellVectors",
    "Standardizations": "register_standardizer build_standardizer FilterFactory",
    "Published classes": "SporaDataset MultiplexImagingDataset HEImagingDataset SingleIHCImagingDataset "
    "ComposedImagingDataset BaseImagingDataset BalancedSampler MultiplexTissue HETissue IHCTissue ComposedTissue "
    "TissueMask CellMask IMCModality CODEXModality CycIFModality MIBIModality HEModality IHCModality Tile "
    "best_mask_tiling_try_to_stop get_grid_tile collate_tissues get_modality_from_str is_valid_modality_instance",
}
"""Pages of the reference and the public names on each."""


def pages() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield every page: its place in the navigation, its file, and its Markdown."""
    yield ("Home",), "index.md", home()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = notebook(path)
        yield ("Tutorials", title_of(text)), f"tutorials/{path.stem}.md", text
    for path in sorted((ROOT / "notebooks/guides").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        yield ("How do I …", title_of(text)), f"guides/{path.name}", text
    for name, public in API.items():
        text = f"# {name}\n\n" + "\n".join(f"::: spora_db.{each}\n" for each in public.split())
        yield ("Reference", name), f"reference/{_file(name)}", text
    yield ("Reference", "Commands"), "reference/commands.md", commands()
    yield ("Reference", "Errors"), "reference/errors.md", "# Errors\n\n::: spora_db.errors\n"
    for name, heading in SECTIONS.items():
        yield ("Reference", name), f"reference/{_file(name)}", f"# {name}\n{section(heading)}"
    yield ("Project", "Architecture"), "project/architecture.md", document(ROOT / "spora_db/ARCHITECTURE.md")
    for path in sorted((ROOT / "spora_db").glob("*/WHY.md")):
        text = document(path)
        yield ("Project", "Decisions", path.parent.name), f"project/why_{path.parent.name}.md", text
    yield ("Project", "Changelog"), "project/changelog.md", document(ROOT / "CHANGELOG.md")


def title_of(text: str) -> str:
    """Return the first heading of a page."""
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert found is not None, text[:100]
    return found[1]


def section(heading: str) -> str:
    """Return a section of the README, without its heading, each heading below it one level up."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return unlinked(re.sub(r"^###", "##", found[1], flags=re.MULTILINE))


def home() -> str:
    """Return the front page: what stands in the README before its first section, and where to go on."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## ")[0]
    guides = sorted((ROOT / "notebooks/guides").glob("*.md"))
    listed = "\n".join(f"- [{title_of(path.read_text(encoding='utf-8'))}](guides/{path.name})" for path in guides)
    return f"{text.replace('notebooks/figures/', 'figures/')}\n## How do I …\n\n{listed}\n"


def document(path: Path) -> str:
    """Return a document of the repository, its links to files that are no pages as texts."""
    return unlinked(path.read_text(encoding="utf-8"))


def unlinked(text: str) -> str:
    """Return a text whose links to files of the repository are texts: these are no pages."""
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?://|#)[^)]+\)", r"\1", text)


def notebook(path: Path) -> str:
    """Return a notebook as Markdown; its pictures are written by `write`."""
    text, _ = MarkdownExporter().from_notebook_node(nbformat.read(path, as_version=4))
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    return unlinked(re.sub(r"\]\((output_\d+_\d+\.png)\)", rf"]({path.stem}_\1)", text))


def pictures(path: Path) -> dict[str, bytes]:
    """Return the pictures of a notebook by the names that its page has for them."""
    _, resources = MarkdownExporter().from_notebook_node(nbformat.read(path, as_version=4))
    return {f"{path.stem}_{name}": data for name, data in resources["outputs"].items()}


def commands() -> str:
    """Return what ``--help`` says of every command."""
    from typer.main import get_command

    from spora_db.cli import app

    group: Any = get_command(app)
    parts = ["# Commands", ""]
    for name, command in sorted(group.commands.items()):
        parts += [f"## spora-db {name}", "", (command.help or "").strip(), "", "| option | meaning |", "|---|---|"]
        for option in command.params:
            told = " ".join(str(getattr(option, "help", None) or "").split()).replace("|", "&#124;").replace("<", "&lt;")
            names = [each if each.startswith("-") else each.upper() for each in option.opts]
            parts.append(f"| {', '.join(f'`{each}`' for each in names)} | {told} |")
        parts.append("")
    return "\n".join(parts)


def _file(name: str) -> str:
    return f"{name.lower().replace(' ', '_')}.md"


def write(folder: Path) -> None:
    """Write every page below a folder, and the configuration with their navigation beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    navigation: list[object] = []
    for place, name, text in pages():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        level = navigation
        for step in place[:-1]:
            found = next((each for each in level if isinstance(each, dict) and step in each), None)
            if found is None:
                level.append(found := {step: []})
            level = found[step]
        level.append({place[-1]: name})
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for name, data in pictures(path).items():
            (folder / "tutorials" / name).write_bytes(data)
    shutil.copytree(ROOT / "notebooks/figures", folder / "figures")
    (folder.parent / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT / 'notebooks/site/mkdocs.yml'}\ndocs_dir: {folder}\nsite_dir: {folder.parent / 'html'}\n"
        + yaml.safe_dump({"nav": navigation}, allow_unicode=True, sort_keys=False),
        encoding="utf-8",
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / ".site/pages")
