"""The eight symmetries of the square: of planes, of points in them and of regions, and how they follow each other.

Number ``k`` is ``k % 4`` quarter turns, counterclockwise as those of ``numpy.rot90``, and for ``k >= 4`` a mirror image
from left to right afterwards.
"""

from collections.abc import Callable
from typing import TypeVar

import torch

Coordinates = TypeVar("Coordinates", int, torch.Tensor)
SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
"""Types that torch cannot move about, and those of the same bits that it can."""


def as_bits(planes: torch.Tensor, move: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return planes that were moved about, of whichever type.

    Examples
    --------
    >>> as_bits(torch.tensor([1, 65535], dtype=torch.uint16), lambda bits: bits.flip(0)).tolist()
    [65535, 1]
    """
    signed = SIGNED.get(planes.dtype)
    return move(planes) if signed is None else move(planes.view(signed)).view(planes.dtype)


def turned(planes: torch.Tensor, number: int) -> torch.Tensor:
    """Return planes of shape (..., H, W) under a symmetry: of shape (..., W, H) after an odd number of turns.

    Examples
    --------
    >>> planes = torch.tensor([[1, 2], [3, 4]])
    >>> turned(planes, 1).tolist(), turned(planes, 5).tolist()
    ([[2, 4], [1, 3]], [[4, 2], [3, 1]])
    """

    def move(bits: torch.Tensor) -> torch.Tensor:
        bits = torch.rot90(bits, number % 4, (-2, -1)) if number % 4 else bits
        return bits.flip(-1) if number >= 4 else bits

    return as_bits(planes, move)


def turned_points(
    row: Coordinates, col: Coordinates, number: int, *, height: int, width: int
) -> tuple[Coordinates, Coordinates]:
    """Return where points of planes of shape (height, width) come to lie: whole numbers are centres of pixels.

    Examples
    --------
    >>> turned_points(0, 2, 1, height=2, width=3)
    (0, 0)
    """
    for _ in range(number % 4):
        row, col, height, width = width - 1 - col, row, width, height
    return (row, width - 1 - col) if number >= 4 else (row, col)


def turned_region(
    row: int, col: int, number: int, *, size: tuple[int, int], height: int, width: int
) -> tuple[int, int, int, int]:
    """Return row, col, height and width of a region of `size` after planes of shape (height, width) were turned.

    Examples
    --------
    >>> turned_region(0, 0, 1, size=(2, 5), height=10, width=20)
    (15, 0, 5, 2)
    """
    first = turned_points(row, col, number, height=height, width=width)
    last = turned_points(row + size[0] - 1, col + size[1] - 1, number, height=height, width=width)
    rows, cols = sorted((first[0], last[0])), sorted((first[1], last[1]))
    return rows[0], cols[0], rows[1] - rows[0] + 1, cols[1] - cols[0] + 1


def after(first: int, second: int) -> int:
    """Return the symmetry that one makes after another.

    Examples
    --------
    >>> after(1, 1), after(4, 1), after(5, 5)
    (2, 7, 0)
    """
    turns = first - second if first >= 4 else first + second
    return turns % 4 + 4 * ((first >= 4) != (second >= 4))


def undone(number: int) -> int:
    """Return the symmetry that takes another back.

    Examples
    --------
    >>> [after(number, undone(number)) for number in range(8)]
    [0, 0, 0, 0, 0, 0, 0, 0]
    """
    return number if number >= 4 else -number % 4
