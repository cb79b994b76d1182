"""The features of a plan's rows: arrays, as they were extracted."""

from dataclasses import dataclass

from spora_db.arrays import AnyArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFeatures:
    """What every row brings along of feature sets.

    Attributes
    ----------
    names
        What samples call them: a set of one column by its name, of several ``<set>.<column>``.
    values
        One array per name, float16 or float32 of shape (rows, dimension), or (rows,) of numbers; NaN where is none.
    """

    names: tuple[str, ...]
    values: tuple[AnyArray, ...]
