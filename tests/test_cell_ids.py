"""Cell ids: whole numbers in digits, told apart by one rule wherever a cell is named."""

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakes import write_lake
from spora_db import Catalog
from spora_db.errors import TableError

CELLS = "alpha/metadata/cells.parquet"
ODD = {
    "underscore": ["1_1"],
    "hexadecimal": ["0x2"],
    "exponent": ["1e1"],
    "space before": [" 7"],
    "space after": ["7 "],
    "line end": ["7\n"],
    "plus": ["+7"],
    "full width": ["\uff17"],
    "text with a point": ["1.0"],
    "empty": [""],
    "word": ["o'x"],
    "negative text": ["-1"],
    "text beyond 64 bits": ["9223372036854775808"],
    "fraction": [1.5],
    "infinite": [np.inf],
    "negative float": [-1.0],
    "float that rounds": [2.0**53 + 2],
    "float32 that rounds": pa.array([2.0**24 + 2], pa.float32()),
    "negative": [-1],
    "beyond 64 bits": pa.array([2**63], pa.uint64()),
    "boolean": [True],
    "date": [datetime.date(2020, 1, 1)],
    "decimal fraction": [Decimal("1.50")],
    "negative decimal": [Decimal(-1)],
    "decimal beyond 64 bits": [Decimal(2**63)],
    "bytes": [b"7"],
    "list": [[7]],
    "struct": [{"a": 7}],
}
WHOLE = {
    "int8": (pa.array([7, None], pa.int8()), [7, None]),
    "int64": (pa.array([2**63 - 1, 0]), [2**63 - 1, 0]),
    "uint64": (pa.array([2**63 - 1], pa.uint64()), [2**63 - 1]),
    "float with gaps": (pa.array([7.0, np.nan, None]), [7, None, None]),
    "largest exact float": (pa.array([2.0**53, -0.0]), [2**53, 0]),
    "float32": (pa.array([2.0**24], pa.float32()), [2**24]),
    "text": (pa.array(["7", "007", "9223372036854775807", None]), [7, 7, 2**63 - 1, None]),
    "categories": (pa.array(["7", "8"]).dictionary_encode(), [7, 8]),
    "decimal": (pa.array([Decimal("7.00")]), [7]),
    "nothing": (pa.array([None]), [None]),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("ids") / "lake")


def write_ids(lake: Path, ids: list | pa.Array) -> None:
    columns = {"tissue_id": ["alpha_0000"] * len(ids), "cell_id": ids, "kind": ["x"] * len(ids)}
    pq.write_table(pa.table(columns), lake / CELLS)


@pytest.mark.parametrize("ids", ODD.values(), ids=ODD)
@pytest.mark.parametrize("ask", ["SELECT * FROM cells", "SELECT kind FROM cells WHERE cell_id = 1"])
def test_what_is_no_whole_number_is_refused_by_the_view(lake, ids, ask):
    write_ids(lake, ids)
    with Catalog(lake) as catalog, pytest.raises(TableError, match=rf"(?s)'cell_id' of {CELLS} holds .* in digits"):
        catalog.sql(ask).fetchall()


@pytest.mark.parametrize(("ids", "expected"), WHOLE.values(), ids=WHOLE)
def test_whole_numbers_arrive_exactly_whatever_their_type(lake, ids, expected):
    write_ids(lake, ids)
    with Catalog(lake) as catalog:
        found = catalog.sql("SELECT cell_id FROM cells")
        assert found.fetchall() == [(value,) for value in expected]
        assert catalog.column_types("cells")["cell_id"] == "BIGINT"


def test_columns_that_need_no_id_are_read_beside_odd_ones(lake):
    write_ids(lake, ["1_1", "2_1"])
    with Catalog(lake) as catalog:
        assert catalog.sql("SELECT kind, count(*) FROM cells GROUP BY kind").fetchall() == [("x", 2)]
