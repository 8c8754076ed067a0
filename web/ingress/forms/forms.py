"""`/v1/forms`: what forms are: their schema, what they ask to be paid, and what they tell."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.forms.forms import MAX_SCHEMA_BYTES, FormId, FormPage, FormView
from hermod.contracts.values.model import Model
from starter.forms.forms import delete_form, form, forms, put_form
from web.authentication import Caller
from web.bodies import answer, read_json_body
from web.examples import SCHEMAS
from web.reference import answers

MAX_FORM_BYTES: Final = 4 * MAX_SCHEMA_BYTES
"""The schema, texts of notifications, and spaces between."""

router: Final = APIRouter(prefix="/v1/forms", tags=["forms"])

FormName = Annotated[
    str,
    Path(description="Lower-case letters, digits, `-` and `_`.", alias="id", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$"),
]

_SIGN_UP: Final[dict[str, Any]] = {
    "name": "Sign up",
    "schema": {
        "type": "object",
        "required": ["email"],
        "additionalProperties": False,
        "properties": {
            "email": {"type": "string", "format": "email", "maxLength": 254},
            "name": {"type": "string", "maxLength": 100},
            "newsletter": {"type": "boolean"},
        },
    },
    "on_submit": {
        "webhooks": True,
        "notifications": [
            {
                "channel": "email",
                "to": "{{ data.email }}",
                "content": {"subject": "Welcome, {{ data.name|default('friend') }}", "text": "Good to have you here."},
            }
        ],
    },
    "spam": {"honeypot": "website", "per_address_per_hour": 30},
}
_TICKET: Final[dict[str, Any]] = {
    "name": "A ticket",
    "schema": {"type": "object", "required": ["seat"], "properties": {"seat": {"type": "string"}}},
    "payment": {"required": True, "expires_in": "PT30M"},
    "on_submit": {
        "notifications": [
            {
                "channel": "sms",
                "to": "{{ data.phone }}",
                "on": "submission.paid",
                "when": "data.phone",
                "content": {"body": "Seat {{ data.seat }} is yours."},
            }
        ]
    },
    "partials": {"abandon_after": "PT1H", "webhooks": True, "resume_url": "https://shop.example.com/ticket?t={token}"},
}
_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "FormInput"},
            "examples": {
                "sign_up": {"summary": "A form that welcomes whoever fills it in", "value": _SIGN_UP},
                "ticket": {"summary": "One that is complete when it is paid", "value": _TICKET},
            },
        }
    },
}


class FormQuery(Model):
    cursor: FormId | None = Field(default=None, description="`next_cursor` of the page before.")
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.put(
    "/{id}",
    summary="Create or change a form",
    responses=answers(
        {
            200: (FormView, "The form says the same already; nothing was stored."),
            201: (FormView, "Stored, as its next revision. It holds for what is submitted from now on."),
        },
        *(400, 401, 413, 422, 503),
    ),
    openapi_extra={"requestBody": _BODY},
)
async def put_form_definition(name: FormName, request: Request, hermod: Caller) -> Response:
    """`schema` is a JSON Schema (2020-12, or 2019-09 and draft 7 where it says so), of 256 KiB at most. References stay
    within it, and regular expressions are those that can be matched in linear time.

    Texts of notifications may have expressions over `data`, `form`, `submission`, `payment` and `resume_url`.
    """
    put = await put_form(hermod, name, await read_json_body(request, MAX_FORM_BYTES))
    return answer(put.view, 201 if put.changed else 200)


@router.get(
    "",
    summary="List forms",
    responses=answers({200: (FormPage, "By id.")}, 401, 422, 503),
)
async def list_forms(hermod: Caller, query: Annotated[FormQuery, Query()]) -> Response:
    return answer(await forms(hermod, cursor=query.cursor, limit=query.limit))


@router.get(
    "/{id}",
    summary="A form",
    responses=answers({200: (FormView, "As it holds now.")}, 401, 404, 422, 503),
)
async def show_form(name: FormName, hermod: Caller) -> Response:
    return answer(await form(hermod, name))


@router.delete(
    "/{id}",
    summary="Delete a form",
    status_code=204,
    responses={204: {"description": "It takes no more submissions."}, **answers({}, 401, 404, 422, 503)},
)
async def delete_form_definition(name: FormName, hermod: Caller) -> Response:
    """What was submitted stays, and goes on."""
    await delete_form(hermod, name)
    return Response(status_code=204)
