"""Stored templates: as they are put, listed, shown and tried out. A version, once stored, never changes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from hermod.contracts.notifications.content import Channel, Line
from hermod.contracts.values.model import Model, misplaced
from hermod.contracts.values.plain_json import PlainObject
from hermod.contracts.values.scalars import Flag, Text, Whole
from hermod.contracts.values.shapes import absent, filled

MAX_SOURCE: Final = 512 * 1024
"""Characters of one field."""

TemplateName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
LOCALE_PATTERN: Final = r"^[a-zA-Z]{2,3}([-_][a-zA-Z0-9]{2,8}){0,3}$"
_LOCALE: Final = re.compile(LOCALE_PATTERN)


def _locale(value: str) -> str:
    """`de_at` as `de-AT`, `zh-hant-tw` as `zh-Hant-TW`."""
    if not _LOCALE.fullmatch(value):
        raise ValueError("must be a locale like en, de-AT or zh-Hant-TW")
    language, *parts = value.replace("_", "-").split("-")
    return "-".join([language.lower(), *(_part(part) for part in parts)])


def _part(part: str) -> str:
    if len(part) == 4 and part.isalpha():
        return part.title()
    return part.upper() if len(part) == 2 or part.isdigit() else part.lower()


Locale = Annotated[str, AfterValidator(_locale), Field(json_schema_extra={"pattern": LOCALE_PATTERN})]
"""A language, and a country or a script where it matters: en, de-AT, zh-Hant-TW."""

Source = Annotated[Text, Field(max_length=MAX_SOURCE)]

FIELDS: Final[dict[Channel, tuple[str, ...]]] = {
    Channel.EMAIL: ("subject", "html", "mjml", "text"),
    Channel.SMS: ("body",),
    Channel.WHATSAPP: ("body",),
    Channel.PUSH: ("title", "body", "image", "url", "data"),
}
"""What a template of a channel consists of."""
_NEEDED: Final[dict[Channel, tuple[tuple[str, ...], ...]]] = {
    Channel.EMAIL: (("subject",), ("html", "mjml", "text")),
    Channel.SMS: (("body",),),
    Channel.WHATSAPP: (("body",),),
    Channel.PUSH: (("title", "body", "data"),),
}
"""Of each group, at least one."""


def _of_a_channel(schema: dict[str, Any]) -> None:
    """What the reference says of `TemplateSource`'s rule."""
    every = {name for names in FIELDS.values() for name in names}
    schema["allOf"] = [
        {"anyOf": [absent(["html"]), absent(["mjml"])]},
        {
            "oneOf": [
                {
                    "allOf": [
                        {"properties": {"channel": {"const": channel.value}}},
                        absent(sorted(every.difference(names))),
                        *({"anyOf": [filled(name) for name in group]} for group in _NEEDED[channel]),
                    ]
                }
                for channel, names in FIELDS.items()
            ]
        },
    ]


class TemplateSource(Model):
    """The fields of a template, in Jinja: subject, html or mjml, and text for email; body for SMS and WhatsApp; title,
    body, image, url and data for push."""

    model_config = ConfigDict(json_schema_extra=_of_a_channel)

    channel: Channel
    subject: Source | None = None
    html: Source | None = None
    mjml: Source | None = None
    """Instead of `html`; needs Hermod's extra `mjml`."""
    text: Source | None = None
    """Made from the HTML where it is left out."""
    body: Source | None = None
    title: Source | None = None
    image: Source | None = None
    url: Source | None = None
    data: dict[Annotated[Line, Field(min_length=1, max_length=100)], Source] | None = Field(default=None, max_length=50)

    @model_validator(mode="after")
    def _of_the_channel(self) -> Self:
        own = FIELDS[self.channel]
        for name in (name for names in FIELDS.values() for name in names):
            if name not in own and getattr(self, name) is not None:
                raise misplaced(name, f"there is no such field for {self.channel.value}")
        if self.html is not None and self.mjml is not None:
            raise misplaced("mjml", "give either html or mjml, not both")
        for group in _NEEDED[self.channel]:
            if not any(getattr(self, name) for name in group):
                raise misplaced(group[0], "missing" if len(group) == 1 else f"missing: give {' or '.join(group)}")
        return self

    def fields(self) -> dict[str, Any]:
        """The fields that are there, as they are stored."""
        return {name: value for name in FIELDS[self.channel] if (value := getattr(self, name)) is not None}


class TemplateInput(TemplateSource):
    """`PUT /v1/templates/{name}`: a new version in one locale."""

    locale: Locale = "en"
    default: Flag | None = None
    """True makes this locale the one for readers of no known locale. A template's first locale is, until then."""


class VersionView(Model):
    """One version, with its source."""

    name: str
    channel: Channel
    locale: str
    version: int
    """Counted over all locales of the template, so that `welcome@3` names one moment of all of them."""
    current: bool
    """Whether it is the newest of its locale."""
    default_locale: str
    source: dict[str, Any]
    variables: tuple[str, ...]
    """The names that it takes from `data`."""
    warnings: tuple[str, ...]
    actor: str
    created_at: datetime


class VersionSummary(Model):
    """One version in a template's list."""

    locale: str
    version: int
    current: bool
    actor: str
    created_at: datetime


class TemplateSummary(Model):
    """A template in the list of all."""

    name: str
    channel: Channel
    default_locale: str
    locales: tuple[str, ...]
    version: int
    """The newest."""
    updated_at: datetime


class TemplateView(TemplateSummary):
    """A template: what messages get now, by locale, and all its versions, the newest first."""

    current: tuple[VersionView, ...]
    versions: tuple[VersionSummary, ...]


class PreviewInput(Model):
    """`POST /v1/templates/{name}/preview`: what a message with this `data` would say. Nothing is sent."""

    locale: Locale | None = None
    version: Annotated[int, Whole(1, 999_999_999)] | None = None
    data: PlainObject = Field(default_factory=dict)


class DraftInput(Model):
    """`POST /v1/templates/preview`: the same for a source that is not stored."""

    template: TemplateSource
    data: PlainObject = Field(default_factory=dict)


class Preview(Model):
    """The words that a message would have; null for those that it would not."""

    template: str | None = None
    """Name, locale and version: `welcome/de@3`."""
    channel: Channel
    variables: tuple[str, ...]
    warnings: tuple[str, ...]
    subject: str | None = None
    html: str | None = None
    text: str | None = None
    body: str | None = None
    title: str | None = None
    image: str | None = None
    url: str | None = None
    data: dict[str, str] | None = None
    segments: int | None = None
    """Parts of an SMS."""
