"""A whole template, compiled: from data to the words of a message, or to the one thing that stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2.utils import missing

from hermod.contracts.errors import FieldError, InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.domain.notifications.segments import segments
from hermod.domain.steps import TooManySteps
from hermod.domain.templates import mjml
from hermod.domain.templates.absent import MissingVariable
from hermod.domain.templates.meter import Meter, OutOfSteps, TemplateFault
from hermod.domain.templates.plain_text import text_of
from hermod.domain.templates.sandbox import Field, Tokens, compile_field

MARKUP: Final = frozenset({"html", "mjml"})
"""Fields in which a value is escaped as it is put in."""
_ONE_LINE: Final = frozenset({"subject", "title", "image", "url"})
"""Fields that lose the space around them, as sources in files end with a line end."""
_KINDS: Final = ((str, "text"), ((int, float), "number"), ((list, tuple), "list"), (dict, "object"))
_LARGE: Final = 32 * 1024
_CLIPPED: Final = 100 * 1024
"""Gmail shows the first 102 KB of an email's HTML."""

Words = dict[str, Any]
"""The fields of a message's content, by their names there."""


@dataclass(frozen=True, slots=True)
class Filled:
    """The fields with their variables put in. What is left is the same for every template: MJML, and the text twin."""

    fields: Words

    @property
    def large(self) -> bool:
        """Whether `words` takes so long that it belongs in a thread."""
        return any(len(self.fields.get(name, "")) > _LARGE for name in MARKUP)

    @property
    def steps(self) -> int:
        """What `words` takes, about, for pages larger than a mail program shows."""
        return 2 * sum(max(0, len(self.fields.get(name, "")) - _CLIPPED) for name in MARKUP)

    def words(self) -> Words:
        """What the message will say. Raises InvalidInput."""
        words = dict(self.fields)
        if "mjml" in words:
            try:
                words["html"] = mjml.html_of(words.pop("mjml"))
            except TemplateFault as fault:
                raise InvalidInput.of("template", _told("mjml", fault)) from None
        if "html" in words and "text" not in words:
            words["text"] = text_of(words["html"]) or None
        return words


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template that renders. Safe to share among threads."""

    channel: Channel
    fields: tuple[tuple[str, Field], ...]
    """By place: `subject`, `html`, `data.order`."""
    variables: tuple[str, ...]
    warnings: tuple[str, ...]

    def fill(self, data: Mapping[str, Any], meter: Meter | None = None) -> Filled:
        """Put the data in. Takes 50 ms at the most, and some 30 us usually.

        Raises InvalidInput: `data.<variable>` where the data lacks one, `template` for everything else. That is a
        TooManySteps where it takes more than the meter has.
        """
        meter = meter or Meter()
        filled: Words = {}
        for place, field in self.fields:
            try:
                text = field.render(data, meter)
            except MissingVariable as absent:
                raise InvalidInput([_missing(absent, place, data)]) from None
            except TemplateFault as fault:
                kind = TooManySteps if isinstance(fault, OutOfSteps) else InvalidInput
                raise kind.of("template", _told(place, fault)) from None
            name, _, part = place.partition(".")
            if part:
                filled.setdefault(name, {})[part] = text
            else:
                filled[name] = text.strip() if name in _ONE_LINE else text
        return Filled(filled)


def compile_template(channel: Channel, source: Mapping[str, Any]) -> Compiled:
    """A template from its fields, as `TemplateSource.fields` gives them. Raises InvalidInput, by field and line."""
    fields: list[tuple[str, Field]] = []
    wrong: list[FieldError] = []
    tokens = Tokens()
    for place, text in _places(source):
        try:
            if place == "mjml" and not mjml.AVAILABLE:
                raise TemplateFault(mjml.MISSING)
            fields.append((place, compile_field(text, markup=place in MARKUP, tokens=tokens)))
        except TemplateFault as fault:
            wrong.append(FieldError(place, f"line {fault.line}: {fault.message}" if fault.line else fault.message))
            if tokens.used_up:
                break
    if wrong:
        raise InvalidInput(wrong)
    variables = sorted(set[str]().union(*(field.variables for _, field in fields)))
    return Compiled(channel, tuple(fields), tuple(variables), tuple(_warnings(source)))


def _places(source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in source.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{part}", text) for part, text in value.items())
        else:
            yield name, value


def _warnings(source: Mapping[str, Any]) -> Iterator[str]:
    """What is right, and may yet not be meant."""
    html = source.get("html", "")
    if len(html.encode(errors="replace")) > _CLIPPED:
        yield "html: larger than 100 KB, and Gmail cuts off what comes after 102 KB"
    if any(name in source for name in MARKUP) and "text" not in source:
        yield "text: made from the HTML, as there is none"
    for name in sorted(MARKUP & source.keys()):
        if "|safe" in source[name].replace(" ", ""):
            yield f"{name}: what goes through the filter safe is not escaped; it must not come from strangers"
    if "body" in source and "title" not in source and "{" not in source["body"] and segments(source["body"]) > 1:
        yield f"body: {segments(source['body'])} segments as an SMS"


def _missing(absent: MissingVariable, place: str, data: Mapping[str, Any]) -> FieldError:
    where = _where(absent.owner, data)
    line = getattr(absent, "lineno", None)
    wanted = f"the template's {place} needs it" + (f" in line {line}" if line else "")
    if where is None:
        kind = next((word for kinds, word in _KINDS if isinstance(absent.owner, kinds)), "value")
        return FieldError("template", f"{place}: asks a {kind} for {absent.name}" + (f", line {line}" if line else ""))
    return FieldError(".".join(["data", *where, str(absent.name)]), f"missing; {wanted}")


def _where(owner: object, data: Mapping[str, Any]) -> Sequence[str] | None:
    """The path of an object inside the data; None where it is not of it."""
    if owner is missing or owner is data:
        return ()
    level: list[tuple[tuple[str, ...], Any]] = [((), data)]
    while level:
        below: list[tuple[tuple[str, ...], Any]] = []
        for path, one in level:
            if one is owner:
                return path
            if isinstance(one, Mapping):
                below += [((*path, str(name)), value) for name, value in one.items()]
            elif isinstance(one, list):
                below += [((*path, str(place)), value) for place, value in enumerate(one)]
        level = [(path, one) for path, one in below if isinstance(one, Mapping | list)]
    return None


def _told(place: str, fault: TemplateFault) -> str:
    return f"{place}, line {fault.line}: {fault.message}" if fault.line else f"{place}: {fault.message}"
