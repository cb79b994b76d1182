"""Cell ids: whole numbers in digits, told apart by one rule wherever a cell is named."""

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cell_lakes import write_masks
from lakes import write_lake
from spora_db import Catalog, MultiplexImagingDataset, SporaQuery
from spora_db.errors import QueryError, TableError
from spora_db.files.whole_numbers import whole_numbers
from spora_db.importing.cells import cell_table
from spora_db.importing.tissue_ids import TissueName
from spora_db.validation import validate

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


@pytest.mark.some(4)
@pytest.mark.parametrize("ids", ODD.values(), ids=ODD)
def test_what_is_no_whole_number_is_refused_by_the_view(lake, ids):
    write_ids(lake, ids)
    with Catalog(lake) as catalog:
        for ask in ("SELECT * FROM cells", "SELECT kind FROM cells WHERE cell_id = 1"):
            with pytest.raises(TableError, match=rf"(?s)'cell_id' of {CELLS} holds .* in digits"):
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


# Every way in ---------------------------------------------------------------------------------------------------------

ASK = {
    "rows": lambda lake: SporaQuery(lake).modality("imc").cells(size=8).count(),
    "where": lambda lake: SporaQuery(lake).modality("imc").cells(size=8).where("cell_id > 0").df(),
    "plan": lambda lake: SporaQuery(lake).modality("imc").cells(size=8).plan(),
    "masks": lambda lake: SporaQuery(lake).modality("imc").cells(size=8, source="masks").plan(),
    "beside": lambda lake: SporaQuery(lake).modality("imc").tiles(size=32).with_cells("kind").plan(),
    "anndata": lambda lake: SporaQuery(lake).modality("imc").tissues().with_cells("kind").to_anndata(),
    "sub-select": lambda lake: SporaQuery(lake).modality("imc").tissues().where(
        "EXISTS (SELECT 1 FROM cells AS c WHERE c.tissue_id = tissues.tissue_id AND c.cell_id = 2)"
    ).count(),
    "classes": lambda lake: MultiplexImagingDataset(
        "alpha", path=lake / "alpha", modality="imc", resolution=1, load_cell_metadata=True
    ).cell_metadata,
}  # fmt: skip
SOME = {name: ODD[name] for name in ("underscore", "hexadecimal", "exponent", "space before", "fraction", "boolean",
                                     "negative", "beyond 64 bits")}  # fmt: skip


@pytest.fixture(scope="module")
def masked(lake: Path) -> Path:
    write_masks(lake)
    return lake


@pytest.mark.some(3)
@pytest.mark.parametrize("ids", SOME.values(), ids=SOME)
def test_odd_ids_are_refused_by_every_answer_and_told_by_validate(masked, ids):
    write_ids(masked, ids)
    for name, ask in ASK.items():
        with pytest.raises(TableError, match=rf"'cell_id' of {CELLS} holds "):
            print(name, ask(masked))
    found = {finding.file: finding.reason for finding in validate(masked) if "in digits" in finding.reason}
    assert f"The column 'cell_id' of {CELLS}" in found[CELLS]


OF_CSV = {
    "1_1": "1_1", "0x2": "0x2", "1e1": "1e1", "1.5": "1.5", "true": "true", "-1": "-1", "+7": "'\\+7'",
    "0": "holds '?0", "9223372036854775808": "9223372036854775808", "": "is empty in 1 row", "x": "'x'",
    "7\nroi,7": "2 rows for cell 7",
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), OF_CSV.items(), ids=OF_CSV)
def test_odd_ids_are_not_imported(tmp_path, text, words):
    file = tmp_path / "cells.csv"
    file.write_text(f"tissue_id,Object,kind\nroi,{text},x\n".replace("\nroi,7,x", ",x\nroi,7,x"))
    with pytest.raises(TableError, match=rf"cells\.csv.*{words}"):
        cell_table(file, [TissueName(tissue_id="roi")])


@pytest.mark.parametrize("texts", [["7", "8"], ["7.0", "8.0"], [" 7", "8 "], ["007", "8"]])
def test_whole_numbers_of_a_csv_are_imported(tmp_path, texts):
    file = tmp_path / "cells.csv"
    file.write_text("tissue_id,Object\n" + "".join(f"roi,{text}\n" for text in texts))
    assert cell_table(file, [TissueName(tissue_id="roi")])[0]["cell_id"].to_pylist() == [7, 8]


@pytest.mark.some(4)
@pytest.mark.parametrize("ids", ODD.values(), ids=ODD)
def test_excluded_rows_and_rows_of_ones_own_obey_the_same_rule(masked, ids):
    place = {"dataset": ["alpha"], "tissue_id": ["alpha_0000"]}
    with pytest.raises(TableError, match=r"exclude\(\): the column cell_id holds .* in digits"):
        SporaQuery(masked).exclude(pa.table({**place, "cell_id": ids}))
    if isinstance(ids, list) and isinstance(ids[0], str | bool | float | int) and ids[0] != 2.0**53 + 2:
        own = pa.table({**place, "cell_id": ids, "row": [3], "col": [3]})
        with pytest.raises(QueryError, match="'cell_id'"):
            SporaQuery.from_arrow(masked, own).modality("imc").cells(size=8, mpp=1.0).plan()


@pytest.mark.parametrize(("ids", "expected"), WHOLE.values(), ids=WHOLE)
def test_columns_of_arrow_obey_the_rule_of_sql(ids, expected):
    assert whole_numbers(ids, what="The column").to_pylist() == expected
