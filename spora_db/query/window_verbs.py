"""Verbs for dense inference: windows that cover whole tissues, whether these are tiled or not."""

from typing import Self

from spora_db.errors import ArgumentError
from spora_db.query.question import Question
from spora_db.selection import WindowChoice, WindowPadding
from spora_db.selection.arguments import checked_choice, checked_mpp, checked_whole


class WindowVerbs(Question):
    """How `SporaQuery` covers tissues with windows; every verb returns a new query."""

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
