"""Repeatable samples in SQL: which rows stay depends on their identity, the seed and nothing else.

Every row gets a key, version 1: the MD5 of ``spora-db/1|<seed>|<dataset>|<tissue_id>|<tile_id>`` (whole tissues:
without the tile). Any engine and any language computes the same, so a sample can be checked elsewhere, and a cohort's
rows keep their keys when other cohorts are added.
"""

from collections.abc import Sequence

from sqlglot import exp, parse_one

from spora_db.selection import Sampling, SplitChoice
from spora_db.sqltext.binding import Binder
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.names import own_names

VERSION = "spora-db/1"
GROUP_KEY = f"md5(concat_ws('|', '{VERSION}', CAST($seed AS VARCHAR), dataset, CAST($group AS VARCHAR)))"
"""The key of a group of rows, such as a patient: all of it falls into one split."""
WHOLE = "replace(replace(CAST($group AS VARCHAR) || '|', '.0|', '|'), '|', '')"
"""The text of a floating-point number as that of an integer, if it is one: ``3`` and not ``3.0``."""
UNIT_INTERVAL = "(CAST('0x' || substr(sample_key, 1, 13) AS BIGINT) + 0.5) / 4503599627370496.0"
"""The key's first 52 bits as a number in (0, 1)."""
WEIGHTED = f"""
    CASE
        WHEN sample_weight < 0 OR NOT isfinite(sample_weight)
        THEN error('A sampling weight is negative, infinite or not a number: ' || sample_weight)
        WHEN sample_weight > 0 THEN ln(-ln({UNIT_INTERVAL})) - ln(sample_weight)
    END
"""
"""Rows in order of exponential clocks are a weighted sample without replacement (Efraimidis and Spirakis 2006).

Of the clocks, the logarithms: quotients by the least weights, or by the greatest, are no numbers.
"""


def sample_key(identity: Sequence[str], *, table: str) -> str:
    """Return the SQL of a row's key; its ``$seed`` is a parameter.

    Examples
    --------
    >>> sample_key(["dataset", "modality", "tissue_id"], table="base")
    "md5(concat_ws('|', 'spora-db/1', CAST($seed AS VARCHAR), base.dataset, base.tissue_id))"
    """
    columns = [name for name in ("dataset", "tissue_id", "tile_id", "cell_id") if name in identity]
    texts = ", ".join(f"{table}.{name}" for name in columns)
    return f"md5(concat_ws('|', '{VERSION}', CAST($seed AS VARCHAR), {texts}))"


