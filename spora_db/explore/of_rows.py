"""What the routes of queries, rows and selections answer: each takes a request apart and calls one function."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from spora_db.asking.completion import DELIMITERS
from spora_db.errors import unknown
from spora_db.explore import selections
from spora_db.explore.explorer import Explorer
from spora_db.explore.images import COLOURS
from spora_db.explore.limits import CHANNELS, PAGE_ROWS, THUMBS
from spora_db.explore.near import Near
from spora_db.explore.points import points as points_of
from spora_db.explore.requests import parameter, text_of, whole_numbers
from spora_db.layout import layers


def lake(explorer: Explorer, _request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say what the lake is, and what the page may ask for."""
    name = " + ".join(layer.name for layer in layers(explorer.lake))
    return JSONResponse(
        {"lake": str(explorer.lake), "name": name, "channels": CHANNELS, "thumbs": THUMBS, "page": PAGE_ROWS,
         "colours": COLOURS, "features": explorer.features(), "write": explorer.write is not None}
    )  # fmt: skip


def start_query(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Begin to answer SQL, or to find the rows of its answer that are most like one."""
    near = None if asked.get("near") is None else Near.of(asked["near"])
    return JSONResponse({"id": explorer.queries.start(text_of(asked, "sql"), near=near)}, status_code=201)


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
    sort = parameter(request, "sort") if "sort" in given else None
    answer = explorer.queries.answer(request.path_params["id"])
    descending = given.get("descending") == "1"
    page = answer.page(parameter(request, "offset"), rows=parameter(request, "rows"), sort=sort, descending=descending)
    return JSONResponse(page)


def chosen_rows(explorer: Explorer, request: Request, asked: Mapping[str, Any]) -> Response:
    """Give rows by their numbers."""
    answer = explorer.queries.answer(request.path_params["id"])
    return JSONResponse(answer.chosen(whole_numbers(asked, "rows")))


def points(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Give two columns as points, a third as their colour."""
    answer = explorer.queries.answer(request.path_params["id"])
    by = parameter(request, "by") if "by" in request.query_params else None
    content = points_of(answer, parameter(request, "x"), parameter(request, "y"), by=by)
    return Response(content, media_type="application/octet-stream")


def summary(explorer: Explorer, request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say what a column of an answer holds."""
    answer = explorer.queries.answer(request.path_params["id"])
    return JSONResponse(answer.summary(request.path_params["column"]))


def complete(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Complete the word before the cursor."""
    before, after = text_of(asked, "before"), text_of(asked, "after")
    start = max((before.rfind(letter) for letter in DELIMITERS), default=-1) + 1
    found = explorer.completer.candidates(before, before[start:], after=after)
    return JSONResponse({"word": before[start:], "completions": found[:100]})


def select(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Say which rows are selected, and the code of their query."""
    query = explorer.queries.get(text_of(asked, "query"))
    answer, numbers = explorer.queries.answer(text_of(asked, "query")), explorer.numbers(asked)
    told: dict[str, Any] = {"count": answer.rows if numbers is None else len(numbers)}
    if numbers is not None:
        told["rows"] = selections.few(numbers).tolist()
    if asked.get("code"):
        lake, last = explorer.lake, "" if query.near is None else query.near.code
        saved = explorer.tags.verbs(text_of(asked, "of_tag")) if "of_tag" in asked else None
        if saved is not None:  # the table says which rows have the tag
            lake, numbers, last = saved[0], None, last + saved[1]
        told["code"] = selections.code_of(lake, query.sql, answer, numbers, near=last)
    return JSONResponse(told)


def marks(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Say where selected rows lie in an image."""
    answer, numbers = explorer.queries.answer(text_of(asked, "query")), whole_numbers(asked, "rows")
    return JSONResponse({"marks": selections.marks(explorer.images, answer, numbers, key=text_of(asked, "key"))})


def tags(explorer: Explorer, _request: Request, _asked: Mapping[str, Any]) -> Response:
    """Say which tags there are."""
    return JSONResponse(explorer.tags.told())


def change_tag(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Give a tag to rows, take it from them, or forget it."""
    tag, change = text_of(asked, "tag"), text_of(asked, "change")
    if change not in ("give", "take", "forget"):
        raise unknown("change of a tag", change, ("give", "take", "forget"))
    if change == "forget":
        explorer.tags.forget(tag)
    else:
        answer, numbers = explorer.queries.answer(text_of(asked, "query")), explorer.numbers(asked)
        if change == "give":
            explorer.tags.give(answer, numbers, tag)
        else:
            explorer.tags.take(answer, numbers, tag)
    return JSONResponse(explorer.tags.told())


def save_tags(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Save all tags as a table of a layer."""
    path = explorer.tags.save(explorer.write, name=text_of(asked, "name"))
    return JSONResponse({"file": f"{path.parent.name}/{path.name}"}, status_code=201)


def export(explorer: Explorer, _request: Request, asked: Mapping[str, Any]) -> Response:
    """Save selected rows."""
    answer, numbers = explorer.queries.answer(text_of(asked, "query")), explorer.numbers(asked)
    form: Any = text_of(asked, "form")
    path = selections.save(
        explorer.lake, explorer.write, answer, numbers, name=text_of(asked, "name"), form=form
    )  # fmt: skip
    return JSONResponse({"file": path.name}, status_code=201)
