"""What DuckDB's trees of harmless queries are made of: lists of what is allowed, as for functions."""

_KINDS = """
COMPARE_BETWEEN CASE_EXPR OPERATOR_CAST COLLATE COLUMN_REF CONJUNCTION_AND CONJUNCTION_OR FUNCTION LAMBDA
COMPARE_DISTINCT_FROM COMPARE_EQUAL COMPARE_GREATERTHAN COMPARE_GREATERTHANOREQUALTO COMPARE_LESSTHAN
COMPARE_LESSTHANOREQUALTO COMPARE_NOT_DISTINCT_FROM COMPARE_NOTEQUAL COMPARE_IN COMPARE_NOT_IN
ARRAY_CONSTRUCTOR ARRAY_EXTRACT ARRAY_SLICE GROUPING_FUNCTION OPERATOR_COALESCE OPERATOR_IS_NOT_NULL
OPERATOR_IS_NULL OPERATOR_NOT OPERATOR_NULLIF OPERATOR_TRY OPERATOR_UNPACK STRUCT_EXTRACT POSITIONAL_REFERENCE
STAR SUBQUERY TYPE VALUE_CONSTANT VALUE_PARAMETER VALUE_NULL
ASCENDING DESCENDING ORDER_DEFAULT
BASE_TABLE EMPTY EXPRESSION_LIST JOIN PIVOT SHOW_REF TABLE_FUNCTION
DISTINCT_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER ORDER_MODIFIER
CTE_NODE RECURSIVE_CTE_NODE SELECT_NODE SET_OPERATION_NODE
"""

KINDS = frozenset(_KINDS.split())
"""The ``type`` of expressions, of what stands in FROM and of the parts of a SELECT; all of windows besides."""

_PARTS = """
aggregate_handling aggregates alias aliases arg_orders arguments case_checks catalog catalog_name child children class
collation column column_name_alias column_names columns comparison_type condition cte_map cte_name default_expr
distinct distinct_on_targets else_expr end end_expr entries error exclude_clause exclude_list expr expression filter
filter_expr from_table function function_name group_expressions group_sets groups has_ignore_nulls having id
identifier ignore_nulls include_nulls index input is_implicit is_null is_operator is_percentage join_type key
key_targets kind left lhs limit limit_type literal lower map materialized method modifiers name named_param_map node
null_order offset offset_expr order_bys orders partitions path pivot_expressions pivots qualified_exclude_list
qualified_name qualify query query_location query_location_length query_node ref_type relation_name rename_list
repeatable replace_list right sample sample_size schema schema_name seed select_list setop_all setop_type show_type
source star_expr start start_expr statements subquery subquery_type syntax_type table table_name text then_expr
try_cast type type_expr type_name union_all unpivot_names upper using_columns value values when_expr where_clause
with_ordinality
"""

PARTS = frozenset(_PARTS.split())
"""Names of their parts; not among them ``at_clause``, ``pivot_enum`` and all of statements that write."""

_SIGNS = """
!~~ !~~* % & && * ** + - ->> -> / // << <-> <=> <@ >> @ @> ^ ^@ like_escape ilike_escape not_like_escape
not_ilike_escape | || ~ ~~ ~~* ~~~ !
"""

OPERATORS = frozenset(_SIGNS.split())
"""Functions that are written as operators."""
