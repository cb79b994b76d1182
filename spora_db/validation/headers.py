"""Rules about the headers of images: of all, or of evenly spread ones in each folder."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from spora_db.errors import FileFormatError, ReaderError, SporaError, TableError
from spora_db.files.processors import usable_cpus
from spora_db.images import image_header, open_image
from spora_db.images.brightfield import brightfield_fault
from spora_db.layout import Dataset, Lake, is_rgb, list_images
from spora_db.validation.findings import Finding
from spora_db.validation.rules import broken

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE: Final = 100
"""Headers read per folder without `deep`: 50,000 images of one folder take 0.1 s instead of minutes."""
OTHER_READER: Final = "Try another version of the library; the file itself may be whole."
Fault: TypeAlias = tuple[str, str | SporaError]
"""The rule that is broken, and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image: where it is, whose, and its size once the header was read (0 if it cannot be)."""

    dataset: str
    modality: str
    mpp: float
    tissue_id: str
    path: Path
    channels: int = 0
    height: int = 0
    width: int = 0


def read_headers(dataset: Dataset, lake: Lake, *, deep: bool) -> tuple[list[Image], list[Finding]]:
    """Read the headers of a dataset's images, or of evenly spread ones of each folder, and find faults."""
    chosen: list[Image] = []
    findings: list[Finding] = []
    for folder in dataset.image_folders:
        try:
            found = [(name, suffix) for suffix, _, ids in list_images(folder) for name in ids]
        except (TableError, FileFormatError):  # two images of a tissue, names that are no text: rules of folders
            continue
        place = lake.relative(folder.path)
        every = found if deep else found[:: max(1, -(-len(found) // SAMPLE))]
        if len(every) < len(found):
            reason = f"Headers of {len(every):,} of {len(found):,} images were read."
            findings.append(broken("sampled", reason, dataset=dataset.name, file=place))
        chosen += [
            Image(
                dataset=dataset.name,
                modality=folder.modality,
                mpp=folder.mpp,
                tissue_id=name,
                path=folder.path / f"{name}{suffix}",
            )
            for name, suffix in every
        ]
    with ThreadPoolExecutor(max_workers=usable_cpus()) as pool:
        read = list(pool.map(_header, chosen))
    for image, found_here in read:
        file = lake.relative(image.path)
        findings += [finding_of(fault, dataset=dataset.name, file=file) for fault in found_here]
    return [image for image, _ in read if image.channels], findings


def header_table(images: list[Image]) -> "pa.Table":
    """Return headers as a table that SQL can join."""
    import pyarrow as pa

    names = ("dataset", "modality", "mpp", "tissue_id", "channels", "height", "width")
    kinds = (pa.string(), pa.string(), pa.float64(), pa.string(), pa.int64(), pa.int64(), pa.int64())
    rows = [{name: getattr(image, name) for name in names} for image in images]
    return pa.Table.from_pylist(rows, schema=pa.schema(zip(names, kinds, strict=True)))


def _header(image: Image) -> tuple[Image, list[Fault]]:
    """Read one header; the image comes back with its size."""
    try:
        header = image_header(image.path)
    except SporaError as error:
        return image, [("image_headers", error)]
    sized = replace(image, channels=header.channels, height=header.height, width=header.width)
    fault = brightfield_fault(open_image(image.path)) if is_rgb(image.modality) else None
    return sized, [] if fault is None else [("rgb_channels", fault)]


def finding_of(fault: Fault, *, dataset: str, file: str) -> Finding:
    """Return a finding; a file at which a library fails is not to be copied again."""
    rule, reason = fault
    finding = broken(rule, str(reason), dataset=dataset, file=file)
    return replace(finding, remedy=OTHER_READER) if isinstance(reason, ReaderError) else finding
