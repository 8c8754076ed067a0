"""What is sent: one model per channel, as the API takes it and as the ledger keeps it.

Sizes are in characters unless said otherwise. A content names either its own words or a `template` with `data`,
never both and never neither.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from hermod.contracts.values import text
from hermod.contracts.values.addresses import EmailAddress, PhoneNumber, is_stored, is_trusted
from hermod.contracts.values.model import Model, misplaced
from hermod.contracts.values.plain_json import PlainObject
from hermod.contracts.values.scalars import Text, Whole, checked_text
from hermod.contracts.values.shapes import absent, blank, filled

MAX_ATTACHMENT_BYTES: Final = 10 * 1024 * 1024
"""All attachments of one message together, decoded: the smallest limit among the providers (Postmark)."""

RESERVED_HEADERS: Final = frozenset(
    "from to cc bcc subject reply-to date sender message-id content-type content-transfer-encoding mime-version "
    "content-disposition return-path received dkim-signature".split()
)
"""Header names that belong to Hermod or the provider and cannot be set by a message."""

HEADER_NAME_PATTERN: Final = r"^[!-9;-~]{1,255}$"
_TOKEN: Final = r"[A-Za-z0-9!#$&^_.+-]+"
MEDIA_TYPE: Final = rf'^{_TOKEN}/{_TOKEN}( ?; ?{_TOKEN}=({_TOKEN}|"[ !#-\[\]-~]*"))*$'


def _line(value: str, info: ValidationInfo) -> str:
    return value if is_stored(info) else text.line(checked_text(value))


Line = Annotated[
    str,
    StringConstraints(max_length=998),
    AfterValidator(_line),
    Field(json_schema_extra={"pattern": text.LINE_PATTERN}),
]
"""One line of text: nothing that anybody takes for a line break, no control characters."""


@dataclass(frozen=True)
class _Pattern:
    """Like pydantic's own, but for what comes back from the ledger: an earlier version had another one."""

    pattern: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"pattern": self.pattern}

    def _check(self, value: str, info: ValidationInfo) -> str:
        if is_stored(info) or re.fullmatch(self.pattern, value):
            return value
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": self.pattern})


TemplateReference = Annotated[Text, Field(json_schema_extra={"maxLength": 63})]
"""The name of a template, which is there or not: no other name has more characters."""
BASE64_PATTERN: Final = r"^[A-Za-z0-9+/]*={0,2}$"
MOST_BASE64: Final = 16 * 1024 * 1024
"""Of a call that is a message: so many characters are its body already."""

Url = Annotated[str, StringConstraints(max_length=2048), _Pattern(r"^[hH][tT][tT][pP][sS]?://[^\s\x00-\x1f\x7f\x85]+$")]


class Channel(StrEnum):
    EMAIL = "email"
    SMS = "sms"
    WHATSAPP = "whatsapp"
    PUSH = "push"


def _words_or_template(schema: dict[str, Any], model: type[Any]) -> None:
    """What the reference says of `Content`'s rule."""
    words = [{"allOf": [filled(name), *map(filled, model.beside_words)]} for name in model.own_words]
    named = {"required": ["template"], "properties": {"template": {"not": {"type": "null"}}}}
    unsaid = blank(name for name in model.own_words if name != "data")  # a template takes its data from there
    schema["anyOf"] = [{"allOf": [absent(["template"]), {"anyOf": words}]}, {"allOf": [named, unsaid]}]


