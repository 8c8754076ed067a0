"""The API's reference: the OpenAPI document, and the page at `/docs` that shows it without a word from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, BeforeValidator, TypeAdapter
from pydantic.json_schema import models_json_schema
from pydantic_core import PydanticCustomError
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from hermod.channels.registry import CAPABILITIES
from hermod.contracts.analytics.events import TrackedEvent
from hermod.contracts.errors import (
    Conflict,
    Gone,
    HermodError,
    InvalidInput,
    NotFound,
    TooMany,
    Unauthorized,
    Unavailable,
)
from hermod.contracts.forms.forms import FormInput, PartialInput, SubmissionInput
from hermod.contracts.forms.payments import StripeAccountInput
from hermod.contracts.notifications.dead_letters import ManyDeliveries, ManyMessages, ManySubmissions
from hermod.contracts.notifications.devices import DeviceInput
from hermod.contracts.notifications.messages import AnyMessage, Receipt, Resolution
from hermod.contracts.notifications.retries import RetryDefaults
from hermod.contracts.notifications.suppressions import SuppressionInput
from hermod.contracts.notifications.templates import DraftInput, PreviewInput, TemplateInput
from hermod.contracts.tenants.accounts import AccountInput
from hermod.contracts.tenants.retention import Retention
from hermod.contracts.webhooks.deliveries import EndpointSettings, EventInput, ReplayInput, Rotation
from hermod.version import product_version
from starter.notifications.parsing import KEY_FIELD, MalformedJson
from web.examples import IDEMPOTENCY_KEY, IN_BATCH, MODELS, SCHEMAS
from web.problems import MEDIA_TYPE, BodyTooLarge, NotJson, ProblemView, problem_of

ASSETS: Final = "/docs/assets"
_TEMPLATE: Final = SCHEMAS + "{model}"
_ABOUT: Final = """
Hand Hermod a message, and it is delivered: it is stored before the answer comes, tried again, sent by another provider
where one fails, and you can always ask what happened to it, why, and what happens next.

Every answer has an `X-Request-Id`, yours if you sent one. Errors are
[RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems; for a wrong input, `errors` names each field. Lists answer
`{items, next_cursor}`: ask again with `cursor=<next_cursor>` until it is null. Times are UTC, RFC 3339.
"""
_TAGS: Final = [
    {"name": "messages", "description": "Send email, SMS, WhatsApp and push messages, and follow them."},
    {"name": "templates", "description": "Words that are kept here, and that messages fill in. Every version is kept."},
    {"name": "devices", "description": "The devices of contacts, for push messages to a contact."},
    {"name": "provider accounts", "description": "The accounts that messages are sent with, tried in their `order`."},
    {
        "name": "limits",
        "description": "How fast messages may go beside the rates of the accounts, and how often.",
    },
    {"name": "suppressions", "description": "Addresses that get no more messages."},
    {"name": "webhooks", "description": "Events that reach every endpoint that asked for them, signed."},
    {"name": "forms", "description": "What visitors enter: forms, submissions, partial ones, payments, journeys."},
    {"name": "events", "description": "What happened, for analytics."},
    {"name": "analytics", "description": "What events and messages come to."},
    {"name": "payments", "description": "A tenant's account at Stripe, and where Stripe tells of payments."},
    {"name": "providers", "description": "Where providers report what became of messages. No API key: they sign."},
    {"name": "administration", "description": "Across tenants, for administrators: with a token of `hermod token`."},
    {"name": "operations", "description": "For load balancers and monitoring. Open to everybody who can reach them."},
]
_WHEN: Final[Mapping[int, tuple[str, HermodError]]] = {
    400: ("The body is not JSON.", MalformedJson("not JSON: expected `,` or `}` at line 3 column 5")),
    401: ("No API key, or a wrong or revoked one.", Unauthorized("no such API key")),
    404: ("There is no such record.", NotFound("there is no message msg_019aa1c2d3e40123456789abcdef")),
    409: (
        "The record's state forbids it; `detail` says which and why.",
        Conflict("the message is sent; it can be cancelled only while it waits"),
    ),
    410: ("It is no longer there; `detail` says why.", Gone("this form has been sent")),
    415: (
        "The body is said to be something other than JSON.",
        NotJson("send the body with `Content-Type: application/json`, in UTF-8"),
    ),
    413: ("The body is too large.", BodyTooLarge("the body is larger than 16 MiB")),
    422: (
        "A field is wrong; `errors` names each.",
        InvalidInput.of("to", "not a phone number; write it with + and the country code, like +14155550100"),
    ),
    429: (
        "Too often for now; repeat the call after `Retry-After` seconds.",
        TooMany("this address has submitted the form too often", retry_after=119.0),
    ),
    503: (
        "One of our servers is away. `urn:hermod:problem:unavailable`: nothing was stored; repeat the call after "
        "`Retry-After` seconds. `urn:hermod:problem:maybe-stored`: it went away before it answered, and `detail` says "
        "what makes a repeat safe: an idempotency key, an `event_id`, or a look at the record.",
        Unavailable("the database does not answer; nothing was stored"),
    ),
}
"""What a status means, and an error that has it."""
_EXAMPLES: Final[Mapping[type[BaseModel], object]] = {
    Receipt: {
        "id": "msg_019aa1c2d3e40123456789abcdef",
        "status": "pending",
        "workflow_id": "message/shop/msg_019aa1c2d3e40123456789abcdef",
    }
}


def _flag(word: str | bool) -> bool:
    if word not in ("true", "false", True, False):
        raise PydanticCustomError("bool_type", "Input should be a valid boolean")
    return word in ("true", True)


QueryFlag = Annotated[bool, BeforeValidator(_flag)]
"""A parameter of a query that is `true` or `false`, and no other word for them."""


def id_pattern(prefix: str) -> dict[str, Any]:
    """What the reference says of a record's id in a path. Another one is not refused: there is no such record."""
    return {"pattern": f"^{prefix}[0-9a-f]{{28}}$"}


router: Final = APIRouter(include_in_schema=False)


def answers(good: Mapping[int, tuple[type[BaseModel], str]], *bad: int) -> dict[int | str, dict[str, Any]]:
    """A route's `responses`: models and descriptions of its good answers, and the statuses of its problems."""
    documented: dict[int | str, dict[str, Any]] = {}
    for status, (model, description) in good.items():
        documented[status] = {"model": model, "description": description}
        if model in _EXAMPLES:
            documented[status]["content"] = {"application/json": {"example": _EXAMPLES[model]}}
    for status in bad:
        description, error = _WHEN[status]
        example = problem_of(error).body("req_019aa1c2d3e40123456789abcdef")
        content = {MEDIA_TYPE: {"schema": {"$ref": SCHEMAS + "Problem"}, "example": example}}
        documented[status] = {"description": description, "content": content}
    return documented


@router.get("/")
async def home() -> Response:
    return RedirectResponse("/docs")


@router.get("/docs")
async def docs() -> Response:
    return get_swagger_ui_html(
        title="Hermod",
        openapi_url="/openapi.json",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={
            "persistAuthorization": True,
            "tryItOutEnabled": True,
            "displayRequestDuration": True,
            "defaultModelsExpandDepth": 0,
            "validatorUrl": None,
        },
    )


def install(app: FastAPI) -> None:
    """Give the application its reference. The page's script and style come from the package fastapi-offline."""
    app.include_router(router)
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]), name="docs-assets")

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title="Hermod", version=product_version(), description=_ABOUT, tags=_TAGS, routes=app.routes)
    schemas = document["components"]["schemas"]
    schemas.update(_request_schemas())
    problem = ProblemView.model_json_schema(ref_template=_TEMPLATE)
    schemas.update(problem.pop("$defs"), Problem=problem)
    _close_named_fields(schemas)
    _say_who_sends_what(schemas["AccountInput"])
    _take_out_the_frameworks_own_errors(document)
    _add_what_any_call_may_answer(document)
    return document


