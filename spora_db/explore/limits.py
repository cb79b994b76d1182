"""What one page may ask for: each limit once, for the server and for its messages."""

from typing import Final

BODY_BYTES: Final = 2**20
"""Bytes of a request."""
MOST_ROWS: Final = 5_000_000
"""Rows of an answer that are kept; the page says where there are more."""
PAGE_ROWS: Final = 500
"""Rows that are given at a time."""
CELL_LETTERS: Final = 2_000
"""Letters of a cell that are given; a file has all of them."""
RUNNING: Final = 3
"""Queries that run at a time."""
KEPT: Final = 12
"""Answers that are kept; the oldest goes first."""
QUERY_SECONDS: Final = 600.0
"""How long a query may run."""
QUERY_BYTES: Final = 2**30
"""Bytes of memory that a query may take in DuckDB; what its process may take besides, as much again."""
CHANNELS: Final = 8
"""Channels that are shown at a time."""
TILE: Final = 512
"""Pixels of a side of the pieces in which levels are given."""
THUMBS: Final = 24
"""Rows whose pictures are given at a time."""
THUMB: Final = 192
"""Pixels of a side of such a picture, at most."""
SAMPLED: Final = 2**22
"""Pixels of a channel, at full size, from which its contrast is taken."""
OUTLINES: Final = 50_000
"""Tiles or lines of outlines that are given for an image."""
POINTS: Final = 500_000
"""Points that are given of two columns; of more rows every second, third, ..."""
NEAREST: Final = 1_000
"""Rows that are most like one, at most."""
LISTED: Final = 200
"""Rows that are written out in the code of a selection."""
SELECTED: Final = 100_000
"""Rows of a selection that is made by hand."""
