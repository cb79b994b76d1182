"""Answers of a query other than rows and tensors: what is known about it, and what other libraries take of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spora_db.catalog import lent_catalog
from spora_db.query.question import Question
from spora_db.selection.arguments import checked_flag, checked_names, checked_seed

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd
    import spatialdata as sd

    from spora_db.audit import Audit
    from spora_db.datasets.from_query import SporaDataset
    from spora_db.images.base import MissingChunks


class Answers(Question):
    """What `SporaQuery` tells about its rows, and the objects of other libraries that it makes of them."""

    __slots__ = ()

    def panel_overlap(self) -> "pd.DataFrame":
        """Return, for every two selected cohorts, the number of markers that both deliver.

        A cohort is a dataset (``dataset/modality`` where several of its panels are selected). Proteins are counted by
        accession, isoforms aside; channels without one by name, letter case aside. The diagonal is each cohort's own.
        Brightfield images have no panel and are left out; where nothing else is selected, the table is empty.

        See Also
        --------
        plot.panels, SporaQuery.channels

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> SporaQuery("lake").modality(("imc", "codex")).tissues(mpp=1.0).panel_overlap()
                      lung_imc  tonsil_codex
        cohort
        lung_imc            20            11
        tonsil_codex        11            14
        """
        from spora_db.plan.selected_images import panel_overlap

        with lent_catalog(self.lake) as catalog:
            return panel_overlap(self.selection, catalog)

    def coverage(self) -> "pd.DataFrame":
        """List the channels of the selected tissues whose statistics are missing, before training stumbles over them.

        Returns
        -------
        pandas.DataFrame
            One row per tissue and delivered channel without statistics: ``dataset, modality, mpp, tissue_id,
            channel_name, uniprot_id, spec, problem, reason, remedy``. The problem is ``"no quantiles"``,
            ``"no moments"``, both, or ``"unusable values"``: the tables have them, and the channel is dropped, for the
            reason that is given, such as an upper quantile of 0. No rows where all is there, or the spec needs none.
            Its choice of ``missing=`` is put aside, and so is that tissues lack what `channels` requires of them.

        See Also
        --------
        plot.coverage, SporaQuery.panel_overlap, standardize_lake

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> spec = "quantile_clipping_log1p/uq_0.99_image"
        >>> len(SporaQuery("lake").modality("imc").tissues(mpp=1.0).standardize(spec).coverage())
        0
        """
        from spora_db.plan.missing_statistics import missing_statistics

        with lent_catalog(self.lake) as catalog:
            return missing_statistics(self.selection, catalog)

    def audit(
        self,
        columns: str | Sequence[str] = (),
        *,
        fingerprints: bool = False,
        missing_chunks: "MissingChunks" = "error",
    ) -> "Audit":
        """Look through the selection before training: what it holds, what leaks, what is missing, under which licence.

        Parameters
        ----------
        columns
            What the composition counts by: a column, or several such as ``["cancer_type", "split"]``; dataset and split
            unless said.
        fingerprints
            Whether images are compared by their pixels, to find one tissue under two names; reads a little of every
            image, and all of those that look alike.
        missing_chunks
            What an absent chunk of an image is where pixels are compared, as for `to_torch`.

        Returns
        -------
        Audit
            Prints as text; ``.table(section)``, ``.to_dict()``, ``.save_png(path)``.

        Raises
        ------
        UnknownNameError
            A column that does not exist.
        QueryError
            Part of the query names what the lake does not have.

        See Also
        --------
        Audit, SporaQuery.coverage, SporaQuery.lock

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> audit = query.audit(columns=["cancer_type"])
        >>> audit.ok, audit.title
        (True, 'imc tiles at 1 mpp of lake')
        """
        from spora_db.audit import make_audit
        from spora_db.images.base import check_missing_chunks

        names = checked_names(columns, at="audit(columns=", example=("cancer_type", "split"), alone=True)
        compared = checked_flag(fingerprints, at="audit(fingerprints=")
        check_missing_chunks(missing_chunks)
        return make_audit(
            self.lake, self.selection, columns=names, fingerprints=compared, missing_chunks=missing_chunks
        )

    def to_spora_dataset(
        self,
        *,
        seed: int | None = None,
        balance: str | Sequence[str] | None = None,
        missing_chunks: "MissingChunks" = "error",
    ) -> "SporaDataset":
        """Return the rows as a `SporaDataset`, the published class, which serves the same tiles or tissues.

        Parameters
        ----------
        seed
            Seed of its random draws.
        balance
            Columns whose values are drawn equally often.
        missing_chunks
            What an absent chunk of an image is, as for `to_torch`.

        Raises
        ------
        QueryError
            If the query selects no rows.
        ArgumentError
            If an argument has the wrong form, or the query makes a choice that the published classes do not have.

        See Also
        --------
        SporaQuery.to_torch, SporaDataset.query

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> dataset = query.to_spora_dataset(seed=0)
        >>> dataset[0]["modalities"]["imc"].image.shape
        torch.Size([20, 128, 128])
        """
        from spora_db.datasets.from_query import spora_dataset
        from spora_db.images.base import check_missing_chunks

        check_missing_chunks(missing_chunks)
        if seed is not None:
            seed = checked_seed(seed, at="to_spora_dataset(seed=")
        if balance is not None:
            example = ("cancer_type", "split")
            balance = checked_names(balance, at="to_spora_dataset(balance=", example=example, alone=True)
        return spora_dataset(self.lake, self.selection, seed=seed, balance=balance, missing_chunks=missing_chunks)

    def to_anndata(self, *, modality: str | None = None, missing_chunks: "MissingChunks" = "error") -> "ad.AnnData":
        """Return the cells of the rows as an AnnData of mean marker intensities, from the instance masks.

        A query for tissues gives all cells of their instance masks; one for tiles those whose centroid lies in a tile,
        each once; one for cells just those. Every cell is measured over all its pixels, standardized as the query says
        (raw, unless it does), and images are read in bands, so that slides fit into memory.

        Parameters
        ----------
        modality
            Which of the query's modalities is measured; may be left out where only one of them has a panel.
        missing_chunks
            What an absent chunk of an image is, as for `to_torch`.

        Returns
        -------
        anndata.AnnData
            ``X`` float32 of shape (cells, markers), NaN where a tissue does not have the marker. ``obs``: ``dataset,
            tissue_id, modality, cell_id, area`` (pixels), ``row, col`` (centroid, pixels), the columns of `select` and
            of `with_cells`. ``var``: ``uniprot_id, n_tissues, channel_names``; markers are matched by accession.
            ``obsm["spatial"]``: float64 of shape (cells, 2), the column, then the row, in microns, as scanpy and
            squidpy expect. ``uns["spora_db"]``: spec, mpp and plan hash.

        Raises
        ------
        MissingExtraError
            If anndata is not installed: ``pip install "spora-db[anndata]"``.
        MaskNotFoundError, UnknownNameError
            If a tissue has no instance mask, or no tissue has.
        QueryError
            If the query selects no rows.

        See Also
        --------
        SporaQuery.to_spatialdata, SporaQuery.with_cells

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tissues(mpp=1.0).with_cells("cell_type")
        >>> cells = query.to_anndata()
        >>> cells.n_vars, list(cells.obs.columns[-2:])
        (20, ['col', 'cell_type'])
        """
        from spora_db.interop.to_anndata import to_anndata

        return to_anndata(self.lake, self.selection, modality=modality, missing_chunks=missing_chunks)

    def to_spatialdata(
        self, *, modality: str | None = None, missing_chunks: "MissingChunks" = "error"
    ) -> "sd.SpatialData":
        """Return the tissues of the rows as a SpatialData: an image and a label mask each, and the cells' table.

        Parameters
        ----------
        modality
            As for `to_anndata`, whose table this annotates the masks with.
        missing_chunks
            What an absent chunk of an image is, as for `to_torch`.

        Returns
        -------
        spatialdata.SpatialData
            ``images["<dataset>_<tissue_id>_<modality>_image"]`` (c, y, x) as the query standardizes them, and
            ``labels["..._cells"]``, in the coordinate systems ``"microns"`` and ``"<dataset>_<tissue_id>"`` (microns
            too, for one tissue); ``tables["cells"]``. Whole images are held in memory.

        Raises
        ------
        MissingExtraError
            If spatialdata is not installed: ``pip install "spora-db[spatialdata]"``.

        See Also
        --------
        SporaQuery.to_anndata

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tissues(mpp=1.0).limit(1)
        >>> list(query.to_spatialdata().tables)  # doctest: +SKIP
        ['cells']
        """
        from spora_db.interop.to_spatialdata import to_spatialdata

        return to_spatialdata(self.lake, self.selection, modality=modality, missing_chunks=missing_chunks)
