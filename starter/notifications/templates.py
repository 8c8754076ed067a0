"""Templates at work: the words of a message made when it is accepted, and tried out before anything is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from hermod.contracts.errors import FieldError, InvalidInput, NotFound
from hermod.contracts.notifications.content import AnyContent, Channel
from hermod.contracts.notifications.messages import Submission
from hermod.contracts.notifications.templates import DraftInput, Preview, PreviewInput
from hermod.contracts.values.addresses import WORDED
from hermod.domain.notifications.segments import segments
from hermod.domain.steps import Steps, TooManySteps
from hermod.domain.templates.compiled import Compiled, Words, compile_template
from hermod.domain.templates.locales import Head, reference
from hermod.domain.templates.meter import FEW_STEPS, STEPS, Meter
from hermod.heavy_work import off_loop
from hermod.storage.notifications.acceptance import Ready
from hermod.storage.notifications.templates import Templates
from starter.validation_errors import field_errors

STRETCH: Final = 0.01
"""Seconds of rendering after which others have their turn: five thousand messages of a batch come one after another."""
_OVERRIDES: Final = ("subject", "image", "url")
"""What a message may say for itself next to a template."""


def call_steps() -> Steps:
    """Of all renderings that one call asks for, a hundred of the most that one may take: some seconds."""
    return Steps(100 * STEPS, field="template", what="the messages of this call before it took, together,")


class Renderer:
    """Puts words in the place of templates."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._worked = 0.0

    async def worded(self, tenant: str, asked: Submission, steps: Steps | None = None) -> Ready:
        """The submission in words; as it is, where it names none of our templates. Raises InvalidInput.

        `steps` are those of all messages of a call; they are charged with what this one took.
        """
        content = asked.content
        if not isinstance(content.template, str):
            return Ready(submission=asked, content=content)
        name, head = await self._named(tenant, content.template, asked.options.locale)
        if head.channel is not content.channel:
            raise InvalidInput.of("template", f"{name} is for {head.channel.value}, not for {content.channel.value}")
        words = await self._rendered(await self._templates.compiled(tenant, name, head), content.data, steps)
        said = f"{name}/{head.locale}@{head.version}"
        return Ready(submission=asked, content=_with_words(content, words, said), template=said)

    async def preview(self, tenant: str, name: str, asked: PreviewInput) -> Preview:
        """What a message would say. Raises NotFound and InvalidInput."""
        head = await self._templates.head(tenant, name, asked.locale, asked.version)
        if head is None:
            raise NotFound(f"there is no template {name}" + (f" in version {asked.version}" if asked.version else ""))
        compiled = await self._templates.compiled(tenant, name, head)
        words = await self._rendered(compiled, asked.data)
        return _preview(compiled, words, f"{name}/{head.locale}@{head.version}")

    async def try_out(self, asked: DraftInput) -> Preview:
        """The same for a source that is not stored. Raises InvalidInput, naming its fields `template.…`."""
        try:
            compiled = await off_loop(compile_template, asked.template.channel, asked.template.fields())
        except InvalidInput as wrong:
            raise InvalidInput([FieldError(f"template.{one.field}", one.message) for one in wrong.errors]) from None
        return _preview(compiled, await self._rendered(compiled, asked.data), None)

    async def _named(self, tenant: str, template: str, locale: str | None) -> tuple[str, Head]:
        named = reference(template)
        head = await self._templates.head(tenant, named.name, locale, named.version) if named else None
        if named is None or head is None:
            raise InvalidInput.of("template", f"there is no template {template[:100]}")
        return named.name, head

    async def _rendered(self, compiled: Compiled, data: Mapping[str, Any], steps: Steps | None = None) -> Words:
        """Here where it takes few steps, as nearly always, and else off the event loop."""
        steps = steps or call_steps()
        steps.charge(0)
        begun = time.monotonic()
        meter = Meter(FEW_STEPS)
        try:
            filled = compiled.fill(data, meter)
            if not filled.large:
                return filled.words()
        except TooManySteps:
            meter = Meter()
            filled = await off_loop(compiled.fill, data, meter)
        finally:
            steps.spend(meter.used)
            self._worked += time.monotonic() - begun
            if self._worked > STRETCH:
                self._worked = 0.0
                await asyncio.sleep(0)
        steps.spend(filled.steps)
        return await off_loop(filled.words)


def _with_words(content: AnyContent, words: Words, said: str) -> AnyContent:
    """The content as if the caller had written the words. Raises InvalidInput where the channel does not carry them."""
    own = {name: value for name in _OVERRIDES if (value := getattr(content, name, None)) is not None}
    fields = {name: getattr(content, name) for name in type(content).model_fields}
    fields |= {"template": None, "data": {}, **words, **own}
    try:
        return type(content).model_validate(fields, context=WORDED)
    except ValidationError as error:
        raise InvalidInput([_unfit(one, said, words) for one in field_errors(error, fields)]) from None


def _unfit(wrong: FieldError, said: str, words: Words) -> FieldError:
    if not words.get(wrong.field):
        return FieldError("template", f"{said}: its {wrong.field} comes out empty")
    return FieldError("template", f"{said}: its {wrong.field} {wrong.message}")


def _preview(compiled: Compiled, words: Words, said: str | None) -> Preview:
    parts = segments(words["body"]) if compiled.channel is Channel.SMS else None
    return Preview(
        template=said,
        channel=compiled.channel,
        variables=compiled.variables,
        warnings=compiled.warnings,
        segments=parts,
        **words,
    )
