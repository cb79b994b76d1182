"""Many cohorts as one torch dataset: tissues or tiles, in order or drawn at random, balanced where asked."""

from dataclasses import replace

import pyarrow as pa

from spora_db.datasets._types import ComposedTissue
from spora_db.datasets.cohort_rows import RowSample
from spora_db.datasets.indexes import IndexUnit
from spora_db.datasets.numbers import whole
from spora_db.datasets.queries import member, merged_selection
from spora_db.datasets.random_samples import Mode, RandomSamples
from spora_db.query import SporaQuery


class SporaDataset(RandomSamples):
    """Tissues or tiles of many cohorts, each with the images of all its modalities.

    Parameters
    ----------
    dataset_names
        One cohort, or several.
    datasets_dir
        The lake that holds them, of layers or remote too; by default the one that ``SPORA_DATASETS_DIR`` names.
    modalities
        Modalities to deliver where a cohort has them, ``"ihc"`` for all its stains; None for all it has. A cohort with
        none of them is left out, with a warning in the log.
    resolution, tile_size, tile_strategy, split, load_cell_metadata, verbose
        As :class:`BaseImagingDataset`.
    sampling_unit
        ``"tiles"`` or ``"tissues"``; by default tiles where a tile size is given.
    modality_kwargs
        As :class:`ComposedImagingDataset`, for every cohort.
    dataset_modality_kwargs
        The same by cohort; they win over `modality_kwargs`.
    seed
        For `sample_random` and its siblings: draws are a function of (seed, epoch, worker). None draws anew every run.
    balance
        Column or columns whose groups are drawn equally often by `sample_random`, its siblings and `sampler`:
        ``"dataset"``, or any column of the tissue metadata. Tissues without a value are a group of their own.
    kind, preprocess, image_mode
        What `dataset[i]` delivers; see :meth:`BaseImagingDataset.get_tissue`.
    rows
        DataFrame with dataset_name, tissue_id and, for tiles, tile_id, row, col: serve these instead of all.

    Attributes
    ----------
    datasets
        Cohort to its :class:`ComposedImagingDataset`.
    modalities_by_dataset
        Cohort to its modalities: the lists that its dataset reads.
    tissue_index
        DataFrame: dataset_name, tissue_id, modalities (tuple).
    tile_index
        DataFrame: global_tile_id, dataset_name, tissue_id, tile_id, row, col; None for tissues. Rows are read from
        these two, edited or replaced.
    resolution, resolution_dir, mpp
        The resolution as given, as the folder's name, and as a number.
    requested_modalities, modality_kwargs, dataset_modality_kwargs
        As given.
    rng
        The numpy generator that random samples are drawn from.

    Raises
    ------
    DatasetNotFoundError
        If a cohort has no folder, or none has one of the modalities.
    TilingNotFoundError
        If a cohort has no tile file of this size, resolution and strategy.
    UnknownNameError, ArgumentError, TableError
        As :class:`ComposedImagingDataset`.

    See Also
    --------
    ComposedImagingDataset, SporaQuery, collate_tissues

    Examples
    --------
    >>> SporaDataset(["cohort"], datasets_dir="no/such/folder")
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder/cohort. ...
    """

    def __getitem__(self, index: int) -> RowSample:
        """Return one tile or tissue.

        Parameters
        ----------
        index
            Position in `tile_index` or `tissue_index`; negative ones count from the end.

        Returns
        -------
        dict
            As `get_tile_sample` or `get_tissue_sample`.
        """
        return self._sample(self.sampling_unit, whole(index, "index"), self._mode(None, None, preprocess=None))

    def get_tissue_ids(self, dataset_name: str | None = None) -> list[str]:
        """Return the tissues of one cohort, `dataset_name`, or of all.

        Returns
        -------
        list of str
            In the order of `tissue_index`.

        Raises
        ------
        UnknownNameError
            If there is no such cohort.

        See Also
        --------
        SporaDataset.get_tissue_sample

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> dataset.get_tissue_ids("lung_imc")[0]
        'lung_imc_l001_0001'
        """
        if dataset_name is not None:
            return self.get_dataset(dataset_name).get_tissue_ids()
        return [str(tissue_id) for tissue_id in self.tissue_index["tissue_id"]]

    def get_tissue_sample(
        self, *, dataset_name: str, tissue_id: str,
        kind: str | None = None, preprocess: bool | None = None, image_mode: str | None = None,
    ) -> RowSample:  # fmt: skip
        """Return a whole tissue.

        Parameters
        ----------
        dataset_name
            The cohort.
        tissue_id
            The tissue.
        kind, preprocess, image_mode
            As :meth:`BaseImagingDataset.get_tissue`; left out, as the dataset was made.

        Returns
        -------
        dict
            ``dataset_name``, ``tissue_id`` and ``modalities``: modality to its tissue object.

        Raises
        ------
        UnknownNameError
            For a cohort, tissue, kind or image_mode that does not exist.

        See Also
        --------
        SporaDataset.get_tile_sample, SporaDataset.get_tissue_ids

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> sorted(dataset.get_tissue_sample(dataset_name="lung_imc", tissue_id="lung_imc_l001_0001")["modalities"])
        ['he', 'imc']
        """
        mode = self._mode(kind, image_mode, preprocess=preprocess)
        return _sample(dataset_name, self.get_dataset(dataset_name).get_composed_tissue(tissue_id, *mode))

    def get_tile_sample(
        self, *, dataset_name: str, tissue_id: str, tile_id: int,
        kind: str | None = None, preprocess: bool | None = None, image_mode: str | None = None,
    ) -> RowSample:  # fmt: skip
        """Return a tile by its id.

        Parameters
        ----------
        tile_id
            The id in the tile file, whatever its position there.
        dataset_name, tissue_id, kind, preprocess, image_mode
            As `get_tissue_sample`.

        Returns
        -------
        dict
            ``dataset_name``, ``tissue_id``, ``tile_id`` and ``modalities``: modality to its tile, all at one place.

        Raises
        ------
        UnknownNameError
            For a cohort, tissue or tile that does not exist.
        ArgumentError
            If the dataset was made without a tile size.

        See Also
        --------
        SporaDataset.get_tissue_sample, collate_tissues

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> sorted(dataset.get_tile_sample(dataset_name="lung_imc", tissue_id="lung_imc_l001_0001", tile_id=0))
        ['dataset_name', 'modalities', 'tile_id', 'tissue_id']
        """
        mode = self._mode(kind, image_mode, preprocess=preprocess)
        tile_id = whole(tile_id, "tile_id")
        tile = self.get_dataset(dataset_name).get_composed_tile(tissue_id, tile_id, *mode)
        return _sample(dataset_name, tile, tile_id=tile_id)

    def query(self) -> SporaQuery:
        """Return the query that selects the same tiles (or tissues), each with all its modalities.

        Raises
        ------
        ArgumentError
            If options differ between cohorts or modalities that a query has only once.

        See Also
        --------
        SporaQuery.to_spora_dataset

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> dataset.query().count() == len(dataset)
        True
        """
        parts = [part for dataset in self.datasets.values() for part in map(dataset.get_dataset, dataset.modalities)]
        selection = merged_selection([part.query(self.kind).selection for part in parts])
        if self.sampling_unit == "tissues":
            selection = replace(selection, unit="tissue", tile_size=None, mpp=self.mpp)
        if (chosen := self._chosen()) is None:
            selection = replace(selection, conditions=(*selection.conditions, member("dataset", self.datasets)))
        else:
            table = pa.Table.from_pandas(chosen.rename(columns={"dataset_name": "dataset"}), preserve_index=False)
            selection = replace(selection, rows_table=table, conditions=(), splits=())
        return SporaQuery(self.datasets_dir, selection)

    def __repr__(self) -> str:
        """Tell what it is of, and how much there is."""
        counts = self._rows[self.sampling_unit].frame["dataset_name"].value_counts(sort=False)
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        size, split = f"tile_size={self.tile_size!r}", f"split={self.split!r}"
        return f"SporaDataset({len(self)} {self.sampling_unit} ({listed}), {size}, {split})"

    def _sample(self, unit: IndexUnit, position: int, mode: Mode) -> RowSample:
        """Return the tile or tissue of one row."""
        rows = self._rows[unit]
        if not -len(rows) <= position < len(rows):
            message = f"position {position} is out of range for {len(rows)} {unit}"
            raise IndexError(message)
        name, tissue_id = rows.names(position)
        dataset = self.get_dataset(name)
        if unit == "tissues":
            return _sample(name, dataset._compose_tissue(tissue_id, mode, listed=rows.modalities(position)))
        tile_id, row, col = rows.place(position)
        row, col = dataset._place(tissue_id, tile_id, (row, col))
        return _sample(name, dataset.get_composed_tile_by_coordinates(tissue_id, row, col, *mode), tile_id=tile_id)


def _sample(dataset_name: str, tissue: ComposedTissue, **tile: int) -> RowSample:
    """Return a tissue, or a tile with its id, as a sample."""
    return {"dataset_name": dataset_name, "tissue_id": tissue.tissue_id, **tile, "modalities": tissue.modalities}
