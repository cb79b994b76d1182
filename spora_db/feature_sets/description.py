"""What a feature set says of itself: ``<layer>/<dataset>/features/<name>/features.json``.

Beside it lie the parts, ``part-<first>-<last>.parquet``, each whole or absent, and ``failed.parquet`` where rows have
no features.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from spora_db.errors import FileFormatError, reason
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.layout import FEATURES_FILE

FORMAT = 1
"""Of the file; another is refused."""
Grain = Literal["tile", "cell", "tissue"]
FeatureType = Literal["float16", "float32"]
FeatureState = Literal["running", "complete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureColumn:
    """One column of a feature set: vectors of one length, or, of dimension None, one number per row."""

    name: str
    dimension: int | None
    dtype: FeatureType


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """What features of one dataset are, and which rows they were made of.

    Attributes
    ----------
    name, dataset
        Its folder, and the dataset that has it; both are said by its place.
    grain
        What a row is of: a tile, a cell or a tissue.
    columns
        The vectors and numbers, in order.
    expected, failed
        Rows of the dataset that there are when it is complete, and those of them that have no features.
    state
        Whether parts are still to come.
    modalities
        What the model saw, in order.
    mpp, strategy, tile_size
        Resolution in microns per pixel; of tiles their tiling, of cells the side of the tile around each.
    model, weights
        Name of the model, and a hash of its weights, if they were given.
    spec
        How pixels were standardized: a spec, or of several modalities JSON with a spec of each.
    rows, plan
        Fingerprints of the dataset's rows that were asked for, and of all that they were asked with.
    notes
        Anything else of interest, as JSON has it.
    """

    name: str
    dataset: str
    grain: Grain
    columns: tuple[FeatureColumn, ...]
    expected: int
    failed: int = 0
    state: FeatureState = "running"
    modalities: tuple[str, ...] = ()
    mpp: float | None = None
    strategy: str | None = None
    tile_size: int | None = None
    model: str | None = None
    weights: str | None = None
    spec: str | None = None
    rows: str | None = None
    plan: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vectors(self) -> tuple[FeatureColumn, ...]:
        """The columns that are vectors."""
        return tuple(column for column in self.columns if column.dimension is not None)

    def spec_of(self, modality: str) -> str | None:
        """Return how the pixels of a modality were standardized, None where nothing tells.

        Examples
        --------
        >>> made = FeatureSet(name="a", dataset="b", grain="tile", columns=(), expected=1, spec='{"he": "imagenet"}')
        >>> made.spec_of("he")
        'imagenet'
        """
        try:
            by_modality = json.loads(self.spec or "null")
        except ValueError:
            return self.spec
        return by_modality.get(modality) if isinstance(by_modality, dict) else self.spec


def described(features: FeatureSet) -> str:
    """Return the text of the file that describes a feature set.

    Examples
    --------
    >>> column = FeatureColumn(name="embedding", dimension=384, dtype="float16")
    >>> made = FeatureSet(name="virtues", dataset="lung", grain="tile", columns=(column,), expected=10, tile_size=128)
    >>> parsed(described(made), name="virtues", dataset="lung", where="features.json") == made
    True
    """
    own = {item.name: getattr(features, item.name) for item in fields(features) if item.name not in ("name", "dataset")}
    own["columns"] = [{item.name: getattr(column, item.name) for item in fields(column)} for column in features.columns]
    return json.dumps({"format": FORMAT, **own}, indent=1, sort_keys=True, allow_nan=False) + "\n"


def read_feature_set(folder: Path, *, dataset: str) -> FeatureSet:
    """Read what lies in the folder of a feature set.

    Raises
    ------
    FileFormatError
        If its description cannot be read or is none.

    Examples
    --------
    >>> read_feature_set(Path("no/such"), dataset="lung")
    Traceback (most recent call last):
    spora_db.errors.FileFormatError: no/such/features.json cannot be read: ...
    """
    path = folder / FEATURES_FILE
    fetch_whole([path])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read: {reason(error)}. Extract the features again.") from error
    return parsed(text, name=folder.name, dataset=dataset, where=str(path))


def parsed(text: str, *, name: str, dataset: str, where: str) -> FeatureSet:
    """Return the feature set that a text describes; `where` it is, for errors.

    Raises
    ------
    FileFormatError
        If it describes none, or was written by a later version.
    """
    try:
        told = json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{where} is no JSON: {reason(error)}. Extract the features again.") from error
    if not isinstance(told, dict):
        raise _wrong(where, "an object", told)
    if told.pop("format", None) != FORMAT:
        raise FileFormatError(f"{where} is of another format; expected {FORMAT}. Update spora-db, or extract again.")
    try:
        columns = tuple(FeatureColumn(**column) for column in told.pop("columns"))
        modalities = tuple(told.pop("modalities", ()))
        features = FeatureSet(name=name, dataset=dataset, columns=columns, modalities=modalities, **told)
    except (TypeError, KeyError) as error:
        raise _wrong(where, "the fields of a feature set", reason(error)) from error
    _check(features, where)
    return features


def _check(features: FeatureSet, where: str) -> None:
    """Refuse values that a feature set cannot have."""
    for value, options in ((features.grain, get_args(Grain)), (features.state, get_args(FeatureState))):
        if value not in options:
            raise _wrong(where, f"one of {', '.join(options)}", value)
    for number in (features.expected, features.failed):
        if type(number) is not int or number < 0:
            raise _wrong(where, "a number of rows", number)
    for name in ("strategy", "model", "weights", "spec", "rows", "plan"):
        if not isinstance(getattr(features, name), str | None):
            raise _wrong(where, f"a text as {name!r}", getattr(features, name))
    names = [column.name for column in features.columns]
    if not names or len({str(name).lower() for name in names}) < len(names):
        raise _wrong(where, "columns of different names, at least one", names)
    for column in features.columns:
        if type(column.name) is not str or not column.name:
            raise _wrong(where, "a name of a column", column.name)
        if column.dtype not in get_args(FeatureType):
            raise _wrong(
                where, f"one of {', '.join(get_args(FeatureType))} as the type of {column.name!r}", column.dtype
            )
        dimension = column.dimension
        if dimension is not None and (type(dimension) is not int or dimension < 1):
            raise _wrong(where, f"a dimension of {column.name!r}, at least 1", dimension)


def _wrong(where: str, expected: str, found: object) -> FileFormatError:
    return FileFormatError(f"{where}: expected {expected}, found {found!r}. Extract the features again.")
