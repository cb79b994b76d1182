"""Answers of a query that are looked at: its images in a notebook."""

from typing import TYPE_CHECKING

from spora_db.errors import need
from spora_db.query.row_answers import RowAnswers
from spora_db.selection.arguments import checked_whole

if TYPE_CHECKING:
    from spora_db.explore.widget import LakeViewer


class Looks(RowAnswers):
    """What a `SporaQuery` shows."""

    __slots__ = ()

    def view(self, tissue_id: str | None = None, *, dataset: str | None = None, height: int = 480) -> "LakeViewer":
        """Look at the images of the rows in a notebook: zoom, choose channels and contrast, outline the query's tiles.

        It is the viewer of ``spora-db explore``. Pixels are raw, and read as far as they are seen; they come as
        messages of Jupyter, so that no port is opened and a remote notebook shows them too.

        Parameters
        ----------
        tissue_id, dataset
            The tissue that is shown first; by default the first of the rows. The others are listed beside it.
        height
            Of the viewer, in CSS pixels.

        Returns
        -------
        LakeViewer
            A widget, which notebooks show. It lets go of the lake once it is shown no more, as when its cell is run
            again; ``close()`` ends it.

        Raises
        ------
        MissingExtraError
            If the extra is not installed: ``pip install "spora-db[widget]"``.
        QueryError
            If the query selects no rows.
        UnknownNameError
            If it selects no such tissue or dataset.
        ArgumentError
            If the height is no whole number of at least 100.

        See Also
        --------
        plot.tissue, plot.contact_sheet, SporaQuery.head

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> viewer = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).view("lung_imc_l001_0001")
        >>> viewer.height
        480
        >>> viewer.close()
        """
        for module in ("anywidget", "starlette"):
            need(module, extra="widget", what="view()", instead="Without it: spora_db.plot.tissue(query, tissue_id).")
        from spora_db.explore.widget import LakeViewer

        pixels = checked_whole(height, at="view(height=", of="pixels", least=100)
        return LakeViewer(self, tissue_id, dataset=dataset, height=pixels)
