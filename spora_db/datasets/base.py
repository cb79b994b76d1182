"""What all datasets of one modality share: metadata, labels, patients, tiles; none holds a database."""

from abc import abstractmethod
from dataclasses import replace

from spora_db.datasets.mask_access import MaskAccess
from spora_db.datasets.queries import LISTED, labelled
from spora_db.datasets.tissue_access import TissueAccess
from spora_db.errors import ArgumentError
from spora_db.query import SporaQuery
from spora_db.selection import ChannelKind, Selection


class BaseImagingDataset(TissueAccess, MaskAccess):
    """One modality of one cohort: tissues and tiles as tensors, with metadata, labels, masks and patients.

    It goes

    1. tables of the cohort (a `Catalog`, which the next dataset of the same cohort is lent) -> DataFrames,
    2. all images of the modality -> one frozen plan (arrays),
    3. tissue id, row, col -> pages and transform -> float32 tensor, by the same code as `SporaQuery.to_torch`.

    Objects pickle, and work in DataLoader workers however these are started. What is assigned to an attribute, or
    edited in its tables, lists and masks, is what is delivered from then on, in copies and workers too; attributes that
    say how the dataset was made cannot be assigned.

    Parameters
    ----------
    name
        The cohort; its folder unless `path` is given.
    modality
        Such as ``"imc"``, or a modality dataclass.
    resolution
        Microns per pixel: 1, 1.0, ``"1.0"`` or ``"1_0mpp"``.
    path
        The cohort's folder, of any name; by default `name` in the lake that ``SPORA_DATASETS_DIR`` names. One that
        several layers have is read as one: `path` then is their folders, separated as ``PATH`` is.
    tile_size
        Height and width of tiles in pixels; None for whole tissues only.
    load_cell_metadata
        Whether `cell_metadata` is read.
    verbose
        Whether what was found is logged at level INFO.
    label
        Column of the tissue metadata with the labels; tissues without a label are left out of the metadata.
    labels_to_keep
        Keep the tissues with these labels; None keeps every label.
    label_modifying_fn
        Applied to every kept label.
    label_type
        ``"classification"`` or ``"regression"``.
    tile_strategy
        Name of the tiling, ``"default"`` unless given.
    split
        Keep the tissues of this split in the metadata.
    seed
        For the random tiles that `get_tile` gives where the cohort has no tile file; without it they follow numpy's
        global generator (``np.random.seed``).
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors, or read as zeros, or as white (brightfield).
    catalog
        The open catalog of `path`, if there is one; it is not kept.

    Attributes
    ----------
    name, path, modality, resolution, mpp, tile_size, tile_strategy, split, label
        As given; `path` a Path, `modality` a dataclass, `resolution` the folder's name, `mpp` a float.
    tissue_metadata
        DataFrame by tissue_id: a row per tissue and modality, after split and labels.
    tissue_modality_metadata
        The rows of this modality.
    cell_metadata
        DataFrame by tissue_id, a row per cell; None unless asked for.
    patient_tissue_map
        Patient id to tissue ids of this modality; found by int and by str.
    unique_labels, label_encoder
        The classes in ascending order, and the number of each; the same for every split. None without classes.
    tile_coordinates
        Tissue id to list of (row, col), Python ints in the order of tile ids; None where there is no tile file. Tiles
        are read from it.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder.
    UnknownNameError
        For a modality, resolution, split, label or column that the cohort does not have.
    TableError
        If a table contradicts itself or another one, or ``metadata/tissues.parquet`` is absent.

    See Also
    --------
    MultiplexImagingDataset, HEImagingDataset, SporaQuery.to_spora_dataset

    Examples
    --------
    >>> from spora_db import MultiplexImagingDataset
    >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
    >>> isinstance(imc, BaseImagingDataset), imc.mpp
    (True, 1.0)
    """

    def query(self, kind: str | None = None) -> SporaQuery:
        """Return the query that selects the same tiles (tissues, without a tile size) with the same pixels.

        Parameters
        ----------
        kind
            As `get_tissue`.

        Raises
        ------
        ArgumentError
            If attributes were edited that a query reads from the files of the lake.

        See Also
        --------
        SporaQuery.to_spora_dataset

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.query().count() > 0
        True
        """
        facts = self._facts()
        if edited := [name for name, fact in facts.items() if fact != self._facts_read[name]]:
            message = (
                f"{', '.join(edited)} of dataset {self.name!r} were edited; a query reads the files of the lake. "
                "Write the change into the files, or select with SporaQuery."
            )
            raise ArgumentError(message)
        labels = () if self._label is None else (labelled(self._label),)
        selection = replace(
            self._whole_images(),
            unit="tissue" if self.tile_size is None else "tile",
            tile_size=self.tile_size,
            strategy=None if self.tile_size is None else self.tile_strategy,
            conditions=(LISTED, *labels),
            splits=() if self.split is None else (self.split,),
        )
        return SporaQuery(self.path, self._standardized(selection, self._kind(kind)))

    def __repr__(self) -> str:
        """Tell what it is of, and how much there is."""
        counts = f"n_tissues={len(self.tissue_modality_metadata)}, n_tiles={len(self._tiles)}"
        return (
            f"{type(self).__name__}(name={self.name!r}, modality={self.modality.name!r}, "
            f"resolution={self.resolution!r}, tile_size={self.tile_size!r}, tile_strategy={self.tile_strategy!r}, "
            f"split={self.split!r}, {counts})"
        )

    @abstractmethod
    def _standardized(self, selection: Selection, kind: ChannelKind) -> Selection:
        """Return a selection with the channels and the standardization of this dataset."""
