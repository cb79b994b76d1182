"""Channels left out or in another order, with all that says which they are."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from spora_db.arrays import Bools
from spora_db.errors import ArgumentError
from spora_db.layout.names import is_rgb
from spora_db.loading.joining import NAMES, PER_CHANNEL, Fields
from spora_db.loading.sample import Sample
from spora_db.transforms.acting import Generators, Samples, acting, generators, on_every_part
from spora_db.transforms.batches import is_batch, is_fixed, parts_of
from spora_db.transforms.square import as_bits


@dataclass(frozen=True, slots=True)
class channel_dropout:
    """Leave out each channel with a probability, of all modalities that have a panel; brightfield keeps its colours.

    Samples and packed batches then have fewer channels; in a batch with ``presence`` they stay where they are, absent:
    the pixels are 0, ``marker_index`` is -1, ``presence`` is False.

    Parameters
    ----------
    probability
        Of each channel, between 0 and 1.
    at_least
        How many channels of a panel are kept in any case, as far as it has them.

    Raises
    ------
    ArgumentError
        If a number is out of range.

    Examples
    --------
    >>> sample = {"image": torch.zeros(4, 1, 1), "channel_names": ["DNA", "CD3", "CD8", "CD20"]}
    >>> channel_dropout(0.5)(sample, np.random.default_rng(0))["channel_names"]
    ['DNA']
    """

    probability: float
    _: KW_ONLY
    at_least: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 <= self.probability <= 1 or self.at_least < 0:
            raise ArgumentError(
                f"channel_dropout({self.probability}, at_least={self.at_least}): expected a probability between 0 and "
                "1, and at least 0 channels."
            )

    def __call__(self, samples: Samples, rng: Generators) -> Any:  # noqa: ANN401 - as `Samples`
        """Return each of the samples with channels of its own left out."""
        return acting(self._sample, samples, partial(generators, rng))

    def _sample(self, sample: Fields, rng: np.random.Generator) -> Sample:
        return on_every_part(sample, partial(self._part, rng=rng))

    def _part(self, part: Fields, *, rng: np.random.Generator) -> Fields:
        places = _places(part)
        kept = self._kept(len(places), rng)
        if kept.all():
            return part
        if "presence" in part:
            return _absent(part, [place for place, keep in zip(places, kept, strict=True) if not keep])
        return _taken(part, np.flatnonzero(kept).tolist())

    def _kept(self, count: int, rng: np.random.Generator) -> Bools:
        drawn = rng.random(count)
        kept = drawn >= self.probability
        kept[np.argsort(-drawn, kind="stable")[: self.at_least]] = True
        return kept


def channel_shuffle(samples: Samples, rng: Generators) -> Any:  # noqa: ANN401 - as `Samples`
    """Return samples with their channels in random order, of all modalities that have a panel.

    Names, accessions, ``marker_index`` and ``statistics`` go with the pixels; brightfield keeps its colours.

    Parameters
    ----------
    samples
        A sample, a list of samples, or a batch, in which each has an order of its own.
    rng
        Where it draws; see `spora_db.transforms`.

    Raises
    ------
    ArgumentError
        If it is a batch of a fixed panel, whose channels have one order.

    Examples
    --------
    >>> sample = {"image": torch.zeros(3, 1, 1), "channel_names": ["DNA", "CD3", "CD8"]}
    >>> channel_shuffle(sample, np.random.default_rng(0))["channel_names"]
    ['CD8', 'DNA', 'CD3']
    """
    if (
        isinstance(samples, Mapping)
        and is_batch(samples)
        and any(is_fixed(part) for part in parts_of(samples).values())
    ):
        raise ArgumentError(
            "channel_shuffle: the channels of a batch of collate_panel have one order for all samples. Collate "
            "padded or packed, or leave it out: it would be undone."
        )
    return acting(
        lambda sample, own: on_every_part(sample, partial(_shuffled, rng=own)), samples, partial(generators, rng)
    )


def _shuffled(part: Fields, *, rng: np.random.Generator) -> Fields:
    places = _places(part)
    planes = list(range(len(part["image"])))
    for place, drawn in zip(places, rng.permutation(len(places)), strict=True):
        planes[place] = places[drawn]
    return _taken(part, planes) if places else part


def _places(part: Fields) -> list[int]:
    """Return which planes are channels of a panel that are there."""
    if is_rgb(str(part.get("modality"))):
        return []
    return [place for place, there in enumerate(part.get("presence", [True] * len(part["image"]))) if there]


def _taken(part: Fields, planes: Sequence[int]) -> Fields:
    """Return a part with these planes, in this order; channels that a batch only pads with stay at the end."""
    index = torch.tensor(planes, dtype=torch.int64, device=part["image"].device)
    changed: dict[str, Any] = {"image": as_bits(part["image"], lambda bits: bits[index])}
    changed |= {name: part[name][index] for name in PER_CHANNEL if name in part}
    for name in NAMES:
        if name in part:
            changed[name] = [part[name][plane] for plane in planes if plane < len(part[name])]
    return {**part, **changed}


def _absent(part: Fields, gone: Sequence[int]) -> Fields:
    """Return a part of a batch in which some planes are absent."""
    index = torch.tensor(gone, dtype=torch.int64, device=part["image"].device)
    changed: dict[str, Any] = {"image": as_bits(part["image"], lambda bits: bits.index_fill(0, index, 0))}
    changed |= {name: part[name].index_fill(0, index, empty) for name, empty in PER_CHANNEL.items() if name in part}
    return {
        **part,
        **changed,
        "presence": [there and place not in gone for place, there in enumerate(part["presence"])],
    }
