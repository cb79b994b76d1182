"""numba loops: typed arrays in, ``out`` filled; checks live in the callers."""
