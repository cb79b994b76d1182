"""Masks of a dataset of one modality."""

from pathlib import Path

import torch

from spora_db.datasets._types import CellMask, TissueMask
from spora_db.datasets.cohort_images import CohortImages
from spora_db.datasets.label_classes import ENCODER_FILE, label_classes
from spora_db.errors import ImageNotFoundError, MaskNotFoundError, unknown
from spora_db.layout import (
    INSTANCES,
    TISSUE,
    beneath,
    cell_mask_folders,
    check_name,
    is_cell_mask,
    layers,
    locate,
    mask_folder,
)
from spora_db.masks import load_label_mask, load_tissue_mask


class MaskAccess(CohortImages):
    """The methods that give masks; part of :class:`BaseImagingDataset`."""

    def get_tissue_mask(self, tissue_id: str) -> TissueMask:
        """Return where the tissue is.

        Parameters
        ----------
        tissue_id
            The tissue.

        Returns
        -------
        TissueMask
            ``mask`` is a bool array of shape (H, W), that of the image.

        Raises
        ------
        MaskNotFoundError
            If there is no such file; it is a ValueError and a FileNotFoundError.
        FileFormatError
            If the mask cannot be read, or has another size than the image.

        See Also
        --------
        load_tissue_mask, MultiplexImagingDataset.get_cell_instance_mask

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_tissue_mask("lung_imc_l001_0001").mask.dtype
        dtype('bool')
        """
        shape, image = self._frame(str(tissue_id))
        remedy = "Make one, or use np.ones(size, bool) if the whole image is tissue."
        path = self._mask_file(str(tissue_id), TISSUE, what="tissue mask", remedy=remedy)
        return TissueMask(mask=load_tissue_mask(path, shape=shape, image=image), tissue_id=tissue_id)

    def get_cell_instance_mask(
        self,
        tissue_id: str,
        use_instances_from_virtues: bool = False,  # noqa: FBT001, FBT002 - the published signature
    ) -> CellMask:
        """Return the cells: one number per cell, 0 for background.

        Parameters
        ----------
        tissue_id
            The tissue.
        use_instances_from_virtues
            Read ``cell_masks/instances_virtues`` instead of ``cell_masks/instances``.

        Returns
        -------
        CellMask
            ``mask`` is an int32 tensor of shape (H, W).

        Raises
        ------
        MaskNotFoundError, FileFormatError
            As `get_tissue_mask`.

        See Also
        --------
        MultiplexImagingDataset.get_cell_task_mask, load_label_mask

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_cell_instance_mask("lung_imc_l001_0001").mask.dtype
        torch.int32
        """
        return self._cells(tissue_id, INSTANCES[1] if use_instances_from_virtues else INSTANCES[0])

    def get_cell_task_mask(self, tissue_id: str, mask_type: str) -> CellMask:
        """Return the class of every pixel's cell, 0 for background.

        Parameters
        ----------
        tissue_id
            The tissue.
        mask_type
            A task of `get_cell_task_mask_types`.

        Returns
        -------
        CellMask
            ``mask`` is an int32 tensor of shape (H, W), ``mapping`` gives class id to name.

        Raises
        ------
        UnknownNameError
            If there is no such task.
        MaskNotFoundError
            If the tissue has no mask of it.
        TableError, FileFormatError
            If the mask or ``label_encoder.parquet`` is absent, cannot be read or does not fit.

        See Also
        --------
        MultiplexImagingDataset.get_cell_task_mask_types, MultiplexImagingDataset.get_cell_instance_mask

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_cell_task_mask("lung_imc_l001_0001", "cell_type").mapping[1]
        'B cell'
        """
        tasks = self.get_cell_task_mask_types()
        if mask_type not in tasks:
            folder = mask_folder(Path(), INSTANCES[0], mpp=self.mpp).parent
            clash = not is_cell_mask(mask_type) and locate(self.path, folder / mask_type).is_dir()
            remedy = f"Rename the folder {mask_type!r}: no cell task can be called so." if clash else ""
            raise unknown("cell task", mask_type, tasks, where=str(locate(self.path, folder)), remedy=remedy)
        return self._cells(tissue_id, mask_type, mapping=label_classes(self._mask_place(mask_type, ENCODER_FILE)))

    def get_cell_task_mask_types(self) -> list[str]:
        """Return the names of the cell tasks, sorted.

        Raises
        ------
        MaskNotFoundError
            If the cohort has no cell masks at this resolution at all.

        See Also
        --------
        MultiplexImagingDataset.get_cell_task_mask

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_cell_task_mask_types()
        ['cell_type']
        """
        folders = layers(beneath(self.path, mask_folder(Path(), INSTANCES[0], mpp=self.mpp).parent))
        if not any(folder.is_dir() for folder in folders):
            message = f"{self.path.name} has no cell masks at {self.mpp} mpp: there is no folder {folders[0]}."
            raise MaskNotFoundError(message)
        return sorted({task.name for folder in folders for task in cell_mask_folders(folder)}.difference(INSTANCES))

    def _cells(self, tissue_id: str, kind: str, *, mapping: dict[int, str] | None = None) -> CellMask:
        shape, image = self._frame(str(tissue_id))
        path = self._mask_file(str(tissue_id), kind, what=f"cell mask {kind!r}")
        labels = load_label_mask(path, shape=shape, image=image)
        return CellMask(mask=torch.from_numpy(labels), tissue_id=tissue_id, mapping=mapping)

    def _mask_file(self, tissue_id: str, kind: str, *, what: str, remedy: str = "") -> Path:
        """Return the file of a mask, which must be there."""
        path = self._mask_place(kind, f"{check_name(tissue_id)}.npz")
        if not path.is_file():
            message = f"Tissue {tissue_id!r} has no {what}: there is no {path}. {remedy}".rstrip()
            raise MaskNotFoundError(message)
        return path

    def _frame(self, tissue_id: str) -> tuple[tuple[int, int] | None, Path | None]:
        """Return height and width of a tissue's image and its path; None where it has none on disk."""
        if tissue_id not in self._images.numbers:
            error = self._absent(tissue_id)
            if isinstance(error, ImageNotFoundError):
                return None, None
            raise error
        reader = self._reader(tissue_id)
        return reader.shape[1:], reader.path
