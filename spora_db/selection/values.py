"""What a query asks for, as plain values: the fields of `SporaQuery`, without any SQL."""

from dataclasses import dataclass, fields
from typing import Any, Literal

import pyarrow as pa

from spora_db.layout.names import is_rgb
from spora_db.selection.brief import Brief
from spora_db.selection.feature_choice import FeatureChoice
from spora_db.selection.joined_table import JoinedTable
from spora_db.selection.label import Label
from spora_db.sqltext.accessions import Accessions
from spora_db.standardization.methods import registrations, restore_registrations
from spora_db.standardization.specs import Spec, StatsLevel, parse_spec

Unit = Literal["tile", "tissue", "cell"]
CellSource = Literal["table", "masks"]
ChannelKind = Literal["complete", "qc_filtered", "uniprot_filtered"]
ChannelProperty = Literal["qc_pass", "has_accession"]
MissingStatistics = Literal["error", "drop_channel", "drop_tissue", "global", "defer"]
MissingModality = Literal["drop", "keep"]
WindowPadding = Literal["end", "around"]

PANEL_RULES: dict[ChannelKind, tuple[ChannelProperty, ...]] = {
    "complete": (),
    "qc_filtered": ("qc_pass",),
    "uniprot_filtered": ("qc_pass", "has_accession"),
}
"""The kinds of channels, and what a measured channel of each has: a row adds a kind to queries and datasets alike."""
MISSING_STATISTICS: tuple[MissingStatistics, ...] = ("error", "drop_channel", "drop_tissue", "global")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChannelChoice(Brief):
    """Which planes of a tissue's image are delivered, always in panel order.

    Attributes
    ----------
    kind
        How far the panel is filtered: measured; and passing quality control; and carrying a UniProt accession.
    names
        Channel names or UniProt accessions to deliver; empty for all of the kind.
    require
        Names or accessions that a tissue must offer to be selected at all.
    any_of, at_least
        A tissue is selected if it offers `at_least` of the names `any_of` (one unless said), or, without `any_of`,
        `at_least` channels that would be delivered.
    exclude
        Names or accessions that are not delivered.
    aliases
        Pairs of a further name and the names or accessions it may stand for, in order of preference.
    replace_nuclear
        Whether nuclear markers take the accession of histone H3 (P68431) first.
    accessions
        The accession pattern that decides `uniprot_filtered`.
    """

    kind: ChannelKind = "complete"
    names: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    at_least: int | None = None
    exclude: tuple[str, ...] = ()
    aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    replace_nuclear: bool = False
    accessions: Accessions = "published"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StandardizationChoice(Brief):
    """How pixel values are transformed.

    Attributes
    ----------
    specs
        Pairs of modality and spec; a modality of None stands for all modalities without a pair of their own.
    stats_level
        The level of means and standard deviations; None takes global ones where they exist, else per image.
    use_mean_std
        Whether values are centred and scaled after clipping.
    disable_quantile_mask
        Whether channels without usable statistics are kept (with NaN or huge values) instead of dropped.
    filters
        Names of filters applied last to multiplex images, each with its parameters as pairs.
    halo
        Whether filters see the pixels around a tile, as if the whole tissue were filtered.
    quantile_level
        The level of the quantiles, for specs of the older form that do not say it.
    missing_statistics
        What becomes of statistics that no table has: an error when the plan is made, their channels or tissues are left
        out, global ones stand in, or they are left to whoever reads the tissue (``"defer"``).
    """

    specs: tuple[tuple[str | None, str], ...] = ((None, "identity"),)
    stats_level: StatsLevel | None = None
    use_mean_std: bool = True
    disable_quantile_mask: bool = False
    filters: tuple[tuple[str, tuple[tuple[str, float | str], ...]], ...] = ()
    halo: bool = False
    quantile_level: StatsLevel | None = None
    missing_statistics: MissingStatistics = "error"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the functions of registered standardizers, so that workers know them."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return _restored, (values, registrations(text for _, text in self.specs))

    def spec(self, modality: str) -> str:
        """Return the spec of one modality."""
        choices = dict(self.specs)
        return choices[modality] if modality in choices else choices.get(None, "identity")

    def parsed(self, modality: str) -> Spec:
        """Return the spec of one modality, taken apart."""
        return parse_spec(self.spec(modality), quantile_level=self.quantile_level)


