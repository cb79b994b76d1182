"""Statistics of a cohort, in rounds of one unit per tissue: exact, streaming, the same whatever the order of work.

1. A *unit* is one tissue: its image, its mask and the page of each channel.
2. A *round* says what is computed of every tissue; ``run_unit(unit, plan=, stage=)`` gives a *partial*: arrays, JSON.
3. ``Rounds(plan).fold(partials)`` folds all partials into the next round, or into the result.

Image-level quantiles take one round. Global quantiles take one round for integers of 8 and 16 bits, and two for others:
a sample, then one pass over all pixels (see `brackets`). Channels that these miss take three more for float32, each of
their pixels alone: the leading 16 bits of the keys around each quantile, the other 16 bits, the moments. So do all
channels of images of several dtypes, as values of a dtype that holds them all.
"""

import json
import logging
from typing import TYPE_CHECKING, Final

import numpy as np

from spora_db.arrays import AnyArray, Bools, Float64, Int64
from spora_db.errors import ArgumentError, FileFormatError
from spora_db.statistics.brackets import BracketPass, sample
from spora_db.statistics.masked_pixels import masked_values
from spora_db.statistics.moments import Moments
from spora_db.statistics.plan import Partial, Round, StatisticsPlan, StatisticsUnit
from spora_db.statistics.rounds import pack_counts, search_of
from spora_db.statistics.tissue import (
    check_mask,
    digit_counts,
    is_small,
    odd_pixels,
    spread,
    spread_moments,
    tissue_moments,
    tissue_statistics,
    value_counts,
)

if TYPE_CHECKING:
    from spora_db.images.base import ImageReader


KEPT_SHARE: Final = 4
"""Of what may be held at once, pixels inside of brackets take no more than this part, nor what waits to be folded."""
SAID: Final = {"NaN pixels": "NaN", "infinite pixels": "infinite or NaN", "pixels beyond float32": "unusable"}

logger = logging.getLogger(__name__)


def run_unit(unit: StatisticsUnit, *, plan: StatisticsPlan, stage: Round) -> Partial:
    """Compute a round's part of one tissue.

    Raises
    ------
    SporaError
        If the image or mask is absent, broken, of another size, or empty; the message names the file.
    """
    from spora_db.images import open_image
    from spora_db.masks import load_tissue_mask

    unknown = sorted(set(unit.pages) - set(plan.channel_names))
    if unknown:
        raise ArgumentError(f"Tissue {unit.tissue_id!r} has channels that the panel lacks: {', '.join(unknown)}.")
    reader = open_image(unit.image, missing_chunks=plan.missing_chunks)
    mask = load_tissue_mask(unit.mask, shape=reader.shape[1:], image=unit.image)
    check_mask(reader, mask)
    channels = len(plan.channel_names)
    pages = np.array([unit.pages.get(name, -1) for name in plan.channel_names], np.int64)
    present = np.flatnonzero(pages >= 0)
    if pages.max(initial=-1) >= reader.shape[0] or len(present) == 0:
        raise FileFormatError(
            f"Image {unit.image} has {reader.shape[0]} pages; pages asked for: {sorted(unit.pages.values())}."
        )
    present = present[np.isin(present, stage.state.get("channels", present))]
    pixels = int(np.count_nonzero(mask)) * len(present)
    arrays: dict[str, AnyArray] = {}
    odd: dict[str, str] = {}
    if stage.kind == "tissue":
        found = tissue_statistics(reader, mask, pages=pages, spec=plan.spec, kept_bytes=plan.kept_bytes)
        arrays = {"upper": found.upper, "lower": found.lower, "used": found.used, **_arrays(found.moments)}
        odd = _odd(unit, plan, present, reader, pages=pages, mask=mask, bounds=(found.lower, found.upper))
    elif stage.kind == "moments":
        lower, upper = (np.array(stage.state[name], np.float64) for name in ("lower", "upper"))
        sums = tissue_moments(
            reader, mask, pages=pages[present], spec=plan.spec, lower=lower[present], upper=upper[present]
        )
        arrays = _arrays(spread_moments(sums, present, channels))
        odd = _odd(unit, plan, present, reader, pages=pages, mask=mask, bounds=(lower, upper))
    elif stage.kind == "sample" and is_small(reader.dtype):
        arrays = pack_counts(value_counts(reader, pages[present], mask)[:, None], present)
    elif stage.kind == "sample":
        arrays = {"values": sample(reader, pages[present], mask, name=unit.tissue_id)}
        pixels = arrays["values"].size
    elif stage.kind == "bracket":
        room = min(plan.kept_bytes // (KEPT_SHARE * len(present) * reader.dtype.itemsize), int(np.count_nonzero(mask)))
        ends = np.array(stage.state["ends"])[present]
        one_pass = BracketPass(plan.spec, ends, dtype=reader.dtype, room=room)
        for values, slots in masked_values(reader, pages[present], mask):
            one_pass.add(values, slots)
        arrays = one_pass.arrays(present, channels)
    else:
        search = search_of(stage, plan)
        counts, broken = digit_counts(reader, pages[present], mask, search=search.take(present))
        arrays = {**pack_counts(counts, present), "broken": spread(broken.astype(float), present, channels, 0.0)}
    record = {
        "pixels": pixels, "masked": int(np.count_nonzero(mask)), "dtype": reader.dtype.name,
        "measured": present.tolist(), "odd": odd,
    }  # fmt: skip
    return Partial(tissue_id=unit.tissue_id, arrays=arrays, record=record)


def _arrays(moments: Moments) -> dict[str, AnyArray]:
    return {"count": moments.count, "mean": moments.mean, "squares": moments.squares}


def _odd(
    unit: StatisticsUnit, plan: StatisticsPlan, present: Int64, reader: "ImageReader", *, pages: Int64, mask: Bools,
    bounds: tuple[Float64, Float64],
) -> dict[str, str]:  # fmt: skip
    """Say of the channels whose quantiles are no numbers of float32 what their pixels are, and warn of it."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.logical_and(*(np.isfinite(bound.astype(np.float32)) for bound in bounds))
    bad = present[~finite[present]]
    if reader.dtype.kind != "f" or not len(bad):
        return {}
    found = dict(zip(bad.tolist(), odd_pixels(reader, pages[bad], mask), strict=True))
    odd = {plan.channel_names[channel]: what for channel, what in found.items() if what}
    for what in dict.fromkeys(odd.values()):
        names = json.dumps([name for name, own in odd.items() if own == what])
        logger.warning(
            "tissue %s: %s make the statistics %s of %s (%s)", unit.tissue_id, what, SAID[what], names, unit.image
        )
    return odd
