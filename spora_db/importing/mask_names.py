"""Names of masks and tables of segmentation tools: which image they belong to, and which parts of cells they hold."""

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

MaskPart: TypeAlias = Literal["", "cell", "nuclear", "cytoplasm", "membrane"]
"""What the labels of a mask are; empty where its name does not say."""

PARTS: Final[Mapping[str, MaskPart]] = {
    "mask": "", "masks": "", "labels": "", "label": "", "labelled": "", "labeled": "", "labelimage": "", "seg": "",
    "segmentation": "", "segmented": "", "cpmasks": "", "instances": "", "objects": "", "tissuemask": "",
    "binarysegmaps": "",
    "wholecell": "cell", "cell": "cell", "cells": "cell", "cellmask": "cell", "cellmasks": "cell", "cellseg": "cell",
    "cellsegmentation": "cell", "cellsegmentationmask": "cell", "feature0": "cell", "wholecelllabels": "cell",
    "wholecellmask": "cell", "celllabels": "cell",
    "nuclear": "nuclear", "nuclei": "nuclear", "nucleus": "nuclear", "nuc": "nuclear", "nucleimask": "nuclear",
    "nuclearmask": "nuclear", "nucleimasks": "nuclear", "nucleusmask": "nuclear", "feature1": "nuclear",
    "nuclearsegmentationmask": "nuclear", "nucleilabels": "nuclear",
    "cyto": "cytoplasm", "cytoplasm": "cytoplasm", "cytoplasmmask": "cytoplasm",
    "membrane": "membrane", "cellmembrane": "membrane", "membranemask": "membrane",
}  # fmt: skip
"""What the ends of names say, without case, blanks, hyphens: of steinbock, ark, mcmicro, Cellpose, HuBMAP, QuPath,
inForm."""
NO_MASKS: Final = re.compile(
    r"(?:^|[_\W])(?:prob(?:abilit(?:y|ies))?s?|probmaps?|pmaps?|confidence|flows?|cp_output|outlines?|overlay|preview|"
    r"boundar(?:y|ies)|ring|thumb(?:nail)?|qc)s?(?:[_\W]|$)|(?:cell|nuclei|cyto)ring|_seg\.npy$",
    re.IGNORECASE,
)
"""Files beside masks that are none: probabilities, outlines, previews, and Cellpose's pickled ``_seg.npy``."""
_IMAGE: Final = re.compile(
    r"[_-](?:expr|image|img|full(?:_?stack)?|stack|registered|multiplex|ome|component_data)$", re.IGNORECASE
)
"""Ends of names of images."""
_TOOLS: Final = "unmicst2?|s3segmenter|mesmer|cellpose|ilastik|stardist|cypository|deepcell"
_TOOL: Final = re.compile(rf"^(?:{_TOOLS})-|(?:--|__|_)(?:{_TOOLS})(?=$|_)", re.IGNORECASE)
_SUFFIX: Final = re.compile(
    r"(?:\.ome)?\.(?:tiff?|zarr|png|np[yz]|csv(?:\.gz)?|tsv(?:\.gz)?|txt|xlsx|parquet|h5ad)$", re.IGNORECASE
)
_OF_IMAGE: Final = re.compile(r"(?:\.ome)?\.tiff?-.*$", re.IGNORECASE)
"""What SPRM puts behind the file of an image, and that file's suffix: ``.ome.tiff-cell_channel_mean``."""


def split_mask_name(name: str) -> tuple[str, MaskPart]:
    """Return the image that a file belongs to by its name, and which part of cells it holds.

    Examples
    --------
    >>> [split_mask_name(name) for name in ("roi_1.tiff", "roi_1_mask.png", "fov1_whole_cell.tiff", "a_cp_masks.tif")]
    [('roi_1', ''), ('roi_1', ''), ('fov1', 'cell'), ('a', '')]
    >>> split_mask_name("nuclei.ome.tif"), split_mask_name("exemplar-001--unmicst_cell.csv")
    (('', 'nuclear'), ('exemplar-001', 'cell'))
    """
    stem = _OF_IMAGE.sub("", _TOOL.sub("", _SUFFIX.sub("", name)))
    part: MaskPart = ""
    while (found := _ending(stem)) is not None:
        stem, here = found
        part = part or here
    return stem, part


def _ending(stem: str) -> tuple[str, MaskPart] | None:
    """Return a stem without the last of its known endings, None where it has none."""
    words = list(re.finditer(r"[_\-. ]+|^", stem))
    for match in words:  # the longest ending first: whole_cell before cell
        word = re.sub(r"[_\W]", "", stem[match.end() :]).casefold()
        if word in PARTS:
            return stem[: match.start()], PARTS[word]
    return None


def without_ending(name: str) -> str:
    """Return a name without what it says of its file: that it is an image, or a mask.

    Examples
    --------
    >>> [without_ending(name) for name in ("reg001_expr", "001_labels", "roi_1_full", "image")]
    ['reg001', '001', 'roi_1', 'image']
    """
    stem = _IMAGE.sub("", name)
    return split_mask_name(stem)[0] or stem or name


def bare_name(name: str) -> str:
    """Return the image that a file belongs to by its name.

    Examples
    --------
    >>> bare_name("unmicst-exemplar-001_cell.csv"), bare_name("P1_001.csv")
    ('exemplar-001', 'P1_001')
    """
    stem, _ = split_mask_name(name)
    return stem or _SUFFIX.sub("", name)
