"""Several modalities of one cohort under one handle."""

from collections.abc import Iterable

from spora_db.datasets._types import ComposedTissue
from spora_db.datasets.base import BaseImagingDataset
from spora_db.datasets.numbers import whole
from spora_db.datasets.patients import tissues_of
from spora_db.datasets.queries import merged_selection
from spora_db.datasets.unimodal import UnimodalParts
from spora_db.errors import ArgumentError, unknown
from spora_db.query import SporaQuery


class ComposedImagingDataset(UnimodalParts):
    """Several modalities of one cohort: the same tissues and tiles, an image of each modality.

    Parameters
    ----------
    name, tile_size, resolution, path, verbose, load_cell_metadata, tile_strategy, split, seed, catalog
        As :class:`BaseImagingDataset`.
    modalities
        Names or modality dataclasses; ``"ihc"`` stands for all IHC stains of the cohort.
    modality_kwargs
        Further keywords of each modality's own class, by modality (``"ihc"`` for all stains); modalities that are not
        asked for may be among the keys.

    Attributes
    ----------
    resolution
        As given; `mpp` is the number.
    modalities
        Names, in the order asked for: tissues and tiles have the images of these.
    all_tissue_ids
        The tissues of any of these modalities, sorted.
    all_tissue_metadata
        DataFrame by tissue_id: a row per tissue and modality.
    cell_metadata
        DataFrame by tissue_id; None unless asked for.
    patient_tissue_map
        Patient id to tissue ids; found by int and by str.

    Raises
    ------
    DatasetNotFoundError, UnknownNameError, TableError
        As :class:`BaseImagingDataset`.
    TypeError
        For keywords that a modality's class does not have.

    See Also
    --------
    SporaDataset, MultiplexImagingDataset

    Examples
    --------
    >>> ComposedImagingDataset("cohort", path="no/such/folder", modalities=["he", "imc"], resolution=1)
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder. ...
    """

    def get_composed_tissue(
        self, tissue_id: str, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> ComposedTissue:  # fmt: skip
        """Return a whole tissue in every modality it has.

        Parameters
        ----------
        tissue_id, kind, preprocess, image_mode
            As :meth:`BaseImagingDataset.get_tissue`, for every modality alike.

        Returns
        -------
        ComposedTissue
            Its ``modalities`` are tissues as `get_unimodal_tissue` returns them.

        Raises
        ------
        UnknownNameError
            For a tissue, kind or image_mode that does not exist.

        See Also
        --------
        ComposedImagingDataset.get_composed_tile, ComposedImagingDataset.get_composed_tissue_by_patient

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> sorted(both.get_composed_tissue("lung_imc_l001_0001", preprocess=False).modalities)
        ['he', 'imc']
        """
        return self._compose_tissue(tissue_id, (kind, preprocess, image_mode))

    def get_composed_tile(
        self, tissue_id: str, tile_id: int, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> ComposedTissue:  # fmt: skip
        """Return a tile in every modality the tissue has, all at one place.

        Parameters
        ----------
        tissue_id, kind, preprocess, image_mode
            As `get_composed_tissue`.
        tile_id
            The id in the tile file, whatever its position there.

        Returns
        -------
        ComposedTissue
            Its ``modalities`` are tiles, each ``tile_size`` high and wide.

        Raises
        ------
        UnknownNameError
            If the tile file has no such tissue or tile.
        ArgumentError
            If the dataset was made without a tile size, or edits of the modalities moved the tile to different places.

        See Also
        --------
        ComposedImagingDataset.get_composed_tile_by_coordinates, ComposedImagingDataset.get_composed_tissue

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> tile = both.get_composed_tile("lung_imc_l001_0001", 0, preprocess=False)
        >>> tile.modalities["he"].image.shape
        torch.Size([3, 128, 128])
        """
        found = self._first(tissue_id).corner(tissue_id, tile_id)
        row, col = self._moved(tissue_id, whole(tile_id, "tile_id")) or found
        return self.get_composed_tile_by_coordinates(tissue_id, row, col, kind, preprocess, image_mode)

    def get_composed_tile_by_coordinates(
        self, tissue_id: str, row: int, col: int, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - as its siblings
    ) -> ComposedTissue:  # fmt: skip
        """Return the tile at a place in every modality.

        Parameters
        ----------
        row, col
            The top-left corner in pixels.
        tissue_id, kind, preprocess, image_mode
            As `get_composed_tissue`.

        Returns
        -------
        ComposedTissue
            As `get_composed_tile`; beyond the edge of an image lie zeros, standardized as any.

        Raises
        ------
        TableError
            If the corner lies outside the image of a modality.
        ArgumentError
            If the dataset was made without a tile size.

        See Also
        --------
        ComposedImagingDataset.get_composed_tile

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> tile = both.get_composed_tile_by_coordinates("lung_imc_l001_0001", row=0, col=64, preprocess=False)
        >>> tile.modalities["he"].image.shape
        torch.Size([3, 128, 128])
        """
        keys = self.get_modalities_of_tissue(tissue_id)
        place = (tissue_id, row, col, kind, image_mode, preprocess)
        tiles = {key: self._unimodal[key].get_tile_by_coordinates(*place) for key in keys}
        return ComposedTissue(tissue_id=tissue_id, modalities=tiles)

    def get_composed_tissue_by_patient(
        self, patient_id: int | str, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> list[ComposedTissue]:  # fmt: skip
        """Return the tissues of a patient.

        Parameters
        ----------
        patient_id
            As in the metadata, an int or a str.
        kind, preprocess, image_mode
            As `get_composed_tissue`.

        Returns
        -------
        list of ComposedTissue
            Empty for a patient without any tissue.

        See Also
        --------
        ComposedImagingDataset.get_composed_tissue

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> len(both.get_composed_tissue_by_patient("l001", preprocess=False))
        2
        """
        tissue_ids = tissues_of(self.patient_tissue_map, patient_id)
        return [self.get_composed_tissue(tissue_id, kind, preprocess, image_mode) for tissue_id in tissue_ids]

    def query(self, kind: str = "uniprot_filtered") -> SporaQuery:
        """Return the query that selects the same tiles (tissues, without a tile size), each with all its modalities.

        Parameters
        ----------
        kind
            Which channels of a panel: ``"complete"``, ``"qc_filtered"`` or ``"uniprot_filtered"``.

        Raises
        ------
        ArgumentError
            If options of the modalities differ that a query has only once; ask `get_dataset(modality).query()` then.

        See Also
        --------
        SporaQuery.to_spora_dataset

        Examples
        --------
        >>> from spora_db import ComposedImagingDataset
        >>> both = ComposedImagingDataset("lung_imc", ["he", "imc"], tile_size=128, resolution=1, path="lake/lung_imc")
        >>> both.query().selection.modalities
        (('he',), ('imc',))
        """
        parts = [self.get_dataset(key).query(kind).selection for key in self.modalities]
        return SporaQuery(self.path, merged_selection(parts))

    def __repr__(self) -> str:
        """Tell what it is of, and how much there is."""
        return (
            f"{type(self).__name__}(name={self.name!r}, modalities={self.modalities!r}, "
            f"resolution={self.resolution!r}, tile_size={self.tile_size!r}, split={self.split!r}, "
            f"n_tissues={len(self.all_tissue_ids)})"
        )

    def _first(self, tissue_id: str) -> BaseImagingDataset:
        """Return the dataset that says where the tiles of a tissue are: that of its first modality."""
        has = self.get_modalities_of_tissue(tissue_id)
        if not has:
            raise unknown("modality", f"of tissue {tissue_id}", self.modalities, where=f"composed {self.name!r}")
        return self._unimodal[has[0]]

    def _place(self, tissue_id: str, tile_id: int, place: tuple[int, int]) -> tuple[int, int]:
        """Return where a tile is that an index has at a place: there, unless `tile_coordinates` were edited."""
        return self._moved(tissue_id, tile_id, place) or place

    def _moved(self, tissue_id: str, tile_id: int, place: tuple[int, int] | None = None) -> tuple[int, int] | None:
        """Return where whoever edited the `tile_coordinates` of any modality moved a tile; None where nobody did."""
        found = {
            key: moved
            for key in self.get_modalities_of_tissue(tissue_id)
            if (moved := self._unimodal[key]._tiles.moved(str(tissue_id), tile_id, place)) is not None
        }
        if len(set(found.values())) > 1:
            message = (
                f"Tile {tile_id} of tissue {tissue_id!r} was moved to different places in the tile_coordinates of the "
                f"modalities of {self.name!r}: {found}. Move it to one place; modalities are read at the same."
            )
            raise ArgumentError(message)
        return next(iter(found.values()), None)

    def _compose_tissue(
        self, tissue_id: str, mode: tuple[str, bool, str], *, listed: Iterable[str] | None = None
    ) -> ComposedTissue:
        """Return a whole tissue in the modalities that it has, of those listed where some are."""
        keys = self.get_modalities_of_tissue(tissue_id)
        if listed is not None:
            wanted = [self._known(key) for key in listed]
            keys = [key for key in keys if key in wanted]
        tissues = {key: self._unimodal[key].get_tissue(tissue_id, *mode) for key in keys}
        return ComposedTissue(tissue_id=tissue_id, modalities=tissues)
