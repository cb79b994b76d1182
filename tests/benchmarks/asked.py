"""What is measured, and what is asked of it: ``python -m benchmarks.asked`` prints the rows and writes the page's.

A row shows the latest figure of its name in ``history.jsonl``; ``make benchmark`` ends with these rows.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.history import HISTORY

PAGE = Path(__file__).resolve().parents[2] / "notebooks/reference/performance.md"
MARKED = re.compile(r"(?<=<!-- speed -->\n).*?(?=<!-- /speed -->)", re.DOTALL)


class Row(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    work
        What is done, and in what its figure is told.
    figure
        The name of the figure, a regular expression.
    asked
        ``>=`` or ``<=`` and a number, or nothing.
    test
        The benchmark that records it.
    """

    work: str
    figure: str
    asked: str
    test: str

    def holds(self, value: float) -> bool | None:
        """Tell whether a figure is what is asked; None where nothing is."""
        sign, _, number = self.asked.partition(" ")
        if not sign:
            return None
        return value >= float(number) if sign == ">=" else value <= float(number)


TILES, TIFF, EPOCH = (
    "test_loading.py::test_random_tiles",
    "test_images.py::test_pages_of_tiff",
    "test_loading.py::test_epoch",
)
BATCHES, CACHE, DEVICE = (
    "test_batches.py::test_batches",
    "test_cache.py::test_shared_cache",
    "test_device.py::test_batches_on_the_device",
)
COLUMNS, SCALE = "test_columns.py::test_columns", "test_catalog.py::test_scale"
CELLS, JOINED = (
    "test_columns.py::test_cells_with_columns",
    "test_features_in_sql.py::test_features_join_and_come_with_plans",
)
FEATURES = "test_features.py::test_features"
CLASSES = "test_datasets.py::test_constructor"
IMAGE_LEVEL = "test_statistics.py::test_statistics_in_units_of_one_decode"
GLOBAL_LEVEL = "test_statistics.py::test_global_statistics_in_units_of_one_decode"
GREEDY = "test_tiling.py::test_greedy_time_and_memory"
START, START_AGAIN = "test_start.py::test_cold_start", "test_start.py::test_first_batch_of_workers"
RANDOM, OF_TIFF = "random tile, {} of 43 channels", "random tile of an OME-TIFF, 3 of 43 pages"
NONE = "\N{EN DASH}"
REMOTE, BUCKET = "test_remote.py::test_epochs_of_a_bucket", "bucket, {} of 43 channels at {} ms"
LINE, COPY = "test_remote.py::test_a_line_of_a_bucket", "test_remote.py::test_epochs_of_the_disk_copy"
SHARED = "later epoch of two workers, shared cache"
EXPLORE = "test_explore.py::test_"
WHEEL, STOPPED = f"{EXPLORE}rows_under_the_wheel", f"{EXPLORE}a_query_that_is_stopped"
PICTURE = f"{EXPLORE}the_first_picture_of_a_bucket"

