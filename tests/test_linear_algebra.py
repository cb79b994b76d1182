"""Kernels start without scipy's linear algebra; a user's kernel that needs it has it."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import numba
import numpy as np
import spora_db.kernels.cells
kernel = numba.njit(lambda values: values + 1)
assert kernel(np.ones(3))[0] == 2
print("scipy.linalg" in sys.modules)
product = numba.njit(lambda values: values @ values)
print(product(np.full((2, 2), 3.0)).tolist(), "scipy.linalg" in sys.modules)
"""


def test_scipy_is_imported_by_the_kernel_that_uses_it() -> None:
    pytest.importorskip("scipy.linalg")
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["False", "[[18.0, 18.0], [18.0, 18.0]] True"]
