"""One field of a template, compiled: Jinja's sandbox, narrowed to JSON values and with a price on everything.

A template sees its data and nothing else: no attributes or methods of Python's objects, no files, no other templates.
`x.name` is a field of an object, whatever its name: an `order.items` of the data is the data's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from hermod.domain.templates.absent import Absent, MissingVariable
from hermod.domain.templates.conditions import CONDITION_FILTERS, CONDITION_TESTS, NotEntered
from hermod.domain.templates.filters import (
    FILTERS,
    METER,
    PUBLIC_FILTERS,
    TESTS,
    formatted,
    meter_of,
    show,
)
from hermod.domain.templates.language import Reader
from hermod.domain.templates.meter import Meter, TemplateFault, check_number

MAX_SOURCE: Final = 512 * 1024
"""Characters of one field's source."""
MAX_TOKENS: Final = 20_000
"""Of all fields that are compiled together: some 400 ms, and a few thousand expressions."""
MAX_OUTPUT: Final = 1024 * 1024
"""Characters that one field may come to."""
_LARGEST: Final = 2**64
_LARGEST_POWER: Final = 64
_LONGEST_RANGE: Final = 10_000


def _bounded_range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > _LONGEST_RANGE:
        raise TemplateFault(f"range: is longer than {_LONGEST_RANGE}")
    return found


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, *, autoescape: bool = False, condition: bool = False) -> None:
        super().__init__(
            autoescape=autoescape,
            undefined=NotEntered if condition else Absent,
            finalize=show,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            cache_size=0,
        )
        self.filters = dict(CONDITION_FILTERS if condition else FILTERS)
        self.tests = dict(CONDITION_TESTS if condition else TESTS)
        self.globals = {"range": _bounded_range, "namespace": Namespace}

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A field of an object, an item of a list. A name that Python gives its own objects is no field."""
        kind = type(argument)
        try:
            if isinstance(obj, dict):
                if kind is str or kind is int:
                    return obj[argument]
            elif isinstance(obj, list | tuple | str | range) and kind is int:
                return obj[argument]
            elif isinstance(obj, Namespace):
                return _held(obj)[argument]
            elif isinstance(obj, LoopContext) or (isinstance(obj, tuple) and argument in getattr(obj, "_fields", ())):
                return getattr(obj, argument)
        except LookupError:
            pass
        if isinstance(obj, StrictUndefined):
            str(obj)
        if isinstance(argument, StrictUndefined):
            str(argument)
        return self.undefined(obj=obj, name=str(argument)[:200])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        meter = meter_of(context)
        meter.charge(1)
        if isinstance(left, int | float) and isinstance(right, int | float):
            if not (-_LARGEST <= left <= _LARGEST and -_LARGEST <= right <= _LARGEST):
                raise TemplateFault("calculates with numbers that are too large")
            if operator == "**" and not -_LARGEST_POWER <= right <= _LARGEST_POWER:
                raise TemplateFault("calculates a power that is too large")
        elif operator == "%" and isinstance(left, str):
            return formatted(left, right, meter)
        elif operator == "*":
            _charge_repetition(meter, left, right)
        else:
            meter.glance(left)
            meter.glance(right)
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int | float):
            check_number(result)
        return result

    def call_filter(self, name: str, *given: Any, **named: Any) -> Any:
        """What `map` calls, by a name that only the rendering knows."""
        if name not in PUBLIC_FILTERS:
            raise TemplateFault(f"map: there is no filter {str(name)[:40]!r}")
        return super().call_filter(name, *given, **named)

    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(obj, Macro) or obj is _bounded_range or obj is Namespace:
            return True
        return isinstance(getattr(obj, "__self__", None), LoopContext)


_PLAIN: Final = _Sandbox()
_CONDITION: Final = _Sandbox(condition=True)
_MARKUP: Final = _Sandbox(autoescape=True)


@dataclass(frozen=True, slots=True)
class Field:
    """A field's compiled source. `variables` are the names that it takes from the data, `asked` are those that it asks
    one of them for: `("order", "total")`."""

    template: Template
    variables: frozenset[str]
    asked: frozenset[tuple[str, str]]

    def render(self, data: Mapping[str, Any], meter: Meter) -> str:
        """The words. Raises TemplateFault, and MissingVariable for a name that the data does not have."""
        context = self.template.new_context({**data, METER: meter})
        pieces: list[str] = []
        size = 0
        try:
            for piece in self.template.root_render_func(context):
                size += len(piece)
                if size > MAX_OUTPUT:
                    raise TemplateFault(f"comes to more than {MAX_OUTPUT} characters")
                pieces.append(piece)
        except TemplateFault as fault:
            raise type(fault)(fault.message, fault.line or self._line(fault.__traceback__)) from None
        except MissingVariable as absent:
            absent.lineno = self._line(absent.__traceback__)  # type: ignore[attr-defined]
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the template has done it, with this data
            raise TemplateFault(_reason(error), self._line(error.__traceback__)) from None
        return _whole("".join(pieces))

    def _line(self, trace: TracebackType | None) -> int | None:
        """Where in the source it happened."""
        line = None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "<template>":
                line = self.template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line


class Tokens:
    """Words and signs in the tags of sources that are compiled together, counted before any of them is parsed."""

    def __init__(self) -> None:
        self._left = MAX_TOKENS

    @property
    def used_up(self) -> bool:
        return self._left < 0

    def take(self, tokens: Iterator[Any]) -> None:
        """Raises TemplateFault when there are too many; from then on, for every source."""
        self._left -= sum(1 for _ in islice(tokens, max(self._left, 0) + 1))
        if self.used_up:
            raise TemplateFault(f"has more than {MAX_TOKENS} words and signs in its tags, with what comes before it")


def compile_condition(expression: str, tokens: Tokens | None = None) -> Field:
    """An expression that renders to something where it is true, and to nothing where it is not.

    What the data does not have is not true in it, and no error. Raises TemplateFault.
    """
    if "{%" in expression or "%}" in expression:
        raise TemplateFault("must be an expression like data.newsletter, without {% and %}")
    return _compiled(f"{{% if {expression} %}}1{{% endif %}}", _CONDITION, tokens)


def compile_field(source: str, *, markup: bool, tokens: Tokens | None = None) -> Field:
    """Check and compile a source; `markup` escapes what is put into it. Raises TemplateFault.

    `tokens` counts those of the sources before it as well.
    """
    return _compiled(source, _MARKUP if markup else _PLAIN, tokens)


def _compiled(source: str, sandbox: _Sandbox, tokens: Tokens | None) -> Field:
    if len(source) > MAX_SOURCE:
        raise TemplateFault(f"is longer than {MAX_SOURCE // 1024} KiB")
    if "\0" in source:
        raise TemplateFault("has a NUL character")
    try:
        (tokens or Tokens()).take(sandbox.lexer.tokeniter(source, None))
        read = Reader(PUBLIC_FILTERS, TESTS).read(sandbox.parse(source))
        variables, asked = frozenset(find_undeclared_variables(read)), frozenset(_asked(read))
        code = sandbox.compile(read)
    except TemplateSyntaxError as error:
        raise TemplateFault(error.message or "cannot be read", error.lineno) from None
    except (MemoryError, OverflowError, RecursionError, SyntaxError, ValueError):
        raise TemplateFault("is nested too deeply, or has a constant that is no constant") from None
    return Field(Template.from_code(sandbox, code, sandbox.globals), variables, asked)


def _asked(read: nodes.Template) -> Iterator[tuple[str, str]]:
    for one in read.find_all(nodes.Getattr):
        if isinstance(one.node, nodes.Name):
            yield one.node.name, one.attr
    for item in read.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            yield item.node.name, item.arg.value


def _whole(text: str) -> str:
    """Text that can be stored and sent. A template can write half a character, as an escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TemplateFault("comes to text with half a character in it") from None
    return text


def _held(namespace: Namespace) -> dict[str, Any]:
    """What a template has put into it; its own attributes are not to be had."""
    held: dict[str, Any] = object.__getattribute__(namespace, "_Namespace__attrs")
    return held


def _charge_repetition(meter: Meter, left: Any, right: Any) -> None:
    """A text or a list, times a number."""
    whole, times = (left, right) if isinstance(right, int) else (right, left)
    if isinstance(times, int) and isinstance(whole, str):
        meter.charge(max(0, times) * (len(whole) + 1) >> 6)
    elif isinstance(times, int) and isinstance(whole, list | tuple):
        meter.charge(max(0, times) * len(whole))


def _reason(error: Exception) -> str:
    """What happened, without the values it happened to."""
    if isinstance(error, ZeroDivisionError):
        return "divides by zero"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, TypeError | TemplateError):
        return " ".join(str(error).split())[:200]
    return f"cannot be calculated ({type(error).__name__})"
