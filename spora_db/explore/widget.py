"""The page's viewer in a notebook (extra ``widget``): its modules, and planes as binary messages; no server, no port.

1. The front end (``static/widget.js``) asks as the page does, by messages of Jupyter: ``{"id", "method", "path"}``.
2. `LakeViewer` hands a request to the routes that it has of the page's, in a thread, so that the notebook goes on.
3. The answer is a message with the same id, status and headers; its bytes, such as raw planes, are its one buffer.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anywidget
import pyarrow as pa
import pyarrow.compute as pc
import traitlets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from spora_db.errors import QueryError, counted, unknown
from spora_db.explore.explorer import LookedAt
from spora_db.explore.limits import OUTLINES
from spora_db.explore.opened import ListedImage
from spora_db.explore.routes import ROUTES, STATIC, application
from spora_db.explore.selections import on_image
from spora_db.explore.within import asked_within
from spora_db.layout.names import is_rgb

if TYPE_CHECKING:
    from spora_db.query.row_answers import RowAnswers

ANSWERING: Final = 4
"""Requests that are answered at a time."""
TILES: Final = "/api/images/{key}/outlines/tiles"
IMAGES: Final = "/api/images"
PLACES: Final = ("dataset", "tissue_id", "mpp", "row", "col", "tile_size")
"""Columns of the rows that say where they lie."""


class LakeViewer(anywidget.AnyWidget):
    """The images of a query's rows, to be looked at in a notebook; `SporaQuery.view` makes one.

    Channels, contrast, outlines and zooming are those of ``spora-db explore``; the outlined tiles are the query's.

    Parameters
    ----------
    query
        The query.
    tissue_id, dataset
        The tissue that is shown first; by default the first of the query's rows.
    height
        Of the widget on the screen, in CSS pixels.

    Raises
    ------
    QueryError
        The query selects no rows.
    UnknownNameError
        It selects no such tissue or dataset.
    """

    _esm = STATIC / "widget.js"
    height = traitlets.Int().tag(sync=True)
    """Of the widget on the screen, in CSS pixels."""
    first = traitlets.Unicode().tag(sync=True)
    """The key of the image that is shown first."""
    _held = ExitStack()  # of a widget that was refused, which ipywidgets closes too
    _submit: Callable[[Mapping[str, Any]], object] | None = None

    def __init__(
        self, query: "RowAnswers", tissue_id: str | None = None, *, dataset: str | None = None, height: int = 480
    ) -> None:
        rows = _rows(query, tissue_id, dataset)
        self._lake = query.lake
        self._size = query.selection.tile_size
        looked = self._open()
        try:
            self._shown = _shown(looked, rows, query)
        except BaseException:
            self._held.close()
            raise
        self._rows = rows.select([name for name in PLACES if name in rows.column_names])
        self._sending = threading.Lock()
        super().__init__(height=height, first=next(iter(self._shown)))
        self.on_msg(self._asked)

    def _open(self) -> LookedAt:
        """Open a catalog, and hold it, and threads that answer requests with it, until they are let go."""
        with ExitStack() as opening:
            looked = LookedAt(self._lake)
            opening.callback(looked.close)
            answering = ThreadPoolExecutor(ANSWERING, thread_name_prefix="viewer")
            opening.callback(answering.shutdown)
            own = (("GET", TILES, self._tiles), ("GET", IMAGES, self._images))
            taken = [route for route in ROUTES if route[1].startswith(IMAGES) and route[1] not in (TILES, IMAGES)]
            answer = partial(self._answer, application(looked, routes=(*own, *taken)))
            self._submit = partial(answering.submit, answer)
            self._held = opening.pop_all()
        return looked

    def __repr__(self) -> str:
        """Return what is read where no widget is shown, such as in a notebook on a web page."""
        count, first = counted(len(self._shown), "image"), self._shown[self.first].tissue_id
        return f"Viewer of {count}, {first} first: run this cell to look at it."

    def close(self) -> None:
        """End the widget, and what it holds open of the lake."""
        super().close()
        self._held.close()

    def _asked(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        """Take a request of the front end; its answer is sent once it is there.

        Where an output has gone, as when its cell is run again, all is let go; what is left of the outputs asks again.
        """
        if content.get("gone"):
            threading.Thread(target=self._held.close).start()  # after the answers that are on their way
            self._submit = None
            return
        if self._submit is None:
            self._open()
        assert self._submit is not None
        self._submit(content)

    def _answer(self, routes: Starlette, content: Mapping[str, Any]) -> None:
        body = content.get("body")
        sent = b"" if body is None else str(body).encode()
        given = asked_within(routes, str(content["method"]), str(content["path"]), sent)
        told = {"id": content["id"], "status": given.status, "headers": dict(given.headers)}
        with self._sending:
            self.send(told, [given.content])

    def _images(self, _looked: LookedAt, request: Request, _asked: Mapping[str, Any]) -> Response:
        """List the images of the query of which the names hold all words of ``q``."""
        words = request.query_params.get("q", "").casefold().split()
        told = [image.told() for image in self._shown.values()]
        found = [one for one in told if all(word in " ".join(map(str, one.values())).casefold() for word in words)]
        return JSONResponse({"images": found})

    def _tiles(self, _looked: LookedAt, request: Request, _asked: Mapping[str, Any]) -> Response:
        """Give the outlines of the query's own tiles in an image."""
        image = self._shown.get(request.path_params["key"])
        if image is None or "row" not in self._rows.column_names:
            return JSONResponse({"tilings": [], "more": False})
        own = on_image(image, self._rows, ("dataset", "tissue_id", "mpp"))
        found = self._rows.take(own[:OUTLINES])
        sizes = found["tile_size"] if "tile_size" in found.column_names else pa.array([self._size] * len(found))
        tilings: dict[int, list[list[int]]] = {}
        for size, row, col in zip(*(column.to_pylist() for column in (sizes, found["row"], found["col"])), strict=True):
            tilings.setdefault(size, []).append([row, col])
        told = [{"size": size, "tiles": tiles} for size, tiles in tilings.items()]
        return JSONResponse({"tilings": told, "more": len(own) > OUTLINES})


