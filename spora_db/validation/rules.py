"""All rules of the layout by name: those that are SQL from the headers of ``sql/checks``, the others from a table."""

from typing import Any, Final, get_args

from spora_db.catalog.sql_files import header, sql_names
from spora_db.validation.findings import Finding, Rule, Severity

_AGAIN = "Copy or download the file again."
_AS_SAID = "Do what the reason says; a file that is broken is copied or downloaded again."
_CORRECT = "Correct the file."
_HIDDEN = "Rename it as the layout wants it; until then it is not seen."

_ROWS: Final[tuple[tuple[str, Severity, str, str], ...]] = (
    # folders
    ("folder_names", "error", "Names of files and folders can be read.", "Rename the file."),
    ("mpp_folders", "error", "A resolution's folder is named like 0_5mpp or 1_0mpp.",
     "Rename the folder; until then its files are not found."),
    ("unknown_folders", "note", "The layout knows every folder.", _HIDDEN),
    ("unknown_files", "note", "The layout knows every file.", _HIDDEN),
    ("image_names", "warning", "Images are called <tissue_id>.ome.zarr, .ome.tiff or .ome.tif.",
     "Rename it (a plain TIFF may be called .ome.tiff); until then it is not seen."),
    ("mask_names", "warning", "Masks are called <tissue_id>.npz.",
     "Write it as numpy.savez_compressed(path, mask=array), or use spora-db import; else it is not seen."),
    ("mask_kinds", "error", "A folder of cell masks has a name of its own; 'tissue' is that of tissue_masks.",
     "Rename the folder; a folder called 'tissue' is passed over."),
    ("image_twice", "error", "A tissue has one image in a folder.", "Keep one of its files."),
    ("file_case", "warning", "Names in a folder differ by more than upper and lower case.",
     "Rename one; on many disks one would replace the other."),
    ("dangling_links", "error", "Symbolic links lead somewhere.", "Renew or remove the link."),
    ("empty_files", "error", "Files of images and masks have bytes.", _AGAIN),
    ("lfs_pointers", "error", "Files are the data, not git-lfs pointers.", "Fetch the data with 'git lfs pull'."),
    ("left_over", "note", "No unfinished files of interrupted runs lie about.", "Remove it once no run is at work."),
    ("tissues_absent", "warning", "A dataset has metadata/tissues.parquet.", "Add the table, a row per tissue."),
    ("panel_absent", "error", "A multiplex modality with images has channels.parquet.",
     "Add the table; without it no channel has a name."),
    ("measured_absent", "warning", "A multiplex modality with images has channels_per_tissue.parquet.",
     "Add the table, unless every channel was measured in every tissue: that is taken for granted now."),
    ("statistics_absent", "note", "A multiplex modality with images has statistics to standardize them.",
     "Run spora-db standardize, or load with the standardization 'identity'."),
    ("spec_folders", "warning",
     "A folder of statistics is named <method>/uq_<upper>[_lq_<lower>][_zq_<answer>]_<image|global>.",
     "Rename the folder, or register the method before using it."),
    ("statistics_tables", "error",
     "A spec has the tables of its quantiles, and means and standard deviations at one level.",
     "Compute them with spora-db standardize."),
    ("label_encoder_absent", "warning", "A cell task has label_encoder.parquet.",
     "Add the table with columns name, id."),
    # tables
    ("parquet", "error", "Parquet files can be read.", _AGAIN),
    ("encrypted", "error", "Parquet files are not encrypted.", "Write the file again without encryption."),
    ("column_kinds", "note", "A column has types that have a common one in all cohorts.",
     "Write the column as one type; it is text now, which is compared as text."),
    ("columns_missing", "error", "Tables have the columns that they cannot do without.", "Add the column."),
    ("columns_expected", "warning", "Tables have the columns of the layout.", "Add the column; it reads as NULL now."),
    ("column_types", "error", "Columns have the types of the layout.", "Write the column as the expected type."),
    ("column_twice", "error", "A column's name stands once.", "Rename or drop one column."),
    ("column_case", "warning", "Columns differ by more than upper and lower case.",
     "Rename one; SQL folds case, so the second one is called <name>_2."),
    ("stray_columns", "note", "No index of pandas was left in a table.", "Write tables with index=False."),
    ("panel_order", "warning", "A channel_index that channels.parquet has itself counts its rows.",
     "Sort the rows as the pages of the images are, and drop the column: it is the order of the rows that counts."),
    ("label_encoders", "error", "In a label encoder ids and names are unique and present.", _CORRECT),
    # users' tables
    ("own_tables", "error", "A user's table has a name of its own, and one row per tissue, tile or cell it is about.",
     "Do what the reason says; until then it cannot be asked."),
    ("own_orphans", "warning", "Rows of a user's table are about what the lake has.",
     "Correct the ids, or leave the rows out: they join with nothing."),
    # features
    ("feature_sets", "error", "A feature set is described, and its parts are as they are described.",
     "Extract the features again, under another name or with overwrite."),
    ("feature_parts", "error", "The parts of a feature set are whole, and have each row once.",
     "Extract the features again."),
    ("feature_values", "warning", "Features are finite numbers.", "Extract these rows again, or leave them out."),
    ("feature_orphans", "warning", "Features are of tiles, cells and tissues that the lake has.",
     "Extract the features again, of the rows that there are."),
    ("feature_rows", "note", "A feature set has all rows that it was extracted of.", "Go on with the extraction."),
    # cells
    ("cell_places", "error", "Of several pairs of centroid columns, all place a cell at one place.",
     "Keep the pair in pixels of the images, and rename the other."),
    ("cells_outside_images", "error", "Cells lie in their images.", "Correct the centroids, in pixels of the images."),
    ("cells_in_masks", "error", "Instance masks have the cells of the table, where it places them.",
     "Correct the table, or write the mask anew."),
    ("cells_listed", "note", "The table lists all cells of a mask.", "Add rows, or take source='masks'."),
    # images and masks
    ("image_headers", "error", "Images can be opened.", _AS_SAID),
    ("rgb_channels", "error", "H&E and IHC images are RGB, of three or four channels.", "Write the image as RGB."),
    ("image_pixels", "error", "All pixels of an image can be read.", _AGAIN),
    ("image_values", "warning", "Pixels are finite.", "Replace NaN and infinite pixels, or leave the tissue out."),
    ("masks_readable", "error", "Masks can be read.", _AGAIN),
    ("mask_sizes", "error", "A mask has the height and width of its image.",
     "Write the mask at the image's resolution, without a margin."),
    ("mask_empty", "warning", "A tissue mask has tissue.", "Make the mask again, or leave the tissue out."),
    ("mask_labels", "error", "The label encoder knows every label of a mask.", "Add the labels to the encoder."),
    ("sampled", "note", "Headers of all images were read.", "Run with --deep to read all images."),
    ("unchecked", "note", "Every rule could be checked.", "Mend the file first, then validate again."),
)  # fmt: skip
"""What code looks for: name, severity, what holds, what to do where it does not."""


def _check_rule(name: str) -> Rule:
    told = header("checks", name)
    severity: Any = told["severity"]
    assert severity in get_args(Severity), f"{name}: {severity}"
    return Rule(severity=severity, holds=told["purpose"], remedy=told["remedy"])


RULES: Final = {
    **{name: Rule(severity=severity, holds=holds, remedy=remedy) for name, severity, holds, remedy in _ROWS},
    **{name: _check_rule(name) for name in sql_names("checks")},
}
"""Every rule by its name."""


def broken(rule: str, reason: str, *, dataset: str, file: str = "", severity: Severity | None = None) -> Finding:
    """Return the finding that a rule does not hold; the severity is the rule's own unless given.

    Examples
    --------
    >>> broken("empty_files", "It has no bytes.", dataset="cohort", file="cohort/x.npz").severity
    'error'
    """
    known = RULES[rule]
    return Finding(
        severity=severity or known.severity,
        dataset=dataset,
        file=file,
        rule=rule,
        reason=reason,
        remedy=known.remedy,
    )