ROWS = (
    Row("random 224 px tile, 40 of 43 channels, standardized, nothing cached", RANDOM.format(40), "", TILES),
    Row("against ten lines of zarr-python and torch",
        f"{RANDOM.format(40)}, against plain zarr-python and torch", "", TILES),
    Row("against zarr-python's choice of channels",
        f"{RANDOM.format(40)}, against zarr-python choosing channels", "", TILES),
    Row("of decoding the touched chunks and one pass",
        f"{RANDOM.format(40)}, of decoding the touched chunks and one pass", ">= 0.9", TILES),
    Row("random 224 px tile, 3 of 43 channels", RANDOM.format(3), "", TILES),
    Row("against ten lines of zarr-python and torch",
        f"{RANDOM.format(3)}, against plain zarr-python and torch", "", TILES),
    Row("of decoding the touched planes and one pass",
        f"{RANDOM.format(3)}, of decoding the touched chunks and one pass", ">= 0.75", TILES),
    Row("random 224 px tile of an OME-TIFF, 3 of 43 pages", OF_TIFF, "", TIFF),
    Row("against tifffile", f"{OF_TIFF}, against plain tifffile", "", TIFF),
    Row("of decoding the touched segments and one pass",
        f"{OF_TIFF}, of decoding the touched segments and one pass", ">= 0.75", TIFF),
    Row("of decoding the touched segments", f"{OF_TIFF}, of decoding the touched segments", "", TIFF),
    Row("epoch in locality order, nothing cached before", "epoch in locality order", "", EPOCH),
    Row("of decoding each chunk once and one pass",
        "epoch in locality order, of decoding each chunk once and one pass", ">= 0.85", EPOCH),
    Row("two workers against one", "epoch of two workers, against one", ">= 1.8", EPOCH),
    *(
        Row(f"batches of {work} px from decoded chunks, against torch on images in memory",
            f"batches of {work} from decoded chunks, against torch in memory", f">= {asked}", BATCHES)
        for work, asked in (("H&E 224", 3), ("43 x 224", 2.5), ("3 x 64", 0.4), ("43 x 32", 0.5))
    ),
    Row("43 x 224, two threads of one process against one",
        "batches of 43 x 224, two threads against one", ">= 1.4", BATCHES),
    *(
        Row(f"43 x 224, clipped, {kind} against float32",
            f"batches of 43 x 224, {kind} against float32", ">= 1.1", BATCHES)
        for kind in ("float16", "bfloat16")
    ),
    *(
        row
        for work in ("H&E 224, uint8", "43 x 224, float32", "43 x 224, uint16")
        for way, asked in (("float32", ""), ("float16", ">= 1.1"), ("raw", ""))
        for row in (
            Row(f"over the bus of a GPU (H200, 16 cores), a tile of {work}, as {way}",
                f"{work}, {way}: bytes of a tile over the bus", "", DEVICE),
            *([] if way == "float32" else [
                Row("from pinned memory to that GPU, against float32",
                    f"{work}, {way}: from pinned memory to the device, against float32", asked, DEVICE),
                Row("epoch of 8 workers to it, against float32",
                    f"{work}, {way}: of workers to the device, against float32", asked, DEVICE),
            ]),
        )
    ),
    Row("second epoch of two workers with the shared cache, against the first",
        f"{SHARED}, against the first", ">= 2.5", CACHE),
    Row("against own caches of a quarter of the lake each",
        f"{SHARED}, against caches of a quarter of the lake", ">= 3", CACHE),
    Row("against own caches of the whole lake each", f"{SHARED}, against caches of all of it", ">= 1.1", CACHE),
    Row("memory of its chunks, against those", "memory of chunks, shared against caches of all", "<= 0.5", CACHE),
    *(
        Row(f"{ask} of {what}, 800 columns of metadata against 5",
            f"{ask} of {what}, 800 columns against 5", "<= 2", COLUMNS)
        for what in ("tissues", "tiles", "cells")
        for ask in ("count", "first count", "plan", "first plan")
    ),
    *(
        Row(f"{ask} of 1,000,000 cells of 500 columns, processor time",
            f"{ask} of 1,000,000 cells of 500 columns", asked, CELLS)
        for ask, asked in (("count", "<= 0.3"), ("first count", ""), ("plan", "<= 0.5"), ("first plan", ""))
    ),
    Row("features of 500,000 tiles joined with tiles and tissues in SQL, against DuckDB's join of the files",
        "500,000 x 384 features: DuckDB's own join of the files, of that in SQL", ">= 0.7", JOINED),
    *(
        Row(f"{work} features of 500,000 tiles, against plain pyarrow",
            rf"{work} 500,000 features of 384, plain pyarrow / ours", ">= 0.7", FEATURES)
        for work in ("writing", "reading")
    ),
    Row("first count over 5,000 columns of metadata", "first count of tissues over 5,000 columns", "<= 1", COLUMNS),
    Row("plan of 3.5 of 5 M tiles, of 50,000 tissues", r"plan over [\d,]+ tissues", "", SCALE),
    Row("against the bare join", r"plan over [\d,]+ tissues, against the bare join and read", "<= 4", SCALE),
    Row("the first of a process, of tables that an earlier one has read through, against later ones",
        r"first plan over [\d,]+ tissues, against later ones", "<= 1.5", SCALE),
    Row("the first of all processes, against later ones",
        r"first plan over [\d,]+ tissues, of tables that nobody has read through, against later ones", "", SCALE),
    Row("bytes of the plan for a row", r"plan over [\d,]+ tissues, for a row", "<= 16", SCALE),
    Row("cohort query over the same lake", r"cohort query over [\d,]+ tissues", "", SCALE),
    Row("published class of 2,000 tissues of 50 tiles, with statistics",
        "published class of many tissues with statistics, processor time", "<= 0.3", CLASSES),
    Row("what it keeps, against the coordinates of its tiles as tuples",
        "published class of many tissues, memory against coordinates as tuples", "<= 1", CLASSES),
    Row("statistics with quantiles per image, in decodes",
        "statistics of quantile_clipping with image-level quantiles, in decode passes", "<= 2", IMAGE_LEVEL),
    Row("statistics with global quantiles, in decodes",
        "statistics of quantile_clipping with global quantiles, in decode passes", "<= 2", GLOBAL_LEVEL),
    *(
        Row(f"epoch of a bucket, {few} of 43 channels at {wait} ms, against zarr-python over obstore, {how}",
            f"{BUCKET.format(few, wait)}, against zarr-python {how}", f">= {asked}", REMOTE)
        for few, wait, how, asked in (
            (3, 20, "one by one", 8), (3, 50, "in 16 threads", 2.5), (40, 50, "one by one", 5),
            (40, 50, "in 16 threads", 1.2),
        )
    ),
    Row("fetching for it, 3 of 43 channels at 50 ms, of what its requests wait over 32 connections",
        f"{BUCKET.format(3, 50)}, share of what its requests wait, nothing decoded", ">= 0.5", REMOTE),
    Row("fetching for it, 40 of 43 channels, of a line of 800 Mbit/s",
        "bucket, 40 of 43 channels, share of a line of 800 Mbit/s, fetched", ">= 0.6", LINE),
    Row("epoch from the disk copy of a bucket against a folder, processor time",
        "epoch from the disk copy of a bucket against a folder, CPU", ">= 0.85", COPY),
    Row("epoch of a folder against one that knows no remote lakes, processor time",
        "epoch of a folder against one without remote lakes, CPU", "<= 1.02", COPY),
    Row("new process to the first batch, processor time beyond `import torch`",
        "cold start to the first batch, CPU beyond import torch", "<= 1.2", START),
    Row("first batch of the second loader of two workers, forkserver",
        "first batch of two workers of the second loader, forkserver", "<= 1.2", START_AGAIN),
    Row("first batch of two workers, spawned, against torch's own that read nothing",
        "first batch of two workers, spawned, against torch's own that read nothing", "", START_AGAIN),
    Row("`explore`, 2,000,000 rows under the wheel: processor time of scripts in a frame, 95 of 100",
        r"[\d,]+ rows under the wheel, script in a frame, 95 of 100", "<= 8", WHEEL),
    Row("completion while a query runs", "completion while a query runs", "<= 200", STOPPED),
    Row("stopping it", "stopping a query", "<= 1000", STOPPED),
    Row("first picture of a bucket at 20 ms, from the click, nothing cached",
        "first picture of a bucket at 20 ms, from the click", "<= 2", PICTURE),
    Row("greedy tiling of a mask of 20,000 x 20,000", "greedy tiling of 20000 x 20000", "", GREEDY),
    Row("memory above the mask", "greedy tiling of 20000 x 20000, memory above the mask", "", GREEDY),
)  # fmt: skip


