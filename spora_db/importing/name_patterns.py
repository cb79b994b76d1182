"""Patterns of paths: which parts of the names of files are the tissue, the channel, the patient."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from spora_db.errors import ArgumentError, ImageNotFoundError
from spora_db.images.base import ChannelAxis
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import Field, field_of_channels, field_of_file, usable_id, without_suffix

Parts: TypeAlias = Mapping[str, str]

MOST_WORDS: Final = 8
_PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::((?:[^{}]|\{[0-9,]+\})+))?\}|(\*)")


def parts_of(paths: Sequence[str], pattern: str) -> dict[str, Parts]:
    """Return what a pattern says of each path that it fits.

    Parameters
    ----------
    paths
        Paths below the source, with ``/``.
    pattern
        A path with names in braces, of which ``tissue`` is one; ``{name:expression}`` limits what a name may be, and
        ``*`` is anything in one name of a path. The suffix may be left out. Where it could be read in several ways, it
        is read so that every tissue has the same channels, and as few as can be.

    Raises
    ------
    ArgumentError
        It names no tissue, a name twice, or fits paths in several ways.

    Examples
    --------
    >>> parts_of(["p1/roi_1_CD3.tiff", "p1/roi_1_DNA.tiff"], "{patient}/{tissue}_{channel}.tiff")["p1/roi_1_CD3.tiff"]
    {'patient': 'p1', 'tissue': 'roi_1', 'channel': 'CD3'}
    """
    way = _read(paths, _compiled(pattern, "[^/]+"))
    ways = [way, *(_read(paths, _compiled(pattern, tissue)) for tissue in _tissues_by_length(pattern))]
    ways = [other for other in ways if other.keys() == way.keys()]
    if all(other == way for other in ways):
        return way
    even = [other for other in ways if _has_even_channels(other)]
    if even:
        return min(
            even, key=lambda found: (len(_channels(found)), -sum(len(parts["tissue"]) for parts in found.values()))
        )
    path = next(path for path in way if any(other[path] != way[path] for other in ways))
    several = list(dict.fromkeys(str(dict(other[path])) for other in ways))
    raise ArgumentError(
        f"The pattern {pattern!r} fits {path!r} in several ways: {' or '.join(several)}. Say what a name may be, as in "
        "{tissue:[^_]+}."
    )


def _read(paths: Sequence[str], rule: re.Pattern[str]) -> dict[str, Parts]:
    return {path: found.groupdict() for path in paths if (found := rule.fullmatch(path))}


def _tissues_by_length(pattern: str) -> list[str]:
    """Return expressions for tissues of 1, 2, ... words, where what stands behind the tissue also separates words."""
    found = re.search(r"\{tissue\}([^/{}*]+)[{*]", pattern)
    if found is None:
        return []
    mark = re.escape(found[1])
    word = f"(?:(?!{mark})[^/])+"
    return [f"{word}(?:{mark}{word}){{{count}}}" for count in range(MOST_WORDS)]


def _channels(found: Mapping[str, Parts]) -> set[str]:
    return {parts.get("channel", "") for parts in found.values()}


def _has_even_channels(found: Mapping[str, Parts]) -> bool:
    """Tell whether every tissue has the same channels."""
    channels: dict[tuple[str, ...], set[str]] = {}
    for parts in found.values():
        key = tuple(value for name, value in parts.items() if name != "channel")
        channels.setdefault(key, set()).add(parts.get("channel", ""))
    return "channel" in next(iter(found.values())) and len({frozenset(names) for names in channels.values()}) == 1


def _compiled(pattern: str, tissue: str) -> re.Pattern[str]:
    """Return the expression of a pattern, given that of a tissue's name."""
    body, text, at = without_suffix(pattern), "", 0
    names = [found[1] for found in _PLACE.finditer(body) if found[1]]
    if "tissue" not in names or len(set(names)) < len(names):
        raise ArgumentError(
            f"The pattern {pattern!r} names {listed(names) or 'nothing'}; expected each name once, and 'tissue' among "
            "them, as in '{patient}/{tissue}_{channel}.tiff'."
        )
    for found in _PLACE.finditer(body):
        _check_expression(pattern, found[2])
        text += re.escape(body[at : found.start()])
        usual = tissue if found[1] == "tissue" else "[^/]+"
        text += "[^/]*" if found[3] else f"(?P<{found[1]}>{found[2] or usual})"
        at = found.end()
    return re.compile(text + re.escape(body[at:]) + r"(?:\.ome)?\.(?:[tT][iI][fF]{1,2}|zarr)")


def _check_expression(pattern: str, text: str | None) -> None:
    try:
        re.compile(text or "")
    except re.error as error:
        raise ArgumentError(f"The pattern {pattern!r} has {text!r}, no regular expression: {error}.") from error


def fields_of_pattern(
    source: Path, images: Sequence[Path], pattern: str, *, channel_axis: ChannelAxis
) -> tuple[list[Field], list[Decision]]:
    """Return the fields that a pattern makes of images, and what was decided.

    Raises
    ------
    ImageNotFoundError
        It fits none.
    ArgumentError
        It fits in several ways.
    """
    paths = {path.relative_to(source).as_posix(): path for path in images}
    found = parts_of(list(paths), pattern)
    if not found:
        raise ImageNotFoundError(
            f"The pattern {pattern!r} fits none of the {len(paths)} images in {source}, such as "
            f"{listed(list(paths), most=3)}."
        )
    groups: dict[tuple[tuple[str, str], ...], list[tuple[str, Path]]] = {}
    for path, parts in found.items():
        key = tuple((name, value) for name, value in parts.items() if name != "channel")
        groups.setdefault(key, []).append((parts.get("channel", ""), paths[path]))
    ids = [dict(key)["tissue"] for key in groups]
    repeated = len({name.casefold() for name in ids}) < len(ids)
    fields = []
    for key, members in groups.items():
        values = dict(key)
        name = "_".join(values.values()) if repeated else values["tissue"]
        fields.append(_field(members, name, values, pattern, source, channel_axis))
    left = [path for path in paths if path not in found]
    ids = [field.tissue_id for field in fields]
    says = f"The pattern {pattern!r} makes {len(fields)} tissues of {len(found)} files: {listed(ids, most=6)}"
    channels = sorted(_channels(found))
    says += f", with the channels {listed(channels)}." if any(channels) else "."
    says += " Tissues have all their names, as those of 'tissue' repeat." if repeated else ""
    decisions = [Decision(about="images", says=says)]
    if left:
        says = f"Left out, as the pattern does not fit: {listed(left)}."
        decisions.append(Decision(about="images", says=says, warning=True))
    return fields, decisions


def _field(
    members: Sequence[tuple[str, Path]],
    name: str,
    values: Parts,
    pattern: str,
    source: Path,
    channel_axis: ChannelAxis,
) -> Field:
    """Return the field of some files that are one tissue."""
    files = [path for _, path in sorted(members)]
    if members[0][0]:
        field = field_of_channels(files[0].parent, files, names=[channel for channel, _ in sorted(members)])
    elif len(files) > 1:
        raise ArgumentError(
            f"The pattern {pattern!r} makes one tissue {name!r} of {listed([f.name for f in files])}. Name the channel "
            "in it, {channel}, or what tells them apart."
        )
    else:
        field = field_of_file(files[0], channel_axis)
    place = without_suffix(files[0].relative_to(source).as_posix())
    found = {key: value for key, value in values.items() if key != "tissue"}
    return replace(field, tissue_id=usable_id(name, files[0]), place=place, found=found)
