"""How ``copy``, ``export`` and ``extract`` are told which rows: by a lock, a file of SQL, or conditions."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spora_db.errors import ArgumentError

if TYPE_CHECKING:
    from spora_db.query import SporaQuery

LockOption = Annotated[
    Path | None, typer.Option("--lock", help="The query of this lock, which has to hold.", show_default=False)
]
SqlOption = Annotated[
    Path | None,
    typer.Option(
        "--query",
        help="The rows of the SELECT in this file (as from_sql takes it).",
        show_default=False,
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", help="Rows for which this holds; several add up.", show_default=False),
]
ModalityOption = Annotated[
    list[str] | None, typer.Option("--modality", help="A modality; several are read together.", show_default=False)
]
TileSizeOption = Annotated[
    int | None, typer.Option("--tile-size", help="Tiles of this size; default: whole tissues.", show_default=False)
]
MppOption = Annotated[
    str | None, typer.Option("--mpp", help="Resolution in microns per pixel, such as 1.0.", show_default=False)
]
StandardizeOption = Annotated[
    str | None, typer.Option("--standardize", help="Specs such as quantile_clipping/uq_0.99_image.", show_default=False)
]
LimitOption = Annotated[int | None, typer.Option("--limit", help="The first rows only.", show_default=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRows:
    """What the options say."""

    lock: Path | None
    sql: Path | None
    where: list[str] | None
    modality: list[str] | None
    tile_size: int | None
    mpp: str | None
    standardize: str | None
    limit: int | None

    def query(self, lake: Path) -> "SporaQuery":
        """Return the query.

        Raises
        ------
        ArgumentError
            If the options contradict each other, or say nothing.
        """
        from spora_db.query import SporaQuery

        others = (self.sql, self.where, self.modality, self.tile_size, self.mpp, self.standardize)
        if self.lock is not None:
            if any(option is not None for option in others):
                raise ArgumentError("--lock says all that is asked for; leave out --query, --where, --modality, ...")
            found = SporaQuery.from_lock(self.lock, lake)
        elif not self.modality:
            raise ArgumentError("Say which rows: --lock FILE, or --modality with --mpp and --tile-size, and --where.")
        else:
            found = self._verbs(SporaQuery(lake) if self.sql is None else query_in(self.sql, lake))
        return found if self.limit is None else found.limit(self.limit)

    def _verbs(self, query: "SporaQuery") -> "SporaQuery":
        query = query.modality(*self.modality or ())
        if self.tile_size is None:
            query = query.tissues(mpp=self.mpp)
        else:
            query = query.tiles(size=self.tile_size, mpp=self.mpp)
        for condition in self.where or ():
            query = query.where(condition)
        return query if self.standardize is None else query.standardize(self.standardize)


def query_in(path: Path, lake: Path) -> "SporaQuery":
    """Return the query of the SELECT in a file.

    Raises
    ------
    ArgumentError
        If the file cannot be read.
    """
    from spora_db.query import SporaQuery

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ArgumentError(f"--query {path} cannot be read: {error}. Give a file with one SELECT.") from error
    return SporaQuery.from_sql(lake, text.strip().rstrip(";"))
