"""The filters and tests of templates: Jinja's own where they are harmless, each charged before it works.

Left out are those that reach into objects (`attr`), draw lots (`random`), or build at will (`center`, `indent`,
`xmlattr`, `urlize`). `date` is ours. Values are JSON, and are shown as JSON: true, not True; null as nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from jinja2 import Undefined, pass_context
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.filters import make_attrgetter
from jinja2.runtime import Context
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from hermod.domain.templates.language import CONCATENATED, EACH, GLANCED, SPENT, WEIGHED
from hermod.domain.templates.meter import Meter, TemplateFault, check_number

METER: Final = "_meter"
"""Where a rendering's meter is in its context; no template can name it."""

TEXT: Final = (
    "capitalize e escape forceescape lower replace safe string title trim truncate upper urlencode wordcount".split()
)
_VALUES: Final = "abs batch count d default first float int items last length list reverse round slice".split()
_DEEP: Final = "dictsort groupby map max min reject rejectattr select selectattr sort sum unique".split()
_SMALL: Final = frozenset({"batch", "slice", "truncate", "round"})
_LARGEST: Final = 1_000
"""What a number may be that says how much to make: of columns, of characters, of digits."""
COMPARING: Final = frozenset(
    "== eq equalto != ne < lt lessthan <= le > gt greaterthan >= ge in divisibleby lower upper".split()
)
_PLAIN_TESTS: Final = (
    "boolean defined even false float integer iterable mapping none number odd sequence string true undefined".split()
)
_CONVERSION: Final = re.compile(r"%(?:%|(?:\([^()]*\))?[-+ #0]{0,5}\d{0,3}(?:\.\d{0,2})?[diouxXeEfFgGs])")
_DATE_PART: Final = re.compile(r"%-?[aAbBdefHIjmMpyYZz%]")

Work = Callable[..., Any]


def meter_of(context: Context) -> Meter:
    found: Meter = context.parent[METER]
    return found


