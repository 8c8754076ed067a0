"""`/v1/contacts/{id}/devices`: where a push message to a contact goes."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.notifications.devices import ContactId, DeviceInput, DeviceList, DeviceView
from starter.notifications.parsing import checked
from web.authentication import Caller
from web.bodies import answer, read_json_body
from web.examples import SCHEMAS
from web.reference import answers

MAX_DEVICE_BYTES: Final = 16 * 1024

router: Final = APIRouter(prefix="/v1/contacts/{id}/devices", tags=["devices"])
Contact = Annotated[ContactId, Path(description="Your own name for the contact.", alias="id")]
DeviceId = Annotated[str, Path(description="`dev_…`, as the list shows it.", pattern=r"^dev_[0-9a-f]{32}$")]

_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "DeviceInput"},
            "examples": {
                "app": {"summary": "An app's token", "value": {"token": "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"}},
                "browser": {
                    "summary": "A browser's subscription",
                    "value": {
                        "token": {
                            "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/gAAAA",
                            "keys": {
                                "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6"
                                "-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                                "auth": "BTBZMqHH6r4Tts7J_aSIgg",
                            },
                        }
                    },
                },
            },
        }
    },
}


@router.put(
    "",
    summary="Register a device",
    responses=answers(
        {200: (DeviceView, "Known, and seen now."), 201: (DeviceView, "New to this contact.")},
        400,
        401,
        413,
        422,
        503,
    ),
    openapi_extra={"requestBody": _BODY},
)
async def register_device(contact: Contact, request: Request, hermod: Caller) -> Response:
    """Call it each time the app starts: the token stays fresh, and one that was given up counts again.

    A token belongs to one contact at a time. Registering it for another one, who has signed in on the same device,
    takes it from the former.
    """
    core = hermod.core
    given = checked(DeviceInput, await read_json_body(request, MAX_DEVICE_BYTES))
    saved = await core.storage.devices.register(hermod.tenant, contact, given.token, core.clock.now())
    return answer(saved.view, 201 if saved.created else 200)


@router.get(
    "",
    summary="List a contact's devices",
    responses=answers({200: (DeviceList, "Last seen first.")}, 401, 422, 503),
)
async def list_devices(contact: Contact, hermod: Caller) -> Response:
    return answer(DeviceList(items=tuple(await hermod.core.storage.devices.of(hermod.tenant, contact))))


@router.delete(
    "/{device}",
    summary="Remove a device",
    status_code=204,
    responses={204: {"description": "It is gone."}, **answers({}, 401, 404, 422, 503)},
)
async def remove_device(contact: Contact, device: DeviceId, hermod: Caller) -> Response:
    """Nothing more is sent there until it is registered again: for an app whose user signs out."""
    await hermod.core.storage.devices.remove(hermod.tenant, contact, device, hermod.core.clock.now())
    return Response(status_code=204)
