"""`hermod templates`: words that are kept in Hermod, and that messages fill in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.templates import PreviewInput, TemplateInput, TemplateName
from starter.cli.notifications.batch_files import assignments
from starter.cli.options import Data
from starter.cli.output import Json, complain, print_facts, print_json, print_list, print_table, say
from starter.cli.session import TenantName, client, command
from starter.cli.words import file_option, pair, read_bytes, words, words_option
from starter.notifications.parsing import MalformedJson, read_json
from starter.validation_errors import field_errors

app: Final = typer.Typer(help="Stored templates: versions, locales, previews.", no_args_is_help=True)
_NAME: Final[TypeAdapter[str]] = TypeAdapter(TemplateName)
_SHOWN: Final = ("subject", "title", "text", "body", "html", "image", "url", "data")

Name = Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _.")]
LocaleName = Annotated[str | None, typer.Option("--locale", metavar="LOCALE", help="Like en, de-AT or zh-Hant-TW.")]
VersionNumber = Annotated[int | None, typer.Option("--version", min=1, help="As it was with this version.")]


@app.command("put")
@command
async def put_template(
    name: Name,
    file: Annotated[
        Path | None, typer.Argument(help="The template as the API takes it, in JSON; - for standard input.")
    ] = None,
    channel: Annotated[Channel | None, typer.Option(help="What it is for.")] = None,
    locale: LocaleName = None,
    default: Annotated[bool, typer.Option("--default", help="For readers of no known locale, too.")] = False,
    subject: Annotated[str | None, typer.Option(help="Subject of an email.")] = None,
    html: Annotated[str | None, words_option("HTML of an email.")] = None,
    html_file: Annotated[Path | None, file_option("The HTML, from a file.")] = None,
    mjml: Annotated[str | None, words_option("MJML of an email, instead.")] = None,
    mjml_file: Annotated[Path | None, file_option("The MJML, from a file.")] = None,
    text: Annotated[str | None, words_option("Text of an email; made from the HTML without it.")] = None,
    text_file: Annotated[Path | None, file_option("The text, from a file.")] = None,
    title: Annotated[str | None, typer.Option(help="Title of a push notification.")] = None,
    body: Annotated[str | None, words_option("Words of an SMS, WhatsApp or push message.")] = None,
    body_file: Annotated[Path | None, file_option("These words, from a file.")] = None,
    image: Annotated[str | None, typer.Option(metavar="URL", help="Picture of a push notification.")] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="What a push notification opens.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Data of a push notification; may be repeated.")
    ] = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Store a new version, unless the newest of its locale says the same.

    \b
    Examples:
      hermod templates put welcome welcome.json
      hermod templates put welcome --channel email --locale de --subject "Hallo {{ name }}" --html-file de.html
    """
    given: dict[str, Any] = _document(file) if file else {}
    named: dict[str, Any] = {"channel": channel, "locale": locale, "subject": subject, "title": title}
    named |= {"image": image, "url": url, "data": dict(pair("data", one) for one in data or ()) or None}
    sources = {
        "html": (html, html_file),
        "mjml": (mjml, mjml_file),
        "text": (text, text_file),
        "body": (body, body_file),
    }
    named |= {field: words(field, *source) for field, source in sources.items()}
    given |= {field: value for field, value in named.items() if value is not None}
    if default:
        given["default"] = True
    template = _checked(name, given)
    async with client(tenant) as hermod:
        core = hermod.core
        put = await core.storage.templates.put(hermod.tenant, name, template, actor=hermod.actor, now=core.clock.now())
    if as_json:
        print_json(put.view)
        return
    said = f"{name}/{put.view.locale}@{put.view.version}"
    say(f"stored {said}" if put.created else f"{said} says the same already")
    for warning in put.view.warnings:
        complain(warning)


@app.command("list")
@command
async def list_templates(tenant: TenantName = None, as_json: Json = False) -> None:
    """List the templates, with their locales."""
    async with client(tenant) as hermod:
        found = await hermod.core.storage.templates.all(hermod.tenant)
    if as_json:
        print_list(found)
        return
    rows = [
        (one.name, one.channel, ", ".join(one.locales), one.default_locale, one.version, one.updated_at)
        for one in found
    ]
    columns = ("name", "channel", "locales", "default", "version", "updated")
    print_table(columns, rows, empty="no templates yet; `hermod templates put --help` shows how to add one")


@app.command("show")
@command
async def show_template(
    name: Name, version: VersionNumber = None, tenant: TenantName = None, as_json: Json = False
) -> None:
    """Show a template's versions, or the source of one."""
    async with client(tenant) as hermod:
        templates = hermod.core.storage.templates
        if version is not None:
            one = await templates.version(hermod.tenant, name, version)
            if as_json:
                print_json(one)
            else:
                print_facts([("locale", one.locale), ("variables", ", ".join(one.variables))])
                _print_fields(one.source)
            return
        found = await templates.show(hermod.tenant, name)
    if as_json:
        print_json(found)
        return
    variables = {one.version: ", ".join(one.variables) for one in found.current}
    rows = [
        (one.version, one.locale, one.current, variables.get(one.version), one.actor, one.created_at)
        for one in found.versions
    ]
    print_table(("version", "locale", "current", "variables", "by", "stored"), rows, empty="no versions")


@app.command("preview")
@command
async def preview_template(
    name: Name,
    data: Data = None,
    data_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The data, as a JSON object; - for standard input.", allow_dash=True),
    ] = None,
    locale: LocaleName = None,
    version: VersionNumber = None,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Show what a message would say. Nothing is sent."""
    try:
        values = (_document(data_file) if data_file else {}) | assignments(data or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    given = {"locale": locale, "version": version, "data": values}
    try:
        asked = PreviewInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None
    async with client(tenant) as hermod:
        preview = await hermod.core.renderer.preview(hermod.tenant, name, asked)
    if as_json:
        print_json(preview)
    else:
        say(str(preview.template))
        _print_fields({field: getattr(preview, field) for field in _SHOWN})


def _print_fields(fields: dict[str, Any]) -> None:
    for field, value in fields.items():
        if value is not None:
            say(f"\n{field}:\n{value}")


def _checked(name: str, given: dict[str, Any]) -> TemplateInput:
    """Raises InvalidInput."""
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, name, whole="name")) from None
    try:
        return TemplateInput.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, given)) from None


def _document(file: Path) -> dict[str, Any]:
    try:
        found = read_json(read_bytes(file))
    except MalformedJson as error:
        raise typer.BadParameter(f"{file} is {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{file} does not hold a JSON object")
    return found
