"""Raw pixels with the numbers of their formula, for standardization on the device."""

from typing import Any

import torch

from spora_db.errors import ArgumentError
from spora_db.layout.names import is_rgb
from spora_db.plan import Plan
from spora_db.standardization.methods import BUILT_IN
from spora_db.standardization.precision import Precision
from spora_db.standardization.transform import Transform


def check_device_formula(plan: Plan) -> None:
    """Refuse plans whose standardization is not a formula that runs on a device.

    Raises
    ------
    ArgumentError
        If the plan names filters or a registered method.
    """
    choice = plan.standardization
    if choice.filters:
        names = ", ".join(name for name, _ in choice.filters)
        raise ArgumentError(
            f"standardize_on='device' does not run filters ({names}). Leave them out, or standardize on the CPU."
        )
    for modality in {name for alternatives in plan.modalities for name in alternatives if not is_rgb(name)}:
        method = choice.parsed(modality).method
        if method not in (*BUILT_IN, "identity"):
            raise ArgumentError(
                f"standardize_on='device' knows identity, {' and '.join(BUILT_IN)}; {modality} uses the registered "
                f"method {method!r}. Standardize on the CPU."
            )


def statistics(transform: Transform, *, precision: Precision = "float32") -> dict[str, Any]:
    """Return what `standardize_batch` takes beside raw pixels.

    Returns
    -------
    dict
        ``statistics`` (float32 tensor of shape (C, 4)) and ``method``, as `apply_formula` takes them, and ``dtype``,
        the precision to round to.
    """
    return {
        "statistics": torch.from_numpy(transform.coefficients.copy()),
        "method": transform.method,
        "dtype": precision,
    }
