"""Where datasets lie: a given path, or the folder that SPORA_DATASETS_DIR names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spora_db.catalog import Catalog, lent_catalog
from spora_db.errors import DatasetNotFoundError
from spora_db.layout import LAKE_VARIABLE, LakePath, beneath, lake_path, layers
from spora_db.layout.layers import present, refresh


def datasets_root(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of datasets, or the layers of a lake: what is given, else that of the environment.

    Raises
    ------
    DatasetNotFoundError
        If neither is set.
    """
    if given is not None:
        return Path(given).expanduser()
    if not os.environ.get(LAKE_VARIABLE):
        message = (
            f"Where are the datasets? Give a path, or set the environment variable {LAKE_VARIABLE} to their folder."
        )
        raise DatasetNotFoundError(message)
    return Path(os.environ[LAKE_VARIABLE]).expanduser()


def dataset_folder(
    name: str, path: LakePath | None = None, *, root: str | os.PathLike[str] | None = None, remedy: str | None = None
) -> Path:
    """Return the folder of one dataset: the path given (its name may differ), else `name` below `root`.

    Where several layers of a lake have it, they are one path, as `beneath` gives it; so are those that are given.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder; `remedy` says what names it.
    """
    lake = datasets_root(root) if path is None else lake_path(path)
    refresh(layers(lake))
    found = present(lake if path is not None else beneath(lake, name))
    if not (first := layers(found)[0]).is_dir():
        remedy = remedy or f"Give path=, or let {LAKE_VARIABLE} name what holds it."
        raise DatasetNotFoundError(f"Dataset {name!r}: no folder {first}. {remedy}")
    return found


@contextmanager
def dataset_catalog(folder: Path, catalog: Catalog | None) -> Iterator[Catalog]:
    """Give an open catalog of one dataset's folder: the one that is open already, else one that is lent.

    Raises
    ------
    DatasetNotFoundError
        If the folder is a lake of several datasets.
    """
    if catalog is not None:
        yield catalog
        return
    with lent_catalog(folder) as opened:
        names = [row[0] for row in opened._run("SELECT dataset FROM datasets ORDER BY 1").fetchall()]
        if names != [dataset_name(folder)]:
            message = (
                f"{folder} is a folder of datasets ({', '.join(names)}), not one dataset. Give path= of one of them."
            )
            raise DatasetNotFoundError(message)
        yield opened


def dataset_name(folder: Path) -> str:
    """Return the name that the catalog gives the dataset of a folder."""
    return Path(os.path.abspath(layers(folder)[-1])).name  # noqa: PTH100 - as layout.scan: resolve() would rename a symbolic link
