"""Answers of a query that are maps: what a model says of windows over whole tissues, and of the cells below."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spora_db.query.row_answers import RowAnswers
from spora_db.selection.arguments import checked_mpp, checked_whole

if TYPE_CHECKING:
    from spora_db.images.base import MissingChunks
    from spora_db.maps.assembling import MapType
    from spora_db.maps.grid import Weighting


class MapAnswers(RowAnswers):
    """The rows of a `SporaQuery` as maps of tissues."""

    __slots__ = ()

    def assemble(
        self,
        model: Callable[[Any], Any],
        *,
        name: str,
        into: str | Path | None = None,
        weighting: "Weighting" = "area",
        pitch: float | None = None,
        channel_names: Sequence[str] | None = None,
        dtype: "MapType" = "float32",
        overwrite: bool = False,
        batch_size: int = 16,
        num_workers: int = 0,
        missing_chunks: "MissingChunks" = "error",
    ) -> list[Path]:
        """Run a model over all windows and stitch what it returns into a map of every tissue, in a layer of the lake.

        The maps are images of the modality ``map_<name>``: of the lake itself, or ``SporaQuery([lake, into])``.

        Parameters
        ----------
        model
            Called with every `Batch` of the loader, ``batch["image"]`` of shape (n, C, H, W), without gradients;
            returns an array or tensor of shape (n, D), or (n, D, h, h) for a map of tokens. It moves what it needs to
            its device.
        name, into, weighting, pitch, channel_names, dtype, overwrite
            As `spora_db.assemble` takes them: ``weighting="centre"`` counts the middle of windows only.
        batch_size, num_workers
            Windows of a batch, and processes that read them.
        missing_chunks
            What an absent chunk of an image is, as for `to_torch`.

        Raises
        ------
        QueryError
            If the rows are not those of `windows`, or there are none.
        ArgumentError
            If the model returns another number of rows, another shape than before, or NaN.
        WriteError
            If a map is there already, in whichever layer, maps of this name have other channels, or it cannot be
            written.

        See Also
        --------
        SporaQuery.windows, SporaQuery.cell_vectors, assemble

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").channels(names=["CD20"]).windows(size=128, stride=64).limit(100)
        >>> maps = query.assemble(lambda batch: batch["image"].mean(dim=(2, 3)), name="mean", into="mine")
        >>> SporaQuery(["lake", "mine"]).modality("map_mean").tissues(mpp=64.0).columns
        ('dataset', 'modality', 'mpp', 'tissue_id')
        """
        import torch

        from spora_db.errors import QueryError
        from spora_db.maps import assemble

        rows = checked_whole(batch_size, at="assemble(batch_size=", of="windows")
        workers = checked_whole(num_workers, at="assemble(num_workers=", of="processes", least=0)
        if self.selection.windows is None:
            raise QueryError("assemble() needs a query of windows, such as .windows(size=224, stride=112).")
        dataset = self.to_torch(missing_chunks=missing_chunks)
        loader = dataset.loader(rows, num_workers=workers, shuffle="none", rank=0, world_size=1)

        def outputs() -> Iterator[Any]:
            for batch in loader:
                with torch.inference_mode():
                    yield model(batch)

        return assemble(
            dataset.plan, outputs(), name=name, into=into, weighting=weighting, pitch=pitch,
            channel_names=channel_names, dtype=dtype, overwrite=overwrite,
        )  # fmt: skip

    def cell_vectors(
        self, *, mask_mpp: float | str | None = None, missing_chunks: "MissingChunks" = "error"
    ) -> pa.Table:
        """Return a vector for every cell: the mean of the pixels of a map that it lies in, weighted by shared area.

        Parameters
        ----------
        mask_mpp
            Resolution of the instance masks; may be left out where tissues have them at one only.
        missing_chunks
            What an absent chunk of an image is, as for `to_torch`.

        Returns
        -------
        pyarrow.Table
            A row per cell of the instance masks: ``dataset, tissue_id, cell_id, area`` (pixels of the mask that the map
            covers) and ``vector``, a fixed-size list of float32, one for each channel; NaN where the map has none.

        Raises
        ------
        QueryError
            If the rows are not whole images of one modality and the same channels, or masks leave a choice.
        MaskNotFoundError
            If a tissue has no instance mask.
        FileFormatError
            If a mask is of another size than the map.

        See Also
        --------
        SporaQuery.assemble, CellVectors

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").channels(names=["CD20"]).windows(size=64, stride=32).limit(30)
        >>> maps = query.assemble(lambda batch: batch["image"].amax(dim=(2, 3)), name="most", into="mine")
        >>> cells = SporaQuery(["lake", "mine"]).modality("map_most").tissues().cell_vectors()
        >>> cells.column_names, cells.schema.field("vector").type
        (['dataset', 'tissue_id', 'cell_id', 'area', 'vector'], FixedSizeListType(fixed_size_list<item: float>[1]))
        """
        from spora_db.maps.lake_cells import cell_table

        return cell_table(self.lake, self.selection, mask_mpp=checked_mpp(mask_mpp), missing_chunks=missing_chunks)
