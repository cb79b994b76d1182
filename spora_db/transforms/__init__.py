"""Transforms of samples and of batches, for ``to_torch(transform=...)`` and for the device that trains.

Each is a pure function of samples and a generator: it returns new samples and changes neither those that it was given
nor any global state. Each takes a sample, with all modalities of its place, its masks and cells; a list of samples; or
a batch of `collate_padded`, `collate_packed` or `collate_panel`, on any device, in which every sample has draws of its
own. `rng` is a numpy Generator (what ``transform`` is handed), a torch Generator, or a list with one for each sample.

Examples
--------
>>> from spora_db import SporaQuery
>>> from spora_db.transforms import channel_dropout, compose, random_crop, random_symmetry
>>> augment = compose(random_symmetry, random_crop(96), channel_dropout(0.2))
>>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
>>> loader = query.to_torch(transform=augment).loader(32, num_workers=4)  # doctest: +SKIP
"""

from spora_db.transforms.channels import channel_dropout, channel_shuffle
from spora_db.transforms.composing import compose
from spora_db.transforms.crops import center_crop, crop, random_crop
from spora_db.transforms.symmetries import random_flip, random_symmetry, symmetry

__all__ = [
    "center_crop", "channel_dropout", "channel_shuffle", "compose", "crop", "random_crop", "random_flip",
    "random_symmetry", "symmetry",
]  # fmt: skip
