"""What a feature set says of how it was made, and in what an earlier one was made otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from json import dumps
from typing import Any

from spora_db import __version__
from spora_db.arrays import Int64
from spora_db.extraction.models import ModelIdentity
from spora_db.extraction.parts import rows_fingerprint
from spora_db.feature_sets import FeatureSet
from spora_db.lock.json_values import to_json
from spora_db.lock.state import PARTS, tissue_states
from spora_db.plan import Plan
from spora_db.selection import Selection

COMPARED = ("grain", "modalities", "mpp", "strategy", "tile_size", "model", "weights", "spec", "expected")
FINGERPRINTS = {
    "rows": "it is of other rows",
    "plan": "channels, statistics, masks or other choices of the query are others",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedSet:
    """What is asked for, for every dataset alike.

    Attributes
    ----------
    name
        The feature set.
    selection
        The query, as the lake resolves it.
    strategy
        The tiling of its tiles.
    model
        The model's identity.
    settings
        Batch size, rows of a part, type, transform and collate: what the bytes of a row may depend on.
    """

    name: str
    selection: Selection
    strategy: str | None
    model: ModelIdentity
    settings: Mapping[str, Any]


def described_sets(asked: AskedSet, plan: Plan, rows: Mapping[str, Int64]) -> dict[str, FeatureSet]:
    """Return what the feature set of every dataset will say of itself, but for its columns."""
    selection, states = asked.selection, tissue_states(plan)
    specs = {name: selection.standardization.spec(name) for name in selection.modality_names}
    spec = next(iter(specs.values())) if len(set(specs.values())) == 1 else dumps(specs)
    choices = [to_json(getattr(selection, name)) for name in ("standardization", "channels", "masks", "cells")]
    seen = [PARTS.index(name) + 1 for name in ("channels", "statistics", "cells")]
    return {
        dataset: FeatureSet(
            name=asked.name,
            dataset=dataset,
            grain=plan.unit,
            columns=(),
            expected=len(own),
            modalities=selection.modality_names,
            mpp=selection.mpp,
            strategy=asked.strategy,
            tile_size=plan.tile_size or None,
            model=asked.model.name,
            weights=asked.model.weights,
            spec=spec,
            rows=rows_fingerprint(plan, own),
            plan=_digest([choices, {tissue: [state[i] for i in seen] for tissue, state in states[dataset].items()}]),
            notes={**asked.settings, "spora_db": __version__},
        )
        for dataset, own in rows.items()
    }


def differences(there: FeatureSet, asked: FeatureSet) -> list[str]:
    """Return in what a set was made otherwise than is asked for, in words; which columns it has is not compared."""
    found = [
        f"{name} is {getattr(there, name)!r} there, {getattr(asked, name)!r} now"
        for name in COMPARED
        if getattr(there, name) != getattr(asked, name)
    ]
    found += [
        f"{name} is {there.notes.get(name)!r} there, {value!r} now"
        for name, value in asked.notes.items()
        if name != "spora_db" and there.notes.get(name) != value
    ]
    return found + [said for name, said in FINGERPRINTS.items() if getattr(there, name) != getattr(asked, name)]


def _digest(value: object) -> str:
    return blake2b(dumps(value, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()
