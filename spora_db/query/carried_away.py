"""Answers of a query that are files: a lock, a smaller lake, or shards for other loaders."""

from pathlib import Path
from typing import TYPE_CHECKING

from spora_db.query.question import Question
from spora_db.selection.arguments import check_path, checked_flag, checked_whole

if TYPE_CHECKING:
    from spora_db.copying import CopiedImages, CopyReport
    from spora_db.exporting import ExportFormat, ExportReport
    from spora_db.exporting.exporting import ExportPrecision, Pixels
    from spora_db.images.base import MissingChunks


class CarriedAway(Question):
    """What a `SporaQuery` writes for use elsewhere."""

    __slots__ = ()

    def copy_to(self, folder: str | Path, *, images: "CopiedImages" = "tiles", dry_run: bool = False) -> "CopyReport":
        """Copy what the query needs, from a folder or a remote lake, as a lake of its own: same rows, hashes, pixels.

        It holds the selected tissues' rows of all tables, their masks, the statistics of their modalities and the
        tiling; and a lock, ``copy.lock.json``. Tables are taken with more rows where the query has no such answer
        otherwise. A killed run goes on when it is started again. Every file is compared with what was read, and the
        folder appears when all of it is there.

        Parameters
        ----------
        folder
            Where to; it must not be there, or be empty, or be this very copy.
        images
            ``"tiles"``: of OME-Zarr the chunk files (or shards) that the tiles and channels of the query touch, of
            other formats whole files; to read what was left out is an error that says so, whatever `missing_chunks`
            is. ``"whole"``: whole images. ``"none"``: tables and masks, to be a layer over the lake.
        dry_run
            Whether only to say what would be copied.

        Returns
        -------
        CopyReport
            What is there, in numbers and as text.

        Raises
        ------
        QueryError
            If the query selects nothing, gives other rows at every run, asks a feature set (a copy has none; as a
            layer over the lake, ``images="none"``, it may), or depends on rows that it does not select in a way that
            no smaller lake answers.
        LockError
            If the copy is there already, but was changed.
        FileFormatError, StoreError
            If a file changes while it is copied, or cannot be read.
        WriteError
            If something else is there, or it cannot be written.

        See Also
        --------
        SporaQuery.export, SporaQuery.lock

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).limit(4)
        >>> report = query.copy_to("smaller")
        >>> SporaQuery.from_lock("smaller/copy.lock.json").count()
        4
        """
        from spora_db.copying import copy_lake

        check_path(folder, at="copy_to(", example="smaller-lake")
        said = checked_flag(dry_run, at="copy_to(dry_run=")
        return copy_lake(self.lake, self.selection, folder, images=images, dry_run=said)

    def export(
        self,
        format: "ExportFormat",
        folder: str | Path,
        *,
        shard_bytes: int = 2**26,
        num_workers: int = 0,
        pixels: "Pixels" = "standardized",
        dtype: "ExportPrecision" = "float32",
        missing_chunks: "MissingChunks" = "error",
    ) -> "ExportReport":
        """Write the rows as shards that other loaders read: pixels, and as JSON names, ids, places, labels, the spec.

        A row has the arrays of a sample of `to_torch` (``image``, ``marker_index``, ``masks.instances``; of several
        modalities ``he.image``, ...), and all else of it in one JSON document. Rows are in the order of the plan, the
        bytes of a shard the same for any number of workers. A shard is there whole or not at all: a killed export goes
        on when it is started again. ``export.json`` comes last.

        Parameters
        ----------
        format
            ``"webdataset"`` (tar files of ``.npy`` and ``.json``), ``"mds"`` (MosaicML Streaming), ``"litdata"``, or
            ``"zarr"`` (arrays of shape (N, C, H, W), a group per panel). Of these libraries none is needed to write.
        folder
            Where to; it must not be there, or be empty, or be this very export.
        shard_bytes
            Bytes of the pixels in a shard, at most, but for one row that has more.
        num_workers
            Processes that read and write; 0 does it in this one.
        pixels
            ``"standardized"`` as the query says, or ``"raw"``, in the type of the files, with ``statistics`` of shape
            (C, 4) and ``method`` as `spora_db.standardize_batch` takes them.
        dtype
            ``"float32"``, or ``"float16"``, rounded as `to_torch` does.
        missing_chunks
            What an absent chunk of an image is, as for `to_torch`.

        Returns
        -------
        ExportReport
            What is there, in numbers and as text.

        Raises
        ------
        QueryError
            If the query selects nothing.
        ArgumentError
            If the format does not take these rows: ``"zarr"`` tiles alone, ``"mds"`` and ``"litdata"`` rows that all
            have the same modalities.
        WriteError
            If something else is there, or it cannot be written.

        See Also
        --------
        SporaQuery.copy_to, SporaQuery.to_torch

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).limit(4)
        >>> report = query.export("webdataset", "shards", shard_bytes=10**6)
        >>> sorted(path.name for path in report.folder.iterdir())[:2]
        ['export.json', 'shard-000000.tar']
        """
        from spora_db.exporting import export_plan
        from spora_db.plan.freezing import plan_of

        check_path(folder, at="export(format, ", example="shards")
        size = checked_whole(shard_bytes, at="export(shard_bytes=", of="bytes")
        workers = checked_whole(num_workers, at="export(num_workers=", of="processes", least=0)
        return export_plan(
            plan_of(self.lake, self.selection), format, folder, shard_bytes=size, num_workers=workers, pixels=pixels,
            dtype=dtype, missing_chunks=missing_chunks,
        )  # fmt: skip

    def lock(self, path: str | Path, *, images: bool = False, verify: bool = False) -> Path:
        """Write a lock: the query, and the exact state of the lake that its plan was made from, as JSON.

        It holds the choices, the SQL, the versions, the plan's hash, a fingerprint of every parquet file that the plan
        depends on, and a digest of every tissue's rows, channels and statistics. `from_lock` checks all of it.

        Parameters
        ----------
        path
            The file, such as ``"cohort.lock.json"``; an existing one is replaced.
        images
            Whether the images and masks are fingerprinted too, by size and by both ends of their files.
        verify
            Whether images and masks are read whole instead: a damaged one is refused (every checksum in it is
            compared), and fingerprints are of all bytes, so that one changed bit is found when the lock is checked.

        Raises
        ------
        FileFormatError
            If `verify`, and an image or mask is damaged.
        QueryError
            If the SQL gives other rows at every run: ``random()``, sample clauses, the time of day.
        WriteError
            If the folder of `path` is not there, or the file cannot be written.

        See Also
        --------
        SporaQuery.from_lock, SporaQuery.audit

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> query.lock("cohort.lock.json").name
        'cohort.lock.json'
        """
        from spora_db.files.writing import named_file
        from spora_db.lock.locking import make_lock, verify_images

        check_path(path, at="lock(", example="cohort.lock.json")
        named_file(path)
        too = checked_flag(images, at="lock(images=")
        whole = checked_flag(verify, at="lock(verify=")
        lock = make_lock(self.lake, self.selection, images=too or whole, whole=whole)
        if whole:
            verify_images(lock)
        return lock.write(path)
