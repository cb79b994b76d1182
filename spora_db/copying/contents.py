"""What a copy consists of, and what it leaves out: worked out before a byte is copied."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spora_db.copying.chunks import PartialImage, partial_image
from spora_db.copying.extent import CopyExtent
from spora_db.copying.places import CopiedFile, cards, files_below
from spora_db.copying.report import CopiedImages
from spora_db.errors import counted
from spora_db.layout import Dataset, Lake, list_images, list_masks
from spora_db.samples.materialize import Materializer


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Files that are copied as they are, documents that are written, and images by how much of them is taken.

    Attributes
    ----------
    files
        The files.
    documents
        Documents of images that are copied in part, by their path below the lake.
    images
        Paths of the images below the lake; true for those that are folders.
    masks, whole
        How many masks there are, and images that are copied whole.
    """

    files: tuple[CopiedFile, ...]
    documents: dict[str, bytes]
    images: dict[str, bool]
    masks: int
    whole: int


def contents(lake: Lake, extent: CopyExtent, *, images: CopiedImages) -> Contents:
    """Return what a copy consists of beside tables.

    Raises
    ------
    ImageNotFoundError, FileFormatError
        If an image cannot be opened.
    """
    masks = list(_masks(lake, extent))
    files = [*_cards(lake, extent), *masks]
    documents: dict[str, bytes] = {}
    paths: dict[str, bool] = {}
    whole = 0
    materializer = Materializer(extent.plan)
    for number, record in zip(extent.images if images != "none" else (), extent.records, strict=False):
        name, path = str(record["path"]), extent.plan.image_path(number)
        part: PartialImage | None = None
        if images == "tiles":
            part = partial_image(extent.plan, number, materializer.image(number), name=name)
        if part is None:
            whole += 1
            found = list(files_below(path, name=name))
        else:
            found, documents[part.document] = list(part.files), part.content
        paths[name] = path.is_dir()
        files += found
    return Contents(files=tuple(files), documents=documents, images=paths, masks=len(masks), whole=whole)


def _masks(lake: Lake, extent: CopyExtent) -> Iterator[CopiedFile]:
    """Yield all masks of the selected tissues at the resolutions of their images."""
    wanted = {(place[0], place[2]) for place in extent.places}
    for dataset in lake.datasets:
        for folder in dataset.mask_folders:
            if (dataset.name, folder.mpp) in wanted:
                for tissue in sorted(set(list_masks(folder)).intersection(extent.tissues[dataset.name])):
                    path = folder.path / f"{tissue}.npz"
                    yield from files_below(path, name=lake.relative(path))


def _cards(lake: Lake, extent: CopyExtent) -> Iterator[CopiedFile]:
    """Yield licences and notes of the selected datasets; of two layers' the later one's."""
    found: dict[str, CopiedFile] = {}
    for dataset in lake.datasets:
        for path in dataset.paths if dataset.name in extent.tissues else ():
            for folder in (path, path / "metadata"):
                if folder.is_dir():
                    found |= {file.name: file for file in cards(folder, name=lake.relative(folder))}
    yield from found.values()


def left_out(lake: Lake, extent: CopyExtent, *, images: CopiedImages) -> tuple[str, ...]:
    """Return in words what a copy leaves out, a line each."""
    lines = []
    others = [dataset.name for dataset in lake.datasets if dataset.name not in extent.tissues]
    if others:
        lines.append(f"{counted(len(others), 'dataset')} ({_few(others)})")
    for dataset in lake.datasets:
        if dataset.name in extent.tissues:
            lines += _of_dataset(dataset, extent)
    if images == "none":
        lines.append("all images; read the copy as a layer over the lake")
    elif images == "tiles" and extent.plan.tile_size:
        channels = len(extent.plan.channel_names)
        lines.append(
            f"pixels outside of the {extent.plan.unit}s, and channels other than the {channels} of the query, where "
            "they lie in other files; to read them is an error"
        )
    return tuple(lines)


def _of_dataset(dataset: Dataset, extent: CopyExtent) -> Iterator[str]:
    taken: dict[tuple[object, ...], int] = {}
    for record in extent.records:
        place = (record["dataset"], record["modality"], record["mpp"])
        taken[place] = taken.get(place, 0) + 1
    there: dict[tuple[str, float], int] = {}
    for folder in dataset.image_folders:
        number = sum(len(ids) for _, _, ids in list_images(folder))
        there[folder.modality, folder.mpp] = there.get((folder.modality, folder.mpp), 0) + number
    for (modality, mpp), number in sorted(there.items()):
        rest = number - taken.get((dataset.name, modality, mpp), 0)
        if rest:
            yield f"{rest:,} of {counted(number, 'image')} of {dataset.name}/{modality} at {mpp:g} mpp"
    if names := [folder.name for folder in dataset.feature_folders]:
        yield f"feature sets of {dataset.name} ({_few(names)}); copy their folders where they are wanted"


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def make_room(folder: Path, found: Contents) -> None:
    """Make the folders and empty files by which images are known to be in a lake, before their bytes are there."""
    for name, is_folder in found.images.items():
        path = folder / name
        if is_folder:
            path.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
