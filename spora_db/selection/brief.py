"""How choices show themselves: by what they say, without what is as by default."""

from dataclasses import fields
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from spora_db.errors import counted

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Brief:
    """A dataclass whose repr leaves out what is as by default: a query has some sixty fields, of which few are set."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the fields that say something."""
        shown = []
        for item in fields(cast("DataclassInstance", self)):
            value = getattr(self, item.name)
            if isinstance(value, pa.Table):
                shown.append(f"{item.name}=<{counted(len(value), 'row')}: {', '.join(value.column_names)}>")
            elif value != item.default:
                shown.append(f"{item.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"
