"""Where a message is worded, and how much all messages of a call may take together."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.templates import DraftInput
from hermod.domain.steps import Steps, TooManySteps
from hermod.domain.templates.compiled import Compiled, Filled, compile_template
from hermod.domain.templates.meter import STEPS, Meter
from starter.notifications.templates import Renderer, call_steps

LIGHT = "{{ n }}"
HEAVY = "{% for x in range(3000) %}{{ x }}{% endfor %}"


class Watched:
    """A template that remembers in which threads it was rendered."""

    def __init__(self, body: str) -> None:
        self.template: Compiled = compile_template(Channel.SMS, {"body": body})
        self.threads: list[str] = []

    def fill(self, data: Mapping[str, Any], meter: Meter | None = None) -> Filled:
        self.threads.append(threading.current_thread().name.partition("_")[0])
        return self.template.fill(data, meter)


async def render(watched: Watched, steps: Steps | None = None) -> None:
    renderer = Renderer(None)  # type: ignore[arg-type]
    await renderer._rendered(watched, {"n": 1}, steps)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "threads"), [(LIGHT, ["MainThread"]), (HEAVY, ["MainThread", "heavy-work"])], ids=["light", "heavy"]
)
async def test_message_that_takes_many_steps_is_worded_off_the_event_loop(body: str, threads: list[str]) -> None:
    watched = Watched(body)
    await render(watched)
    assert watched.threads == threads


async def test_messages_of_a_call_have_their_steps_together() -> None:
    steps = call_steps()
    watched = Watched(HEAVY)
    while steps.used <= 100 * STEPS:
        await render(watched, steps)
    with pytest.raises(TooManySteps, match="messages of this call") as refused:
        await render(watched, steps)
    assert [error.field for error in refused.value.errors] == ["template"]
    assert 100 * STEPS < steps.used < 101 * STEPS


async def test_steps_that_a_failed_message_took_count_as_well() -> None:
    steps = call_steps()
    for _ in range(3):
        with pytest.raises(TooManySteps):
            await render(
                Watched("{% for x in range(9999) %}{% for y in range(9999) %}{{ y }}{% endfor %}{% endfor %}"), steps
            )
    assert steps.used >= 3 * STEPS


async def test_draft_is_compiled_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def compiling(*given: Any) -> Compiled:
        threads.append(threading.current_thread().name.partition("_")[0])
        return compile_template(*given)

    monkeypatch.setattr("starter.notifications.templates.compile_template", compiling)
    draft = DraftInput.model_validate({"template": {"channel": "sms", "body": LIGHT}, "data": {"n": 1}})
    assert (await Renderer(None).try_out(draft)).body == "1"  # type: ignore[arg-type]
    assert threads == ["heavy-work"]
