"""What is said about the images of an import: which were found, and which pictures of their files were left out."""

from collections.abc import Sequence
from pathlib import Path

from spora_db.errors import counted
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import Field
from spora_db.importing.file_facts import FileFacts
from spora_db.importing.options import ImportOptions
from spora_db.layout import is_rgb


def image_decisions(
    options: ImportOptions, fields: Sequence[Field], facts: Sequence[FileFacts], *, source: Path
) -> list[Decision]:
    """Say which images were found, and which pictures of their files were left out."""
    sizes = sorted({f"{field.height} x {field.width} {field.dtype}" for field in fields})
    details = [
        {
            "tissue_id": field.tissue_id,
            "origin": _within(field.origin, source),
            "height": field.height,
            "width": field.width,
            "dtype": str(field.dtype),
            "pages": len(field.pages),
            "picture": fact.taken or None,
            "left_out": list(fact.others),
        }
        for field, fact in zip(fields, facts, strict=True)
    ]
    says = f"{counted(len(fields), 'image')} of {'; '.join(sizes[:4])}{'; ...' if len(sizes) > 4 else ''}."
    decisions = [Decision(about="images", says=says, details={"images": details})]
    several = [(field, fact) for field, fact in zip(fields, facts, strict=True) if fact.others]
    if several:
        field, fact = several[0]
        more = f" So it is with {len(several) - 1} more: {listed([f.tissue_id for f, _ in several[1:]])}."
        says = (
            f"{field.origin} holds {len(fact.others) + 1} images, of which one was taken: {fact.taken}. Left out: "
            f"{'; '.join(fact.others[:8])}. Write each that is wanted to a file of its own."
            f"{more if len(several) > 1 else ''}"
        )
        decisions.append(Decision(about="images", says=says, warning=True))
    if is_rgb(options.modality) and options.images in ("zarr", "tiff"):
        alpha = [field.tissue_id for field in fields if len(field.pages) == 4]
        if alpha:
            says = f"The fourth channel (alpha) was left out: {listed(alpha)}."
            decisions.append(Decision(about="images", says=says))
    return decisions


def _within(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix() if path != source and path.is_relative_to(source) else path.name
