"""Feature sets as they lie in a lake: what one is, where its parts are, which columns they have."""

from spora_db.feature_sets.description import FeatureColumn, FeatureSet, Grain, described, read_feature_set
from spora_db.feature_sets.parts import key_columns, part_rows, part_schema, vector_type

__all__ = [
    "FeatureColumn",
    "FeatureSet",
    "Grain",
    "described",
    "key_columns",
    "part_rows",
    "part_schema",
    "read_feature_set",
    "vector_type",
]
