"""The masks of a cohort at one resolution: tissue, cell instances, cell tasks. Every missing file is an error."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.arrays import Bools, Int32
from spora_db.errors import FileFormatError, MaskNotFoundError, TableError, unknown
from spora_db.layout import INSTANCES, cell_mask_folders, check_name, is_cell_mask, mask_folder
from spora_db.masks import load_label_mask, load_tissue_mask
from spora_db.masks.label_encoders import class_names, encoder_columns, encoder_faults

Size = tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFiles:
    """Where the masks of a cohort lie.

    Attributes
    ----------
    dataset
        The cohort's folder.
    mpp
        Resolution in microns per pixel.
    """

    dataset: Path
    mpp: float

    def folder(self, kind: str) -> Path:
        """Return the folder of masks of a kind: ``"tissue"``, ``"instances"`` or a cell task."""
        return mask_folder(self.dataset, kind, mpp=self.mpp)

    def tissue(self, tissue_id: str, *, shape: Size, image: Path | None) -> Bools:
        """Return a tissue mask, bool of shape (H, W), after checking it against its image's size."""
        remedy = "Make one, or use np.ones(size, bool) if the whole image is tissue."
        path = self._file(tissue_id, "tissue", what="tissue mask", remedy=remedy)
        return load_tissue_mask(path, shape=shape, image=image)

    def labels(self, tissue_id: str, kind: str, *, shape: Size, image: Path | None) -> Int32:
        """Return a mask of cells, int32 of shape (H, W), after checking it against its image's size."""
        return load_label_mask(self._file(tissue_id, kind, what=f"cell mask {kind!r}"), shape=shape, image=image)

    def tasks(self) -> list[str]:
        """Return the names of the cell tasks, sorted.

        Raises
        ------
        MaskNotFoundError
            If the cohort has no cell masks at this resolution at all.
        """
        folder = self.folder("instances").parent
        if not folder.is_dir():
            message = f"{self.dataset.name} has no cell masks at {self.mpp} mpp: there is no folder {folder}."
            raise MaskNotFoundError(message)
        return [task.name for task in cell_mask_folders(folder) if task.name not in INSTANCES]

    def mapping(self, task: str) -> dict[int, str]:
        """Return the classes of a cell task, id to name.

        Raises
        ------
        UnknownNameError
            If there is no such task.
        TableError, FileFormatError
            If its label encoder is absent, lacks a column, has ids or names that are absent, repeated or no whole
            numbers, or cannot be read.
        """
        tasks = self.tasks()
        if task not in tasks:
            folder = self.folder("instances").parent
            clash = not is_cell_mask(task) and (folder / task).is_dir()
            remedy = f"Rename the folder {task!r}: no cell task can be called so." if clash else ""
            raise unknown("cell task", task, tasks, where=str(folder), remedy=remedy)
        path = self.folder(task) / "label_encoder.parquet"
        if not path.is_file():
            message = f"Cell task {task!r} has no {path}, the table (id, name) of its classes."
            raise TableError(message)
        try:
            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                places = encoder_columns(names)
                if places is None:
                    message = f"{path} must have columns id and name, each once; it has {', '.join(names)}."
                    raise TableError(message)
                table = file.read()
        except (pa.ArrowException, OSError) as error:
            message = f"{path} cannot be read as parquet: {error}."
            raise FileFormatError(message) from error
        names, ids = (table.column(at).to_pylist() for at in places)
        for fault in encoder_faults(names, ids):
            message = f"{path}: {fault} Correct the table."
            raise TableError(message)
        return class_names(names, ids)

    def _file(self, tissue_id: str, kind: str, *, what: str, remedy: str = "") -> Path:
        """Return the file of a mask, which must be there."""
        path = self.folder(kind) / f"{check_name(tissue_id)}.npz"
        if not path.is_file():
            message = f"Tissue {tissue_id!r} has no {what}: there is no {path}. {remedy}".rstrip()
            raise MaskNotFoundError(message)
        return path
