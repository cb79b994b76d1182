"""The small files of an imported dataset: its panel and its card; and what validation says of it."""

import json
from collections.abc import Sequence
from pathlib import Path

from spora_db.errors import WriteError
from spora_db.files.parquet import write_parquet
from spora_db.importing.decisions import Decision
from spora_db.importing.options import ImportOptions
from spora_db.importing.panel import Channel
from spora_db.validation import validate


def write_panel(
    folder: Path, channels: Sequence[Channel], tissues: Sequence[str], pages: Sequence[Sequence[int | None]]
) -> None:
    """Write channels.parquet and channels_per_tissue.parquet."""
    import pyarrow as pa

    extras = dict.fromkeys(name for channel in channels for name in channel.extras)
    columns = {
        "channel_name": pa.array([channel.name for channel in channels], pa.string()),
        "qc_pass": pa.array([channel.qc_pass for channel in channels], pa.bool_()),
        "uniprot_id": pa.array([channel.uniprot_id for channel in channels], pa.string()),
        "is_nuclear_marker": pa.array([channel.is_nuclear_marker for channel in channels], pa.bool_()),
        **{name: pa.array([channel.extras.get(name) for channel in channels], pa.string()) for name in extras},
    }
    write_parquet(pa.table(columns), folder / "channels.parquet")
    measured = [pa.array([chosen[at] is not None for chosen in pages], pa.bool_()) for at in range(len(channels))]
    names = [*(channel.name for channel in channels), "tissue_id"]
    wide = pa.Table.from_arrays([*measured, pa.array(list(tissues), pa.string())], names=names)
    write_parquet(wide, folder / "channels_per_tissue.parquet")


def write_card(folder: Path, options: ImportOptions, *, source: Path, tissue_masks: str) -> None:
    """Record how the dataset came about."""
    card = {
        "name": folder.name,
        "generator": "spora-db import",
        "source": source.name,
        "modality": options.modality,
        "images": options.images,
        "tissue_masks": tissue_masks,
    }
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (folder / "metadata" / "dataset.json").write_text(text, encoding="utf-8")


def check_result(dataset: Path) -> list[Decision]:
    """Validate what was written: errors end the import, warnings are told."""
    findings = validate(dataset)
    errors = [f"{item.file}: {item.reason}" for item in findings if item.severity == "error"]
    if errors:
        raise WriteError(f"The dataset would not be valid, nothing was written: {' '.join(errors[:3])}")
    return [
        Decision(about="checks", says=f"{item.file}: {item.reason} {item.remedy}", warning=True)
        for item in findings
        if item.severity == "warning" and item.rule != "label_encoder_absent"  # nuclei are numbered, as cells are
    ]
