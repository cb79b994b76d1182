"""Formats that are not read here: what writes them, and the command that makes of them what is."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BIOFORMATS: Final = "bioformats2raw --series 0 {file} {stem}.ome.zarr"
"""Of https://github.com/glencoesoftware/bioformats2raw; series 0 is the slide, later ones are its label and macro."""
VIPS: Final = "vips tiffsave {file} {stem}.tiff --tile --pyramid --bigtiff --compression zstd"
"""Of https://www.libvips.org, which reads slides through OpenSlide."""


PICTURES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".jp2")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherFormat:
    """A format that is not read.

    Attributes
    ----------
    called
        What it is.
    suffixes
        The ends of its files' names, in lower case.
    command
        What converts ``{file}``.
    """

    called: str
    suffixes: tuple[str, ...]
    command: str


OTHERS: Final = (
    OtherFormat(called="a CZI of Zeiss", suffixes=(".czi",), command=BIOFORMATS),
    OtherFormat(called="a file of older Zeiss microscopes", suffixes=(".zvi", ".lsm"), command=BIOFORMATS),
    OtherFormat(called="a VSI of Olympus (Evident)", suffixes=(".vsi",), command=BIOFORMATS),
    OtherFormat(called="a file of an Olympus microscope", suffixes=(".oib", ".oif", ".oir"), command=BIOFORMATS),
    OtherFormat(called="a MIRAX slide of 3DHISTECH", suffixes=(".mrxs",), command=BIOFORMATS),
    OtherFormat(called="a file of a Leica microscope", suffixes=(".lif", ".lof", ".xlef"), command=BIOFORMATS),
    OtherFormat(called="an ND2 of Nikon", suffixes=(".nd2",), command=BIOFORMATS),
    OtherFormat(called="a file of Imaris", suffixes=(".ims",), command=BIOFORMATS),
    OtherFormat(called="a DICOM image", suffixes=(".dcm", ".dicom"), command=BIOFORMATS),
    OtherFormat(called="a BIF of Ventana (Roche), whose tiles overlap", suffixes=(".bif",), command=BIOFORMATS),
    OtherFormat(called="a slide of Hamamatsu in several files", suffixes=(".vms", ".vmu"), command=VIPS),
    OtherFormat(
        called="an iSyntax slide of Philips",
        suffixes=(".isyntax", ".i2syntax"),
        command="isyntax2raw write_tiles {file} {stem}.ome.zarr",
    ),
    OtherFormat(
        called="an IM3 of Akoya, before its spectra are unmixed",
        suffixes=(".im3",),
        command="inForm, Export > Component Images (multi-image TIFF)",
    ),
    OtherFormat(called="a picture without a resolution", suffixes=PICTURES, command=VIPS),
    OtherFormat(called="a packed OME-Zarr", suffixes=(".zarr.zip", ".ozx"), command="unzip {file} -d {stem}.ome.zarr"),
)


def conversion(path: Path) -> str | None:
    """Return a sentence that says what a file of another format is and which command converts it; None if unknown.

    Examples
    --------
    >>> conversion(Path("lung 1.czi"))
    "It is a CZI of Zeiss. Convert it: bioformats2raw --series 0 'lung 1.czi' 'lung 1.ome.zarr'"
    """
    name = path.name
    for row in OTHERS:
        for suffix in row.suffixes:
            if name.lower().endswith(suffix):
                import shlex

                file, ending = shlex.quote(name), row.command.partition("{stem}")[2].split(" ")[0]
                target = shlex.quote(name[: -len(suffix)] + ending)
                command = row.command.replace("{stem}" + ending, target) if ending else row.command
                return f"It is {row.called}. Convert it: {command.replace('{file}', file)}"
    return None


def conversions(paths: Iterable[Path]) -> str:
    """Return those sentences for some of many files, one for each format.

    Examples
    --------
    >>> conversions([Path("a.nd2"), Path("b.nd2"), Path("notes.txt")])
    'a.nd2: It is an ND2 of Nikon. Convert it: bioformats2raw --series 0 a.nd2 a.ome.zarr'
    """
    first = {path.suffix.lower(): path for path in sorted(paths, reverse=True)}
    said = {path.name: conversion(path) for path in first.values()}
    return " ".join(f"{name}: {text}" for name, text in said.items() if text is not None)