def shown(value: Any, meter: Meter) -> str:
    """A value as text. Undefined raises its own error."""
    if isinstance(value, str):
        meter.charge(1 + (len(value) >> 6))
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        meter.charge(1)
        check_number(value)
        return str(value)
    if isinstance(value, range):
        value = list(value)
    meter.weigh(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else str(value)


@pass_context
def show(context: Context, value: Any) -> str:
    """What every `{{ … }}` goes through."""
    return shown(value, meter_of(context))


def formatted(template: str, values: Any, meter: Meter) -> str:
    """`"%.2f" % price`, with widths that stay small."""
    pieces = template.count("%")
    meter.charge(1 + (len(template) >> 6) + 16 * pieces)
    if "%" in _CONVERSION.sub("", template):
        raise TemplateFault("the format has a % that is none of %s %d %f %e %g %x, or a width above 999")
    if isinstance(values, Mapping):
        return template % {key: _formattable(value, meter) for key, value in values.items()}
    given = values if isinstance(values, tuple) else (values,)
    return template % tuple(_formattable(value, meter) for value in given)


def _formattable(value: Any, meter: Meter) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else shown(value, meter)


@pass_context
def _format(context: Context, value: Any, *values: Any, **named: Any) -> str:
    if values and named:
        raise TemplateFault("format takes values or names, not both")
    return formatted(shown(value, meter_of(context)), named or values, meter_of(context))


@pass_context
def _date(context: Context, value: Any, form: str = "%Y-%m-%d") -> str:
    """`created_at|date("%d.%m.%Y")`: a time as JSON writes it (RFC 3339), in the parts of Python's strftime."""
    text = shown(value, meter_of(context))
    if "%" in _DATE_PART.sub("", form) or len(form) > 200:
        raise TemplateFault("date: the form has a part that is not known; use %d %m %Y %H %M %B and the like")
    try:
        return datetime.fromisoformat(text).strftime(form)
    except ValueError:
        raise TemplateFault("date: the value is no time like 2030-05-01T12:00:00Z") from None


@pass_context
def _join(context: Context, value: Any, d: Any = "", attribute: str | int | None = None) -> str:
    """Jinja's `join`, with the items shown as they would be by themselves."""
    meter = meter_of(context)
    if isinstance(value, Undefined):
        str(value)
    items, separator = _count("join", value), shown(d, meter)
    meter.charge(items * (4 * _steps(str(attribute)) + (len(separator) >> 6)))
    get = make_attrgetter(context.environment, attribute)
    return _joined(context, separator, [shown(get(one), meter) for one in value])


def _joined(context: Context, separator: str, texts: list[str]) -> str:
    if context.eval_ctx.autoescape and any(isinstance(text, Markup) for text in (separator, *texts)):
        return escape(separator).join(texts)
    return separator.join(texts)


@pass_context
def _tojson(context: Context, value: Any) -> Markup:
    meter_of(context).weigh(value)
    return htmlsafe_json_dumps(list(value) if isinstance(value, range) else value)


@pass_context
def _each(context: Context, value: Any, price: int) -> Any:
    """Charges a loop for all its rounds before the first."""
    if isinstance(value, Undefined):
        str(value)
    if not isinstance(value, list | tuple | dict | range | str):
        raise TemplateFault("this is nothing to loop over: it is no list and no object")
    meter_of(context).charge(1 + price * len(value))
    return value


@pass_context
def _spent(context: Context, value: Any, price: int) -> Any:
    """Charges a macro's call; it comes after the call, and calls inside it have been charged by then."""
    meter_of(context).charge(price)
    return value


@pass_context
def _glanced(context: Context, value: Any) -> Any:
    meter_of(context).glance(value)
    return value


@pass_context
def _weighed(context: Context, value: Any) -> Any:
    meter_of(context).weigh(value)
    return value


@pass_context
def _concatenated(context: Context, values: list[Any]) -> str:
    meter = meter_of(context)
    return _joined(context, "", [shown(value, meter) for value in values])


def _metered(name: str) -> Work:
    """Jinja's filter of that name, which pays before it works and gives a list where it would give an iterator."""
    work: Work = JINJA_FILTERS[name]
    first = _first_argument(work)
    text, deep, small = name in TEXT, name in _DEEP, name in _SMALL
    lenient = name in ("default", "d")

    @pass_context
    def metered(context: Context, value: Any, *given: Any, **named: Any) -> Any:
        meter = meter_of(context)
        if isinstance(value, Undefined) and not lenient:
            str(value)
        if text:
            value = shown(value, meter)
            meter.charge(len(value) >> 4)
        for one in (value, *given, *named.values()):
            (meter.weigh if deep else meter.glance)(one)
        if small:
            _check_small((*given, *named.values()))
        if deep:
            _pay_ahead(name, value, given, named, meter)
        elif name == "replace":
            meter.charge(_replaced(value, *given, **named) >> 6)
        result = work(*first(context), value, *given, **named)
        if isinstance(result, int | float):
            check_number(result)
        return _listed(result, meter) if isinstance(result, Iterator) else result

    return metered


def _first_argument(work: Work) -> Callable[[Context], tuple[Any, ...]]:
    """What Jinja hands to a filter before the value: its context, a part of it, or nothing."""
    wanted = getattr(getattr(work, "jinja_pass_arg", None), "name", None)
    if wanted == "context":
        return lambda context: (context,)
    if wanted == "eval_context":
        return lambda context: (context.eval_ctx,)
    if wanted == "environment":
        return lambda context: (context.environment,)
    return lambda _context: ()


def _pay_ahead(name: str, value: Any, given: tuple[Any, ...], named: dict[str, Any], meter: Meter) -> None:
    """What a filter over items costs beyond looking at each: comparing them, and following a path into each."""
    items = _count(name, value)
    paths = [one for one in (*given, named.get("attribute")) if isinstance(one, str)]
    meter.charge(items * (items.bit_length() + 4 * _steps(*paths)))
    if name == "sum" and not isinstance(named.get("start", given[1] if len(given) > 1 else 0), int | float):
        raise TemplateFault("sum: adds numbers only")


def _count(name: str, value: Any) -> int:
    if not isinstance(value, list | tuple | dict | range | str):
        raise TemplateFault(f"{name}: this is no list")
    return len(value)


def _steps(*paths: str) -> int:
    return 2 + sum(path.count(".") + 1 for path in paths)


def _check_small(numbers: tuple[Any, ...]) -> None:
    if any(isinstance(number, int | float) and not -_LARGEST <= number <= _LARGEST for number in numbers):
        raise TemplateFault(f"the number is not between -{_LARGEST} and {_LARGEST}")


def _replaced(value: str, old: Any, new: Any, count: int | None = None) -> int:
    """Characters that a replacement comes to."""
    times = value.count(str(old)) if count is None or count < 0 else min(value.count(str(old)), count)
    return len(value) + times * len(str(new))


def _listed(items: Iterator[Any], meter: Meter) -> list[Any]:
    found = []
    for item in items:
        meter.charge(2)
        found.append(item)
    return found


def _metered_test(name: str) -> Work:
    work: Any = JINJA_TESTS[name]

    @pass_context
    def metered(context: Context, value: Any, *given: Any, **named: Any) -> bool:
        for one in (value, *given, *named.values()):
            meter_of(context).weigh(one)
        return bool(work(value, *given, **named))

    return metered


PUBLIC_FILTERS: Final[dict[str, Work]] = {
    **{name: _metered(name) for name in (*TEXT, *_VALUES, *_DEEP)},
    "date": _date,
    "format": _format,
    "join": _join,
    "tojson": _tojson,
}
FILTERS: Final[dict[str, Work]] = PUBLIC_FILTERS | {
    EACH: _each,
    SPENT: _spent,
    GLANCED: _glanced,
    WEIGHED: _weighed,
    CONCATENATED: _concatenated,
}
_JINJA_TESTS: Final[Mapping[str, Any]] = JINJA_TESTS
TESTS: Final[dict[str, Work]] = {
    **{name: _JINJA_TESTS[name] for name in _PLAIN_TESTS},
    **{name: _metered_test(name) for name in sorted(COMPARING)},
}
