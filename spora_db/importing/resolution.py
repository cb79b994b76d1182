"""The resolution of an import: what the command says, beside what the files say."""

from collections.abc import Mapping, Sequence
from typing import Literal

from spora_db.errors import FileFormatError, counted
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import Field
from spora_db.importing.file_facts import FileFacts
from spora_db.importing.options import SourceMpp

TOLERANCE = 0.02
"""By how much of it a resolution may differ from what a file says: programs round."""


def resolution_decisions(
    fields: Sequence[Field], facts: Sequence[FileFacts], *, mpp: float, source_mpp: SourceMpp = None
) -> list[Decision]:
    """Compare the resolution of the command with those of the files.

    Raises
    ------
    FileFormatError
        A file is to be made coarser by what it says of its resolution, and does not say it.

    Examples
    --------
    >>> resolution_decisions([], [], mpp=0.5)[0].says
    'No file says its resolution: 0.5 microns per pixel, as the command says.'
    """
    said = {field.tissue_id: fact for field, fact in zip(fields, facts, strict=True) if fact.mpp is not None}
    if source_mpp is not None:
        return [_made_coarser(fields, facts, mpp=mpp, source_mpp=source_mpp)]
    details = {"command": mpp, "files": {name: list(fact.mpp or ()) for name, fact in said.items()}}
    if not said:
        says = f"No file says its resolution: {mpp:g} microns per pixel, as the command says."
        return [Decision(about="resolution", says=says, details=details)]
    other = {name: fact for name, fact in said.items() if _differs(fact, mpp)}
    if not other:
        says = f"{mpp:g} microns per pixel, as {counted(len(said), 'file')} of {len(fields)} and the command say."
        return [Decision(about="resolution", says=says, details=details)]
    says = (
        f"The command says {mpp:g} microns per pixel, {_sizes(other)} ({len(other)} of {len(fields)}: "
        f"{listed(list(other), most=3)}). The command was believed, and no pixel resampled. Where the files are right, "
        f"give theirs as mpp (--mpp), or have images of {mpp:g} made of them: source_mpp 'file' (--source-mpp file); "
        "where the images were scaled since, this is as it should be."
    )
    return [Decision(about="resolution", says=says, warning=True, details=details)]


def source_resolution(field: Field, fact: FileFacts, *, source_mpp: float | Literal["file"]) -> float:
    """Return the microns per pixel of a field's file: the number that was given, or what the file says.

    Raises
    ------
    FileFormatError
        The file does not say it, or its pixels are not square.
    """
    if source_mpp != "file":
        return source_mpp
    if fact.mpp is None:
        raise FileFormatError(
            f"{field.origin} does not say how many microns a pixel has, and source_mpp is 'file'. Give the number as "
            "source_mpp (--source-mpp 0.25)."
        )
    row, col = fact.mpp
    if abs(row / col - 1) > TOLERANCE:
        raise FileFormatError(
            f"The pixels of {field.origin} are no squares: {row:g} x {col:g} microns, as {fact.said_by} says. Expected "
            "squares. Resample the image first, or give one number as source_mpp (--source-mpp)."
        )
    return row


def _made_coarser(
    fields: Sequence[Field], facts: Sequence[FileFacts], *, mpp: float, source_mpp: float | Literal["file"]
) -> Decision:
    """Say from which resolution images are made."""
    found = {
        field.tissue_id: source_resolution(field, fact, source_mpp=source_mpp)
        for field, fact in zip(fields, facts, strict=True)
    }
    of_files = "the files say" if source_mpp == "file" else "the command says of the files"
    sizes = ", ".join(f"{size:.6g}" for size in sorted(set(found.values()))[:4])
    says = (
        f"Images of {mpp:g} microns per pixel are made of {sizes}, as {of_files}: a pixel is the mean of the area "
        "that it covers; of a pyramid, the nearest finer level is read."
    )
    doubtful = [
        field.tissue_id
        for field, fact in zip(fields, facts, strict=True)
        if fact.mpp is not None and _differs(fact, found[field.tissue_id])
    ]
    if doubtful:
        says += f" The files themselves say otherwise: {listed(doubtful, most=3)}."
    return Decision(about="resolution", says=says, warning=bool(doubtful), details={"command": mpp, "files": found})


def _differs(fact: FileFacts, mpp: float) -> bool:
    return any(abs(size / mpp - 1) > TOLERANCE for size in fact.mpp or ())


def _sizes(facts: Mapping[str, FileFacts]) -> str:
    """Say which sizes files give to their pixels."""
    sizes = sorted({(fact.mpp or (0.0, 0.0), fact.said_by) for fact in facts.values()})
    texts = [
        f"{said_by} of the files {row:.6g}" + (f" x {col:.6g}" if abs(row / col - 1) > TOLERANCE else "")
        for (row, col), said_by in sizes
    ]
    return " and ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")
