"""Numbers for markers: the same number for the same protein in every cohort."""

from collections.abc import Iterable, Sequence

import numpy as np

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError
from spora_db.plan import Plan


def checked_vocabulary(given: object) -> tuple[str, ...]:
    """Return a vocabulary as it was given, in a tuple; anything but a list of texts is an `ArgumentError`."""
    listed = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    if isinstance(given, str) or not all(isinstance(text, str) for text in listed):
        raise ArgumentError(f"vocabulary={given!r}: expected a list of UniProt accessions, such as plan.vocabulary.")
    return tuple(map(str, listed))


def marker_numbers(plan: Plan, vocabulary: Sequence[str]) -> Int64:
    """Return the position in `vocabulary` of every accession that the plan knows.

    Parameters
    ----------
    plan
        The plan; its channels refer to accessions by code.
    vocabulary
        UniProt accessions, each once. An isoform that is not in it takes the number of its canonical accession.

    Returns
    -------
    int64 array of shape (len(plan.uniprot_ids) + 1,)
        By code; the last entry, which code -1 finds, is -1: a channel without an accession.

    Raises
    ------
    ArgumentError
        If `vocabulary` repeats an accession or lacks one of the delivered channels.
    """
    numbers = {text: number for number, text in enumerate(vocabulary)}
    if len(numbers) != len(vocabulary):
        repeated = sorted({text for text in vocabulary if list(vocabulary).count(text) > 1})
        raise ArgumentError(f"The vocabulary names {', '.join(repeated)} more than once.")
    found = [numbers.get(text, numbers.get(text.split("-")[0], -1)) for text in plan.uniprot_ids]
    result = np.array([*found, -1], np.int64)
    absent = [text for text, number in zip(plan.uniprot_ids, result, strict=False) if number < 0]
    if absent:
        listed = ", ".join(absent[:10]) + (f", ... ({len(absent)} in all)" if len(absent) > 10 else "")
        raise ArgumentError(
            f"The vocabulary of {len(vocabulary)} accessions lacks {listed}, which selected channels carry. "
            "Add them, or deliver only what it names: .channels(names=vocabulary)."
        )
    return result
