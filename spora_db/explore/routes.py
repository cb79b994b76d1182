"""The routes of the server: each takes a request apart, calls one function of another module, and gives its answer."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from spora_db.arrays import AnyArray, Int64
from spora_db.asking import Completer
from spora_db.asking.completion import DELIMITERS
from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, SporaError, UnknownNameError
from spora_db.explore import selections
from spora_db.explore.images import COLOURS, ShownImages
from spora_db.explore.limits import CHANNELS, PAGE_ROWS, THUMBS
from spora_db.explore.outlines import cell_at, outlines
from spora_db.explore.queries import Queries
from spora_db.explore.thumbs import thumbs

STATIC = Path(__file__).with_name("static")
LISTED = 500
"""Images that are listed at a time."""
Answering: TypeAlias = Callable[["Explorer", Request, Mapping[str, Any]], Response]


class Explorer:
    """What the routes stand on: the lake's catalog for names and completions, its images, the queries.

    Parameters
    ----------
    lake
        The lake.
    write
        The folder that selections may be saved into, None where the page only reads.
    """

    def __init__(self, lake: Path, *, write: Path | None) -> None:
        self.catalog = Catalog(lake, threads=1)
        self.lake = self.catalog.lake
        self.write = write
        self.images = ShownImages(self.catalog)
        self.queries = Queries(self.lake)
        self.completer = Completer(self.catalog, lambda: {})

    def close(self) -> None:
        """End what runs, and close the catalog."""
        self.queries.close()
        self.catalog.close()

    def numbers(self, asked: Mapping[str, Any]) -> Int64 | None:
        """Return the rows that a request names: listed, inside a lasso, or None for all."""
        if "polygon" in asked:
            answer = self.queries.answer(_text(asked, "query"))
            return selections.lassoed(self.images, answer, key=_text(asked, "key"), polygon=asked["polygon"])
        return None if asked.get("rows") is None else _whole_numbers(asked, "rows")


def lake(explorer: Explorer, _request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say what the lake is, and what the page may ask for."""
    relations = {name: list(explorer.catalog.columns(name)) for name in explorer.catalog.relations}
    return JSONResponse(
        {"lake": str(explorer.lake), "name": explorer.lake.name, "relations": relations, "channels": CHANNELS,
         "thumbs": THUMBS, "page": PAGE_ROWS, "colours": COLOURS, "write": explorer.write is not None}
    )  # fmt: skip


