"""When to decode no more of a segment than the rows that are needed."""


class Reuse:
    """Whether segments that are kept are asked for again: the share of late requests for what was kept.

    Where they are, as in locality order or with a cache that holds the images, a segment is decoded whole, once. Where
    they are not, as in random order over large images, it is decoded as far as it is needed. A part counts as kept
    too, so that the share follows the order in either case. It begins with 1.

    Examples
    --------
    >>> reuse = Reuse()
    >>> for _ in range(100):
    ...     reuse.note(kept=False)
    >>> reuse.pays
    False
    """

    MEMORY = 32
    """Requests over which the mean goes, about: those of ten tiles."""
    LEAST = 1 / 8
    """Of large tiles, a fifth of the segments is shared with the neighbour."""

    def __init__(self) -> None:
        self.share = 1.0

    def note(self, *, kept: bool) -> None:
        """Take a request into account."""
        self.share += (kept - self.share) / self.MEMORY

    @property
    def pays(self) -> bool:
        """Whether segments are asked for again."""
        return self.share >= self.LEAST
