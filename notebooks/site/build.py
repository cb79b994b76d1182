"""Put the pages of the site together, from README, guides, reference, notebooks, and what code says: ``make docs``.

1. `pages` returns every page as Markdown, by its place in the navigation.
2. `write` puts them and their pictures below a folder, and mkdocs.yml with the navigation beside them.
"""

import inspect
import io
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbconvert import MarkdownExporter
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[2]
API = {
    "Queries": "SporaQuery Catalog Plan Audit",
    "Loaders": "PlanDataset TileLoader TileSampler PanelBatchSampler Batch collate_list collate_padded collate_packed "
    "collate_panel collate_bags_padded collate_bags_packed standardize_batch",
    "Images and masks": "open_image read_region load_mask load_label_mask load_tissue_mask",
    "Making lakes": "import_dataset tile_lake standardize_lake validate tile_mask tile_grid",
    "Maps": "assemble cell_vectors CellVectors write_masks",
    "Standardizations": "register_standardizer build_standardizer FilterFactory",
    "Published classes": "SporaDataset MultiplexImagingDataset HEImagingDataset SingleIHCImagingDataset "
    "ComposedImagingDataset BaseImagingDataset BalancedSampler MultiplexTissue HETissue IHCTissue ComposedTissue "
    "TissueMask CellMask IMCModality CODEXModality CycIFModality MIBIModality HEModality IHCModality Tile "
    "best_mask_tiling_try_to_stop get_grid_tile collate_tissues get_modality_from_str is_valid_modality_instance",
}
"""Pages of the reference and the public names on each."""


GUIDES = {
    "Bring data": "import_from_tools add_a_cohort my_own_table outlined_regions read_a_lake_in_a_bucket "
    "write_beside_a_lake copy_a_smaller_lake index_image_sizes",
    "Tile and standardize": "tile_and_standardize tile_on_a_cluster sparse_channels",
    "Ask and choose": "ask_in_sql explore_in_a_browser look_at_a_selection tiles_by_cell_density similar_tiles "
    "split_by_patient audit_for_leakage lock_and_share export_a_cohort use_postgres_or_spark",
    "Train": "train_in_a_trainer supervised_labels my_own_transforms use_a_gpu bags_per_patient debug_a_slow_loader "
    "rows_that_cannot_be_read move_from_the_published_loader move_to_and_from_shards",
    "Predict and keep": "embeddings_into_the_lake choose_what_to_label predict_per_cell windows_and_maps",
}
"""Guides by what they are about; others stand below More."""
SOURCES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    ".github/CONTRIBUTING.md": "project/contributing.md",
    "spora_db/ARCHITECTURE.md": "project/architecture.md",
    **{f"notebooks/{folder}/{path.name}": f"{folder}/{path.name}"
       for folder in ("figures", "guides", "reference") for path in (ROOT / "notebooks" / folder).iterdir()},
    **{f"notebooks/{path.name}": f"tutorials/{path.stem}.md" for path in (ROOT / "notebooks").glob("*.ipynb")},
    **{f"spora_db/{path.parent.name}/WHY.md": f"project/why_{path.parent.name}.md"
       for path in (ROOT / "spora_db").glob("*/WHY.md")},
}
"""Files of the repository that are files of the site."""


ALONE = "---\nhide: [navigation]\n---\n\n"
"""What begins a page that has no others beside it."""


def pages() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield every page: its place in the navigation, its file, and its Markdown."""
    yield ("Home",), "index.md", ALONE + home()
    yield ("Five ideas",), "ideas.md", f"{ALONE}# Five ideas\n{re.sub('^###', '##', part('Five ideas'), flags=re.MULTILINE)}"
    for path in notebooks():
        text = notebook(path)
        yield ("Tutorials", title_of(text)), f"tutorials/{path.stem}.md", text
    for group, paths in guides().items():
        for path in paths:
            text = document(path)
            yield ("How do I …", group, title_of(text)), f"guides/{path.name}", text
    for path in sorted((ROOT / "notebooks/reference").glob("*.md")):
        text = document(path)
        yield ("Reference", title_of(text)), f"reference/{path.name}", text
    yield ("Reference", "Commands"), "reference/commands.md", commands()
    yield ("Reference", "Errors"), "reference/errors.md", errors()
    for name, public in API.items():
        text = f"# {name}\n\n" + "\n".join(f"::: spora_db.{each}\n" for each in public.split())
        yield ("Reference", "Python", name), f"reference/{_file(name)}", text
    yield ("Project", "Architecture"), "project/architecture.md", document(ROOT / "spora_db/ARCHITECTURE.md")
    for path in sorted((ROOT / "spora_db").glob("*/WHY.md")):
        text = document(path)
        yield ("Project", "Decisions", path.parent.name), f"project/why_{path.parent.name}.md", text
    yield ("Project", "Contributing"), "project/contributing.md", document(ROOT / ".github/CONTRIBUTING.md")
    yield ("Project", "Changelog"), "project/changelog.md", document(ROOT / "CHANGELOG.md")


def notebooks() -> list[Path]:
    """Return the notebooks in their order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def guides() -> dict[str, list[Path]]:
    """Return the guides by what they are about, in the order of `GUIDES`."""
    left = {path.stem: path for path in sorted((ROOT / "notebooks/guides").glob("*.md"))}
    found = {group: [left.pop(stem) for stem in stems.split()] for group, stems in GUIDES.items()}
    return found | ({"More": list(left.values())} if left else {})


def title_of(text: str) -> str:
    """Return the first heading of a page."""
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert found is not None, text[:100]
    return found[1]


