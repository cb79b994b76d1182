"""Rules about what a dataset should have: tables, statistics, encoders; one image per tissue, masks of a known kind."""

from collections.abc import Iterator
from pathlib import Path

from spora_db.errors import ArgumentError, FileFormatError, TableError, UnknownNameError
from spora_db.layout import (
    INSTANCES,
    TISSUE,
    Dataset,
    is_cell_mask,
    is_rgb,
    list_images,
    mask_folder,
    modality_folder,
    mpp_folder,
    spec_folder,
)
from spora_db.layout.names import is_derived
from spora_db.standardization.specs import parse_spec
from spora_db.validation.findings import Finding
from spora_db.validation.folders import is_text
from spora_db.validation.rules import broken


def check_absent(dataset: Dataset) -> Iterator[Finding]:
    """Yield tables that should be there, and names that are there twice or are those of something else."""
    tables = {(table.kind, table.modality, table.mpp, table.task) for table in dataset.tables}
    kinds = {(table.kind, table.modality) for table in dataset.tables}
    if ("tissues", None) not in kinds:
        file = f"{dataset.name}/metadata/tissues.parquet"
        yield broken("tissues_absent", "There is no such file.", dataset=dataset.name, file=file)
    for folder in dataset.image_folders:
        place = f"{dataset.name}/{modality_folder(folder.modality)}"
        try:
            images = sum(len(ids) for _, _, ids in list_images(folder))
        except FileFormatError:  # a name that is no text, found above
            continue
        except TableError as error:
            file = f"{place}/{mpp_folder(folder.mpp)}/images"
            yield broken("image_twice", str(error), dataset=dataset.name, file=file)
            continue
        if is_rgb(folder.modality) or not images:
            continue
        for rule, kind, name in (
            ("panel_absent", "channels", "channels.parquet"),
            ("measured_absent", "panels", "channels_per_tissue.parquet"),
        ):
            if (kind, folder.modality) not in kinds and not (kind == "panels" and is_derived(folder.modality)):
                reason = f"There is no such file (images: {images})."
                yield broken(rule, reason, dataset=dataset.name, file=f"{place}/{name}")
        if ("statistics", folder.modality, folder.mpp, None) not in tables and not is_derived(folder.modality):
            file = f"{place}/{mpp_folder(folder.mpp)}/standardization"
            reason = f"There are no statistics of {folder.modality} at this resolution (images: {images})."
            yield broken("statistics_absent", reason, dataset=dataset.name, file=file)
    yield from _kinds(dataset)
    for masks in dataset.mask_folders:
        if masks.kind not in (TISSUE, *INSTANCES) and ("label_encoder", None, masks.mpp, masks.kind) not in tables:
            file = (mask_folder(Path(dataset.name), masks.kind, mpp=masks.mpp) / "label_encoder.parquet").as_posix()
            yield broken("label_encoder_absent", "There is no such file.", dataset=dataset.name, file=file)
    yield from _statistics(dataset)


def _kinds(dataset: Dataset) -> Iterator[Finding]:
    """Yield folders of cell masks that are called like, or almost like, masks of another kind."""
    found = [(path, folder) for path in dataset.paths for folder in path.glob("segmentations/*mpp/cell_masks/*/")]
    for path, folder in sorted(found):
        name, file = folder.name, f"{dataset.name}/{folder.relative_to(path).as_posix()}"
        if name.startswith(".") or not is_text(name):
            continue
        if not is_cell_mask(name):
            yield broken("mask_kinds", f"No cell task can be called {name!r}.", dataset=dataset.name, file=file)
        elif (other := name.casefold()) in (TISSUE, *INSTANCES) and name != other:
            reason = f"{name!r} is a cell task, and easily mistaken for the masks of kind {other!r}."
            yield broken("mask_kinds", reason, dataset=dataset.name, file=file, severity="warning")
        elif name in INSTANCES and (folder / "label_encoder.parquet").is_file():
            reason = f"The masks of kind {name!r} number cells, but there is a label encoder, which names classes."
            yield broken("mask_kinds", reason, dataset=dataset.name, file=file, severity="warning")


def _statistics(dataset: Dataset) -> Iterator[Finding]:
    """Yield folders of statistics that are misnamed or incomplete."""
    specs: dict[tuple[str, float, str], set[tuple[str, str]]] = {}
    for table in dataset.tables:
        if (
            table.kind == "statistics"
            and table.modality
            and table.mpp
            and table.spec
            and table.level
            and table.statistic
        ):
            specs.setdefault((table.modality, table.mpp, table.spec), set()).add((table.level, table.statistic))
    for (modality, mpp, name), tables in specs.items():
        file = spec_folder(Path(dataset.name), modality, mpp=mpp, spec=name).as_posix()
        try:
            spec = parse_spec(name, quantile_level=None if name.endswith(("_image", "_global")) else "image")
        except (ArgumentError, UnknownNameError) as error:
            yield broken("spec_folders", str(error), dataset=dataset.name, file=file)
            continue
        level = spec.quantile_level if name.endswith(("_image", "_global")) else None
        wanted = ["upper_quantiles"] + (["lower_quantiles"] if spec.lower is not None else [])
        for kind in wanted:
            if not any((here, kind) in tables for here in ([level] if level else ["image", "global"])):
                reason = f"There is no {level or '<level>'}_level_{kind}.parquet."
                yield broken("statistics_tables", reason, dataset=dataset.name, file=file)
        if not any({(here, "means"), (here, "stds")} <= tables for here in ("image", "global")):
            reason = "There are no means and stds at one level, so use_mean_std must be switched off."
            yield broken("statistics_tables", reason, dataset=dataset.name, file=file, severity="warning")
