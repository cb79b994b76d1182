"""One pass over an instance mask: how many pixels each label has, where they lie, the sums of rows and columns."""

from spora_db.arrays import Int32, Int64
from spora_db.kernels.compile import kernel


@kernel
def label_sums(mask: Int32, count: Int64, rows: Int64, cols: Int64, box: Int32) -> None:
    """Add to ``count``, ``rows`` and ``cols`` (one entry per label, zero at the start) the pixels of every label > 0.

    ``box`` (labels, 4) becomes their first row, first column, last row and last column.

    Sums are whole numbers, exact up to 2**63. Equal neighbours are added as one run: 17 M pixels of cells 10 pixels
    wide take 0.06 s, and three calls of `numpy.bincount` 7.5 times as long (tests/benchmarks/test_cells.py).
    """
    height, width = mask.shape
    for row in range(height):
        col = 0
        while col < width:
            label = mask[row, col]
            start = col
            while col < width and mask[row, col] == label:
                col += 1
            if label > 0:
                length = col - start
                if count[label] == 0:
                    box[label, 0], box[label, 1], box[label, 3] = row, start, col - 1
                box[label, 1] = min(box[label, 1], start)
                box[label, 2] = row
                box[label, 3] = max(box[label, 3], col - 1)
                count[label] += length
                rows[label] += row * length
                cols[label] += (start + col - 1) * length // 2
