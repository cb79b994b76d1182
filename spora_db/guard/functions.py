"""What user SQL may name: functions and table functions; and the keywords of the dialect.

Written as lists of what is allowed, never of what is forbidden: a function that DuckDB gains tomorrow is refused until
somebody reads what it does. Left out on purpose: whatever reads files (``read_parquet``, ``glob``, ``parquet_schema``),
runs text as SQL (``query``, ``query_table``, ``json_execute_serialized_sql``), shows the engine or its settings
(``getenv``, ``current_setting``, ``getvariable``, ``duckdb_tables``) or has an effect (``setseed``, ``nextval``,
``write_log``, ``sleep_ms``). Names are lower case.
"""

from spora_db.errors import did_you_mean

_NUMERIC = """
abs acos acosh asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees equi_width_bins even exp
factorial fdiv floor fmod gamma gcd get_bit greatest greatest_common_divisor isfinite isinf isnan lcm least
least_common_multiple lgamma ln log log10 log2 mod nextafter pi pow power radians random round round_even roundbankers
set_bit sign signbit sin sinh sqrt tan tanh trunc xor
"""

_TEXT = """
array_to_string ascii bar base64 bin bit_length char_length character_length chr concat concat_ws contains
damerau_levenshtein decode editdist3 encode ends_with format format_bytes formatreadablesize from_base64 from_hex
hamming hash hex instr jaccard jaro_similarity jaro_winkler_similarity lcase left length levenshtein lower lpad ltrim
md5 mismatches nfc_normalize octet_length ord overlay parse_dirname parse_dirpath parse_filename parse_path position
prefix printf regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
regexp_split_to_array regexp_split_to_table repeat replace reverse right rpad rtrim sha1 sha256 split split_part
starts_with str_split str_split_regex string_split string_split_regex string_to_array strip_accents strlen strpos
substr substring suffix to_base64 to_hex translate trim ucase unhex unicode upper url_decode url_encode
"""

_TIME = """
age century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname
dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns epoch_us extract hour isodow isoyear
julian last_day make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz microsecond
millennium millisecond minute month monthname now quarter second strftime strptime time_bucket timezone to_days
to_hours to_microseconds to_milliseconds to_minutes to_months to_seconds to_timestamp to_weeks to_years today
try_strptime week weekday weekofyear year yearweek
"""

_NESTED = """
apply array_aggr array_aggregate array_append array_apply array_cat array_concat array_contains array_cosine_distance
array_cosine_similarity array_cross_product array_distance array_distinct array_dot_product array_extract array_filter
array_grade_up array_has array_has_all array_has_any array_indexof array_inner_product array_intersect array_length
array_pop_back array_pop_front array_position array_prepend array_push_back array_push_front array_reduce array_resize
array_reverse array_reverse_sort array_select array_slice array_sort array_transform array_unique array_value
array_where array_zip cardinality element_at filter flatten generate_series generate_subscripts grade_up len list_aggr
list_aggregate list_any_value list_append list_apply list_avg list_bool_and list_bool_or list_cat list_concat
list_contains list_cosine_distance list_cosine_similarity list_count list_distance list_distinct list_dot_product
list_element list_entropy list_extract list_filter list_first list_grade_up list_has list_has_all list_has_any
list_histogram list_indexof list_inner_product list_intersect list_kurtosis list_last list_mad list_max list_median
list_min list_mode list_pack list_position list_prepend list_product list_reduce list_resize list_reverse
list_reverse_sort list_select list_sem list_skewness list_slice list_sort list_stddev_pop list_stddev_samp
list_string_agg list_sum list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip map
map_concat map_contains map_contains_entry map_contains_value map_entries map_extract map_extract_value
map_from_entries map_keys map_values range reduce row struct_concat struct_contains struct_extract struct_extract_at
struct_has struct_insert struct_keys struct_pack struct_position struct_update struct_values union_extract union_tag
union_value unnest
"""

_JSON = """
from_json json json_array json_array_length json_contains json_exists json_extract json_extract_path
json_extract_path_text json_extract_string json_group_array json_group_object json_keys json_merge_patch json_object
json_pretty json_quote json_structure json_transform json_type json_valid json_value row_to_json to_json
"""

_AGGREGATE = """
any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_min arg_min_null
argmax argmin array_agg avg bit_and bit_or bit_xor bitstring_agg bool_and bool_or corr count count_if count_star
countif covar_pop covar_samp entropy favg first fsum geomean geometric_mean group_concat histogram histogram_exact
kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by mean median min min_by mode percentile_cont
percentile_disc product quantile quantile_cont quantile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2
regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile sem skewness stddev stddev_pop stddev_samp string_agg sum
sumkahan var_pop var_samp variance wavg weighted_avg
"""

_WINDOW = """
cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank rank_dense row_number
"""

_FORM = """
array cast coalesce columns exists gen_random_uuid grouping grouping_id if ifnull nullif pg_typeof struct try try_cast
typeof unpack uuid version
"""

_SPORA = (
    "has_all_markers has_any_marker is_probabilities n_markers regions_at regions_of_tile score_entropy score_margin"
)

FUNCTIONS = frozenset(
    " ".join((_NUMERIC, _TEXT, _TIME, _NESTED, _JSON, _AGGREGATE, _WINDOW, _FORM, _SPORA)).split(),
)
"""Scalar, aggregate and window functions, the macros of ``sql/macros`` and the forms that read like functions."""

COMPILED = frozenset({"error"})
"""Functions that only compiled queries call; they pass, so that a compiled query can be asked as SQL."""

AGGREGATES = frozenset(_AGGREGATE.split())
"""The aggregate functions among them, which no condition on rows may hold."""

TABLE_FUNCTIONS = frozenset({"feature", "generate_series", "json_each", "json_tree", "range", "unnest"})
"""Functions that may stand in FROM: they make rows from their arguments alone."""

_KEYWORD = """
all and any array as between bernoulli bigint blob by case char cube decimal distinct else end enum escape except
exclude filter for from glob group having ignore ilike in include integer intersect interval is join lateral like
limit list materialized named not numeric nulls offset on or over percent pivot qualify recursive rename repeatable
replace reservoir respect rollup rows sample select sets similar some struct system tablesample text then to union using
values varchar unpivot when where within with
"""

WORDS = frozenset(_KEYWORD.split())
"""Keywords and types, which the shell completes."""

BARE_WORDS = frozenset(
    ("current_catalog", "current_role", "current_schema", "current_user", "session_user", "system_user", "user"),
)
"""Functions that DuckDB calls without parentheses, refused as unquoted words (as names they are quoted)."""

SYSTEM_SCHEMAS = frozenset({"information_schema", "main", "memory", "pg_catalog", "system", "temp"})
"""What a function's name is not qualified with: what stands there is ours, in place of DuckDB's (``sql/limits``)."""


def not_allowed(function: str) -> str:
    """Say that a function may not be called, and which was meant by its name.

    Examples
    --------
    >>> not_allowed("parse_pathh")
    "the function 'parse_pathh' is not among those allowed. Did you mean 'parse_path' or ...?"
    """
    near = did_you_mean(function, [name for name in FUNCTIONS if name[:1] == function[:1].lower()])
    return f"the function {function!r} is not among those allowed.{near}"