def _add_what_any_call_may_answer(document: dict[str, Any]) -> None:
    other = {
        "description": "Any other answer, like 405, 408, 431 or 500, is a problem.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": SCHEMAS + "Problem"}}},
    }
    for path in document["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                operation["responses"]["415"] = answers({}, 415)[415]
            operation["responses"]["default"] = other


def _take_out_the_frameworks_own_errors(document: dict[str, Any]) -> None:
    """Where a route has parameters, the framework documents answers of its own, which are never given here."""
    for path in document["paths"].values():
        for operation in path.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _close_named_fields(schema: object) -> None:
    """Where names have a pattern, no other name is taken. JSON Schema lets the others have any value."""
    for one in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _close_named_fields(one)
    if isinstance(schema, dict) and isinstance(schema.get("patternProperties"), dict):
        schema.setdefault("additionalProperties", False)


def _say_who_sends_what(account: dict[str, Any]) -> None:
    account["anyOf"] = [
        {
            "properties": {
                "provider": {"const": name},
                "channel": {"enum": sorted(channel.value for channel in capability.channels)},
                "credentials": {
                    "propertyNames": {"enum": sorted(capability.credentials)},
                    "required": sorted(set(capability.credentials).difference(capability.optional_credentials)),
                },
            }
        }
        for name, capability in sorted(CAPABILITIES.items())
    ]


def _request_schemas() -> dict[str, Any]:
    """The models that our own reading of bodies hides from the framework."""
    messages = TypeAdapter(AnyMessage).json_schema(ref_template=_TEMPLATE)["$defs"]
    for model in MODELS:
        messages[model]["required"] = ["channel", *messages[model]["required"]]  # it says which model is meant
        properties = messages[model]["properties"] | {
            KEY_FIELD: {"anyOf": [IDEMPOTENCY_KEY["schema"], {"type": "null"}]}
        }
        messages[IN_BATCH + model] = messages[model] | {"title": IN_BATCH + model, "properties": properties}
    inputs = (
        AccountInput,
        DeviceInput,
        DraftInput,
        EndpointSettings,
        EventInput,
        FormInput,
        PartialInput,
        PreviewInput,
        ReplayInput,
        ManyDeliveries,
        ManyMessages,
        ManySubmissions,
        Resolution,
        Retention,
        RetryDefaults,
        Rotation,
        StripeAccountInput,
        SubmissionInput,
        SuppressionInput,
        TemplateInput,
        TrackedEvent,
    )
    _, others = models_json_schema([(model, "validation") for model in inputs], ref_template=_TEMPLATE)
    changes = _changes_schema(others["$defs"]["EndpointSettings"])
    return {**messages, **others["$defs"], "EndpointChanges": changes}


def _changes_schema(settings: dict[str, Any]) -> dict[str, Any]:
    """The schema of a change, made of the one of all settings: everything may be missing, headers may be null."""
    properties = {
        name: {key: value for key, value in field.items() if key != "default"}
        for name, field in settings["properties"].items()
    }
    header = properties["headers"]["additionalProperties"]
    properties["headers"] = properties["headers"] | {"additionalProperties": {"anyOf": [header, {"type": "null"}]}}
    changes = {key: value for key, value in settings.items() if key not in ("required", "anyOf")}
    return changes | {"title": "EndpointChanges", "properties": properties}
