"""Verbs for squares that need no tiling: windows that cover whole tissues, and squares around cells."""

from typing import Self

from spora_db.errors import ArgumentError
from spora_db.query.question import Question
from spora_db.selection import CellSource, WindowChoice, WindowPadding
from spora_db.selection.arguments import checked_choice, checked_mpp, checked_whole
from spora_db.selection.cells import checked_source


class WindowVerbs(Question):
    """How `SporaQuery` takes squares of tissues, tiled or not; every verb returns a new query."""

    __slots__ = ()

    def windows(
        self,
        *,
        size: int,
        stride: int | None = None,
        mpp: float | str | None = None,
        padding: WindowPadding = "end",
    ) -> Self:
        """Ask for windows at even distances over whole tissues instead of tiles; no tile table is needed.

        Rows are like those of `tiles`: ``tile_id`` counts the windows of a tissue row by row from the top left, ``row``
        and ``col`` are the top-left corner in pixels, ``strategy`` says stride and padding. Conditions and `select`
        know the columns of `tissues` and the regions that windows lie in. Every pixel lies in a window; what lies
        beyond the image holds zeros. `assemble` makes maps of what a model says of windows.

        The sizes of images come from ``spora-db index``, or are read from their headers whenever the query is asked.

        Parameters
        ----------
        size
            Height and width of a window in pixels.
        stride
            Pixels from one window to the next, at most `size`; by default `size`: windows that do not overlap.
        mpp
            Resolution in microns per pixel, as a number or a folder name; may be left out where there is one only.
        padding
            ``"end"``: the first window lies in the corner of the image, the last ones end at its edges or beyond.
            ``"around"``: the first begins ``(size - stride) // 2`` pixels before the image, so that every pixel lies in
            the middle square, of `stride` pixels, of one window.

        Raises
        ------
        ArgumentError
            If `stride` is larger than `size`: pixels would lie between windows.

        See Also
        --------
        SporaQuery.tiles, SporaQuery.assemble

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").windows(size=64, stride=48, padding="around")
        >>> query.head(2)[["tile_id", "row", "col"]].values.tolist()
        [[0, -8, -8], [1, -8, 40]]
        >>> query.to_torch()[0]["image"].shape
        torch.Size([20, 64, 64])
        """
        side = checked_whole(size, at="windows(size=", of="pixels")
        step = side if stride is None else checked_whole(stride, at="windows(stride=", of="pixels")
        if step > side:
            raise ArgumentError(
                f"windows(size={side}, stride={step}): expected a stride of at most {side} pixels; with a larger one, "
                "pixels lie between windows and in none of them."
            )
        options: tuple[WindowPadding, ...] = ("end", "around")
        where = checked_choice(padding, options=options, kind="choice of padding=")
        return self._with(
            unit="tile",
            tile_size=side,
            mpp=checked_mpp(mpp),
            strategy=None,
            windows=WindowChoice(stride=step, padding=where),
        )

    def cells(self, *, size: int, mpp: float | str | None = None, source: CellSource | None = None) -> Self:
        """Ask for cells instead of tiles: one row per cell, a tile of `size` pixels around its centroid.

        Rows carry ``cell_id`` and the tile's top-left corner: ``row`` is the centroid, rounded (halves up), minus
        ``size // 2``. A tile that crosses the image's edge holds zeros there; ``row`` and ``col`` may be negative.
        Conditions and `select` know the columns of `cells` and `tissues`; of two of one name, the tissue's is called
        ``tissue_<name>`` (but ``split``, ``patient_id``, ``specimen_id`` are the tissue's). ``region_class`` is the
        class of the smallest region that holds the centroid, ``region_classes`` are those of all that do.

        Centroids are pixels of the resolution asked for. They come from the cells table where it has the columns
        ``centroid_row, centroid_col`` (or ``centroid-0, centroid-1``; ``centroid_0, centroid_1``; ``Pos_Y, Pos_X``;
        ``Y_centroid, X_centroid``; ``Location_Center_Y, Location_Center_X``; ``row, col``) and the images of the
        dataset have one resolution; a dataset takes the first pair that it has, and two that contradict each other are
        an error, but for ``row, col``, which may be a core's place on its slide. Else `plan` and `to_torch` measure
        centroids in the instance masks, which are read once for all selected tissues (progress is logged); until then,
        ``row`` and ``col`` are NULL in `sql` and `df`, and conditions on them are an error there. Where a table places
        cells and tissues have instance masks, `plan` compares the two, as far as 67 million pixels of masks go (what is
        left is logged; ``spora-db validate --deep`` compares all).

        Parameters
        ----------
        size
            Height and width of the tile in pixels.
        mpp
            Resolution in microns per pixel, as a number or a folder name; may be left out where there is one only.
        source
            What says which cells there are: the cells ``"table"``, or the labels of the instance ``"masks"``. By
            default the table where any dataset has one; a dataset without one then contributes no rows.

        Raises
        ------
        ArgumentError
            A size or a resolution that cannot be.

        See Also
        --------
        SporaQuery.tiles, SporaQuery.tissues, SporaQuery.with_cells

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> cells = SporaQuery("lake").modality("imc").cells(size=32, mpp=1.0).where("cell_type = 'B cell'")
        >>> cells.head(1)[["tissue_id", "row", "col"]].shape
        (1, 3)
        """
        return self._with(
            unit="cell",
            tile_size=checked_whole(size, at="cells(size=", of="pixels"),
            mpp=checked_mpp(mpp),
            strategy=None,
            windows=None,
            cell_source=checked_source(source),
        )
