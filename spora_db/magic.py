"""SQL in notebooks: ``%load_ext spora_db.magic``, then ``%%spora cohort`` above a SELECT.

``%spora_lake PATH`` chooses the lake; without it, the environment variable SPORA_DATASETS_DIR names one. ``%%spora
name`` shows the answer as a DataFrame, and sets ``name_df`` to it and ``name`` to the query of its rows, ready for
``name.modality("imc").tiles(size=128).to_torch()``. ``%spora SELECT ...`` answers a SELECT of one line.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class

from spora_db.asking.no_rows import warn_of_no_rows
from spora_db.catalog import Catalog
from spora_db.errors import SporaError
from spora_db.layout import LAKE_VARIABLE
from spora_db.query import SporaQuery

if TYPE_CHECKING:
    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell

IDENTITY = ("dataset", "tissue_id")


@magics_class
class SporaMagics(Magics):  # type: ignore[misc, unused-ignore]
    """The commands ``%%spora`` and ``%spora_lake`` of one notebook."""

    lake: str | None = None

    @line_magic  # type: ignore[untyped-decorator, unused-ignore]
    def spora_lake(self, line: str) -> None:
        """Choose the lake, ``%spora_lake PATH``; without a path, say which one it is."""
        if line.strip():
            path = str(Path(line.strip().strip("'\"")).expanduser())
            try:
                with Catalog(path):
                    self.lake = path
            except SporaError as error:
                raise UsageError(str(error)) from None
        sys.stdout.write(f"lake: {self._lake()}\n")

    @line_cell_magic  # type: ignore[untyped-decorator, unused-ignore]
    def spora(self, line: str, cell: str | None = None) -> "pd.DataFrame":
        """Answer a SELECT over the lake's relations: ``%%spora name`` above it, or ``%spora SELECT ...``."""
        name, text = (line.strip(), cell) if cell is not None else ("", line)
        if name and not name.isidentifier():
            raise UsageError(f"%%spora {name}: expected the name of a variable, such as %%spora cohort.")
        lake = self._lake()
        try:
            with Catalog(lake) as catalog:
                answer = catalog.sql(text)
                frame = answer.df()
                if len(frame) < 2:
                    warn_of_no_rows(catalog, text, answer.to_arrow_table())
        except SporaError as error:
            raise UsageError(str(error)) from None
        if name:
            self._keep(name, frame, lake=lake, text=text)
        return frame

    def _keep(self, name: str, frame: "pd.DataFrame", *, lake: str, text: str) -> None:
        """Set the variables; without the identity columns there is no query, and none of an earlier run stays."""
        assert self.shell is not None
        variables = self.shell.user_ns
        variables[f"{name}_df"] = frame
        absent = [column for column in IDENTITY if column not in frame.columns]
        if absent:
            variables.pop(name, None)
            sys.stdout.write(
                f"{name}_df is set; {name}, the query, needs the column{'s' * (len(absent) > 1)} {', '.join(absent)}.\n"
            )
        else:
            variables[name] = SporaQuery.from_sql(lake, text)

    def _lake(self) -> str:
        lake = self.lake or os.environ.get(LAKE_VARIABLE)
        if not lake:
            raise UsageError(
                f"No lake chosen. Either: %spora_lake PATH, or set {LAKE_VARIABLE} before starting Jupyter."
            )
        return lake


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Register the commands: what ``%load_ext spora_db.magic`` calls.

    Parameters
    ----------
    shell
        The running IPython.
    """
    shell.register_magics(SporaMagics)
