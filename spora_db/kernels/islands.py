"""Islands of a mask: pixels that touch along an edge, and how many there are of each."""

from spora_db.arrays import Bools, Int32
from spora_db.kernels.compile import kernel


@kernel
def island_sizes(mask: Bools, parent: Int32, size: Int32) -> None:
    """Write into ``size`` (h * w, zero at the start) at every pixel of a mask how many its island has.

    Islands are joined by union-find (Tarjan 1975): ``parent`` (h * w) leads from each pixel to the first of its island.
    """
    height, width = mask.shape
    for row in range(height):
        for col in range(width):
            if not mask[row, col]:
                continue
            here = row * width + col
            parent[here] = here
            for step in range(2):
                if (step == 0 and (col == 0 or not mask[row, col - 1])) or (
                    step == 1 and (row == 0 or not mask[row - 1, col])
                ):
                    continue
                one, other = here, here - (1 if step == 0 else width)
                while parent[one] != one:
                    parent[one] = parent[parent[one]]
                    one = parent[one]
                while parent[other] != other:
                    parent[other] = parent[parent[other]]
                    other = parent[other]
                parent[max(one, other)] = min(one, other)
    for here in range(height * width):
        if mask[here // width, here % width]:
            root = here
            while parent[root] != root:
                root = parent[root]
            parent[here] = root
            size[root] += 1
    for here in range(height * width):
        if mask[here // width, here % width]:
            size[here] = size[parent[here]]
