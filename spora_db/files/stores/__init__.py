"""Where a lake's files lie: stores that list them, tell their state, and read byte ranges of them.

A store is asked by key, the path of a file below its root: of a folder, of a bucket, of a web address.
"""

from spora_db.files.stores.opening import open_store
from spora_db.files.stores.store import Edge, ObjectEntry, ObjectState, ObjectStore, Span

__all__ = ["Edge", "ObjectEntry", "ObjectState", "ObjectStore", "Span", "open_store"]
