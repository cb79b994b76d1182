"""All rules of the layout by name. Those that are SQL stand in ``sql/checks`` under the same name."""

from typing import Final

from spora_db.validation.findings import Finding, Rule, Severity

_AGAIN = "Copy or download the file again."
_AS_SAID = "Do what the reason says; a file that is broken is copied or downloaded again."
_CORRECT = "Correct the file."
_HIDDEN = "Rename it as the layout wants it; until then it is not seen."

FOLDER_RULES: Final = {
    "folder_names": Rule(severity="error", holds="Names of files and folders can be read.", remedy="Rename the file."),
    "mpp_folders": Rule(
        severity="error",
        holds="A resolution's folder is named like 0_5mpp or 1_0mpp.",
        remedy="Rename the folder; until then its files are not found.",
    ),
    "unknown_folders": Rule(severity="note", holds="The layout knows every folder.", remedy=_HIDDEN),
    "unknown_files": Rule(severity="note", holds="The layout knows every file.", remedy=_HIDDEN),
    "image_names": Rule(
        severity="warning",
        holds="Images are called <tissue_id>.ome.zarr, .ome.tiff or .ome.tif.",
        remedy="Rename it (a plain TIFF may be called .ome.tiff); until then it is not seen.",
    ),
    "mask_names": Rule(
        severity="warning",
        holds="Masks are called <tissue_id>.npz.",
        remedy="Write it as numpy.savez_compressed(path, mask=array), or use spora-db import; else it is not seen.",
    ),
    "mask_kinds": Rule(
        severity="error",
        holds="A folder of cell masks has a name of its own; 'tissue' is that of tissue_masks.",
        remedy="Rename the folder; a folder called 'tissue' is passed over.",
    ),
    "image_twice": Rule(severity="error", holds="A tissue has one image in a folder.", remedy="Keep one of its files."),
    "file_case": Rule(
        severity="warning",
        holds="Names in a folder differ by more than upper and lower case.",
        remedy="Rename one; on many disks one would replace the other.",
    ),
    "dangling_links": Rule(
        severity="error", holds="Symbolic links lead somewhere.", remedy="Renew or remove the link."
    ),
    "empty_files": Rule(severity="error", holds="Files of images and masks have bytes.", remedy=_AGAIN),
    "lfs_pointers": Rule(
        severity="error",
        holds="Files are the data, not git-lfs pointers.",
        remedy="Fetch the data with 'git lfs pull'.",
    ),
    "left_over": Rule(
        severity="note",
        holds="No unfinished files of interrupted runs lie about.",
        remedy="Remove it once no run is at work.",
    ),
    "tissues_absent": Rule(
        severity="warning", holds="A dataset has metadata/tissues.parquet.", remedy="Add the table, a row per tissue."
    ),
    "panel_absent": Rule(
        severity="error",
        holds="A multiplex modality with images has channels.parquet.",
        remedy="Add the table; without it no channel has a name.",
    ),
    "measured_absent": Rule(
        severity="warning",
        holds="A multiplex modality with images has channels_per_tissue.parquet.",
        remedy="Add the table, unless every channel was measured in every tissue: that is taken for granted now.",
    ),
    "statistics_absent": Rule(
        severity="note",
        holds="A multiplex modality with images has statistics to standardize them.",
        remedy="Run spora-db standardize, or load with the standardization 'identity'.",
    ),
    "spec_folders": Rule(
        severity="warning",
        holds="A folder of statistics is named <method>/uq_<upper>[_lq_<lower>]_<image|global>.",
        remedy="Rename the folder, or register the method before using it.",
    ),
    "statistics_tables": Rule(
        severity="error",
        holds="A spec has the tables of its quantiles, and means and standard deviations at one level.",
        remedy="Compute them with spora-db standardize.",
    ),
    "label_encoder_absent": Rule(
        severity="warning",
        holds="A cell task has label_encoder.parquet.",
        remedy="Add the table with columns name, id.",
    ),
}
TABLE_RULES: Final = {
    "parquet": Rule(severity="error", holds="Parquet files can be read.", remedy=_AGAIN),
    "encrypted": Rule(
        severity="error", holds="Parquet files are not encrypted.", remedy="Write the file again without encryption."
    ),
    "column_kinds": Rule(
        severity="note",
        holds="A column has types that have a common one in all cohorts.",
        remedy="Write the column as one type; it is text now, which is compared as text.",
    ),
    "columns_missing": Rule(
        severity="error", holds="Tables have the columns that they cannot do without.", remedy="Add the column."
    ),
    "columns_expected": Rule(
        severity="warning",
        holds="Tables have the columns of the layout.",
        remedy="Add the column; it reads as NULL now.",
    ),
    "column_types": Rule(
        severity="error", holds="Columns have the types of the layout.", remedy="Write the column as the expected type."
    ),
    "column_twice": Rule(severity="error", holds="A column's name stands once.", remedy="Rename or drop one column."),
    "column_case": Rule(
        severity="warning",
        holds="Columns differ by more than upper and lower case.",
        remedy="Rename one; SQL folds case, so the second one is called <name>_2.",
    ),
    "stray_columns": Rule(
        severity="note", holds="No index of pandas was left in a table.", remedy="Write tables with index=False."
    ),
    "label_encoders": Rule(
        severity="error", holds="In a label encoder ids and names are unique and present.", remedy=_CORRECT
    ),
}
CHECK_RULES: Final = {
    "tissue_rows": Rule(
        severity="error", holds="tissues.parquet has a row per tissue and modality, of a usable id.", remedy=_CORRECT
    ),
    "tissue_case": Rule(
        severity="warning",
        holds="Tissue ids differ by more than upper and lower case.",
        remedy="Rename one; on many disks their images would replace each other.",
    ),
    "tissue_modalities": Rule(
        severity="warning",
        holds="Modalities of tissues.parquet have folders.",
        remedy="Correct the rows, or add images.",
    ),
    "split_patients": Rule(
        severity="warning",
        holds="A patient's tissues are in one split.",
        remedy="Assign splits by patient; otherwise a test set knows patients of the training set.",
    ),
    "hostile_ids": Rule(
        severity="error", holds="Tissue ids can name files in their folder.", remedy="Rename the tissue."
    ),
    "channel_rows": Rule(
        severity="error", holds="Rows of channels.parquet have a name and qc_pass, names once.", remedy=_CORRECT
    ),
    "channel_case": Rule(
        severity="warning",
        holds="Channel names differ by more than upper and lower case.",
        remedy="Rename one; both can be used, but are easily mistaken.",
    ),
    "channel_ids": Rule(
        severity="note",
        holds="A uniprot_id is a UniProt accession or absent.",
        remedy="Correct it; the channel is in no set of UniProt channels now.",
    ),
    "panel_names": Rule(
        severity="error",
        holds="channels.parquet and channels_per_tissue.parquet name the same channels.",
        remedy="Make the two tables agree.",
    ),
    "panel_rows": Rule(
        severity="error",
        holds="channels_per_tissue.parquet has one row per tissue without nulls.",
        remedy=_CORRECT,
    ),
    "tissues_without_images": Rule(
        severity="warning",
        holds="Every row of tissues.parquet has an image.",
        remedy="Download the images, or leave it so if the dataset is meant to be partial.",
    ),
    "images_without_tissues": Rule(
        severity="warning", holds="Every image has a row in tissues.parquet.", remedy="Add the rows."
    ),
    "images_without_panels": Rule(
        severity="error",
        holds="Every multiplex image has a row in channels_per_tissue.parquet.",
        remedy="Add the rows, or remove the images.",
    ),
    "images_without_masks": Rule(
        severity="note", holds="Every image has a tissue mask.", remedy="Add masks; tiling and statistics need them."
    ),
    "masks_without_images": Rule(
        severity="note", holds="Every mask has an image at its resolution.", remedy="Download the images, if wanted."
    ),
    "image_channels": Rule(
        severity="error",
        holds="An image holds the measured channels or the whole panel.",
        remedy="Correct the tables, or write the image anew.",
    ),
    "image_sizes": Rule(
        severity="error",
        holds="Images of a tissue at one resolution have one size.",
        remedy="Align the images, or move one to the folder of its own resolution.",
    ),
    "tile_rows": Rule(severity="error", holds="A tile_id names one tile of its tissue.", remedy="Run spora-db tile."),
    "tile_reports": Rule(
        severity="error", holds="Tile coordinates and statistics are of one run.", remedy="Run spora-db tile again."
    ),
    "tiles_without_tissues": Rule(
        severity="error", holds="The tissue of a tile exists.", remedy="Correct the ids, or run spora-db tile again."
    ),
    "tiles_without_images": Rule(
        severity="warning",
        holds="The tissue of a tile has an image.",
        remedy="Download the images; a query leaves these tiles out.",
    ),
    "tiles_outside_masks": Rule(
        severity="error", holds="Tiles lie in the mask they were made from.", remedy="Run spora-db tile again."
    ),
    "tiles_outside_images": Rule(
        severity="error",
        holds="Tiles lie in their images.",
        remedy="Run spora-db tile again, on masks of the images' size.",
    ),
    "cell_rows": Rule(
        severity="error", holds="A cell_id names one cell of its tissue, by a label of its mask.", remedy=_CORRECT
    ),
    "cells_without_tissues": Rule(
        severity="warning", holds="The tissue of a cell has a row in tissues.parquet.", remedy="Add the row."
    ),
    "statistics_rows": Rule(
        severity="error",
        holds="Every image has a row in the image-level statistics.",
        remedy="Run spora-db standardize --overwrite, or use statistics at global level.",
    ),
    "statistics_columns": Rule(
        severity="error",
        holds="Statistics have a column per channel of the panel.",
        remedy="Run spora-db standardize --overwrite.",
    ),
    "statistics_values": Rule(
        severity="warning",
        holds="Every measured channel has statistics.",
        remedy="Run spora-db standardize --overwrite; until then the channel is dropped for these tissues.",
    ),
    "statistics_dropped": Rule(
        severity="warning",
        holds="The statistics of a channel can standardize it.",
        remedy="Run spora-db standardize with a higher --upper-quantile, or load with standardize("
        "disable_quantile_mask=True) or the standardization 'identity', or leave the channel out.",
    ),
}
CELL_RULES: Final = {
    "cell_places": Rule(
        severity="error",
        holds="Of several pairs of centroid columns, all place a cell at one place.",
        remedy="Keep the pair in pixels of the images, and rename the other.",
    ),
    "cells_outside_images": Rule(
        severity="error", holds="Cells lie in their images.", remedy="Correct the centroids, in pixels of the images."
    ),
    "cells_in_masks": Rule(
        severity="error",
        holds="Instance masks have the cells of the table, where it places them.",
        remedy="Correct the table, or write the mask anew.",
    ),
    "cells_listed": Rule(
        severity="note", holds="The table lists all cells of a mask.", remedy="Add rows, or take source='masks'."
    ),
}
IMAGE_RULES: Final = {
    "image_headers": Rule(severity="error", holds="Images can be opened.", remedy=_AS_SAID),
    "rgb_channels": Rule(
        severity="error",
        holds="H&E and IHC images are RGB, of three or four channels.",
        remedy="Write the image as RGB.",
    ),
    "image_pixels": Rule(severity="error", holds="All pixels of an image can be read.", remedy=_AGAIN),
    "image_values": Rule(
        severity="warning",
        holds="Pixels are finite.",
        remedy="Replace NaN and infinite pixels, or leave the tissue out.",
    ),
    "masks_readable": Rule(severity="error", holds="Masks can be read.", remedy=_AGAIN),
    "mask_sizes": Rule(
        severity="error",
        holds="A mask has the height and width of its image.",
        remedy="Write the mask at the image's resolution, without a margin.",
    ),
    "mask_empty": Rule(
        severity="warning", holds="A tissue mask has tissue.", remedy="Make the mask again, or leave the tissue out."
    ),
    "mask_labels": Rule(
        severity="error",
        holds="The label encoder knows every label of a mask.",
        remedy="Add the labels to the encoder.",
    ),
    "sampled": Rule(
        severity="note", holds="Headers of all images were read.", remedy="Run with --deep to read all images."
    ),
    "unchecked": Rule(
        severity="note", holds="Every rule could be checked.", remedy="Mend the file first, then validate again."
    ),
}
RULES: Final = {**FOLDER_RULES, **TABLE_RULES, **CHECK_RULES, **CELL_RULES, **IMAGE_RULES}
"""Every rule by its name."""


def broken(rule: str, reason: str, *, dataset: str, file: str = "", severity: Severity | None = None) -> Finding:
    """Return the finding that a rule does not hold; the severity is the rule's own unless given.

    Examples
    --------
    >>> broken("empty_files", "It has no bytes.", dataset="cohort", file="cohort/x.npz").severity
    'error'
    """
    return RULES[rule].broken(rule, reason, dataset=dataset, file=file, severity=severity)
