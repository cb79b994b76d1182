"""Layers: a lake of several folders, seen as one tree; of two files with one relative path, the later layer's counts.

The text of such a lake has its folders separated as ``PATH`` is, so a lake is one text, or one path, wherever it goes.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from spora_db.errors import ArgumentError
from spora_db.files.stores.mirror import mirror, mirror_of
from spora_db.files.stores.opening import OPENED, is_remote

_HOST = re.compile(r"https?://?[^/:]+", re.IGNORECASE)
_PORT = re.compile(r"[0-9]+(/|$)")
LakePath: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A lake as users name it: a folder, several, or a text of several."""


def lake_path(lake: LakePath) -> Path:
    """Return a lake as one path: that of its folder, or those of its layers, separated as ``PATH`` is.

    Raises
    ------
    ArgumentError
        If there is no layer, or the name of one among several holds the character that separates them.

    Examples
    --------
    >>> lake_path(["published", "derived"]).as_posix(), lake_path("published").as_posix()
    ('published:derived', 'published')
    """
    if isinstance(lake, str | os.PathLike):
        return Path(lake)
    roots = [os.fspath(root) for root in lake]
    if len(roots) > 1 and (bad := [root for root in roots if os.pathsep in root and not is_remote(root)]):
        raise ArgumentError(
            f"The layer {bad[0]!r} has {os.pathsep!r} in its name, which separates layers. Rename it, or link to it."
        )
    if not roots or not all(roots):
        raise ArgumentError(f"A lake is a folder, or a list of at least one; received {lake!r}.")
    return Path(os.pathsep.join(roots))


def layers(lake: LakePath) -> tuple[Path, ...]:
    """Return the folders of a lake, the later ones above the earlier.

    A folder that is there under the whole text is one layer, whatever its name holds.

    Examples
    --------
    >>> [path.as_posix() for path in layers("published:derived")]
    ['published', 'derived']
    """
    text = os.fspath(lake_path(lake))
    if os.pathsep not in text or Path(text).expanduser().exists():
        return (Path(text).expanduser(),)
    return tuple(map(_folder, _parts(text)))


def _parts(text: str) -> list[str]:
    """Return the layers in a text; the colon of an address, and that of its port, separate nothing."""
    parts: list[str] = []
    for piece in text.split(os.pathsep):
        before = parts[-1] if parts else ""
        if (before.lower() in OPENED and piece.startswith("/")) or (_HOST.fullmatch(before) and _PORT.match(piece)):
            parts[-1] = f"{before}:{piece}"
        elif piece:
            parts.append(piece)
    return parts


def _folder(part: str) -> Path:
    """Return the folder of a layer, of a remote one that of its copy; a path has left one slash of an address."""
    scheme, colon, rest = part.partition(":")
    if colon and scheme.lower() in OPENED:
        return mirror(f"{scheme.lower()}://{rest.strip('/')}").tree
    return Path(part).expanduser()


def present(lake: LakePath) -> Path:
    """Return a lake, or a folder as `beneath` gives it, without the layers that do not have it; where none has, all."""
    roots = layers(lake)
    return lake_path([root for root in roots if root.is_dir()] or roots)


def refresh(roots: Sequence[Path], *, listed: bool = False) -> None:
    """Learn what lies in the remote ones of some layers now; `listed` as of `scan`."""
    for number, root in enumerate(roots):
        if (remote := mirror_of(root)) is not None:
            remote.refresh(roots[number + 1 :], listed=listed)


def layer_name(root: Path) -> str:
    """Return what users call a layer: its folder or, of a remote one, its address."""
    remote = mirror_of(root)
    return str(root) if remote is None else remote.shown(root)


def beneath(lake: LakePath, path: str | os.PathLike[str]) -> Path:
    """Return a folder of a lake, `path` being relative to it, as one path: in every layer, there or not.

    Examples
    --------
    >>> beneath("published:derived", "cohort").as_posix(), beneath("published", "cohort").as_posix()
    ('published/cohort:derived/cohort', 'published/cohort')
    """
    return lake_path([root / path for root in layers(lake)])


def locate(lake: LakePath, path: str | os.PathLike[str]) -> Path:
    """Return where a file or folder of a lake lies, `path` being relative to it: in the last layer that has it.

    What no layer has would be in the first. Of one layer nothing is asked.
    """
    roots = layers(lake)
    for root in reversed(roots[1:]):
        if os.path.lexists(root / path):
            return root / path
    return roots[0] / path