def sampled(
    query: exp.Select,
    sampling: Sampling,
    binder: Binder,
    *,
    identity: Sequence[str],
    columns: Sequence[str],
    weight: exp.Expr | None = None,
) -> exp.Select:
    """Wrap a SELECT over ``base`` so that it yields a sample of its rows.

    First every row gets its key; then tissues and patients are cut down to their caps; then rows are taken: by
    fraction, by the quota of their group, or the first `n`, one of each group in turn.

    Parameters
    ----------
    query
        Yields `identity` and `columns` of ``base``.
    identity, columns
        What the result yields.
    weight
        The checked tree of ``sampling.weights``.
    """
    wanted = [exp.column(name, quoted=True) for name in (*identity, *columns)]
    own = own_names(columns)
    key, clock_name, weight_name, patient, turn = (
        own(name) for name in ("sample_key", "sample_order", "sample_weight", "cap", "turn")
    )
    groups = [own(f"by_{i}") for i in range(len(sampling.by))]
    keyed = query.select(
        exp.alias_(binder.fragment(sample_key(identity, table="base"), seed=sampling.seed), key),
        *(
            exp.alias_(exp.column(name, table="base", quoted=True), group)
            for name, group in zip(sampling.by, groups, strict=True)
        ),
    )
    if sampling.per_patient is not None:
        keyed = keyed.select(exp.alias_(exp.column("patient_id", table="base"), patient))
    if weight is not None:
        clock = WEIGHTED.replace("sample_weight", weight_name).replace("sample_key", key)
        weighted = keyed.select(exp.alias_(exp.cast(weight, "DOUBLE"), weight_name)).subquery("keyed")
        keyed = exp.select("*", f"{clock} AS {clock_name}", dialect=DIALECT).from_(weighted)
        # nor rows without a weight: drawn last, they would still be drawn
        keyed = keyed.where(exp.NEQ(this=exp.column(weight_name), expression=exp.Literal.number(0)))
    order: list[exp.Expr] = [exp.column(key)]
    if weight is not None:
        order = [exp.column(clock_name), *order]
    order += [exp.column(name, quoted=True) for name in identity]
    capped = keyed
    for cap, partition in (
        (sampling.per_tissue, ("dataset", "tissue_id")),
        (sampling.per_patient, ("dataset", patient)),  # of what the cap on tissues leaves
    ):
        if cap is not None:
            rank = exp.LTE(this=_rank(partition, order), expression=binder.parameter(cap))
            capped = exp.select("*").from_(capped.subquery("keyed")).qualify(rank)
    rows = exp.select(*wanted).from_(capped.subquery("capped"))
    if sampling.fraction is not None:
        condition = parse_one(UNIT_INTERVAL.replace("sample_key", key), dialect=DIALECT)
        return rows.where(exp.LT(this=exp.paren(condition), expression=binder.parameter(sampling.fraction)))
    if sampling.quota:
        share = exp.Case(this=exp.cast(exp.column(groups[0]), "VARCHAR"), default=exp.Literal.number(0))
        for value, count in sampling.quota:
            share = share.when(binder.parameter(value), binder.parameter(count))
        return rows.qualify(exp.LTE(this=_rank(groups, order), expression=share))
    if sampling.n is None:
        return rows
    if groups:
        ranked = exp.select("*", exp.alias_(_rank(groups, order), turn)).from_(capped.subquery("ranked"))
        rows = exp.select(*wanted).from_(ranked.subquery("capped"))
        order = [exp.column(turn), *order]
    inner = rows.order_by(*(item.copy() for item in order)).limit(binder.parameter(sampling.n))
    return exp.select(*(item.copy() for item in wanted)).from_(inner.subquery("sample"))


def assigned_split(choice: SplitChoice, binder: Binder, *, of_floats: bool = False) -> exp.Expr:
    """Return the SQL of the split that a row falls into: its group's key, compared with the running fractions.

    Parameters
    ----------
    of_floats
        Whether groups are floating-point numbers: 3.0 is the group 3, as before a cohort with 2.5 was added.
    """
    group: exp.Expr = exp.column(choice.group_column, quoted=True)
    if of_floats:
        column = group
        group = parse_one(WHOLE, dialect=DIALECT).transform(
            lambda node: column.copy() if isinstance(node, exp.Placeholder) else node
        )
    values = {"group": group, "seed": binder.parameter(choice.seed)}
    key = parse_one(GROUP_KEY, dialect=DIALECT).transform(
        lambda node: values[node.name] if isinstance(node, exp.Placeholder) else node
    )
    unit = parse_one(UNIT_INTERVAL, dialect=DIALECT).transform(
        lambda node: key.copy() if isinstance(node, exp.Column) and node.name == "sample_key" else node
    )
    case, total = exp.Case(), 0.0
    for name, fraction in choice.fractions[:-1]:
        total += fraction
        case = case.when(
            exp.LT(this=exp.paren(unit.copy()), expression=binder.parameter(total)), binder.parameter(name)
        )
    return case.else_(binder.parameter(choice.fractions[-1][0]))


def _rank(partition: Sequence[str], order: Sequence[exp.Expr]) -> exp.Window:
    return exp.Window(
        this=exp.RowNumber(),
        partition_by=[exp.column(name) for name in partition],
        order=exp.Order(expressions=[exp.Ordered(this=item.copy()) for item in order]),
    )
