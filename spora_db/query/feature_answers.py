"""Answers of a query with the features of its rows: what a model makes of them, and which of them are alike."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from spora_db.errors import ArgumentError
from spora_db.layout import LakePath, check_name, lake_path, layers
from spora_db.query.question import Question
from spora_db.selection.arguments import (
    check_path,
    checked_choice,
    checked_flag,
    checked_seed,
    checked_text,
    checked_whole,
)

if TYPE_CHECKING:
    import torch

    from spora_db.bags import BagDataset
    from spora_db.extraction.report import ExtractionReport
    from spora_db.images.base import MissingChunks
    from spora_db.jobs import Progress, Shard
    from spora_db.loading.collates import CollateChoice


class FeatureAnswers(Question):
    """What `SporaQuery` has a model make of its rows, and what it finds by it."""

    __slots__ = ()

    def extract(
        self,
        model: Callable[[Any], object],
        *,
        name: str,
        batch_size: int = 32,
        num_workers: int = 0,
        device: "str | torch.device | None" = None,
        dtype: Literal["float16", "float32"] = "float16",
        into: str | Path | None = None,
        overwrite: bool = False,
        on_error: Literal["raise", "list"] = "raise",
        allow_nan: bool = False,
        model_name: str | None = None,
        weights: str | Path | None = None,
        collate: "CollateChoice" = "padded",
        transform: Callable[..., Any] | None = None,
        missing_chunks: "MissingChunks" = "error",
        part_rows: int = 16_384,
        shard: "Shard | str | None" = None,
        engine: Literal["local", "ray"] = "local",
        jobs: int = 1,
        progress: "Progress | None" = None,
    ) -> "ExtractionReport":
        """Run a model over all rows, and keep what it returns as a feature set of the lake.

        Rows go dataset by dataset in the order of `df`, in parts, each of which is written whole: a killed run goes on
        from them when it is started again. Runs at the same time, shards and Ray's actors share the parts, and batches
        are the same whoever makes them. What is there is never replaced unasked.

        Parameters
        ----------
        model
            A torch module, which is set to evaluation meanwhile, or any function of the batch, such as, of a network of
            images, ``lambda batch: network(batch["image"])`` (after ``network.eval()``). It returns a tensor of shape
            (N, D), one vector a row, or (N,), one number a row; or a dict of these; else it is ``vector``, ``value``.
        name
            What the feature set is called. It lies in ``<layer>/<dataset>/features/<name>``.
        batch_size, num_workers, collate
            As `PlanDataset.loader` takes them; batches never mix datasets.
        device
            Where batches, and a module, go, such as ``"cuda"``.
        dtype
            The type of vectors; single numbers are float32.
        into
            A folder of your own to write to, made if it is not there, as a layer; by default the lake's last layer.
        overwrite
            Whether a set of that name is removed first, in the datasets of the query.
        on_error
            What a row that cannot be read is: ``"raise"``, an error; or ``"list"``, a line with the reason in the set's
            ``failed.parquet``.
        allow_nan
            Whether what the model returns may be NaN or infinite.
        model_name, weights
            What is recorded of the model: its name, by default where it is defined, and a file of weights, for its
            hash. That of a torch module is taken of its parameters.
        transform, missing_chunks
            As `to_torch` takes them; a transform draws nothing here.
        part_rows
            Rows of a part, about: what a kill loses at most.
        shard
            ``"0/3"``: only every third part, from the first on; the last shard to end completes the set.
        engine, jobs
            ``"ray"`` has `jobs` actors of a Ray cluster make the parts, each with the model, and a GPU of its own where
            `device` is one.
        progress
            Told of every part, such as ``spora_db.jobs.Bar``.

        Returns
        -------
        ExtractionReport
            What was made, by dataset. Printed, a line each.

        Raises
        ------
        QueryError
            If the query selects no rows, or a place twice.
        ArgumentError
            If an argument has the wrong form, or the model returns no feature: NaN, another number of rows or columns.
        WriteError
            If a set of that name is there that was made otherwise, another run overwrites it, or the disk is full.
        MissingExtraError
            If Ray is not installed.

        See Also
        --------
        SporaQuery.with_features, SporaQuery.nearest, SporaQuery.bags

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("he").tiles(size=128, mpp=1.0)
        >>> report = query.extract(lambda batch: batch["image"].mean(dim=(2, 3)), name="mean-colour", into="mine")
        >>> report.complete, report.datasets[0].rows == report.datasets[0].made
        (True, True)
        """
        from spora_db.extraction.extracting import RunChoices, SampleChoices, extract
        from spora_db.extraction.models import identity_of
        from spora_db.extraction.reading import BatchReading
        from spora_db.files.writing import made_folder
        from spora_db.images.base import check_missing_chunks
        from spora_db.jobs import Quiet, Shard

        check_missing_chunks(missing_chunks)
        text = checked_text(name, at="extract(model, name=", example="virtues-tile")
        if text == "tiles":
            raise ArgumentError(
                "extract(model, name='tiles'): bags() takes that for the tiles themselves; name it otherwise."
            )
        own_name = None if model_name is None else checked_text(model_name, at="extract(model_name=", example="net")
        lake: LakePath = self.lake
        if into is not None:
            check_path(into, at="extract(model, into=", example="mine")
            lake = lake_path([*layers(self.lake), made_folder(into)]) if Path(into) not in layers(lake) else lake
        if shard is not None and not isinstance(shard, Shard):
            shard = Shard.parse(checked_text(shard, at="extract(model, shard=", example="0/3"))
        workers = checked_whole(num_workers, at="extract(model, num_workers=", of="workers", least=0)
        samples = SampleChoices(
            batch_size=checked_whole(batch_size, at="extract(model, batch_size=", of="rows"),
            part_rows=checked_whole(part_rows, at="extract(model, part_rows=", of="rows"),
            reading=BatchReading(collate=collate, num_workers=workers),
            dtype=dtype,
            allow_nan=checked_flag(allow_nan, at="extract(model, allow_nan="),
            on_error=checked_choice(on_error, options=("raise", "list"), kind="choice of on_error="),
            missing_chunks=missing_chunks,
            transform=transform,
            device=None if device is None else str(device),
        )
        run = RunChoices(
            engine=engine,
            jobs=checked_whole(jobs, at="extract(model, jobs=", of="actors"),
            shard=shard,
            overwrite=checked_flag(overwrite, at="extract(model, overwrite="),
            progress=progress or Quiet(),
        )
        return extract(
            lake, self.selection, model, name=check_name(text, kind="name of a feature set"),
            identity=identity_of(model, name=own_name, weights=weights), samples=samples, run=run,
        )  # fmt: skip

    def nearest(self, to: object, *, name: str, column: str | None = None, k: int = 20) -> Self:
        """Return the query of the `k` rows whose vectors are most like one, by the cosine of the angle between them.

        The search is exact: of all rows that the query selects, conditions and samples included. Vectors of a set are
        put into one matrix on disk when they are first searched, beside the set, or in the user's cache where that
        cannot be written to; no more than a block of it is in memory. Rows without features, and vectors that are zero
        or not finite, are never near.

        Parameters
        ----------
        to
            A vector, as a tensor or array of shape (D,); or a row that has features, as a sample, a row of `df`, or a
            dict of ``dataset``, ``tissue_id`` and ``tile_id`` or ``cell_id``, selected or not, nearest to itself.
        name, column
            The feature set, and which of its vectors; may be left out where it has one only.
        k
            How many rows; all if there are fewer.

        Returns
        -------
        SporaQuery
            Of these rows, with the further column ``similarity`` (float64, 1 at most), and the columns that this query
            selects; in the order of the lake, which ``df().sort_values("similarity")`` changes. Of rows that are
            equally like, those that come first in the set are taken.

        Raises
        ------
        UnknownNameError
            If no dataset has features of that name, or they have no such column.
        QueryError
            If they are of other rows than the query's, such as another tiling, or not complete.
        ArgumentError
            If `to` is no vector of that length, and no row.

        See Also
        --------
        SporaQuery.extract, SporaQuery.with_features

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> rows = SporaQuery("lake").modality("he").tiles(size=128, mpp=1.0)
        >>> report = rows.extract(lambda batch: batch["image"].mean(dim=(2, 3)), name="mean-colour", into="mine")
        >>> query = SporaQuery(["lake", "mine"]).modality("he").tiles(size=128, mpp=1.0)
        >>> near = query.nearest(query.to_torch()[0], name="mean-colour", k=3)
        >>> len(near), near.df()["similarity"].max().round(6)
        (3, np.float64(1.0))
        """
        from spora_db.nearest.answer import SIMILARITY, nearest_rows

        rows = nearest_rows(
            self.lake,
            self.selection,
            to,
            name=checked_text(name, at="nearest(to, name=", example="virtues-tile"),
            column=None if column is None else checked_text(column, at="nearest(to, column=", example="vector"),
            k=checked_whole(k, at="nearest(to, k=", of="rows"),
        )
        return self._of_rows(rows, also=(SIMILARITY,))

    def bags(
        self,
        *,
        by: str,
        features: str,
        column: str | None = None,
        max_per_bag: int | None = None,
        seed: int = 0,
        missing: Literal["error", "drop"] = "error",
    ) -> "BagDataset":
        """Return the rows in groups, as a torch dataset whose samples are bags: those of a patient, of a tissue, ...

        A bag is of one dataset: patients of two datasets are two. It has the labels of the query, which all of its rows
        share. ``DataLoader(bags, batch_size=4)`` makes padded batches, with a mask; `collate_bags_packed` packed ones.

        Parameters
        ----------
        by
            What is one bag: ``"patient_id"``, ``"tissue_id"`` or any other column.
        features
            The feature set whose vectors are in the bags, or ``"tiles"``: the tiles themselves.
        column
            Which of its vectors; may be left out where it has one only.
        max_per_bag, seed
            At most so many rows of a bag, drawn by a hash of row and seed: the same on every machine, in any selection.
        missing
            Whether rows that have no features are an error, or left out.

        Returns
        -------
        BagDataset
            In the order of the first row of each.

        Raises
        ------
        TableError
            If rows have no value of `by`, no features, or those of a bag several values of a label.
        QueryError
            If the query selects no rows, or the features are of others, such as another tiling.
        UnknownNameError
            If there is no such column, or no feature set of that name.

        See Also
        --------
        SporaQuery.extract, collate_bags_padded, collate_bags_packed

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("he").tiles(size=128, mpp=1.0).label("cancer_type")
        >>> bags = query.bags(by="patient_id", features="tiles", max_per_bag=5)
        >>> sorted(bags[0])[:3], len(bags[0]["features"])
        (['bag', 'cancer_type', 'col'], 5)
        """
        from spora_db.bags.making import make_bags

        return make_bags(
            self.lake,
            self.selection,
            by=checked_text(by, at="bags(by=", example="patient_id"),
            features=checked_text(features, at="bags(features=", example="virtues-tile"),
            column=None if column is None else checked_text(column, at="bags(column=", example="vector"),
            max_per_bag=None if max_per_bag is None else checked_whole(max_per_bag, at="bags(max_per_bag=", of="rows"),
            seed=checked_seed(seed, at="bags(seed="),
            missing=checked_choice(missing, options=("error", "drop"), kind="choice of missing="),
        )
