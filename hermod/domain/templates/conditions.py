"""Conditions, such as a notification's `when`: what was not entered is no error in them, and simply not true.

`not data.optout` holds where nobody has opted out, `data.vip or data.large` where one of them was entered.
"""

from __future__ import annotations

from typing import Any, Final

from jinja2 import Undefined, pass_context
from jinja2.runtime import Context

from hermod.domain.templates.filters import COMPARING, FILTERS, TESTS, TEXT, Work
from hermod.domain.templates.language import CONCATENATED, EACH, GLANCED, SPENT, WEIGHED


class NotEntered(Undefined):
    """False, empty, equal to nothing, neither less nor more; and so is what is calculated from it, or a part of it."""

    __slots__ = ()

    def _stays(self, *_others: Any) -> NotEntered:
        return self

    def _is_not(self, _other: object) -> bool:
        return False

    def __ne__(self, _other: object) -> bool:
        return True

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _is_not  # type: ignore[assignment]
    __hash__ = Undefined.__hash__
    __getitem__ = __neg__ = __pos__ = _stays  # type: ignore[assignment]
    __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = _stays  # type: ignore[assignment]
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = _stays  # type: ignore[assignment]
    __rmod__ = __rpow__ = _stays  # type: ignore[assignment]


def _of_what_was_not_entered(name: str, work: Work) -> Work:
    """A filter: of what was not entered, a text is empty, the length is 0, and anything else has not been entered."""

    @pass_context
    def lenient(context: Context, value: Any, *given: Any, **named: Any) -> Any:
        if isinstance(value, NotEntered) and name not in _ASKING:
            if name not in _COUNTING and name not in TEXT:
                return value
            value = [] if name in _COUNTING else ""
        return work(context, value, *given, **named)

    return lenient


def _test_of_what_was_not_entered(name: str, work: Any) -> Work:
    takes_context = name in COMPARING

    @pass_context
    def lenient(context: Context, value: Any, *given: Any, **named: Any) -> bool:
        if isinstance(value, NotEntered):
            return name in _TRUE_OF_NOTHING
        return bool(work(context, value, *given, **named) if takes_context else work(value, *given, **named))

    return lenient


_ASKING: Final = frozenset({"default", "d", EACH, SPENT, GLANCED, WEIGHED, CONCATENATED})
_COUNTING: Final = frozenset({"count", "float", "int", "join", "length", "list", "sum"})
_TRUE_OF_NOTHING: Final = frozenset({"undefined", "!=", "ne"})
CONDITION_FILTERS: Final[dict[str, Work]] = {
    name: _of_what_was_not_entered(name, work) for name, work in FILTERS.items()
}
CONDITION_TESTS: Final[dict[str, Work]] = {
    name: _test_of_what_was_not_entered(name, work) for name, work in TESTS.items()
}
