"""Which store an address is of: one row per scheme."""

import copyreg
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spora_db.errors import ArgumentError
from spora_db.files.stores.local import LocalStore
from spora_db.files.stores.remote import RemoteStore
from spora_db.files.stores.store import ObjectStore


def _s3(root: str) -> ObjectStore:
    from spora_db.files.stores.credentials import amazon
    from spora_db.files.stores.s3 import S3Service

    bucket, folder = _bucket(root)
    return RemoteStore(root, S3Service(bucket, folder, amazon()))


def _gs(root: str) -> ObjectStore:
    from spora_db.files.stores.credentials import google
    from spora_db.files.stores.s3 import S3Service

    bucket, folder = _bucket(root)
    return RemoteStore(root, S3Service(bucket, folder, google()))


def _web(root: str) -> ObjectStore:
    from spora_db.files.stores.web import WebService

    return RemoteStore(root, WebService(root))


def _hub(root: str) -> ObjectStore:
    from spora_db.files.stores.web import HubService

    parts = root.removeprefix("hf://").split("/")
    if parts[0] != "datasets" or len(parts) < 3 or not all(parts[1:3]):
        raise ArgumentError(f"{root!r} names no dataset of a hub. Write hf://datasets/OWNER/NAME[@REVISION][/FOLDER].")
    name, _, revision = parts[2].partition("@")
    return RemoteStore(root, HubService(f"{parts[1]}/{name}", revision or "main", "/".join(parts[3:])))


OPENED: dict[str, Callable[[str], ObjectStore]] = {
    "s3": _s3, "gs": _gs, "http": _web, "https": _web, "hf": _hub,
}  # fmt: skip
"""What opens an address of each scheme."""


def is_remote(root: str | Path) -> bool:
    """Tell whether a root is an address rather than a folder.

    Examples
    --------
    >>> is_remote("s3://bucket/lake"), is_remote("/data/lake")
    (True, False)
    """
    return isinstance(root, str) and "://" in root


def open_store(root: str | Path) -> ObjectStore:
    """Return the store of a folder or an address; nothing is asked of it yet.

    Parameters
    ----------
    root
        A folder, ``s3://bucket/folder``, ``gs://``, ``https://`` or ``hf://datasets/owner/name@revision/folder``.

    Raises
    ------
    ArgumentError
        If there is no store of this scheme, or the address is none of it.
    MissingExtraError
        If what the scheme needs is not installed.

    Examples
    --------
    >>> open_store("/data/lake").root
    '/data/lake'
    """
    if not is_remote(root):
        return LocalStore(root)
    scheme, _, rest = str(root).partition("://")
    address = f"{scheme}://{rest.rstrip('/')}"
    if scheme not in OPENED:
        known = ", ".join(f"{name}://" for name in OPENED)
        raise ArgumentError(f"There is no store for {address!r}: a lake is a folder, or one of {known}.")
    return OPENED[scheme](address)


def _reduced(store: RemoteStore) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Reduce a store to its address: connections and credentials are found where it is used."""
    return open_store, (store.root,)


copyreg.pickle(RemoteStore, _reduced)


def _bucket(root: str) -> tuple[str, str]:
    bucket, _, folder = root.partition("://")[2].partition("/")
    if not bucket:
        raise ArgumentError(f"{root!r} names no bucket. Write it as s3://BUCKET/FOLDER.")
    return bucket, folder.strip("/")
