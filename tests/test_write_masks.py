"""Masks that are written back: what views, loaders and validate say of them is what was written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lakes import write_lake
from spora_db import Catalog, SporaQuery, validate, write_masks
from spora_db.errors import ArgumentError, QueryError, WriteError


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("masks") / "lake", names=("alpha",), tissues=2)


def tissues(lake: Any) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tissues(mpp=1.0)


def drawn(lake: Path, *, most: int = 2) -> list[np.ndarray]:
    draw = np.random.default_rng(3)
    return [draw.integers(0, most + 1, sample["image"].shape[1:]) for sample in tissues(lake).to_torch()]


@pytest.mark.some(2)
@pytest.mark.parametrize(("kind", "classes"), [("regions", ["tumour", "stroma"]), ("instances", None)])
def test_masks_are_delivered_as_they_were_written(lake: Path, tmp_path: Path, kind: str, classes: Any) -> None:
    before = {(found.rule, found.file) for found in validate(lake, deep=True)}
    masks, mine = drawn(lake), tmp_path / "mine"
    paths = write_masks(tissues(lake).plan(), masks, kind=kind, classes=classes, into=mine, overwrite=True)
    assert [np.array_equal(np.load(path)["mask"], mask) for path, mask in zip(paths, masks, strict=True)] == [True] * 2
    with Catalog([lake, mine]) as catalog:
        text = "SELECT tissue_id FROM masks WHERE root = $root ORDER BY ALL"
        assert [row[0] for row in catalog.sql(text, {"root": str(mine)}).fetchall()] == ["alpha_0000", "alpha_0001"]
    dataset = tissues([lake, mine]).with_masks(kind).to_torch()
    for sample, mask in zip(dataset, masks, strict=True):
        assert np.array_equal(sample["masks"][kind].numpy(), mask)
    after = {(found.rule, found.file) for found in validate([lake, mine], deep=True)}
    assert {found for found in after - before if kind in found[1]} == set()


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda masks: {"masks": masks[:1]}, ArgumentError, "there are 1 masks for 2 tissues"),
        (lambda masks: {"masks": [*masks, masks[0]]}, ArgumentError, "more masks than the 2 tissues"),
        (
            lambda masks: {"masks": [mask[1:] for mask in masks]},
            ArgumentError,
            "'alpha_0000' of alpha is int64 of shape",
        ),
        (lambda masks: {"masks": [mask / 2 for mask in masks]}, ArgumentError, "float64 of shape"),
        (lambda masks: {"masks": [mask + 1 for mask in masks]}, ArgumentError, "numbers from 1 to 3; expected 0 to 2"),
        (lambda masks: {"masks": masks, "classes": None}, ArgumentError, "needs the names of its classes"),
        (lambda masks: {"masks": masks, "kind": "tissue"}, ArgumentError, "has no classes"),
        (lambda masks: {"masks": masks, "kind": "../a"}, ArgumentError, "is refused"),
    ],
)
def test_what_is_no_mask_is_told(lake: Path, tmp_path: Path, change: Any, error: type, said: str) -> None:
    asked = {"kind": "regions", "classes": ["tumour", "stroma"], "into": tmp_path / "mine", **change(drawn(lake))}
    with pytest.raises(error, match=said):
        write_masks(tissues(lake).plan(), asked.pop("masks"), **asked)


def test_what_is_there_stays_unless_asked(lake: Path, tmp_path: Path) -> None:
    plan, masks, mine = tissues(lake).plan(), drawn(lake), tmp_path / "mine"
    asked = {"kind": "regions", "classes": ["tumour", "stroma"], "into": mine}
    write_masks(plan, masks, **asked)
    with pytest.raises(WriteError, match="exists already"):
        write_masks(plan, masks, **asked)
    with pytest.raises(WriteError, match="names the classes"):
        write_masks(plan, masks, **{**asked, "classes": ["stroma", "tumour"]}, overwrite=True)
    with pytest.raises(QueryError, match="not of tiles"):
        write_masks(SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).plan(), masks, **asked)


def test_masks_of_other_layers_keep_their_meaning(lake: Path, tmp_path: Path) -> None:
    """What another layer has is not hidden unasked, and its numbers mean the classes that they meant."""
    plan, masks, below = tissues(lake).plan(), drawn(lake), tmp_path / "below"
    write_masks(plan, masks, kind="regions", classes=["tumour", "stroma"], into=below)
    plan, asked = tissues([lake, below]).plan(), {"kind": "regions", "into": tmp_path / "mine"}
    with pytest.raises(WriteError, match=r"below.*alpha_0000.npz exists already"):
        write_masks(plan, masks, classes=["tumour", "stroma"], **asked)
    with pytest.raises(WriteError, match=r"below.*names the classes \['tumour', 'stroma'\]"):
        write_masks(plan, masks, classes=["stroma", "tumour"], overwrite=True, **asked)
    [path, _] = write_masks(plan, masks, classes=["tumour", "stroma"], overwrite=True, **asked)
    assert (path.parents[5].name, path.with_name("label_encoder.parquet").exists()) == ("mine", False)