def _restored(values: dict[str, Any], functions: dict[str, Any]) -> StandardizationChoice:
    restore_registrations(functions)
    return StandardizationChoice(**values)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sampling(Brief):
    """A repeatable sample: caps first, then a fraction, a quota per group, or `n` rows drawn evenly over groups.

    Attributes
    ----------
    n
        Rows to keep.
    fraction
        Share of rows to keep, in (0, 1].
    by
        Columns whose groups share `n` equally, or to whose values `quota` refers.
    quota
        Pairs of a group's value, as text, and the rows to keep of it; other groups are left out.
    per_tissue, per_patient
        At most so many rows of each.
    weights
        SQL expression: rows are drawn in proportion to it; without one, or at 0, never.
    seed
        Another seed draws another sample.
    """

    n: int | None = None
    fraction: float | None = None
    by: tuple[str, ...] = ()
    quota: tuple[tuple[str, int], ...] = ()
    per_tissue: int | None = None
    per_patient: int | None = None
    weights: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SplitChoice(Brief):
    """How rows are divided into splits: whole groups at a time, by a hash of the group.

    Attributes
    ----------
    by
        ``"patient"``, ``"specimen"``, ``"tissue"`` or a column.
    fractions
        Pairs of a split's name and its share; empty where the cohorts' own splits are only checked.
    seed
        Another seed divides differently.
    replace
        Whether a cohort's own splits may be replaced.
    """

    by: str
    fractions: tuple[tuple[str, float], ...] = ()
    seed: int = 0
    replace: bool = False

    @property
    def group_column(self) -> str:
        """The column that names the group."""
        return f"{self.by}_id" if self.by in ("patient", "specimen", "tissue") else self.by


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CellChoice(Brief):
    """The cells that come with every sample.

    Attributes
    ----------
    columns
        Columns of the cells table that come along.
    source
        What says which cells there are; None takes the cells table where any dataset has one, else instance masks.
    """

    columns: tuple[str, ...] = ()
    source: CellSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WindowChoice(Brief):
    """Windows over whole tissues, at even distances.

    Attributes
    ----------
    stride
        Pixels from one window to the next, down and across.
    padding
        Where a window may lie beyond the image: at its end only, or all around it.
    """

    stride: int
    padding: WindowPadding = "end"

    @property
    def strategy(self) -> str:
        """What stands in the place of a tiling's name, so that no row is taken for one of another grid."""
        return f"windows/{self.stride}/{self.padding}"

    def geometry(self, size: int) -> tuple[int, int]:
        """Return how far before the image the first window of `size` begins, and from there how far it reaches.

        One that begins before the image has to reach only as far as its middle square of ``stride`` pixels.
        """
        return (0, size) if self.padding == "end" else ((size - self.stride) // 2, self.stride)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Selection(Brief):
    """All that a `SporaQuery` asks for; every verb returns a new one.

    ``modalities`` holds one entry per image of a row; an entry names the alternatives that may fill it. ``excluded``
    has the columns of `spora_db.remembered.quarantine.IDENTITY`. ``limit`` is how many rows are kept at most, the first
    ones of what everything else selects.
    """

    modalities: tuple[tuple[str, ...], ...] = ()
    missing_modality: MissingModality = "drop"
    unit: Unit = "tile"
    tile_size: int | None = None
    mpp: float | None = None
    strategy: str | None = None
    windows: WindowChoice | None = None
    conditions: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    split_choice: SplitChoice | None = None
    columns: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()
    channels: ChannelChoice = ChannelChoice()
    standardization: StandardizationChoice = StandardizationChoice()
    sampling: Sampling | None = None
    limit: int | None = None
    cell_source: CellSource | None = None
    masks: tuple[str, ...] = ()
    cells: CellChoice | None = None
    joins: tuple[JoinedTable, ...] = ()
    features: tuple[FeatureChoice, ...] = ()
    rows_sql: str | None = None
    rows_table: pa.Table | None = None
    excluded: pa.Table | None = None

    @property
    def modality_names(self) -> tuple[str, ...]:
        """All modalities asked for, in order: those of one place, each with its alternatives."""
        return tuple(dict.fromkeys(name for alternatives in self.modalities for name in alternatives))

    @property
    def carried(self) -> tuple[str, ...]:
        """The further columns of a row: those of `columns`, then those that labels are made of."""
        return tuple(dict.fromkeys((*self.columns, *(label.column for label in self.labels))))

    @property
    def multiplex_names(self) -> tuple[str, ...]:
        """Those of them that have a panel, whose channels are not simply red, green and blue."""
        return tuple(name for name in self.modality_names if not is_rgb(name))
