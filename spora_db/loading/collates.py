"""Collates: pure functions from samples to a batch; panels differ between cohorts, so channel counts differ too."""

from collections.abc import Sequence

from spora_db.loading.dataset import Sample


def collate_list(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples as they are: the collate for samples whose panels differ.

    Parameters
    ----------
    samples
        What a dataset yields.
    """
    return list(samples)
