"""`/v1/templates`: put a version, see what there is, and try it out. Versions are kept, and never change."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from hermod.contracts.notifications.templates import (
    DraftInput,
    Preview,
    PreviewInput,
    TemplateInput,
    TemplateSummary,
    TemplateView,
    VersionView,
)
from hermod.contracts.values.model import Model
from starter.notifications.parsing import checked
from web.authentication import Caller
from web.bodies import MIB, answer, read_json_body
from web.examples import DRAFT_BODY, PREVIEW_BODY, TEMPLATE_BODY
from web.reference import answers

MAX_TEMPLATE_BYTES: Final = 2 * MIB
MAX_DATA_BYTES: Final = MIB

router: Final = APIRouter(prefix="/v1/templates", tags=["templates"])
TemplateName = Annotated[
    str, Path(description="Lower-case letters, digits, `-` and `_`.", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
]
Version = Annotated[int, Path(description="As `PUT` answered it.", ge=1, le=999_999_999)]


class TemplateList(Model):
    items: tuple[TemplateSummary, ...]
    next_cursor: str | None = None


@router.post(
    "/preview",
    summary="Try out a source that is not stored",
    responses=answers({200: (Preview, "What a message would say. Nothing is sent or stored.")}, 400, 401, 413, 422),
    openapi_extra={"requestBody": DRAFT_BODY},
)
async def preview_draft(request: Request, hermod: Caller) -> Response:
    asked = checked(DraftInput, await read_json_body(request, MAX_TEMPLATE_BYTES + MAX_DATA_BYTES))
    return answer(await hermod.core.renderer.try_out(asked))


@router.put(
    "/{name}",
    summary="Put a version of a template",
    responses=answers(
        {
            200: (VersionView, "The newest version of this locale says the same already; nothing was stored."),
            201: (VersionView, "Stored. Messages that are accepted from now on get it."),
        },
        400,
        401,
        413,
        422,
        503,
    ),
    openapi_extra={"requestBody": TEMPLATE_BODY},
)
async def put_template(name: TemplateName, request: Request, hermod: Caller) -> Response:
    """The fields are [Jinja](https://jinja.palletsprojects.com/templates/), in a sandbox without files, other templates
    and Python's own methods. `{{ x }}` takes `data.x`; a message that has none is refused, unless the template asks
    first: `{% if x is defined %}`, or `{{ x|default("friend") }}`. In `html` and `mjml`, values are escaped.

    Versions are counted over all locales of a template. A message names it as `welcome`, or pinned as `welcome@3`: as
    it was with version 3, in every locale. It gets the nearest locale: `de-AT`, else `de`, else the default one.
    """
    template = checked(TemplateInput, await read_json_body(request, MAX_TEMPLATE_BYTES))
    core = hermod.core
    put = await core.storage.templates.put(hermod.tenant, name, template, actor=hermod.actor, now=core.clock.now())
    return answer(put.view, 201 if put.created else 200)


@router.get(
    "",
    summary="List templates",
    responses=answers({200: (TemplateList, "By name.")}, 401, 503),
)
async def list_templates(hermod: Caller) -> Response:
    return answer(TemplateList(items=tuple(await hermod.core.storage.templates.all(hermod.tenant))))


@router.get(
    "/{name}",
    summary="A template",
    responses=answers({200: (TemplateView, "What messages get now, and all its versions.")}, 401, 404, 422, 503),
)
async def show_template(name: TemplateName, hermod: Caller) -> Response:
    return answer(await hermod.core.storage.templates.show(hermod.tenant, name))


@router.get(
    "/{name}/versions/{version}",
    summary="A version of a template",
    responses=answers({200: (VersionView, "With its source.")}, 401, 404, 422, 503),
)
async def show_template_version(name: TemplateName, version: Version, hermod: Caller) -> Response:
    return answer(await hermod.core.storage.templates.version(hermod.tenant, name, version))


@router.post(
    "/{name}/preview",
    summary="Try out a template",
    responses=answers(
        {200: (Preview, "What a message with this data would say. Nothing is sent.")}, 400, 401, 404, 413, 422, 503
    ),
    openapi_extra={"requestBody": PREVIEW_BODY},
)
async def preview_template(name: TemplateName, request: Request, hermod: Caller) -> Response:
    asked = checked(PreviewInput, await read_json_body(request, MAX_DATA_BYTES))
    return answer(await hermod.core.renderer.preview(hermod.tenant, name, asked))
