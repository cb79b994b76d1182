"""Writes the demo lake: two cohorts of synthetic tissues, in the layout of published datasets."""

import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spora_db.demo.anatomy import Anatomy, simulate
from spora_db.demo.panels import COHORTS, COMPOSITION, DARK_ZONE, EPITHELIUM, LIGHT_ZONE, TYPE_NAMES, DemoCohort
from spora_db.demo.portable import Rng, uniform
from spora_db.demo.staining import find_sites, stain_codex, stain_he, stain_imc
from spora_db.errors import ArgumentError, WriteError
from spora_db.files.parquet import write_parquet
from spora_db.files.processors import usable_cpus
from spora_db.images import write_ometiff, write_omezarr
from spora_db.layout import image_folder, mask_folder

if TYPE_CHECKING:
    import pyarrow as pa

MPP = 1.0
TASK = "cell_type"
GENERATOR = "spora-db demo"
SPLITS = ("train", "test", "val", "train", "train")


@dataclass(frozen=True, slots=True, kw_only=True)
class TissuePlan:
    """Everything about one tissue that is known before its pixels; `row` is its row of tissues.parquet."""

    tissue_id: str
    height: int
    width: int
    tumour: float
    measured: tuple[bool, ...]
    row: dict[str, Any]
    rng: Rng


