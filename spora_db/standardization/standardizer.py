"""Standardizers as the published classes use them: applied to loaded planes, returning which channels remain."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spora_db.arrays import Bools
from spora_db.errors import ArgumentError
from spora_db.layout import beneath
from spora_db.standardization.filters import FilterFactory, as_array, as_tensor
from spora_db.standardization.methods import registrations, restore_registrations
from spora_db.standardization.specs import Spec, parse_spec
from spora_db.standardization.standardize import standardize_block
from spora_db.standardization.table_frames import TableFrames
from spora_db.standardization.tables import Statistics, statistics_folder
from spora_db.standardization.usable import kept_channels

_OTHER: Final = "Make another with build_standardizer, and assign that to the dataset."


@dataclass(kw_only=True, eq=False)
class Standardizer(TableFrames):
    """A spec with its tables, to be applied to the planes of any tissue, at any height and width.

    What it reads at every use may be assigned: `use_mean_std`, `disable_quantile_mask`, `filter_factory` and the
    tables, which once asked for as frames are read from these, edits included.

    Parameters
    ----------
    spec
        The standardization.
    folder
        ``<dataset>/<modality>/<mpp>/standardization``; unused for ``identity``.
    channel_names
        The panel, in its order.
    stats_level
        The level of means and standard deviations; None for whichever the folder has.
    use_mean_std
        Whether they are applied.
    disable_quantile_mask
        Keep channels whose statistics cannot standardize them; a warning names them.
    filter_factory
        Filters to run afterwards.
    """

    _settled = dict.fromkeys(
        ("spec", "folder", "channel_names", "stats_level", "name", "method", "quantile_level", "stats_dir",
         "modality_dir", "channels_per_image", "valid_mask_df", "verbose"), _OTHER,
    )  # fmt: skip

    disable_quantile_mask: bool = False
    filter_factory: FilterFactory | None = None

    def __post_init__(self) -> None:
        """Settle what says which standardization this is."""
        self._settle()

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse as filters what is none: they are run fused with reading, not by a method of theirs."""
        if name == "filter_factory" and not isinstance(value, FilterFactory | None):
            raise ArgumentError(
                f"filter_factory must be a FilterFactory or None; got {value!r}. Filters of your own go into the "
                "method apply of a standardizer of your own."
            )
        super().__setattr__(name, value)

    @property
    def choices(self) -> tuple[object, ...] | None:
        """What may be assigned, as values to compare; None where tables are read from frames that may be edited."""
        if self._frames:
            return None
        return self.use_mean_std, self.disable_quantile_mask, self.filter_factory, "apply" in vars(self)

    @property
    def name(self) -> str:
        """The spec as text."""
        return str(self.spec)

    @property
    def method(self) -> str:
        """The spec's method, such as ``"quantile_clipping"``."""
        return self.spec.method

    @property
    def quantile_level(self) -> str | None:
        """The level of the quantiles, ``"image"`` or ``"global"``; None for ``identity``."""
        return self.spec.quantile_level

    def __getstate__(self) -> dict[str, Any]:
        """Hand over a registered function too, so that workers know it, and tables of their own, to a copy too."""
        frames = {kind: frame.copy() for kind, frame in self._frames.items()}
        return {**self.__dict__, "_frames": frames, "_registered": registrations([str(self.spec)])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take everything over, the function first."""
        restore_registrations(state.pop("_registered"))
        self.__dict__.update(state)

    def keep(self, statistics: Statistics, selected: Bools, *, tissue_id: str = "") -> Bools:
        """Return ``selected`` without the channels that cannot be standardized; with them, and a warning, if so asked.

        Parameters
        ----------
        statistics
            Of the channels that ``selected`` stands over.
        selected
            bool array of the same length.
        tissue_id
            For the warning.
        """
        kept = selected & kept_channels(statistics.reasons, disable_quantile_mask=self.disable_quantile_mask)
        lost = kept & ~statistics.usable
        if lost.any():
            names = ", ".join(np.array(statistics.channel_names, dtype=object)[lost])
            message = (
                f"disable_quantile_mask keeps channels of tissue {tissue_id!r} without usable statistics for "
                f"{self.name!r}: {names}. Expect NaN or huge values there."
            )
            warnings.warn(message, RuntimeWarning, stacklevel=3)
        return kept

    def apply(
        self, x: Any, tissue_id: str, measured_mask: npt.ArrayLike,  # noqa: ANN401
        selected_mask: npt.ArrayLike | None = None, *, image_loading_mask: npt.ArrayLike | None = None,
    ) -> tuple[Any, Bools]:  # fmt: skip
        """Standardize loaded planes and leave out the channels that cannot be.

        Parameters
        ----------
        x
            Array or tensor of shape (k, H, W), any H and W: the planes that ``selected_mask`` selects.
        tissue_id
            The tissue they are from.
        measured_mask
            bool of shape (panel,): the channels measured in this tissue.
        selected_mask
            bool with k true entries, over the measured channels or over the whole panel.
        image_loading_mask
            The same by its name in a :class:`MultiplexTissue`; one of the two is given.

        Returns
        -------
        image
            float32 tensor of shape (k', H, W), k' <= k, on the device of ``x``.
        mask
            ``selected_mask`` without the channels left out.

        Raises
        ------
        ArgumentError
            If the masks and planes do not fit together.
        StatisticsNotFoundError
            If the tables lack the tissue or a channel.
        """
        if (selected_mask is None) == (image_loading_mask is None):
            raise ArgumentError(
                "Give selected_mask, or the same as image_loading_mask: the channels that the planes of x are of."
            )
        chosen = image_loading_mask if selected_mask is None else selected_mask
        measured, selected = np.asarray(measured_mask, dtype=bool), np.asarray(chosen, dtype=bool)
        planes = as_array(x)
        count = int(measured.sum())
        if measured.shape != (len(self.channel_names),) or selected.shape not in ((count,), measured.shape):
            raise ArgumentError(
                f"Masks of tissue {tissue_id!r} do not fit: measured_mask {measured.shape} must be over the "
                f"{len(self.channel_names)} channels of the panel, selected_mask {selected.shape} over the panel "
                f"or over the {count} measured channels."
            )
        if planes.ndim != 3 or planes.shape[0] != selected.sum():
            raise ArgumentError(
                f"x of tissue {tissue_id!r} must be (channels, height, width) with the {int(selected.sum())} planes "
                f"that selected_mask selects; got {planes.shape}."
            )
        over = measured if len(selected) == count else np.ones_like(measured)
        statistics = self.statistics(tissue_id, over)
        refined = self.keep(statistics, selected, tissue_id=tissue_id)
        transform = statistics.transform().take(refined)
        kept = planes if refined.sum() == len(planes) else planes[refined[selected]]
        out = np.empty(kept.shape, np.float32)
        standardize_block(kept, out, transform, np.arange(len(kept)))
        if self.filter_factory is not None:
            self.filter_factory.apply_in_place(out)
        return as_tensor(out, like=x), refined


def build_standardizer(
    *,
    standardization: str | Spec,
    modality_dir: str | Path,
    channels_per_image: Any,  # noqa: ANN401
    disable_quantile_mask: bool = False,
    filter_factory: FilterFactory | None = None,
    quantile_level: str | None = None,
    stats_level: str | None = None,
    use_mean_std: bool = True,
    verbose: bool = True,
) -> Standardizer:
    """Return the standardizer of a spec for one modality at one resolution.

    Parameters
    ----------
    standardization
        ``"identity"`` or a spec such as ``"quantile_clipping/uq_0.99_image"``.
    modality_dir
        ``<dataset>/<modality>/<mpp>``, the folder with ``standardization/`` in it; of layers see `layout.beneath`.
    channels_per_image
        The panel: a DataFrame with a column per channel, or the names.
    disable_quantile_mask
        Keep every channel; a warning names those without usable statistics.
    filter_factory
        Filters to run afterwards.
    quantile_level
        The level of the quantiles; only needed where the spec does not say it.
    stats_level
        The level of means and standard deviations; None for whichever the folder has.
    use_mean_std
        Whether they are applied.
    verbose
        Whether the choice is logged.

    Returns
    -------
    Standardizer

    Raises
    ------
    StatisticsNotFoundError
        If the folder of the spec is absent.

    See Also
    --------
    register_standardizer, SporaQuery.standardize

    Examples
    --------
    >>> import numpy as np
    >>> panel = ["CD3", "CD8"]
    >>> standardizer = build_standardizer(standardization="identity", modality_dir=".", channels_per_image=panel)
    >>> image, mask = standardizer.apply(np.ones((1, 2, 2), np.uint8), "tissue", [True, True], [False, True])
    >>> image.dtype, mask
    (torch.float32, array([False,  True]))
    """
    spec = parse_spec(standardization, quantile_level=quantile_level)
    folder = beneath(modality_dir, "standardization")
    names: Iterable[Any] = getattr(channels_per_image, "columns", channels_per_image)
    if spec.needs_statistics:
        statistics_folder(folder, spec)
    elif spec.method != "identity":
        raise ArgumentError(
            f"{str(spec)!r} standardizes RGB images; use spora_db.standardization.transform.rgb_transform for those."
        )
    if verbose:
        import logging

        logging.getLogger(__name__).info("standardization %s from %s", spec, folder)
    return Standardizer(
        spec=spec, folder=folder, channel_names=tuple(str(name) for name in names), stats_level=stats_level,
        use_mean_std=use_mean_std, disable_quantile_mask=disable_quantile_mask, filter_factory=filter_factory,
    )  # fmt: skip
