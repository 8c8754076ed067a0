"""Bodies in and out. Ours are read here, up to a limit, and not by the framework: it would parse them twice."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import InvalidInput
from starter.intake import read_json
from starter.wording import field_errors
from web.problems import BodyTooLarge

MIB: Final = 1024 * 1024
_Model = TypeVar("_Model", bound=BaseModel)


async def read_body(request: Request, limit: int) -> bytes:
    """The body, of `limit` bytes at most. Raises BodyTooLarge, before the rest of such a body has arrived."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def read_json_body(request: Request, limit: int) -> Any:
    """The body as JSON. Raises BodyTooLarge and MalformedJson."""
    return read_json(await read_body(request, limit))


def checked(model: type[_Model], given: object) -> _Model:
    """`given` as a model. Raises InvalidInput."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None


def answer(body: BaseModel, status: int = 200) -> Response:
    """A model as JSON. Answers are somebody's own, so no cache may keep them."""
    text = body.model_dump_json(by_alias=True)
    return Response(text, status, {"cache-control": "no-store"}, "application/json")


def _too_large(limit: int) -> BodyTooLarge:
    size = f"{limit // MIB} MiB" if limit >= MIB else f"{limit // 1024} KiB"
    return BodyTooLarge(f"the body is larger than {size}")
