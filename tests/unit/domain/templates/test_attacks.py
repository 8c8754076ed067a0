"""What a template must not get away with: every attack ends in InvalidInput, soon, and with little memory."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.domain.templates.compiled import compile_template

SECONDS = 2.0
"""Far above what an attack takes (some 50 ms), and far below what it asks for."""
MEGABYTES = 64

DATA: dict[str, Any] = {
    "name": "Ada",
    "fmt": "{0.__class__.__init__.__globals__}",
    "number": 7,
    "deep": [[[[]]]],
    "long": "x" * 100_000,
    "rows": [{"id": n, "text": "word " * 20} for n in range(2_000)],
    "same": ["a" * 1_000] * 500,
    "user": {"name": "Ada", "tags": ["a", "b"], "items": [1, 2]},
}

REACHING_OUT = {
    "class of a string": "{{ ''.__class__ }}",
    "class by item": "{{ ''['__class__'] }}",
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by a built name": "{% set n = '__cla' ~ 'ss__' %}{{ name[n] }}",
    "attr filter": "{{ name|attr('__class__') }}",
    "attribute of map": "{{ ['a']|map(attribute='__class__')|list }}",
    "attribute of sort": "{{ ['a']|sort(attribute='__class__.__mro__') }}",
    "globals of a function": "{{ range.__globals__ }}",
    "globals of a macro": "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
    "globals of a loop": "{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
    "class of a namespace": "{% set ns = namespace() %}{{ ns.__class__ }}",
    "attributes of a namespace": "{% set ns = namespace() %}{{ ns._Namespace__attrs }}",
    "format method": "{{ '{0.__class__}'.format(name) }}",
    "format method of data": "{{ fmt.format(name) }}",
    "format_map": "{{ fmt.format_map(user) }}",
    "template itself": "{{ self }}",
    "super": "{{ super() }}",
    "config": "{{ config }}",
    "lipsum": "{{ lipsum.__globals__ }}",
    "cycler": "{{ cycler.__init__ }}",
    "our meter": "{{ _meter }}",
    "our filter": "{{ name|hermod:each }}",
    "our filter by map": "{{ [1]|map('hermod:spent', -1000000)|list }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "from import": "{% from 'os' import path %}",
    "extends": "{% extends 'base.html' %}",
    "block": "{% block a %}{% endblock %}",
    "call block": "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}x{% endcall %}",
    "autoescape off": "{% autoescape false %}{{ name }}{% endautoescape %}",
    "debug": "{% debug %}",
    "method of data": "{{ user.tags.append(1) }}",
    "method of a dict": "{{ user.update(name='Eve') }}",
    "star arguments": "{{ range(*user.items) }}",
    "calling data": "{{ name() }}",
    "calling an item": "{{ user['items']() }}",
}
GROWING = {
    "nested loops": "{% for a in rows %}{% for b in rows %}{{ b.id }}{% endfor %}{% endfor %}",
    "nested loops over text": "{% for a in rows %}{% for b in rows %}" + "x" * 5_000 + "{% endfor %}{% endfor %}",
    "nested empty loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "loop with a filter": "{% for a in range(9999) %}{% for b in range(9999) if false %}{% endfor %}{% endfor %}",
    "large range": "{% for a in range(1000000000) %}x{% endfor %}",
    "range to a list": "{{ range(1000000000)|list|length }}",
    "member of a range": "{{ 1.5 in range(1000000000) }}",
    "string times number": "{{ 'x' * 1000000000 }}",
    "number times string": "{{ 1000000000 * 'x' }}",
    "list times number": "{{ [0] * 1000000000 }}",
    "power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "power of a float": "{{ 9.0 ** 9999 }}",
    "growing number": "{% set ns = namespace(n=7) %}{% for i in range(9999) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
    "doubling by ~": "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "doubling by +": "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "doubling a list": "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}"
    "{% endfor %}",
    "doubling by set": "{% set ns = namespace(s='x') %}{% for i in range(60) %}"
    "{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}{% endfor %}",
    "doubling by join": "{% set ns = namespace(s='x') %}{% for i in range(60) %}"
    "{% set ns.s = [ns.s, ns.s]|join %}{% endfor %}",
    "doubling by replace": "{% set ns = namespace(s='x') %}{% for i in range(60) %}"
    "{% set ns.s = ns.s|replace('x', 'xx') %}{% endfor %}",
    "doubling by a filter block": "{% set ns = namespace(s='x') %}{% for i in range(60) %}"
    "{% set ns.s %}{% filter upper %}{{ ns.s }}{{ ns.s }}{% endfilter %}{% endset %}{% endfor %}",
    "macros that call macros": "{% macro a0() %}x{% endmacro %}"
    + "".join(f"{{% macro a{n}() %}}{{{{ a{n - 1}() }}}}{{{{ a{n - 1}() }}}}{{% endmacro %}}" for n in range(1, 60))
    + "{{ a59() }}",
    "quiet macros that call macros": "{% macro a0() %}{% endmacro %}"
    + "".join(f"{{% macro a{n}() %}}{{% set x = a{n - 1}() ~ a{n - 1}() %}}{{% endmacro %}}" for n in range(1, 60))
    + "{{ a59() }}",
    "macro that calls itself": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "macros that call each other": "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}"
    "{{ a() }}",
    "macro as a value": "{% macro a(f) %}{{ f(f) }}{% endmacro %}{{ a(a) }}",
    "macro renamed": "{% macro a() %}x{% endmacro %}{% set b = a %}{{ b() }}",
    "macro replaced": "{% macro a() %}x{% endmacro %}{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "recursive loop": "{% for x in deep recursive %}{{ loop(x) }}{% endfor %}",
    "width of a format": "{{ '%999999999d' % number }}",
    "precision of a format": "{{ '%.999999999f'|format(number) }}",
    "star in a format": "{{ '%*d' % (999999999, number) }}",
    "many formats": "{{ ('%999d' * 100000) % number }}",
    "character by format": "{{ '%c' % 0 }}",
    "center": "{{ name|center(1000000000) }}",
    "indent": "{{ name|indent(1000000000) }}",
    "batch that fills": "{{ [1]|batch(1000000000, 'x') }}",
    "slices": "{{ [1]|slice(1000000000) }}",
    "round": "{{ 1.5|round(1000000000, 'ceil') }}",
    "join with a long word": "{{ rows|map(attribute='id')|join(long) }}",
    "replace with a long word": "{{ long|replace('x', long) }}",
    "sum of lists": "{{ rows|map(attribute='text')|map('list')|sum(start=[]) }}",
    "sorting again and again": "{% for x in rows %}{% set y = rows|sort(attribute='text') %}{% endfor %}",
    "unique again and again": "{% for x in rows %}{% set y = same|unique|list %}{% endfor %}",
    "comparing again and again": "{% for x in range(9999) %}{% if rows == rows|list %}{% endif %}{% endfor %}",
    "looking for a needle": "{% for x in range(9999) %}{% if 'y' in long %}{% endif %}{% endfor %}",
    "looking in a list": "{% for x in range(9999) %}{% if 'zzz' in same %}{% endif %}{% endfor %}",
    "testing again and again": "{{ range(9999)|map('string')|select('in', same)|list }}",
    "slicing again and again": "{% for x in range(9999) %}{% set y = rows[:] %}{% endfor %}",
    "slicing a text": "{% for x in range(9999) %}{% set y = long[1:] %}{% endfor %}",
    "upper again and again": "{% for x in range(9999) %}{% set y = long|upper %}{% endfor %}",
    "showing again and again": "{% for x in range(9999) %}{{ long }}{% endfor %}",
    "showing lists": "{% for x in rows %}{{ rows }}{% endfor %}",
    "json again and again": "{% for x in rows %}{% set y = rows|tojson %}{% endfor %}",
    "changed": "{% for x in range(9999) %}{% if loop.changed(rows) %}{% endif %}{% endfor %}",
    "list in a list in a list": "{% set ns = namespace(l=[]) %}{% for x in range(9999) %}{% set ns.l = [ns.l] %}"
    "{% endfor %}{{ ns.l }}",
    "tuple in a tuple as a key": "{% set ns = namespace(l=()) %}{% for x in range(9999) %}{% set ns.l = (ns.l,) %}"
    "{% endfor %}{{ user[ns.l] }}",
    "tuple in a tuple in an object": "{% set ns = namespace(l=()) %}{% for x in range(9999) %}{% set ns.l = (ns.l,) %}"
    "{% endfor %}{{ {ns.l: 1} }}",
    "tuple in a tuple sought": "{% set ns = namespace(l=()) %}{% for x in range(9999) %}{% set ns.l = (ns.l,) %}"
    "{% endfor %}{{ ns.l in user }}",
    "tuple in a tuple made unique": "{% set ns = namespace(l=()) %}{% for x in range(9999) %}{% set ns.l = (ns.l,) %}"
    "{% endfor %}{{ [ns.l]|unique|list }}",
    "namespace in itself": "{% set ns = namespace() %}{% set ns.l = ns %}{{ ns }}",
    "namespace in a list": "{% set ns = namespace() %}{% set ns.l = [ns] %}{{ ns.l }}",
    "too much output": "{% for x in range(100) %}" + "x" * 12_000 + "{% endfor %}",
}
COMPILING = {
    "parentheses": "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
    "brackets": "{{ " + "[" * 100_000 + "]" * 100_000 + " }}",
    "signs": "{{ " + "-" * 100_000 + "1 }}",
    "nots": "{{ " + "not " * 100_000 + "1 }}",
    "attributes": "{{ name" + ".a" * 100_000 + " }}",
    "sums": "{{ " + "1+" * 100_000 + "1 }}",
    "filters": "{{ name" + "|upper" * 50_000 + " }}",
    "conditions": "{% if name %}" * 20_000 + "{% endif %}" * 20_000,
    "elifs": "{% if name %}" + "{% elif name %}" * 30_000 + "{% endif %}",
    "loops": "{% for x in deep %}" * 25 + "{% endfor %}" * 25,
    "expressions": "{{ name }}" * 50_000,
    "large number": "{{ " + "9" * 100_000 + " }}",
    "large hexadecimal number": "{{ 0x" + "f" * 100_000 + " }}",
    "folded power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "folded text": "{{ 'x' * 10 ** 10 }}",
    "twice the same argument": "{{ name|default(a=1, a=2) }}",
    "comment without an end": "{#" * 100_000,
    "raw without an end": "{% raw %}" * 50_000,
    "tag without an end": "{{ '" * 100_000,
    "long source": "x" * (512 * 1024 + 1),
    "NUL": "a\0b",
    "half a character": "{{ '\\ud800' }}",
}


@pytest.mark.parametrize("markup", [True, False], ids=["html", "text"])
@pytest.mark.parametrize(
    "source",
    [*REACHING_OUT.values(), *GROWING.values(), *COMPILING.values()],
    ids=[*REACHING_OUT, *GROWING, *COMPILING],
)
def test_attack_ends_soon_in_invalid_input(source: str, markup: bool) -> None:
    fields = {"subject": "x", "html" if markup else "text": source}
    begun = time.process_time()
    with pytest.raises(InvalidInput):
        compile_template(Channel.EMAIL, fields).fill(DATA).words()
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize("source", GROWING.values(), ids=GROWING)
def test_attack_by_growth_takes_little_memory(source: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput):
            compile_template(Channel.SMS, {"body": source}).fill(DATA)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 1024 * 1024
    finally:
        tracemalloc.stop()
