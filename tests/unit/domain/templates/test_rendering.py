"""From a template and data to words, and what is said where that cannot be."""

from __future__ import annotations

import string
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.domain.templates.compiled import Compiled, Words, compile_template

ORDER = {
    "name": "Ada <b>",
    "vip": True,
    "note": None,
    "total": 1234.5,
    "at": "2030-05-01T12:30:00+02:00",
    "items": [{"name": "Tea", "price": 2.5, "tags": ["hot"]}, {"name": "Cake", "price": 4, "tags": []}],
    "address": {"city": "Graz", "items": 3},
}


def sms(body: str, data: dict[str, Any] | None = None) -> str:
    return str(compile_template(Channel.SMS, {"body": body}).fill(ORDER if data is None else data).words()["body"])


def email(**fields: Any) -> Words:
    return compile_template(Channel.EMAIL, {"subject": "x", **fields}).fill(ORDER).words()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("Hello {{ name }}", "Hello Ada <b>"),
        ("{{ vip }} {{ not vip }} [{{ note }}] {{ address }}", 'true false [] {"city": "Graz", "items": 3}'),
        ("{% if vip %}yes{% else %}no{% endif %}", "yes"),
        ("{{ nick|default('friend') }} {{ note|default('none', true) }}", "friend none"),
        ("{% if nick is defined %}{{ nick }}{% else %}nobody{% endif %}", "nobody"),
        ("{{ address.nick|default('friend') }}", "friend"),
        ("{% for item in items %}{{ loop.index }}. {{ item.name }}{{ ', ' if not loop.last }}{% endfor %}",
         "1. Tea, 2. Cake"),
        ("{% for item in items if item.tags %}{{ item.name }}{% else %}none{% endfor %}", "Tea"),
        ("{% for item in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for name, value in address.items() %}{{ name }}={{ value }} {% endfor %}", "city=Graz items=3 "),
        ("{{ address.items }} {{ address['city'] }} {{ items[1].name }} {{ items[-1]['name'] }}", "3 Graz Cake Cake"),
        ("{{ items|map(attribute='name')|join(', ') }}", "Tea, Cake"),
        ("{{ items|join(', ', attribute='name') }} {{ [true, none, 1]|join('-') }}", "Tea, Cake true--1"),
        ("{{ items|sum(attribute='price') }} {{ items|length }} {{ items|map(attribute='price')|max }}", "6.5 2 4"),
        ("{% for key, rows in items|groupby('price') %}{{ key }}:{{ rows|length }} {% endfor %}", "2.5:1 4:1 "),
        ("{% for group in items|groupby('name') %}{{ group.grouper }}{{ group.list|length }} {% endfor %}",
         "Cake1 Tea1 "),
        ("{{ (items|sort(attribute='name')|first).name }} {{ items|selectattr('tags')|map(attribute='name')|first }}",
         "Cake Tea"),
        ("{% for row in [1, 2, 3]|batch(2) %}{{ row|join }};{% endfor %}", "12;3;"),
        ("{{ '%.2f'|format(total) }} {{ '%08.2f' % total }} {{ '%s-%d%%' % ('a', 5) }}", "1234.50 01234.50 a-5%"),
        ("{{ '%(a)s'|format(a=1) }} {{ '%s'.format(1)|length }}", "1 1"),
        ("{{ at|date('%d.%m.%Y, %H:%M') }} {{ at|date }}", "01.05.2030, 12:30 2030-05-01"),
        ("{{ total + 1 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 8 }} {{ -1 }} {{ 'a' + 'b' }} {{ '=' * 3 }}",
         "1235.5 3 3 256 -1 ab ==="),
        ("{{ 'a' ~ 1 ~ true ~ none }}", "a1true"),
        ("{{ 2 < 3 }} {{ 'Tea' in items|map(attribute='name') }} {{ 2 in [1, 2] }} {{ 3 is odd }}",
         "true true true true"),
        ("{{ name.upper() }} {{ ' x '.strip() }} {{ name|replace('A', 'O') }}", "ADA <B> x Oda <b>"),
        ("{{ 'one two three'|truncate(8, false, '...', 0) }} {{ name[:3] }} {{ items[:1]|length }}", "one... Ada 1"),
        ("{% set ns = namespace(sum=0) %}{% for item in items %}{% set ns.sum = ns.sum + item.price %}{% endfor %}"
         "{{ ns.sum }}", "6.5"),
        ("{% macro price(of, sign='€') %}{{ '%.2f'|format(of) }} {{ sign }}{% endmacro %}"
         "{% for item in items %}{{ price(item.price) }};{% endfor %}{{ price(1, sign='$') }}", "2.50 €;4.00 €;1.00 $"),
        ("{% with city = address.city %}{{ city }}{% endwith %}{% filter upper %}a{% endfilter %}", "GrazA"),
        ("{% set words %}{{ name }}!{% endset %}{{ words }}", "Ada <b>!"),
        ("{% for n in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %}", "aba"),
        ("{% raw %}{{ name }}{% endraw %}{# nothing #}", "{{ name }}"),
        ("a\n{% if vip %}\nb\n{% endif %}\nc\n", "a\nb\nc"),
        ("{{ items[0]|tojson }}", '{"name": "Tea", "price": 2.5, "tags": ["hot"]}'),
    ],
)  # fmt: skip
def test_template_is_rendered_as_jinja_does_and_json_reads(source: str, words: str) -> None:
    assert sms(source) == words


