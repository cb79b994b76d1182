"""Standardization on the device that trains: the formula of the CPU path, on batches of raw pixels."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch

from spora_db.errors import ArgumentError
from spora_db.layout.names import is_rgb
from spora_db.loading.batch import Batch
from spora_db.loading.movable import moved
from spora_db.plan import Plan
from spora_db.selection.arguments import wrong
from spora_db.standardization.methods import BUILT_IN

AnyBatch = TypeVar("AnyBatch", Batch, dict[str, Any], Sequence[dict[str, Any]])


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


def standardize_batch(batch: AnyBatch, device: torch.device | str) -> AnyBatch:
    """Move a batch of raw pixels to a device and standardize it there.

    The values are those of the CPU path to 1e-5, computed in float32 and rounded once, to the dataset's dtype; what
    crosses the bus is the file's own type (uint8, uint16, float32).

    Parameters
    ----------
    batch
        What a collate made of a dataset with ``standardize_on="device"``: padded, packed, of a fixed panel, a list of
        samples, or any of these by modality.
    device
        Such as ``"cuda"``.

    Returns
    -------
    Batch, dict or list
        The batch with ``image`` in the dtype that `to_torch` was given (float32 in a batch of several, or of none),
        without ``statistics``, ``method`` and ``dtype``; all tensors on the device.

    Raises
    ------
    ArgumentError
        If it is no batch, or one without statistics.

    See Also
    --------
    SporaQuery.to_torch, Batch.to

    Examples
    --------
    >>> sample = {
    ...     "image": torch.tensor([[[0, 4, 9]]], dtype=torch.uint8),
    ...     "statistics": torch.tensor([[0.0, 8.0, 0.125, -0.5]]),
    ...     "method": "quantile_clipping",
    ...     "dtype": "float16",
    ... }
    >>> standardize_batch(sample, "cpu")["image"].tolist()
    [[[-0.5, 0.0, 0.5]]]
    """
    if not isinstance(batch, dict | Sequence):
        raise wrong(batch, at="standardize_batch(", expected="a batch, or a list of samples")
    there: Any = moved(_listed(batch), device, non_blocking=True)  # its dicts are new ones
    _standardize(there)
    found: AnyBatch = there
    return found


def _listed(batch: Any) -> Any:  # noqa: ANN401 - a dict, or a sequence of some
    return batch if isinstance(batch, dict) else list(batch)


def _standardize(fields: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Standardize the image in a dict, or in each part of a list or by modality, in place."""
    if isinstance(fields, list) or "image" not in fields:
        parts = fields if isinstance(fields, list) else fields.values()
        for part in parts:
            if isinstance(part, dict):
                _standardize(part)
        return
    if "statistics" not in fields:
        raise ArgumentError("The batch has no statistics. Make its dataset with .to_torch(standardize_on='device').")
    statistics, methods = fields.pop("statistics"), _texts(fields.pop("method"))
    dtypes = set(_texts(fields.pop("dtype", "float32")))
    if len(set(methods)) == 1:
        fields["image"] = apply_formula(fields["image"], statistics, methods[0])
    else:
        fields["image"] = _mixed(fields["image"], statistics, methods, fields.get("cu_seqlens"))
    if len(dtypes) == 1:
        fields["image"] = fields["image"].to(getattr(torch, dtypes.pop()))


def _texts(value: str | Sequence[str]) -> list[str]:
    """Return the texts of a batch, or that of a sample."""
    return [value] if isinstance(value, str) else list(value)


def _mixed(
    image: torch.Tensor, statistics: torch.Tensor, methods: Sequence[str], cu_seqlens: torch.Tensor | None
) -> torch.Tensor:
    """Standardize a batch whose samples use several methods, one method after the other."""
    image = image.to(torch.float32)
    result = torch.empty_like(image)
    lengths = [1] * len(methods) if cu_seqlens is None else cu_seqlens.diff().tolist()
    owner = [method for method, length in zip(methods, lengths, strict=True) for _ in range(length)]
    for method in dict.fromkeys(methods):
        own = torch.tensor([item == method for item in owner], device=image.device)
        result[own] = apply_formula(image[own], statistics[own], method)
    return result


def apply_formula(image: torch.Tensor, statistics: torch.Tensor, method: str) -> torch.Tensor:
    """Return ``(f(clip(x, lower, upper)) - lower) * scale + offset`` of raw pixels.

    Parameters
    ----------
    image
        Raw pixels of shape (..., H, W).
    statistics
        float32 tensor of shape (..., 4): lower, upper, scale, offset of each plane.
    method
        The sample's method: for ``"identity"`` pixels are only converted; for ``"quantile_clipping_log1p"`` f is log1p
        and lower is not subtracted.

    Returns
    -------
    float32 tensor of the image's shape
    """
    pixels = image.to(torch.float32)
    if method == "identity":
        return pixels
    lower, upper, scale, offset = statistics[..., None, None].unbind(-3)
    clipped = torch.clamp(pixels, lower, upper)
    if method == "quantile_clipping_log1p":
        return clipped.log1p_().mul_(scale).add_(offset)
    return clipped.sub_(lower).mul_(scale).add_(offset)
