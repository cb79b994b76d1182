"""`Batch`: the dict that collates make, which moves to a device and says what it holds."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import torch

from spora_db.loading.movable import Movable

TensorField: TypeAlias = Literal[
    "image", "presence", "marker_index", "cu_seqlens", "statistics", "sample_index",
    "tile_id", "cell_id", "row", "col", "mpp", "substituted_for",
]  # fmt: skip
TextField: TypeAlias = Literal["dataset", "tissue_id", "modality", "spec", "method", "dtype"]
NamesField: TypeAlias = Literal["channel_names", "uniprot_ids"]


class Batch(Movable):
    """Several samples as one: a dict in every respect, whose fields `spora_db.loading.collates` tells.

    Of several modalities it holds a batch for each. ``to(device)`` and ``pin_memory()`` take all tensors along.

    See Also
    --------
    PlanDataset.loader, collate_padded, standardize_batch

    Examples
    --------
    >>> batch = Batch(image=torch.zeros(2, 3, 8, 8), dataset=["a", "b"], row=torch.tensor([0, 8]))
    >>> batch
    Batch of a (1), b (1)
      image: float32 (2, 3, 8, 8)
      dataset: list of 2
      row: int64 (2,)
    >>> batch.to("meta")["image"].device
    device(type='meta')
    """

    if TYPE_CHECKING:  # what editors and checkers know of the fields

        @overload
        def __getitem__(self, name: TensorField, /) -> torch.Tensor: ...
        @overload
        def __getitem__(self, name: TextField, /) -> list[str]: ...
        @overload
        def __getitem__(self, name: NamesField, /) -> list[Any]: ...
        @overload
        def __getitem__(self, name: Literal["masks"], /) -> dict[str, torch.Tensor]: ...
        @overload
        def __getitem__(self, name: Literal["cells"], /) -> list[dict[str, Any]]: ...
        @overload
        def __getitem__(self, name: Literal["max_seqlen"], /) -> int: ...
        @overload
        def __getitem__(self, name: str, /) -> Any: ...  # noqa: ANN401 - a column of the query, a modality
        def __getitem__(self, name: str, /) -> object:
            """Return a field."""

    def __repr__(self) -> str:
        """Return shapes and types in place of pixels, and how many samples are of each cohort."""
        return "\n".join([self._title(), *(f"  {line}" for line in _lines(self))])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, FBT001 - IPython's protocol
        printer.text("Batch(...)" if cycle else repr(self))

    def _title(self) -> str:
        cohorts = self.get("dataset")
        if not isinstance(cohorts, list) or not all(isinstance(name, str) for name in cohorts):
            return "Batch"
        return f"Batch of {', '.join(f'{name} ({count})' for name, count in sorted(Counter(cohorts).items()))}"


def _lines(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for the fields of each kind, then those of each field that is a dict."""
    kinds: dict[str, list[str]] = {}
    for name, value in fields.items():
        if not isinstance(value, Mapping):
            kinds.setdefault(_kind(value), []).append(str(name))
    yield from (f"{', '.join(names)}: {kind}" for kind, names in kinds.items())
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield f"{name}: {value._title()}" if isinstance(value, Batch) else f"{name}:"
            yield from (f"  {line}" for line in _lines(value))


def _kind(value: object) -> str:
    if isinstance(value, torch.Tensor):
        where = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}{where}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value) if isinstance(value, int | float | None) else type(value).__name__
