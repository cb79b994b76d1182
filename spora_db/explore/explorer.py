"""What the routes stand on, put together for one lake."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from spora_db.arrays import Int64
from spora_db.asking import Completer
from spora_db.catalog import Catalog
from spora_db.explore import selections
from spora_db.explore.images import ShownImages
from spora_db.explore.points import surrounded
from spora_db.explore.queries import Queries
from spora_db.explore.requests import text_of, whole_numbers
from spora_db.explore.tags import Tags
from spora_db.layout import LakePath

_FEATURES: Final = """
    SELECT name, any_value(grain) AS grain, any_value(modalities) AS modalities, any_value(columns) AS columns
    FROM features WHERE state = 'complete' GROUP BY name ORDER BY name
"""


class LookedAt:
    """What the routes of images stand on: the lake's catalog, and its images."""

    def __init__(self, lake: LakePath) -> None:
        self.catalog = Catalog(lake, threads=1)
        self.images = ShownImages(self.catalog)

    def close(self) -> None:
        """Close the catalog."""
        self.catalog.close()


class Explorer(LookedAt):
    """What all routes stand on: the lake's catalog for names and completions, its images, the queries.

    Parameters
    ----------
    lake
        The lake.
    write
        The folder that selections may be saved into, None where the page only reads.
    """

    def __init__(self, lake: Path, *, write: Path | None) -> None:
        super().__init__(lake)
        self.lake = self.catalog.lake
        self.write = write
        self.queries = Queries(self.lake)
        self.tags = Tags(self.lake)
        self.completer = Completer(self.catalog, lambda: {})

    def features(self) -> list[dict[str, Any]]:
        """Return the feature sets of the lake: name, grain, what the model saw, names of vectors and numbers."""
        found: list[dict[str, Any]] = self.catalog._run(_FEATURES).to_arrow_table().to_pylist()
        return found

    def close(self) -> None:
        """End what runs, and close the catalog."""
        self.queries.close()
        super().close()

    def numbers(self, asked: Mapping[str, Any]) -> Int64 | None:
        """Return the rows that a request names: listed, under a pixel, inside a lasso, with a tag, or None for all.

        A lasso is drawn on an image (``key``), or on points of two columns (``columns``).
        """
        if "of_tag" in asked:
            return self.tags.among(self.queries.answer(text_of(asked, "query")), text_of(asked, "of_tag"))
        if "at" in asked:
            answer, at = self.queries.answer(text_of(asked, "query")), whole_numbers(asked, "at", count=2)
            return selections.under(self.images, answer, key=text_of(asked, "key"), at=at)
        if "polygon" in asked:
            answer, polygon = self.queries.answer(text_of(asked, "query")), asked["polygon"]
            if "key" in asked:
                return selections.lassoed(self.images, answer, key=text_of(asked, "key"), polygon=polygon)
            return surrounded(answer, *whole_numbers(asked, "columns", count=2).tolist(), polygon=polygon)
        return None if asked.get("rows") is None else whole_numbers(asked, "rows")