def test_html_escapes_what_is_put_in_and_text_does_not() -> None:
    words = email(html="<p>{{ name }} {{ name|safe }} {{ '<' ~ name }}</p>", text="{{ name }}")
    assert words["html"] == "<p>Ada &lt;b&gt; Ada <b> &lt;Ada &lt;b&gt;</p>"
    assert words["text"] == "Ada <b>"


def test_html_from_a_macro_and_a_block_is_escaped_once() -> None:
    source = (
        '{% macro link(url, words) %}<a href="{{ url }}">{{ words }}</a>{% endmacro %}'
        "{% set note %}<i>{{ name }}</i>{% endset %}{{ link('https://a.b/?a=1&b=2', name) }}{{ note }}"
        "{{ [note, '<']|join('<br>') }}{{ note ~ '<' }}"
    )
    assert email(html=source)["html"] == (
        '<a href="https://a.b/?a=1&amp;b=2">Ada &lt;b&gt;</a><i>Ada &lt;b&gt;</i>'
        "<i>Ada &lt;b&gt;</i>&lt;br&gt;&lt;<i>Ada &lt;b&gt;</i>&lt;"
    )


def test_email_without_text_gets_one_from_its_html() -> None:
    words = email(html="<h1>Hello {{ name }}</h1><p><a href='https://a.b/{{ address.city }}'>Go</a></p>")
    assert words["text"] == "Hello Ada <b>\n\nGo (https://a.b/Graz)"


def test_fields_of_one_line_lose_the_space_around_them() -> None:
    assert email(subject="\n Hello {{ name }}\n", text="x")["subject"] == "Hello Ada <b>"