def start_query(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Begin to answer SQL."""
    return JSONResponse({"id": explorer.queries.start(_text(asked, "sql"))}, status_code=201)


def query_state(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say how far a query is."""
    return JSONResponse(explorer.queries.get(request.path_params["id"]).told())


def stop_query(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Stop a query, or forget its answer."""
    explorer.queries.stop(request.path_params["id"])
    return Response(status_code=204)


def rows(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Give a page of rows."""
    given = request.query_params
    sort = _parameter(request, "sort") if "sort" in given else None
    answer = explorer.queries.answer(request.path_params["id"])
    descending = given.get("descending") == "1"
    page = answer.page(
        _parameter(request, "offset"), rows=_parameter(request, "rows"), sort=sort, descending=descending
    )
    return JSONResponse(page)


def summary(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say what a column of an answer holds."""
    answer = explorer.queries.answer(request.path_params["id"])
    return JSONResponse(answer.summary(request.path_params["column"]))


def complete(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Complete the word before the cursor."""
    before, after = _text(asked, "before"), _text(asked, "after")
    start = max((before.rfind(letter) for letter in DELIMITERS), default=-1) + 1
    found = explorer.completer.candidates(before, before[start:], after=after)
    return JSONResponse({"word": before[start:], "completions": found[:100]})


def thumb_planes(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Give small pictures of rows."""
    markers = asked.get("markers")
    if not isinstance(markers, list) or not all(isinstance(marker, str) for marker in markers):
        raise ArgumentError("markers is a list of names of channels.")
    answer = explorer.queries.answer(_text(asked, "query"))
    size, modality = asked.get("size"), asked.get("modality")
    content = thumbs(
        explorer.images, answer, _whole_numbers(asked, "rows"), markers=markers,
        modality=modality if isinstance(modality, str) else None, size=size if isinstance(size, int) else 0,
    )  # fmt: skip
    return Response(content, media_type="application/octet-stream")


def list_images(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """List images of which the names hold all words of ``q``; or the one that a row of an answer shows."""
    given = request.query_params
    if "tissue_id" in given:
        row = {name: given.get(name) for name in ("dataset", "tissue_id", "modality")}
        row["mpp"] = float(given["mpp"]) if given.get("mpp") else None  # type: ignore[assignment]
        found = explorer.images.of_row(row, modality=None)
        return JSONResponse({"images": [] if found is None else [found.told()]})
    listed = explorer.images.find(given.get("q", ""), most=LISTED)
    return JSONResponse({"images": [image.told() for image in listed]})


def image(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say what an image is: its size, levels and channels."""
    return JSONResponse(explorer.images.open(request.path_params["key"]).told())


def limits(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say how channels of an image are shown at first: those of ``pages``, or all."""
    pages = _pages(request) if "pages" in request.query_params else None
    return JSONResponse({"limits": explorer.images.limits(request.path_params["key"], pages)})


def histogram(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Count the pixels of a channel by their values."""
    return JSONResponse(explorer.images.histogram(request.path_params["key"], _parameter(request, "page")))


def tile(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Give a piece of some planes at a level."""
    key, level, down, across = (request.path_params[name] for name in ("key", "level", "row", "col"))
    planes = explorer.images.tile(key, level, down, across, pages=_pages(request))
    lasting = request.query_params.get("v") == explorer.images.open(key).signature
    return _planes(planes, cache="private, max-age=31536000, immutable" if lasting else "no-store")


def lines(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Give outlines of one kind."""
    return JSONResponse(outlines(explorer.images, request.path_params["key"], request.path_params["kind"]))


def cell(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say which cell lies under a pixel."""
    row, col = _parameter(request, "row"), _parameter(request, "col")
    return JSONResponse(cell_at(explorer.images, request.path_params["key"], row=row, col=col))


def select(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Say which rows are selected, and the code of their query."""
    query = explorer.queries.get(_text(asked, "query"))
    answer, numbers = explorer.queries.answer(_text(asked, "query")), explorer.numbers(asked)
    told: dict[str, Any] = {"count": answer.rows if numbers is None else len(numbers)}
    if numbers is not None:
        told["rows"] = numbers.tolist()
    if asked.get("code"):
        told["code"] = selections.code_of(explorer.lake, query.sql, answer, numbers)
    return JSONResponse(told)


def export(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Save selected rows."""
    answer, numbers = explorer.queries.answer(_text(asked, "query")), explorer.numbers(asked)
    form: Any = _text(asked, "form")
    path = selections.save(
        explorer.lake, explorer.write, answer, numbers, name=_text(asked, "name"), form=form
    )  # fmt: skip
    return JSONResponse({"file": path.name}, status_code=201)


ROUTES: tuple[tuple[str, str, Answering], ...] = (
    ("GET", "/api/lake", lake),
    ("POST", "/api/queries", start_query),
    ("GET", "/api/queries/{id}", query_state),
    ("DELETE", "/api/queries/{id}", stop_query),
    ("GET", "/api/queries/{id}/rows", rows),
    ("GET", "/api/queries/{id}/columns/{column:int}", summary),
    ("POST", "/api/complete", complete),
    ("POST", "/api/thumbs", thumb_planes),
    ("GET", "/api/images", list_images),
    ("GET", "/api/images/{key}", image),
    ("GET", "/api/images/{key}/limits", limits),
    ("GET", "/api/images/{key}/histogram", histogram),
    ("GET", "/api/images/{key}/tiles/{level:int}/{row:int}/{col:int}", tile),
    ("GET", "/api/images/{key}/outlines/{kind}", lines),
    ("GET", "/api/images/{key}/cells/at", cell),
    ("POST", "/api/selections", select),
    ("POST", "/api/exports", export),
)
"""Method, path and what answers."""


def application(explorer: Explorer) -> Starlette:
    """Return the application: the routes, and the page's own files."""
    routes = [Route(path, _answering(explorer, answer), methods=[method]) for method, path, answer in ROUTES]
    return Starlette(routes=[*routes, Mount("/", StaticFiles(directory=STATIC, html=True))])


def _answering(explorer: Explorer, answer: Answering) -> Callable[[Request], Any]:
    """Return what Starlette calls: in a thread, errors of ours as JSON."""

    async def endpoint(request: Request) -> Response:
        try:
            asked = _body(await request.body()) if request.method == "POST" else {}
            return await run_in_threadpool(answer, explorer, request, asked)
        except UnknownNameError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        except (SporaError, OSError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return endpoint


def _body(content: bytes) -> Mapping[str, Any]:
    try:
        asked = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArgumentError("The request is no JSON.") from error
    if not isinstance(asked, dict):
        raise ArgumentError("The request is no JSON object.")
    return asked


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str):
        raise ArgumentError(f"{name} is a text; received {type(value).__name__}.")
    return value


def _whole_numbers(asked: Mapping[str, Any], name: str) -> Int64:
    values = asked.get(name)
    if not isinstance(values, list) or not all(isinstance(value, int) and abs(value) < 2**53 for value in values):
        raise ArgumentError(f"{name} is a list of whole numbers.")
    return np.array(values, np.int64)


def _parameter(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise ArgumentError(f"{name} is a whole number; received {text!r}.")
    return int(text)


def _pages(request: Request) -> list[int]:
    texts = request.query_params.get("pages", "").split(",")
    if not all(text.isascii() and text.isdecimal() and len(text) < 9 for text in texts):
        raise ArgumentError("pages is a list of numbers such as 0,3,5.")
    return [int(text) for text in texts]


def _planes(planes: AnyArray, *, cache: str) -> Response:
    """Return raw planes, little-endian, row by row, with their shape and type beside."""
    plain = np.ascontiguousarray(planes, planes.dtype.newbyteorder("<"))
    shape = ",".join(map(str, plain.shape))
    headers = {"X-Shape": shape, "X-Dtype": planes.dtype.name, "Cache-Control": cache}
    return Response(plain.tobytes(), media_type="application/octet-stream", headers=headers)
