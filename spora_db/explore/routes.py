"""The routes of the server: method, path and what answers; errors of ours become JSON."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from spora_db.asking import explained
from spora_db.errors import SporaError, UnknownNameError
from spora_db.explore import of_images, of_rows
from spora_db.explore.explorer import LookedAt
from spora_db.explore.requests import body_of

STATIC = Path(__file__).with_name("static")
Answering: TypeAlias = Callable[[Any, Request, Mapping[str, Any]], Response]
Routes: TypeAlias = tuple[tuple[str, str, Answering], ...]
"""Method, path and what answers."""

ROUTES: Routes = (
    ("GET", "/api/lake", of_rows.lake),
    ("POST", "/api/queries", of_rows.start_query),
    ("GET", "/api/queries/{id}", of_rows.query_state),
    ("DELETE", "/api/queries/{id}", of_rows.stop_query),
    ("GET", "/api/queries/{id}/rows", of_rows.rows),
    ("POST", "/api/queries/{id}/rows", of_rows.chosen_rows),
    ("GET", "/api/queries/{id}/points", of_rows.points),
    ("GET", "/api/queries/{id}/columns/{column:int}", of_rows.summary),
    ("POST", "/api/complete", of_rows.complete),
    ("POST", "/api/thumbs", of_images.thumb_planes),
    ("GET", "/api/images", of_images.list_images),
    ("GET", "/api/images/{key}", of_images.image),
    ("GET", "/api/images/{key}/limits", of_images.limits),
    ("GET", "/api/images/{key}/histogram", of_images.histogram),
    ("GET", "/api/images/{key}/tiles/{level:int}/{row:int}/{col:int}", of_images.tile),
    ("GET", "/api/images/{key}/outlines/{kind}", of_images.lines),
    ("GET", "/api/images/{key}/cells/at", of_images.cell),
    ("POST", "/api/selections", of_rows.select),
    ("POST", "/api/marks", of_rows.marks),
    ("GET", "/api/tags", of_rows.tags),
    ("POST", "/api/tags", of_rows.change_tag),
    ("POST", "/api/tags/table", of_rows.save_tags),
    ("POST", "/api/exports", of_rows.export),
)


def application(explorer: LookedAt, *, routes: Routes = ROUTES) -> Starlette:
    """Return the application: the routes, and the page's own files; those of images need no more than `LookedAt`."""
    answered = [Route(path, _answering(explorer, answer), methods=[method]) for method, path, answer in routes]
    # the browser asks for it whenever the address changes, which has the state of the page
    answered.append(Route("/mark.svg", _mark))
    return Starlette(routes=[*answered, Mount("/", StaticFiles(directory=STATIC, html=True))])


async def _mark(_: Request) -> Response:
    return FileResponse(STATIC / "mark.svg", headers={"Cache-Control": "private, max-age=3600"})


def _answering(explorer: LookedAt, answer: Answering) -> Callable[[Request], Any]:
    """Return what Starlette calls: in a thread; errors as JSON, those of libraries too."""

    async def endpoint(request: Request) -> Response:
        try:
            asked = body_of(await request.body()) if request.method == "POST" else {}
            with explained():
                try:
                    return await run_in_threadpool(answer, explorer, request, asked)
                except OSError as error:
                    return JSONResponse({"error": str(error)}, status_code=400)
        except UnknownNameError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        except SporaError as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return endpoint
