"""The resolution of an import: what the command says, beside what the files say."""

from collections.abc import Mapping, Sequence

from spora_db.errors import counted
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import Field
from spora_db.importing.file_facts import FileFacts

TOLERANCE = 0.02
"""By how much of it a resolution may differ from what a file says: programs round."""


def resolution_decisions(fields: Sequence[Field], facts: Sequence[FileFacts], *, mpp: float) -> list[Decision]:
    """Compare the resolution of the command with those of the files.

    Examples
    --------
    >>> resolution_decisions([], [], mpp=0.5)[0].says
    'No file says its resolution: 0.5 microns per pixel, as the command says.'
    """
    said = {field.tissue_id: fact for field, fact in zip(fields, facts, strict=True) if fact.mpp is not None}
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
        "give theirs as mpp (--mpp); where the images were scaled since, this is as it should be."
    )
    return [Decision(about="resolution", says=says, warning=True, details=details)]


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
