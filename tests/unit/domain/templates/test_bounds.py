"""What a template may cost, counted: before it is parsed, while it is rendered, and in numbers that stay small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.domain.steps import TooManySteps
from hermod.domain.templates import sandbox
from hermod.domain.templates.compiled import Compiled, compile_template
from hermod.domain.templates.meter import STEPS, Meter, TemplateFault
from hermod.domain.templates.sandbox import MAX_TOKENS, Tokens, compile_field


def sms(body: str) -> Compiled:
    return compile_template(Channel.SMS, {"body": body})


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that have come to the parser."""
    sources: list[str] = []
    parse = sandbox._Sandbox.parse

    def watched(self: Any, source: str, *given: Any) -> Any:
        sources.append(source)
        return parse(self, source, *given)

    monkeypatch.setattr(sandbox._Sandbox, "parse", watched)
    return sources


@pytest.mark.parametrize(
    "expression",
    ["1+" * 29_000 + "1", "a" + "|upper" * 20_000, "not " * 30_000 + "a", "[" * 20_001, "1 if a else " * 9_000],
)
def test_operators_are_counted_before_they_are_parsed(expression: str, parsed: list[str]) -> None:
    with pytest.raises(InvalidInput) as wrong:
        sms("{{ " + expression + " }}")
    assert parsed == []
    assert str(MAX_TOKENS) in wrong.value.errors[0].message


def test_fields_are_counted_together_and_the_rest_is_not_read(parsed: list[str]) -> None:
    data = {f"k{number:02}": "{{ " + "1+" * 29_000 + "1 }}" for number in range(30)}
    with pytest.raises(InvalidInput) as wrong:
        compile_template(Channel.PUSH, {"data": data})
    assert [error.field for error in wrong.value.errors] == ["data.k00"]
    small = {f"k{number:02}": "{{ [" + "1," * 499 + "1] }}" for number in range(30)}
    with pytest.raises(InvalidInput) as wrong:
        compile_template(Channel.PUSH, {"data": small})
    assert [error.field for error in wrong.value.errors] == ["data.k19"]
    assert len(parsed) == 19


def test_tokens_that_are_used_up_stay_so() -> None:
    tokens = Tokens()
    with pytest.raises(TemplateFault):
        compile_field("{{ a }}" * MAX_TOKENS, markup=False, tokens=tokens)
    with pytest.raises(TemplateFault):
        compile_field("{{ a }}", markup=False, tokens=tokens)


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1.5e400", "9" * 400, "[1e999]", "{'a': 1e999}", "a|default(1e999)"]
)
@pytest.mark.parametrize(
    "source", ["{{ %s }}", "{%% if a < %s %%}x{%% endif %%}", "{%% set b = %s %%}", "{{ [1]|map('default', %s)|list }}"]
)
def test_number_that_json_has_not_is_refused_when_it_is_compiled(source: str, number: str) -> None:
    with pytest.raises(InvalidInput, match="the number is too large"):
        sms(source % number)


@pytest.mark.parametrize(
    "expression",
    [
        "('9' * 4000)|int",
        "('f' * 100000)|int(0, 16)",
        "['f' * 100000]|map('int', 0, 16)|list",
        "2 ** 64 * 2 ** 65",
        "(2 ** 64) ** 63",
        "[n, n]|map('float')|sum * 1e308 * 10",
        "1e308 * 10",
        "1e308 + 1e308",
        "'inf'|float",
        "'nan'|float",
        "['1e999']|map('float')|list",
        "[1e308, 1e308]|sum",
    ],
)
@pytest.mark.parametrize("source", ["{{ %s }}", "{%% set x = %s %%}", "{%% if %s %%}{%% endif %%}"])
def test_number_that_no_message_needs_is_refused_where_it_comes_about(source: str, expression: str) -> None:
    with pytest.raises(InvalidInput, match=r"too large|is no number"):
        sms(source % expression).fill({"n": 10})


def test_numbers_of_json_are_calculated_and_shown() -> None:
    words = sms("{{ n * n }} {{ '12'|int }} {{ 1e308 }} {{ -n }} {{ 2 ** 64 }} {{ '1.5'|float }}").fill(
        {"n": 2**63 - 1}
    )
    assert words.words()["body"] == f"{(2**63 - 1) ** 2} 12 1e+308 {1 - 2**63} {2**64} 1.5"


def test_number_that_is_shown_is_paid_for() -> None:
    meter = Meter()
    sms("{% for x in range(1000) %}{{ x }}{% endfor %}").fill({}, meter)
    nothing = Meter()
    sms("{% for x in range(1000) %}{{ none }}{% endfor %}").fill({}, nothing)
    assert meter.used >= nothing.used + 1000


def test_rendering_that_is_given_few_steps_says_that_it_wants_more() -> None:
    template = sms("{% for x in range(1000) %}{{ x }}{% endfor %}")
    with pytest.raises(TooManySteps, match="more than 100 steps"):
        template.fill({}, Meter(100))
    meter = Meter()
    template.fill({}, meter)
    assert 1000 < meter.used < STEPS


@pytest.mark.parametrize(
    "error", [NameError("x"), MemoryError(), KeyError("x"), OSError(), Exception("of whatever kind")]
)
def test_whatever_a_rendering_raises_is_the_templates_fault(error: Exception) -> None:
    class Broken:
        new_context = staticmethod(sms("x").fields[0][1].template.new_context)

        @staticmethod
        def root_render_func(_context: Any) -> Iterator[str]:
            raise error

    template = sms("x")
    ((place, field),) = template.fields
    broken = replace(template, fields=((place, replace(field, template=Broken())),))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput) as wrong:
        broken.fill({})
    assert [one.field for one in wrong.value.errors] == ["template"]