def part(heading: str) -> str:
    """Return a section of the README without its heading, with links that lead to pages."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", document(ROOT / "README.md"), re.M | re.S)
    assert found is not None, heading
    return found[1]


def home() -> str:
    """Return the front page: the README's first screen, tutorials by their pictures, guides, and how to install."""
    parts = [document(ROOT / "README.md").split("\n## ")[0].strip(), "## Tutorials", '<div class="cards" markdown>']
    for path in notebooks():
        name, title = f"tutorials/{path.stem}", title_of(notebook(path))
        parts.append(f"[![{title}]({name}.webp) {title}]({name}.md)")
    beside = "Each page runs as it stands, beside the lake that `spora-db demo demo` makes."
    parts += ["</div>", "## How do I …", beside, '<div class="columns" markdown>']
    for group, paths in guides().items():
        lines = "\n".join(f"- [{title_of(document(path))}](guides/{path.name})" for path in paths)
        parts.append(f"<div markdown>\n\n**{group}**\n\n{lines}\n\n</div>")
    parts.append("</div>")
    for heading in ("What it is for, and what not", "Install"):
        parts.append(f"## {heading}\n{part(heading).rstrip()}")
    parts.append(f"## Where to go on\n{part('Where to go on').rstrip()}")
    return "\n\n".join(parts) + "\n"


def document(path: Path) -> str:
    """Return a document of the repository: links lead to the pages of the site, those to other files are texts."""
    source = path.relative_to(ROOT)
    page = Path(SOURCES[str(source)])

    def linked(found: re.Match[str]) -> str:
        mark, text, target, anchor = found[1], found[2], found[3], found[4] or ""
        to = SOURCES.get(os.path.normpath(source.parent / target))
        return f"{mark}[{text}]({os.path.relpath(to, page.parent)}{anchor})" if to else text

    return re.sub(r"(!?)\[([^\]]+)\]\((?!https?://|#)([^)#]+)(#[^)]*)?\)", linked, path.read_text(encoding="utf-8"))


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


def thumbnail(path: Path) -> bytes:
    """Return the last picture of a notebook that is not small, as wide as a card of the front page shows it."""
    _, resources = MarkdownExporter().from_notebook_node(nbformat.read(path, as_version=4))
    images = [Image.open(io.BytesIO(data)).convert("RGB") for data in resources["outputs"].values()]
    image = max(images, key=lambda each: each.width * each.height)
    made = io.BytesIO()
    ImageOps.fit(image, (480, 300), centering=(0.5, 0)).save(made, "webp", quality=85)
    return made.getvalue()


def errors() -> str:
    """Return what every error means and what to do about it, in the order of their tree."""
    from spora_db import errors as tree

    lines = ["# Errors", "", "All derive from `SporaError`, and from a builtin that callers already catch.", ""]
    lines += ["| error | is also | what it means | what to do |", "|---|---|---|---|"]
    for name, value in vars(tree).items():
        if not (isinstance(value, type) and issubclass(value, (tree.SporaError, Warning)) and value is not tree.SporaError):
            continue
        told = re.split(r"^(?:See Also|Examples)$", inspect.cleandoc(value.__doc__ or ""), flags=re.MULTILINE)[0]
        meaning, *remedy = re.split(r"(?<=[\w)]\.) (?=[A-Z])", " ".join(told.replace("``", "`").split()), maxsplit=1)
        also = ", ".join(f"`{base.__name__}`" for base in value.__bases__ if base is not tree.SporaError)
        lines.append(f"| `{name}` | {also} | {meaning} | {''.join(remedy)} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Return what ``--help`` says of every command."""
    from typer.main import get_command

    from spora_db.cli import app

    group: Any = get_command(app)
    parts = ["# Commands", ""]
    for name, command in sorted(group.commands.items()):
        parts += [f"## spora-db {name}", "", examples((command.help or "").strip()), "", "| option | meaning |", "|---|---|"]
        for option in command.params:
            told = " ".join(str(getattr(option, "help", None) or "").split()).replace("|", "&#124;").replace("<", "&lt;")
            names = [each if each.startswith("-") else each.upper() for each in option.opts]
            parts.append(f"| {', '.join(f'`{each}`' for each in names)} | {told} |")
        parts.append("")
    return "\n".join(parts)


def examples(told: str) -> str:
    """Return the help of a command with its examples as one block, which can be copied."""
    lines = re.compile(r"(?:^Examples?:\s+|^)(spora-db .*?)(?:\s{2,}\((.*)\))?$\n*", re.MULTILINE)
    found = [line + (f"   # {remark}" if remark else "") for line, remark in lines.findall(told)]
    block = "\n".join(("```bash", *found, "```"))
    return f"{lines.sub('', told).strip()}\n\n{block}" if found else told


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
    for path in notebooks():
        (folder / "tutorials" / f"{path.stem}.webp").write_bytes(thumbnail(path))
        for name, data in pictures(path).items():
            (folder / "tutorials" / name).write_bytes(data)
    shutil.copytree(ROOT / "notebooks/figures", folder / "figures")
    shutil.copy(ROOT / "notebooks/site/site.css", folder / "site.css")
    shutil.copy(ROOT / "spora_db/explore/static/mark.svg", folder / "mark.svg")
    (folder.parent / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT / 'notebooks/site/mkdocs.yml'}\ndocs_dir: {folder}\nsite_dir: {folder.parent / 'html'}\n"
        + yaml.safe_dump({"nav": navigation}, allow_unicode=True, sort_keys=False),
        encoding="utf-8",
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / ".site/pages")