def _rows(query: "RowAnswers", tissue_id: str | None, dataset: str | None) -> pa.Table:
    """Return the rows of a query, those of the tissue that is shown first in front."""
    rows = query.to_arrow()
    first, others = rows, rows.slice(0, 0)
    for name, value in (("dataset", dataset), ("tissue_id", tissue_id)):
        if value is None:
            continue
        own = pc.equal(first[name], str(value))
        if not pc.any(own).as_py():
            raise unknown(name, value, first[name].unique().to_pylist(), where="the query's rows")
        first, others = first.filter(own), pa.concat_tables([others, first.filter(pc.invert(own))])
    return pa.concat_tables([first, others])


def _shown(looked: LookedAt, rows: pa.Table, query: "RowAnswers") -> dict[str, ListedImage]:
    """Return the images of rows by key, markers first; of a query for several modalities at once, all of them."""
    names = [name for name in ("dataset", "tissue_id", "modality", "mpp") if name in rows.column_names]
    found: dict[str, ListedImage] = {}
    paired = query.selection.modality_names if len(query.selection.modalities) > 1 else ()
    for row in rows.group_by(names, use_threads=False).aggregate([]).to_pylist():
        for modality in sorted(paired, key=is_rgb) or (row["modality"],):
            image = looked.images.of_row({**row, "modality": modality}, modality=None)
            if image is not None:
                found[image.key] = image
    if not found:
        raise QueryError(
            f"The query selects no {query.selection.unit}s in {query.lake}, so there is nothing to look at. "
            "Look at query.sql() and loosen a condition."
        )
    return found
