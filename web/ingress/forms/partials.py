"""`/v1/forms/{id}/partials/{session}`: what a visitor has entered so far. `/resume/{token}`: to go on with it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.errors import Gone, NotFound
from hermod.contracts.forms.forms import MAX_DATA_BYTES, PartialReceipt, PartialView, ResumeView
from starter.forms.partials import partial, resumed, save_partial
from web.authentication import Caller
from web.bodies import MIB, answer, read_json_body
from web.context import context_of, core_of
from web.examples import SCHEMAS
from web.problems import problem_of
from web.reference import answers

MAX_PARTIAL_BYTES: Final = 6 * MAX_DATA_BYTES + MIB // 2
"""What is counted is the data, not how they are written: a character may come as `\\u0061`, with spaces between."""
_OPEN: Final = {
    "access-control-allow-origin": "*",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
"""A page of the application may ask from a visitor's browser: the token is all that allows it, not where it comes from.
"""

router: Final = APIRouter(tags=["forms"])

FormName = Annotated[
    str, Path(description="The form's id.", alias="id", json_schema_extra={"pattern": r"^[a-z0-9][a-z0-9_-]{0,62}$"})
]
SessionName = Annotated[
    str,
    Path(
        description="The visitor's session: random, 8 to 128 letters, digits, - and _.",
        json_schema_extra={"pattern": r"^[A-Za-z0-9_-]{8,128}$"},
    ),
]

_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "PartialInput"},
            "example": {"revision": 7, "data": {"email": "ada@example.com"}, "contact": "customer-42"},
        }
    },
}


@router.put(
    "/v1/forms/{id}/partials/{session}",
    summary="Keep what a visitor has entered so far",
    status_code=202,
    responses=answers(
        {202: (PartialReceipt, "Stored, or known already. `stored` says whether this revision is the newest.")},
        *(400, 401, 404, 413, 422, 503),
    ),
    openapi_extra={"requestBody": _BODY},
)
async def put_partial(form: FormName, session: SessionName, request: Request, hermod: Caller) -> Response:
    """The highest revision wins; a repeated or an older one changes nothing, and so does any once the form was sent.

    Call it as often as the visitor changes something. The data are not checked against the form's schema.
    """
    given = await read_json_body(request, MAX_PARTIAL_BYTES)
    return answer(await save_partial(hermod, form, session, given), 202)


@router.get(
    "/v1/forms/{id}/partials/{session}",
    summary="A partial submission",
    responses=answers({200: (PartialView, "The newest revision, and what became of it.")}, 401, 404, 422, 503),
)
async def show_partial(form: FormName, session: SessionName, hermod: Caller) -> Response:
    return answer(await partial(hermod, form, session))


@router.get(
    "/resume/{token}",
    summary="Go on with a form",
    responses=answers({200: (ResumeView, "What was entered so far.")}, 404, 410, 503),
)
async def resume(
    token: Annotated[str, Path(description="`resume_token` of a partial.", json_schema_extra={"maxLength": 2048})],
    request: Request,
) -> Response:
    """Open to whoever has the token, from any origin: it is as good as what was entered. 410 once the form was sent."""
    try:
        found = answer(await resumed(core_of(request), token))
    except (Gone, NotFound) as error:
        found = problem_of(error).response(context_of(request).request_id)
    found.headers.update(_OPEN)
    return found
