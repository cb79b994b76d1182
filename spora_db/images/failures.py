"""What libraries raise on broken files. They promise nothing, so the list is what they were seen to raise."""

import lzma
import struct
import zlib
from xml.etree.ElementTree import ParseError

DECODE_FAILURES: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    ParseError,
    RuntimeError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)
