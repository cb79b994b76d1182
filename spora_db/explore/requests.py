"""Requests taken apart: bodies and parameters of the right kind, or an error; and planes as bytes."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import ArgumentError


def body_of(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object of a request."""
    try:
        asked = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArgumentError("The request is no JSON.") from error
    if not isinstance(asked, dict):
        raise ArgumentError("The request is no JSON object.")
    return asked


def text_of(asked: Mapping[str, Any], name: str) -> str:
    """Return a text of a request."""
    value = asked.get(name)
    if not isinstance(value, str):
        raise ArgumentError(f"{name} is a text; received {type(value).__name__}.")
    return value


def whole_numbers(asked: Mapping[str, Any], name: str, *, count: int | None = None) -> Int64:
    """Return a list of whole numbers, as many as expected."""
    values = asked.get(name)
    if not isinstance(values, list) or not all(isinstance(value, int) and abs(value) < 2**53 for value in values):
        raise ArgumentError(f"{name} is a list of whole numbers.")
    if count is not None and len(values) != count:
        raise ArgumentError(f"{name} is a list of {count} whole numbers; received {len(values)}.")
    return np.array(values, np.int64)


def parameter(request: Request, name: str) -> int:
    """Return a whole number of the address."""
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise ArgumentError(f"{name} is a whole number; received {text!r}.")
    return int(text)


def resolution(request: Request) -> float | None:
    """Return ``mpp`` of the address, None where it says none."""
    text = request.query_params.get("mpp", "")
    try:
        return float(text) if text else None
    except ValueError as error:
        raise ArgumentError(f"mpp is a number, microns per pixel; received {text!r}.") from error


def pages_of(request: Request) -> list[int]:
    """Return the numbers of planes of the address."""
    texts = request.query_params.get("pages", "").split(",")
    if not all(text.isascii() and text.isdecimal() and len(text) < 9 for text in texts):
        raise ArgumentError("pages is a list of numbers such as 0,3,5.")
    return [int(text) for text in texts]


def raw_planes(planes: AnyArray, *, cache: str) -> Response:
    """Return raw planes, little-endian, row by row, with their shape and type beside."""
    plain = np.ascontiguousarray(planes, planes.dtype.newbyteorder("<"))
    shape = ",".join(map(str, plain.shape))
    headers = {"X-Shape": shape, "X-Dtype": planes.dtype.name, "Cache-Control": cache}
    return Response(plain.tobytes(), media_type="application/octet-stream", headers=headers)