def test_push_has_the_data_of_its_template() -> None:
    source = {"title": "Hello {{ name }}", "data": {"city": "{{ address.city }}", "a.b": "{{ items|length }}"}}
    words = compile_template(Channel.PUSH, source).fill(ORDER).words()
    assert words == {"title": "Hello Ada <b>", "data": {"city": "Graz", "a.b": "2"}}


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ("{{ nick }}", "data.nick"),
        ("{% if nick %}x{% endif %}", "data.nick"),
        ("{% for x in orders %}x{% endfor %}", "data.orders"),
        ("{{ nick|upper }}", "data.nick"),
        ("{{ 'a' ~ nick }}", "data.nick"),
        ("{{ 1 + nick }}", "data.nick"),
        ("{{ nick == 1 }}", "data.nick"),
        ("{{ 1 in nick }}", "data.nick"),
        ("{{ nick.first }}", "data.nick"),
        ("{{ address.street }}", "data.address.street"),
        ("{{ address['street'] }}", "data.address.street"),
        ("{{ items[7] }}", "data.items.7"),
        ("{% for item in items %}{{ item.tags[0] }}{% endfor %}", "data.items.1.tags.0"),
        ("{% macro m() %}{{ nick }}{% endmacro %}{{ m() }}", "data.nick"),
        ("{{ items|map(attribute='colour')|join }}", "data.items.0.colour"),
        ("{{ items|sum(attribute='weight') }}", "data.items.0.weight"),
        ("{{ [nick]|tojson }}", "data.nick"),
        ("{{ '%s' % nick }}", "data.nick"),
        ("{{ address[nick] }}", "data.nick"),
    ],
)  # fmt: skip
def test_variable_that_the_data_lacks_is_named(source: str, field: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        sms("\n" + source)
    assert [error.field for error in wrong.value.errors] == [field]
    assert "line 2" in wrong.value.errors[0].message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("\n{{ total / 0 }}", "body, line 2: divides by zero"),
        ("{{ total + name }}", "body, line 1: unsupported operand"),
        ("{{ name.first }}", "asks a text for first, line 1"),
        ("{% for x in total %}{% endfor %}", "line 1: this is nothing to loop over"),
        ("{{ name|date }}", "date: the value is no time"),
        ("{{ at|date('%q') }}", "date: the form"),
        ("{{ [1]|sum(start=[]) }}", "sum: adds numbers only"),
        ("{{ '%y'|format(1) }}", "the format has a %"),
        ("{{ [1]|map('nothing')|list }}", "map: there is no filter 'nothing'"),
    ],
)
def test_operation_that_fails_is_told_with_its_line(source: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=r"^template: body") as wrong:
        sms(source)
    assert words in str(wrong.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("\n\n{{ name", "line 3: "),
        ("a\n{% if vip %}", "line 2: "),
        ("{{ name|nothing }}", "line 1: there is no filter nothing"),
        ("{% if name is nothing %}{% endif %}", "line 1: there is no test nothing"),
        ("\n{% include 'x' %}", "line 2: include is not available in a stored template"),
        ("{{ later() }}", "line 1: later(): there is no such function, and no such macro above"),
        ("{{ name.encode() }}", "line 1: .encode() cannot be called; use a filter instead"),
        ("{{ loop.nothing }}", "line 1: loop.nothing: there is no such thing"),
        ("{{ 99999999999999999999 }}", "line 1: the number is too large"),
    ],
)
def test_source_that_is_wrong_is_refused_by_field_and_line(source: str, words: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        compile_template(Channel.EMAIL, {"subject": "x", "text": source})
    ((field, message),) = wrong.value.errors
    assert field == "text"
    assert message.startswith(words)


def test_fields_that_are_wrong_are_all_named() -> None:
    with pytest.raises(InvalidInput) as wrong:
        compile_template(Channel.PUSH, {"title": "{{", "body": "fine", "data": {"a": "{% x %}"}})
    assert [error.field for error in wrong.value.errors] == ["title", "data.a"]


def test_variables_are_those_of_all_fields_and_no_names_of_the_template() -> None:
    source = {
        "subject": "{{ a.b }}",
        "html": "{% macro m(x) %}{{ x }}{{ y }}{% endmacro %}"
        "{% for i in range(3) %}{{ m(i) }}{{ loop.index }}{% endfor %}",
        "text": "{% set z = c %}{{ z }}{{ d|default(1) }}",
    }
    assert compile_template(Channel.EMAIL, source).variables == ("a", "c", "d", "y")


def test_template_that_may_not_be_meant_so_is_warned_about() -> None:
    assert compile_template(Channel.EMAIL, {"subject": "x", "text": "x"}).warnings == ()
    html = compile_template(Channel.EMAIL, {"subject": "x", "html": "{{ a | safe }}" + "x" * 110_000}).warnings
    assert [warning.partition(":")[0] for warning in html] == ["html", "text", "html"]
    assert compile_template(Channel.SMS, {"body": "x" * 161}).warnings == ("body: 2 segments as an SMS",)


def test_message_does_not_tell_the_values_of_the_data() -> None:
    for source in ("{{ secret|date }}", "{{ secret + 1 }}", "{{ secret.x }}", "{{ '%d' % secret }}"):
        with pytest.raises(InvalidInput) as wrong:
            sms(source, {"secret": "hunter2", "x": "y"})
        assert "hunter2" not in wrong.value.errors[0].message, source


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NAMES = ("name", "vip", "note", "total", "at", "items", "address", "range", "namespace", "loop", "self", "_meter")
EXPRESSIONS = (
    "name", "name.x", "items[0]", "items[total]", "name|upper", "name|int + 1", "total * total", "name * total",
    "total ** total", "total % name", "name % items", "'%d %s' % (total, name)", "name|format(items)", "name ~ items",
    "items|length", "items|sort|join(', ')", "items|unique|list", "items|map(attribute='x')|list",
    "items|groupby('x')|list", "items|sum", "items|max", "items|batch(total)|list", "items|slice(total)|list",
    "items|map(name)|list", "items|select(name)|list", "address|dictsort", "address|items|list", "items|tojson",
    "name|date(at)", "name|truncate(total)", "name|replace(at, note)", "name|round(total)", "name in items",
    "name == items", "name < items", "items[:total]", "address[name]", "-total", "not name", "range(total)|list",
    "range(0, total, vip)|list", "name|urlencode", "name|default(at)", "name is divisibleby(total)", "items|first",
    "items|last", "items|reverse|list", "name|abs", "name|float", "name|title", "name|trim(at)", "items|min(true, 'x')",
    "items|join(name, attribute=at)", "items|sort(attribute=name)", "name|wordcount", "items|rejectattr(name)|list",
    "{name: items}", "(name, items)", "[name, items]", "name if vip else items", "name and items or at", "loop.index",
    "address.items()", "name.format(items, at)", "name|safe ~ at", "'%s'|safe|format(name)", "name|count", "at|e",
)  # fmt: skip


def _templates() -> list[Compiled]:
    compiled = []
    for expression in EXPRESSIONS:
        for source in (
            "{{ " + expression + " }}",
            "{% for x in " + expression + " %}{{ x }}{{ loop.changed(x) }}{% endfor %}",
            "{% set name = " + expression + " %}{{ name|string|length }}{% if name %}{{ name }}{% endif %}",
        ):
            try:
                compiled.append(compile_template(Channel.EMAIL, {"subject": "x", "html": source}))
            except InvalidInput:
                continue
    return compiled


TEMPLATES = _templates()


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)), template=st.sampled_from(TEMPLATES))
def test_any_data_is_rendered_or_refused_as_invalid_input(data: dict[str, Any], template: Compiled) -> None:
    with suppress(InvalidInput):
        template.fill(data).words()["html"].encode()


SOURCE = st.lists(
    st.sampled_from(
        ["{{ ", " }}", "{% ", " %}", "if ", "for ", "in ", "endif", "endfor", "set ", "=", "macro ", "endmacro",
         "(", ")", "[", "]", "{", "}", ".", ",", "|", "'", "a", "b", "1", "x()", "loop", "upper", "is ", "defined",
         "~", "**", "*", "%", "-", "{#", "#}", " ", "\n", "block ", "import ", "self", "_", "\\", ":"]
    )
    | st.text(string.printable, max_size=4),
    max_size=25,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(source=SOURCE)
def test_any_source_is_compiled_or_refused_as_invalid_input(source: str) -> None:
    with suppress(InvalidInput):
        compile_template(Channel.EMAIL, {"subject": "x", "html": source}).fill({"a": "A", "b": [1]}).words()
