"""What the routes of images answer: each takes a request apart and calls one function."""

from collections.abc import Mapping
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from spora_db.errors import ArgumentError
from spora_db.explore.explorer import Explorer, LookedAt
from spora_db.explore.outlines import cell_at, outlines
from spora_db.explore.requests import pages_of, parameter, raw_planes, resolution, text_of, whole_numbers
from spora_db.explore.thumbs import thumbs

LISTED = 500
"""Images that are listed at a time."""


def thumb_planes(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Give small pictures of rows."""
    markers = asked.get("markers")
    if not isinstance(markers, list) or not all(isinstance(marker, str) for marker in markers):
        raise ArgumentError("markers is a list of names of channels.")
    answer = explorer.queries.answer(text_of(asked, "query"))
    size, modality = asked.get("size"), asked.get("modality")
    content = thumbs(
        explorer.images, answer, whole_numbers(asked, "rows"), markers=markers,
        modality=modality if isinstance(modality, str) else None, size=size if isinstance(size, int) else 0,
    )  # fmt: skip
    return Response(content, media_type="application/octet-stream")


def list_images(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """List images of which the names hold all words of ``q``; or the one that a row of an answer shows."""
    given = request.query_params
    if "tissue_id" in given:
        row: dict[str, Any] = {name: given.get(name) for name in ("dataset", "tissue_id", "modality")}
        found = explorer.images.of_row(row | {"mpp": resolution(request)}, modality=None)
        return JSONResponse({"images": [] if found is None else [found.told()]})
    listed = explorer.images.find(given.get("q", ""), most=LISTED)
    told = {"images": [image.told() for image in listed]}
    return JSONResponse(told, background=BackgroundTask(explorer.images.prepare))  # one of them is opened next


def image(explorer: LookedAt, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say what an image is: its size, levels and channels."""
    return JSONResponse(explorer.images.open(request.path_params["key"]).told())


def limits(explorer: LookedAt, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say how channels of an image are shown at first: those of ``pages``, or all."""
    pages = pages_of(request) if "pages" in request.query_params else None
    return JSONResponse({"limits": explorer.images.limits(request.path_params["key"], pages)})


def histogram(explorer: LookedAt, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Count the pixels of a channel by their values."""
    return JSONResponse(explorer.images.histogram(request.path_params["key"], parameter(request, "page")))


def tile(explorer: LookedAt, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Give a piece of some planes at a level."""
    key, level, down, across = (request.path_params[name] for name in ("key", "level", "row", "col"))
    planes = explorer.images.tile(key, level, down, across, pages=pages_of(request))
    lasting = request.query_params.get("v") == explorer.images.open(key).signature
    return raw_planes(planes, cache="private, max-age=31536000, immutable" if lasting else "no-store")


def lines(explorer: LookedAt, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Give outlines of one kind."""
    return JSONResponse(outlines(explorer.images, request.path_params["key"], request.path_params["kind"]))


def cell(explorer: LookedAt, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say which cell lies under a pixel."""
    row, col = parameter(request, "row"), parameter(request, "col")
    return JSONResponse(cell_at(explorer.images, request.path_params["key"], row=row, col=col))