class Content(Model):
    """What every channel's content may carry besides its own words."""

    model_config = ConfigDict(json_schema_extra=_words_or_template)

    own_words: ClassVar[tuple[str, ...]]
    """The fields that make up the words, the most usual one first."""
    beside_words: ClassVar[tuple[str, ...]] = ()
    """What is needed with them."""

    template: Any = None
    data: PlainObject = Field(default_factory=dict)

    def words(self) -> bool:
        """Whether the content brings its own words (a body, a text, a title)."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _words_or_template(self) -> Self:
        names = " or ".join(self.own_words)
        if self.words() and self.template is not None:
            raise misplaced("template", f"give either {names}, or a template, not both")
        if not self.words() and self.template is None:
            raise misplaced(self.own_words[0], f"missing: give {names}, or else a template")
        return self


class Attachment(Model):
    """A file of an email. `content_id` makes it inline: the HTML shows it as `cid:<content_id>`."""

    filename: Annotated[Line, Field(min_length=1, max_length=255)]
    content_type: Annotated[str, StringConstraints(max_length=255), _Pattern(MEDIA_TYPE)] = "application/octet-stream"
    """With parameters where they matter: `text/calendar; method=REQUEST`."""
    content_base64: Annotated[
        Text,
        Field(json_schema_extra={"contentEncoding": "base64", "maxLength": MOST_BASE64, "pattern": BASE64_PATTERN}),
    ]
    content_id: Annotated[str, StringConstraints(max_length=255), _Pattern(r"^[A-Za-z0-9_.@+-]+$")] | None = None

    @field_validator("content_base64")
    @classmethod
    def _is_base64(cls, value: str, info: ValidationInfo) -> str:
        if is_trusted(info):
            return value
        if len(value) * 3 // 4 > MAX_ATTACHMENT_BYTES + 2:
            raise ValueError(f"larger than {MAX_ATTACHMENT_BYTES // 1024 // 1024} MiB")
        try:
            binascii.a2b_base64(value.encode(), strict_mode=True)
        except (binascii.Error, ValueError):
            raise ValueError("not base64") from None
        return value

    @property
    def size(self) -> int:
        """Decoded size in bytes."""
        return len(self.content_base64) * 3 // 4 - self.content_base64[-2:].count("=")

    def content(self) -> bytes:
        return base64.b64decode(self.content_base64)


class Email(Content):
    own_words = ("text", "html")
    beside_words = ("subject",)

    channel: Literal[Channel.EMAIL] = Channel.EMAIL
    to: EmailAddress
    subject: Line | None = None
    html: Annotated[Text, Field(max_length=2_000_000)] | None = None
    text: Annotated[Text, Field(max_length=2_000_000)] | None = None
    from_: EmailAddress | None = Field(default=None, alias="from")
    reply_to: EmailAddress | Annotated[tuple[EmailAddress, ...], Field(max_length=10)] | None = None
    cc: tuple[EmailAddress, ...] = Field(default=(), max_length=50)
    bcc: tuple[EmailAddress, ...] = Field(default=(), max_length=50)
    headers: dict[str, Line] = Field(
        default_factory=dict,
        max_length=50,
        json_schema_extra={"propertyNames": {"pattern": HEADER_NAME_PATTERN}},
    )
    attachments: tuple[Attachment, ...] = Field(default=(), max_length=50)
    template: TemplateReference | None = None

    @property
    def reply_addresses(self) -> tuple[str, ...]:
        """`reply_to`, however many it names."""
        return (self.reply_to,) if isinstance(self.reply_to, str) else self.reply_to or ()

    def words(self) -> bool:
        return bool(self.html or self.text)

    @field_validator("headers")
    @classmethod
    def _allowed_headers(cls, headers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if is_stored(info):
            return headers
        spellings: dict[str, str] = {}
        for name in headers:
            if not re.fullmatch(HEADER_NAME_PATTERN, name):
                raise ValueError(f"{name!r} is no header name")
            if name.lower() in RESERVED_HEADERS:
                raise ValueError(f"{name} is set by Hermod; use the field of that name where there is one")
            if (other := spellings.setdefault(name.lower(), name)) != name:
                raise ValueError(f"{other} and {name} are one header; give it once")
        return headers

    @field_validator("attachments")
    @classmethod
    def _attachments_fit(cls, attachments: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
        if sum(attachment.size for attachment in attachments) > MAX_ATTACHMENT_BYTES:
            raise ValueError(f"together larger than {MAX_ATTACHMENT_BYTES // 1024 // 1024} MiB")
        return attachments

    @model_validator(mode="after")
    def _has_subject(self) -> Self:
        if self.template is None and not self.subject:
            raise misplaced("subject", "missing: an email needs a subject")
        return self


class Sms(Content):
    own_words = ("body", "media_urls")

    channel: Literal[Channel.SMS] = Channel.SMS
    to: PhoneNumber
    body: Annotated[Text, Field(max_length=1600)] | None = None
    media_urls: tuple[Url, ...] = Field(default=(), max_length=10)
    from_: Annotated[Line, Field(max_length=64)] | None = Field(default=None, alias="from")
    template: TemplateReference | None = None

    def words(self) -> bool:
        return bool(self.body or self.media_urls)


class WhatsAppTemplate(Model):
    """A message template that WhatsApp has approved."""

    name: Annotated[Line, Field(min_length=1, max_length=512)]
    language: Annotated[Line, Field(min_length=2, max_length=16)]
    components: tuple[PlainObject, ...] = Field(default=(), max_length=100)


class WhatsApp(Content):
    own_words = ("body",)

    channel: Literal[Channel.WHATSAPP] = Channel.WHATSAPP
    to: PhoneNumber
    body: Annotated[Text, Field(max_length=4096)] | None = None
    template: WhatsAppTemplate | TemplateReference | None = None

    def words(self) -> bool:
        return bool(self.body)


class Push(Content):
    """`to` is a device token, a Web Push subscription object, or the id of a contact."""

    own_words = ("title", "body", "data")

    channel: Literal[Channel.PUSH] = Channel.PUSH
    to: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=4096),
            AfterValidator(_line),
            Field(json_schema_extra={"pattern": text.LINE_PATTERN}),
        ]
        | PlainObject
    )
    title: Annotated[Text, Field(max_length=512)] | None = None
    body: Annotated[Text, Field(max_length=4096)] | None = None
    image: Url | None = None
    url: Url | None = None
    collapse_key: Annotated[Line, Field(max_length=64)] | None = None
    ttl_seconds: Annotated[int, Whole(0, 2_419_200)] | None = None
    template: TemplateReference | None = None

    def words(self) -> bool:
        return bool(self.title or self.body or (self.data and self.template is None))


AnyContent = Email | Sms | WhatsApp | Push
CONTENT_OF: Final[dict[Channel, type[AnyContent]]] = {
    Channel.EMAIL: Email,
    Channel.SMS: Sms,
    Channel.WHATSAPP: WhatsApp,
    Channel.PUSH: Push,
}