def write_demo_lake(
    folder: str | Path, *, seed: int = 0, tissues: int = 7, size: int = 720, overwrite: bool = False
) -> Path:
    """Write a small synthetic lake that looks like tissue, and return its folder.

    Two cohorts with different, overlapping panels, both at 1.0 microns per pixel so that one query reaches both:
    ``lung_imc`` (imaging mass cytometry, float32 OME-Zarr, 20 channels) and ``tonsil_codex`` (CODEX, uint16 OME-TIFF,
    14 channels), each with registered H&E of the same cells, tissue masks, cell instance masks, cell type masks, cells,
    clinical columns and splits by patient. In each cohort one channel fails quality control and the second tissue
    lacks a channel. A protein may be named differently in the two panels (``CD8a``, ``CD8``); accessions agree.

    Parameters
    ----------
    folder
        The lake's folder, made if absent. Other datasets in it are left alone.
    seed
        The same seed gives the same files.
    tissues
        Tissues per cohort.
    size
        Nominal height and width of a tissue in pixels; tissues differ by a tenth.
    overwrite
        Replace the two demo datasets where they exist. A folder of that name that is not a demo is never replaced.

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    ArgumentError
        ``tissues`` is below 1 or ``size`` below 96.
    WriteError
        A demo dataset exists and ``overwrite`` is off, a folder of that name holds something else, or the folder cannot
        be written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lake = write_demo_lake(folder, tissues=1, size=128)
    ...     print(sorted(path.name for path in lake.iterdir()))
    ['lung_imc', 'tonsil_codex']
    """
    if tissues < 1:
        raise ArgumentError(f"tissues is {tissues}; expected at least 1 per cohort.")
    if size < 96:
        raise ArgumentError(f"size is {size}; expected at least 96 pixels, so that a tissue holds some cells.")
    lake = Path(folder)
    for cohort in COHORTS:
        _check_replaceable(lake / cohort.name, overwrite=overwrite)
    for position, cohort in enumerate(COHORTS):
        target = lake / cohort.name
        partial = lake / f".{cohort.name}.{os.getpid()}.tmp"
        try:
            plans = _plan_tissues(cohort, seed=[seed, position], tissues=tissues, size=size)
            _write_dataset(partial, cohort, plans)
            _write_card(partial, cohort, seed=seed)
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)
        except OSError as error:
            if isinstance(error, WriteError):
                raise
            raise WriteError(
                f"Could not write the demo to {target}: {error.strerror or error}. Nothing half-written is left. "
                "Choose a folder that can be written to, with room for 100 MB."
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return lake


def _check_replaceable(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    card = target / "metadata" / "dataset.json"
    ours = card.is_file() and json.loads(card.read_text(encoding="utf-8")).get("generator") == GENERATOR
    if not ours:
        raise WriteError(f"{target} exists and is not a demo dataset; it is left alone. Choose another folder.")
    if not overwrite:
        raise WriteError(f"{target} exists. Choose another folder, or replace the demo: overwrite=True (--overwrite).")


def _plan_tissues(cohort: DemoCohort, *, seed: Sequence[int], tissues: int, size: int) -> list[TissuePlan]:
    """Decide ids, sizes and clinical columns; the first patient gave two specimens."""
    plans = []
    for number in range(tissues):
        rng = np.random.default_rng([*seed, number])
        patient = max(0, number - 1)
        person = np.random.default_rng([*seed, 1_000 + patient])
        diagnosis = cohort.diagnoses[patient % 2]
        benign = diagnosis == "Tonsillitis"
        grade = None if benign else int(person.integers(1, 4))
        patient_id = f"{cohort.name[0]}{patient + 1:03d}"
        specimen_id = f"{number + 1:04d}"
        tissue_id = f"{cohort.name}_{patient_id}_{specimen_id}"
        height, width = (round(size * uniform(rng, 0.9, 1.1)) for _ in range(2))
        plans.append(
            TissuePlan(
                tissue_id=tissue_id,
                height=height,
                width=width,
                tumour=0.0 if benign else uniform(rng, 0.32, 0.5) * (1.0 if cohort.organ == "lung" else 0.6),
                measured=tuple(number != 1 or channel.name != cohort.absent for channel in cohort.channels),
                row={
                    "tissue_id": tissue_id,
                    "dataset": cohort.name,
                    "patient_id": patient_id,
                    "specimen_id": specimen_id,
                    "split": SPLITS[patient % len(SPLITS)],
                    "organ": cohort.organ,
                    "cancer_type": diagnosis,
                    "grade": grade,
                    "age": None if patient == 3 else int(person.integers(38, 84)),
                    "sex": str(person.choice(["female", "male"])),
                },
                rng=rng,
            )
        )
    return plans


def _write_dataset(root: Path, cohort: DemoCohort, plans: Sequence[TissuePlan]) -> None:
    import pyarrow as pa

    folders = [image_folder(root, modality, mpp=MPP) for modality in (cohort.modality, "he")]
    folders += [mask_folder(root, kind, mpp=MPP) for kind in ("tissue", "instances", TASK)]
    for folder in (root / "metadata", *folders):
        folder.mkdir(parents=True)
    encoder = _label_encoder(cohort)
    with ThreadPoolExecutor(max_workers=min(4, usable_cpus())) as pool:
        cells = list(pool.map(lambda plan: _write_tissue(root, cohort, plan, encoder), plans))
    write_parquet(pa.concat_tables(cells), root / "metadata" / "cells.parquet")
    write_parquet(_tissue_table(cohort, plans), root / "metadata" / "tissues.parquet")
    names = [channel.name for channel in cohort.channels]
    panel = {
        "channel_name": pa.array(names),
        "qc_pass": pa.array([channel.qc_pass for channel in cohort.channels]),
        "uniprot_id": pa.array([channel.uniprot_id for channel in cohort.channels], pa.string()),
        "is_nuclear_marker": pa.array([channel.is_nuclear_marker for channel in cohort.channels]),
    }
    write_parquet(pa.table(panel), root / cohort.modality / "channels.parquet")
    measured: dict[str, list[Any]] = {name: [plan.measured[at] for plan in plans] for at, name in enumerate(names)}
    measured["tissue_id"] = [plan.tissue_id for plan in plans]
    write_parquet(pa.table(measured), root / cohort.modality / "channels_per_tissue.parquet")
    labels = pa.table({"name": list(encoder), "id": pa.array(list(encoder.values()), pa.int64())})
    write_parquet(labels, mask_folder(root, TASK, mpp=MPP) / "label_encoder.parquet")


def _label_encoder(cohort: DemoCohort) -> dict[str, int]:
    """Return the id in the cell type mask of every cell type that the organ can hold; 0 is background."""
    absent = {EPITHELIUM, DARK_ZONE, LIGHT_ZONE} if cohort.organ == "lung" else set()
    present = {name for region, shares in COMPOSITION.items() if region not in absent for name in shares}
    return {name: number for number, name in enumerate(sorted(present), start=1)}


def _write_tissue(root: Path, cohort: DemoCohort, plan: TissuePlan, encoder: dict[str, int]) -> "pa.Table":
    """Simulate, stain and write one tissue; return its rows of cells.parquet."""
    import pyarrow as pa

    glands = plan.row["cancer_type"] == "LUAD"
    shape = (plan.height, plan.width)
    anatomy = simulate(plan.rng, shape, organ=cohort.organ, tumour=plan.tumour, glands=glands)
    sites = find_sites(plan.rng, anatomy)
    stain = stain_imc if cohort.modality == "imc" else stain_codex
    image = stain(plan.rng, anatomy, sites, channels=cohort.channels)
    stored = np.array(plan.measured) | cohort.full_panel_images
    image[~np.array(plan.measured)] = 0
    names = [channel.name for channel, kept in zip(cohort.channels, stored, strict=True) if kept]
    suffix = ".ome.zarr" if cohort.modality == "imc" else ".ome.tiff"
    target = image_folder(root, cohort.modality, mpp=MPP) / f"{plan.tissue_id}{suffix}"
    _write_image(target, image if stored.all() else image[stored], names)
    target = image_folder(root, "he", mpp=MPP) / f"{plan.tissue_id}{suffix}"
    _write_image(target, stain_he(plan.rng, anatomy, sites), ["red", "green", "blue"])
    ids = np.array([encoder.get(name, 0) for name in TYPE_NAMES])[anatomy.kinds]
    _write_masks(root, plan.tissue_id, anatomy, ids)
    count = len(anatomy.kinds)
    return pa.table(
        {
            "tissue_id": pa.array([plan.tissue_id] * count, pa.string()),
            "cell_id": pa.array(np.arange(1, count + 1)),
            "cell_type": pa.array([TYPE_NAMES[kind] for kind in anatomy.kinds], pa.string()),
            "row": pa.array(anatomy.rows),
            "col": pa.array(anatomy.cols),
            "area": pa.array(anatomy.areas),
        }
    )


def _write_image(path: Path, image: "np.ndarray[Any, np.dtype[Any]]", names: Sequence[str]) -> None:
    if path.suffix == ".zarr":
        write_omezarr(path, image, mpp=MPP, channel_names=names)
    elif image.dtype == np.uint8:
        write_ometiff(path, image, mpp=MPP, photometric="rgb")
    else:
        write_ometiff(path, image, mpp=MPP, channel_names=names)


def _write_masks(root: Path, tissue_id: str, anatomy: Anatomy, ids: "np.ndarray[Any, np.dtype[np.int64]]") -> None:
    kinds = np.concatenate([[0], ids]).astype(np.uint8)
    masks = {"tissue": anatomy.mask, "instances": anatomy.cells, TASK: kinds[anatomy.cells]}
    for kind, mask in masks.items():
        np.savez_compressed(mask_folder(root, kind, mpp=MPP) / f"{tissue_id}.npz", mask=mask)


def _tissue_table(cohort: DemoCohort, plans: Sequence[TissuePlan]) -> "pa.Table":
    """Return tissues.parquet: a row per tissue and modality."""
    import pyarrow as pa

    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("tissue_id", "dataset", "patient_id", "specimen_id", "modality")),
            *((name, pa.string()) for name in ("split", "organ", "cancer_type")),
            *((name, pa.int64()) for name in ("grade", "age")),
            ("sex", pa.string()),
        ]
    )
    rows = [plan.row | {"modality": modality} for plan in plans for modality in (cohort.modality, "he")]
    return pa.Table.from_pylist(rows, schema=schema)


def _write_card(root: Path, cohort: DemoCohort, *, seed: int) -> None:
    card = {
        "name": cohort.name,
        "title": f"Synthetic {cohort.organ} tissues, {cohort.modality.upper()} and H&E",
        "license": "CC0-1.0",
        "source": "synthetic",
        "generator": GENERATOR,
        "seed": seed,
    }
    (root / "metadata" / "dataset.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
