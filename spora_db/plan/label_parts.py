"""The labels of a plan: a code or a number per row."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from spora_db.arrays import Float32, Int32
from spora_db.files.arrow_arrays import arrow_array, arrow_scalar
from spora_db.selection import ClassName


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLabels:
    """The labels of a plan's rows.

    Attributes
    ----------
    names
        What samples call them.
    values
        One array of shape (rows,) per name: int32 codes (-1 where there is no label), or float32 numbers (then NaN).
    classes
        Per name the classes that its codes stand for, or None for numbers.
    """

    names: tuple[str, ...]
    values: tuple[Int32 | Float32, ...]
    classes: tuple[tuple[ClassName, ...] | None, ...]

    def of(self, name: str) -> Int32 | Float32:
        """Return the codes or numbers of a label, row by row."""
        return self.values[self.names.index(name)]

    def column(self, name: str) -> pa.Array:
        """Return a label as the lake has it: classes (a dictionary array) or numbers; null where there is none."""
        values, classes = self.of(name), self.classes_of.get(name)
        kind = pa.float32() if classes is None else pa.int32()
        whole = arrow_array(values)
        absent = pc.is_nan(whole) if classes is None else pc.less(whole, arrow_scalar(0, kind))
        known = pc.if_else(absent, pa.nulls(1, kind)[0], whole)
        return known if classes is None else pa.DictionaryArray.from_arrays(known, _named(classes))

    @property
    def classes_of(self) -> Mapping[str, tuple[ClassName, ...]]:
        """The classes of every label that has some, by name; a code is a position in them."""
        return {name: classes for name, classes in zip(self.names, self.classes, strict=True) if classes is not None}


def _named(classes: tuple[ClassName, ...]) -> pa.Array:
    kinds = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}
    return arrow_array(classes, kinds[type(classes[0])]) if classes else pa.nulls(0)