def latest(rows: list[dict[str, Any]], figure: str) -> dict[str, Any] | None:
    """Return the last row of a figure in the history, None where it has none.

    Examples
    --------
    >>> latest([{"name": "a", "value": 1}, {"name": "a", "value": 2}, {"name": "ab", "value": 3}], "a")["value"]
    2
    """
    return next((row for row in reversed(rows) if re.fullmatch(figure, row["name"])), None)


def told(found: dict[str, Any] | None) -> str:
    """Return a figure as the table shows it."""
    if found is None:
        return NONE
    if found["unit"] == "bytes":
        return f"{found['value']:,.0f} bytes"
    unit = {"ratio": "", "times the mask's bytes": " of the mask's bytes"}.get(found["unit"], f" {found['unit']}")
    return f"{found['value']:.3g}{unit}"


def table(history: list[dict[str, Any]]) -> str:
    """Return the page's table: every row with its latest figure, and where and when it was measured."""
    lines = ["| work | figure | asked | measured | printed by |", "|---|---|---|---|---|"]
    for row in ROWS:
        found = latest(history, row.figure)
        when = NONE if found is None else f"{found['date']}, {found['commit']}"
        asked = row.asked.replace(">=", "at least").replace("<=", "at most") or NONE
        lines.append(f"| {row.work} | {told(found)} | {asked} | {when} | `{row.test}` |")
    return "\n".join(lines) + "\n"


def generated(text: str, history: list[dict[str, Any]]) -> str:
    """Return the page with its table made anew."""
    return MARKED.sub(lambda _: table(history), text)


def read_history() -> list[dict[str, Any]]:
    """Return the rows of the history."""
    return [json.loads(line) for line in HISTORY.read_text().splitlines()]


def main() -> None:
    """Print every row with its figure and whether that is what is asked, and write the page's table."""
    history = read_history()
    for row in ROWS:
        found = latest(history, row.figure)
        holds = None if found is None else row.holds(found["value"])
        word = {None: "", True: "holds", False: "MISSED"}[holds]
        print(
            f"{row.work[:70]:70} {told(found):>12} {row.asked:>9} {word:6} {'' if found is None else found['commit']}"
        )
    PAGE.write_text(generated(PAGE.read_text(), history))


if __name__ == "__main__":
    main()
