"""`/v1/journeys/{subject}`: one visitor's way as one list."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.responses import Response

from hermod.contracts.journeys import JourneyView
from starter.forms.journeys import journey
from web.authentication import Caller
from web.bodies import answer
from web.reference import answers

router: Final = APIRouter(prefix="/v1/journeys", tags=["forms"])


@router.get(
    "/{subject}",
    summary="A visitor's journey",
    responses=answers({200: (JourneyView, "The oldest step first.")}, 401, 404, 503),
)
async def show_journey(
    subject: Annotated[
        str,
        Path(
            description="A contact or a session, as it came with forms and submissions.",
            json_schema_extra={"maxLength": 128},
        ),
    ],
    hermod: Caller,
) -> Response:
    """From the first change of a form to the last receipt: forms, messages, webhooks and payments by time.

    A session leads to the contacts that were named with it, and to their other sessions. Codes, amounts and ids; never
    what somebody entered. Of more than 500 steps the newest are shown.
    """
    return answer(await journey(hermod, subject))
