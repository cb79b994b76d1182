"""What a program that uses spora-db sees of its types; mypy checks it with the package, nothing runs.

A line that must be refused is one to be ignored: mypy tells an ignore that is not needed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import spora_db
from spora_db import Catalog, Plan, PlanDataset, SporaQuery, TileLoader, validate
from spora_db.errors import SporaError


def asked() -> SporaQuery:
    """A query is of its own type after each verb, and refuses what it does not know."""
    query = SporaQuery(Path("lake")).modality("imc", "he", missing="keep").tiles(size=224, mpp=1.0)
    query = query.where("age > 50").channels(kind="uniprot_filtered").label("split")
    query.tiles(size="large")  # type: ignore[arg-type]
    query.modality("imc", missing="perhaps")  # type: ignore[arg-type]
    query.tile(size=224)  # type: ignore[attr-defined]
    assert_type(query.count(), int)
    assert_type(query.sql(), str)
    assert_type(query.columns, tuple[str, ...])
    assert_type(list(query), list[dict[str, Any]])
    assert_type(query.plan(), Plan)
    return query


def loaded(query: SporaQuery) -> Iterator[Any]:
    """A dataset is torch's, and its loader too."""
    dataset = query.to_torch(on_error="replace")
    assert_type(dataset, PlanDataset)
    assert_type(len(dataset), int)
    assert_type(dataset.classes, dict[str, tuple[str | int | bool, ...]])
    loader = dataset.loader(4, num_workers=2, start_method="forkserver")
    assert_type(loader, TileLoader)
    dataset.loader(4, start_method="thread")  # type: ignore[arg-type]
    dataset.loader("4")  # type: ignore[arg-type]
    return iter(loader)


def told() -> str:
    """A catalog is closed by ``with``, findings have their fields, and an error is one of a tree."""
    try:
        with Catalog("lake") as catalog:
            assert_type(catalog, Catalog)
            catalog.sql(5)  # type: ignore[arg-type]
    except SporaError as error:
        return str(error)
    (finding, *_) = validate("lake")
    spora_db.SporaQeury("lake")  # type: ignore[attr-defined]
    assert_type(spora_db.load_mask("mask.npz").ndim, int)
    return str(finding)
