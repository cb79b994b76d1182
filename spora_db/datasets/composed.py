"""Several modalities of one cohort under one handle."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from spora_db.catalog import Catalog
from spora_db.datasets._types import ComposedTissue, ModKey, TissueMask, modality_name
from spora_db.datasets.base import BaseImagingDataset
from spora_db.datasets.brightfield import HEImagingDataset, SingleIHCImagingDataset
from spora_db.datasets.frames import read_cells, read_tissues, split_rows
from spora_db.datasets.multiplex import MultiplexImagingDataset
from spora_db.datasets.patients import PatientMap, tissues_of
from spora_db.datasets.places import dataset_catalog, dataset_folder
from spora_db.datasets.queries import merged_selection
from spora_db.datasets.tiles import whole
from spora_db.errors import ArgumentError, unknown
from spora_db.layout import parse_mpp
from spora_db.query import SporaQuery
from spora_db.standardization.settled import Settled

Options = Mapping[str, Mapping[str, Any]]


_PARTS = "Set it on the dataset of each modality, get_dataset(modality)."
_SETTLED = {
    **dict.fromkeys(
        ("path", "resolution", "mpp", "tile_strategy", "split", "verbose", "load_cell_metadata"),
        "Make another dataset with it.",
    ),
    "tile_size": _PARTS,
}


class ComposedImagingDataset(Settled):
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

    Examples
    --------
    >>> ComposedImagingDataset("cohort", path="no/such/folder", modalities=["he", "imc"], resolution=1)
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder. ...
    """

    _settled = _SETTLED

    def __init__(
        self,
        name: str,
        modalities: ModKey | Iterable[ModKey],
        tile_size: int | None = None,
        resolution: float | str | None = None,
        path: str | os.PathLike[str] | None = None,
        verbose: bool = True,  # noqa: FBT001, FBT002 - the published order
        load_cell_metadata: bool = False,  # noqa: FBT001, FBT002
        tile_strategy: str | None = None,
        split: str | None = None,
        *,
        modality_kwargs: Options | None = None,
        seed: int | None = None,
        catalog: Catalog | None = None,
    ) -> None:
        if resolution is None:
            message = f"ComposedImagingDataset({name!r}) needs resolution=, in microns per pixel."
            raise ArgumentError(message)
        self.name, self.path = name, dataset_folder(name, path)
        self.verbose, self.split, self.load_cell_metadata = verbose, split, load_cell_metadata
        self.tile_size, self.tile_strategy = tile_size, tile_strategy
        self.mpp = parse_mpp(resolution)
        self.resolution = resolution
        options = {modality_name(key): dict(given) for key, given in (modality_kwargs or {}).items()}
        common = {
            "path": self.path, "resolution": resolution, "tile_size": tile_size, "tile_strategy": tile_strategy,
            "split": split, "verbose": verbose, "seed": seed,
        }  # fmt: skip
        self._unimodal: dict[str, BaseImagingDataset] = {}
        with dataset_catalog(self.path, catalog) as opened:
            for key in _expanded(modalities, opened, where=f"dataset {name!r} ({self.path})"):
                own = {**(options.get("ihc", {}) if key.startswith("ihc_") else {}), **options.get(key, {})}
                self._unimodal[key] = _class_of(key)(name, **common, **own, catalog=opened)
            tissues = split_rows(read_tissues(opened, self.path), split, where=str(self.path / "metadata"))
            self.cell_metadata = read_cells(opened, self.path) if load_cell_metadata else None
        self.modalities = list(self._unimodal)
        self.all_tissue_ids = sorted({item for part in self._unimodal.values() for item in part.get_tissue_ids()})
        listed = tissues["modality"].isin(self.modalities) & tissues.index.isin(self.all_tissue_ids)
        self.all_tissue_metadata = tissues[listed]
        patients = self.all_tissue_metadata["patient_id"]
        self.patient_tissue_map = PatientMap.of(zip(patients.tolist(), patients.index.tolist(), strict=True))
        self._settle()

    @property
    def modalities(self) -> list[str]:
        """The names of the modalities, in their order: tissues and tiles have the images of these."""
        return self._modalities

    @modalities.setter
    def modalities(self, modalities: ModKey | Iterable[ModKey]) -> None:
        asked = modalities if isinstance(modalities, Iterable) and not isinstance(modalities, str) else [modalities]
        self._modalities = [self._known(modality_name(item)) for item in asked]

    def get_dataset(self, modality: ModKey) -> Any:  # noqa: ANN401 - of the modality's class
        """Return the dataset of one modality.

        Raises
        ------
        UnknownNameError
            If it is not part of this one; it is a KeyError and a ValueError.
        """
        return self._unimodal[self._known(modality_name(modality))]

    def get_available_modalities(self) -> list[str]:
        """Return the names of the modalities."""
        return list(self.modalities)

    def get_tissue_ids(self, modality: ModKey | None = None) -> list[str]:
        """Return the tissues of one modality, or of any."""
        return list(self.all_tissue_ids if modality is None else self.get_dataset(modality).get_tissue_ids())

    def get_modalities_of_tissue(self, tissue_id: str) -> list[str]:
        """Return the modalities that a tissue has.

        Raises
        ------
        UnknownNameError
            If there is no such tissue.
        """
        text = str(tissue_id)
        has = [key for key, part in self._unimodal.items() if text in part.tissue_modality_metadata.index]
        if not has:
            raise unknown("tissue", tissue_id, self.all_tissue_ids, where=f"composed dataset {self.name!r}")
        return [key for key in map(self._known, self.modalities) if key in has]

    def get_unimodal_tissue(
        self, tissue_id: str, modality: ModKey, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> Any:  # fmt: skip  # noqa: ANN401 - of the modality's class
        """Return a whole tissue of one modality; see :meth:`BaseImagingDataset.get_tissue`."""
        return self.get_dataset(modality).get_tissue(tissue_id, kind, preprocess, image_mode)

    def get_unimodal_tissue_mask(self, tissue_id: str, modality: ModKey) -> TissueMask:
        """Return the tissue mask, checked against the image of one modality."""
        mask: TissueMask = self.get_dataset(modality).get_tissue_mask(tissue_id)
        return mask

    def get_unimodal_tissue_size(self, tissue_id: str, modality: ModKey) -> tuple[int, int, int]:
        """Return (planes, height, width) of the image of one modality."""
        planes, height, width = self.get_dataset(modality)._get_tissue_size(tissue_id)
        return planes, height, width

    def get_unimodal_tile(
        self, tissue_id: str, tile_id: int, modality: ModKey, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> Any:  # fmt: skip  # noqa: ANN401 - of the modality's class
        """Return a tile of one modality; see :meth:`BaseImagingDataset.get_tile`."""
        return self.get_dataset(modality).get_tile(tissue_id, tile_id, kind, image_mode, preprocess)

    def get_composed_tissue(
        self, tissue_id: str, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> ComposedTissue:  # fmt: skip
        """Return a whole tissue in every modality it has; see :meth:`BaseImagingDataset.get_tissue`."""
        return self._compose(tissue_id, lambda dataset: dataset.get_tissue(tissue_id, kind, preprocess, image_mode))

    def get_composed_tile(
        self, tissue_id: str, tile_id: int, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> ComposedTissue:  # fmt: skip
        """Return a tile in every modality the tissue has, all at one place; see :meth:`BaseImagingDataset.get_tile`."""
        found = self._first(tissue_id).corner(tissue_id, tile_id)
        row, col = self._moved(tissue_id, whole(tile_id, "tile_id")) or found
        return self.get_composed_tile_by_coordinates(tissue_id, row, col, kind, preprocess, image_mode)

    def get_composed_tile_by_coordinates(
        self, tissue_id: str, row: int, col: int, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - as its siblings
    ) -> ComposedTissue:  # fmt: skip
        """Return the tile at a place in every modality; see :meth:`BaseImagingDataset.get_tile_by_coordinates`."""
        return self._compose(
            tissue_id,
            lambda dataset: dataset.get_tile_by_coordinates(tissue_id, row, col, kind, image_mode, preprocess),
        )

    def get_composed_tissue_by_patient(
        self, patient_id: int | str, kind: str = "uniprot_filtered",
        preprocess: bool = True, image_mode: str = "CHW",  # noqa: FBT001, FBT002 - the published signature
    ) -> list[ComposedTissue]:  # fmt: skip
        """Return the tissues of a patient, an int or a str; an empty list for a patient without any."""
        tissue_ids = tissues_of(self.patient_tissue_map, patient_id)
        return [self.get_composed_tissue(tissue_id, kind, preprocess, image_mode) for tissue_id in tissue_ids]

    def query(self, kind: str = "uniprot_filtered") -> SporaQuery:
        """Return the query that selects the same tiles (tissues, without a tile size), each with all its modalities.

        Raises
        ------
        ArgumentError
            If options of the modalities differ that a query has only once; ask `get_dataset(modality).query()` then.
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

    def _known(self, modality: str) -> str:
        """Return a modality that this dataset has."""
        if modality not in self._unimodal:
            raise unknown("modality", modality, self._unimodal, where=f"composed dataset {self.name!r}")
        return modality

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

    def _compose(
        self, tissue_id: str, get: Callable[[Any], Any], listed: Iterable[str] | None = None
    ) -> ComposedTissue:
        """Return what is got of each modality that the tissue has, of those listed where some are."""
        keys = self.get_modalities_of_tissue(tissue_id)
        if listed is not None:
            wanted = [self._known(key) for key in listed]
            keys = [key for key in keys if key in wanted]
        return ComposedTissue(tissue_id=tissue_id, modalities={key: get(self._unimodal[key]) for key in keys})


def _class_of(modality: str) -> Callable[..., BaseImagingDataset]:
    """Return what makes the dataset of one modality, from a name and keywords."""
    if modality == "he":
        return HEImagingDataset
    if modality.startswith("ihc_"):
        return partial(SingleIHCImagingDataset, marker_name=modality)
    return partial(MultiplexImagingDataset, modality=modality)


def _expanded(modalities: ModKey | Iterable[ModKey], catalog: Catalog, *, where: str) -> list[str]:
    """Return the names asked for, each once; ``ihc`` becomes all stains that have images."""
    asked = [modalities] if isinstance(modalities, str) or not isinstance(modalities, Iterable) else modalities
    existing = [row[0] for row in catalog._run("SELECT DISTINCT modality FROM images ORDER BY 1").fetchall()]
    names: list[str] = []
    for name in map(modality_name, asked):
        stains = [item for item in existing if item.startswith("ihc_")]
        if name == "ihc" and not stains:
            raise unknown("modality", name, existing, where=where)
        names += stains if name == "ihc" else [name]
    if not names:
        raise unknown("modality", "(none)", existing, where=where)
    return list(dict.fromkeys(names))
