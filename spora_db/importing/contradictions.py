"""Arguments of an import that contradict each other, or what the images turn out to be."""

from collections.abc import Sequence

from spora_db.errors import ArgumentError
from spora_db.importing.fields import Field
from spora_db.importing.file_facts import FileFacts
from spora_db.importing.options import ImportOptions
from spora_db.layout import MULTIPLEX_MODALITIES, is_rgb, modality_folder


def check_arguments(options: ImportOptions) -> None:
    """Refuse arguments of an import of images that contradict each other, or are not there."""
    if not (options.modality and options.mpp):
        raise ArgumentError(
            "Images need their modality (--modality), such as 'imc', and mpp (--mpp), the microns per pixel. Give both."
        )
    modality_folder(options.modality)
    if is_rgb(options.modality) and options.panel is not None:
        raise ArgumentError(
            f"A panel is for {', '.join(MULTIPLEX_MODALITIES)}; {options.modality} images are RGB. Leave it out."
        )
    if options.source_mpp is not None and options.images in ("link", "copy"):
        raise ArgumentError(
            f"images is {options.images!r}, which leaves files as they are, and source_mpp {options.source_mpp!r} has "
            "them made coarser. Use images 'zarr' or 'tiff', or leave source_mpp out."
        )
    if options.channel_axis != "c" and options.images in ("link", "copy"):
        raise ArgumentError(
            f"images is {options.images!r}, but the channels lie along {options.channel_axis}, where no lake looks for "
            "them. Use images 'zarr' or 'tiff', which write them as channels."
        )


def check_beside(options: ImportOptions, fields: Sequence[Field], facts: Sequence[FileFacts]) -> None:
    """Refuse to copy files with pictures that may show whose tissue it is."""
    for field, fact in zip(fields, facts, strict=True):
        if options.images == "copy" and fact.beside:
            raise ArgumentError(
                f"{field.origin} holds pictures beside its image, such as a label or macro, which may name a patient: "
                f"{'; '.join(fact.beside[:4])}. A copy would hold them too. Use images 'zarr', which takes the image "
                "alone."
            )


def check_folders(options: ImportOptions, fields: Sequence[Field]) -> None:
    """Refuse one mask for several images."""
    for name, files in (("masks", options.masks), ("cell_masks", options.cell_masks)):
        if files is not None and not files.is_dir() and len(fields) > 1:
            raise ArgumentError(f"{name} is {str(files)!r}, no folder; expected a folder with a mask of each tissue.")
