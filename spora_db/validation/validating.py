"""Validate a lake: folders, tables, relations, headers, and on request every pixel. Reads, never writes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from spora_db.errors import DatasetNotFoundError, SporaError
from spora_db.images.base import MissingChunks, check_missing_chunks
from spora_db.layout import Dataset, Lake, LakePath, lake_path, layers, scan
from spora_db.validation.absent import check_absent
from spora_db.validation.cells import check_cells, listed_cells
from spora_db.validation.features import check_features
from spora_db.validation.findings import Finding, in_order
from spora_db.validation.folders import check_folders, check_lake_folder
from spora_db.validation.headers import header_table, read_headers
from spora_db.validation.own_tables import check_own_tables
from spora_db.validation.pixels import check_pixels
from spora_db.validation.relations import check_relations
from spora_db.validation.rules import broken
from spora_db.validation.tables import check_encoders, check_kinds, check_panel_order, check_table


def validate(
    lake: LakePath,
    *,
    dataset: str | None = None,
    deep: bool = False,
    missing_chunks: MissingChunks = "error",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Finding, ...]:
    """Check every rule of the layout.

    Without `deep` all folders are listed, the columns of all tables are checked and the tables compared with each other
    and with the files on disk; headers are read of at most 100 images per folder, which a note says. With `deep` every
    pixel of every image and mask and every row of every table is read.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder.
    dataset
        Only this dataset.
    deep
        Read everything.
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors in a deep validation, or read as zeros, or as
        white (brightfield).
    progress
        Called in a deep validation with how many of how many files of a dataset are read.

    Returns
    -------
    tuple of Finding
        Errors first, then by dataset, rule and file; of many alike the first ten, and one that counts the others.

    Raises
    ------
    DatasetNotFoundError
        If the folder does not exist or holds no dataset.
    UnknownNameError
        If there is no such dataset.
    ArgumentError
        If there is no such choice of `missing_chunks`.

    See Also
    --------
    Audit, import_dataset

    Examples
    --------
    >>> import tempfile
    >>> from spora_db.demo import write_demo_lake
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lake = write_demo_lake(folder, tissues=1, size=128)
    ...     findings = validate(lake)
    >>> sorted({(finding.severity, finding.rule) for finding in findings})
    [('note', 'statistics_absent')]
    """
    check_missing_chunks(missing_chunks)
    scanned, findings = _scan(lake_path(lake))
    chosen = scanned.chosen(dataset)
    given = _absolute(lake_path(lake))
    for root in scanned.roots if dataset is None else ():
        if root in given:  # else it holds the dataset that was asked for, and others
            names = {item.name for item in scanned.datasets} | {finding.dataset for finding in findings}
            findings += check_lake_folder(root, names)
    if dataset is None:
        findings += check_kinds(scanned)
        findings += check_own_tables(scanned)
    for item in chosen:
        findings += _check(item, scanned, deep=deep, missing_chunks=missing_chunks, progress=progress)
    return tuple(in_order(findings))


def _check(
    dataset: Dataset,
    lake: Lake,
    *,
    deep: bool,
    missing_chunks: MissingChunks,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Finding]:
    """Yield what is wrong with one dataset, the quick rules first."""
    yield from check_folders(dataset)
    yield from check_absent(dataset)
    for table in dataset.tables:
        yield from check_table(table, lake, deep=deep)
    yield from check_features(dataset, lake, deep=deep)
    yield from check_encoders(dataset, lake)
    yield from check_panel_order(dataset, lake)
    images, findings = read_headers(dataset, lake, deep=deep)
    yield from findings
    yield from check_relations(dataset, header_table(images), deep=deep)
    cells, findings = listed_cells(dataset, deep=deep)
    yield from findings
    yield from check_cells(cells, images)
    if deep:
        yield from check_pixels(dataset, images, lake, cells=cells, missing_chunks=missing_chunks, progress=progress)


def _scan(given: Path) -> tuple[Lake, list[Finding]]:
    """List the datasets of a lake; where one cannot be listed, the others, and a finding."""
    try:
        return scan(given), []
    except DatasetNotFoundError:
        raise
    except SporaError as error:
        failure = error
    roots = _absolute(given)
    datasets: list[Dataset] = []
    findings: list[Finding] = []
    names = {path.name for root in roots for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for name in sorted(names):
        folders = [root / name for root in roots if (root / name).is_dir()]
        try:
            datasets += [item for item in scan(folders).datasets if item.name == name]
        except DatasetNotFoundError:
            continue
        except SporaError as error:
            findings.append(broken("folder_names", str(error), dataset=_text(name), file=_text(name)))
    if not findings:
        findings = [broken("folder_names", str(failure), dataset="", file="")]
    return Lake(path=lake_path(roots), roots=roots, datasets=tuple(datasets)), findings


def _absolute(lake: Path) -> tuple[Path, ...]:
    """Return the layers of a lake as `scan` has them; to resolve them would follow a link to a dataset."""
    return tuple(Path(os.path.abspath(root)) for root in layers(lake))  # noqa: PTH100


def _text(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
