"""What a visitor entered, held against a schema: each part with each value once, and every step counted.

A validator that goes down a branch again for each way that leads to it takes twice as long with each level of a tree;
this one remembers what a part has said of a value. What a part says of the value alone (type, pattern, limits) is asked
of jsonschema-rs; how parts are joined is followed here.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from jsonschema_rs import Validator

from hermod.domain.forms.schema_words import MOST_FAULTS, Fault, faults_of, nearest, weight
from hermod.domain.steps import Steps

_MISSING: Final = object()
_AT_ONCE: Final = 256
_NO_SUCH_FIELD: Final = "there is no such field"


class Verdict(NamedTuple):
    """What a part says of a value: what is wrong with it, and which of its fields and items were looked at."""

    faults: tuple[Fault, ...] = ()
    names: frozenset[str] = frozenset()
    places: frozenset[int] = frozenset()


_FITS: Final = Verdict()
_REFUSED: Final = Verdict((Fault((), "false", "must not be there"),))
Asking = Generator[tuple[Any, Any], Verdict, Verdict]
"""Asks for the verdicts of other parts on other values, and comes to its own."""


@dataclass(frozen=True, slots=True)
class Part:
    """An object of a schema, ready to be asked. `size` counts the values that its own assertions hold."""

    schema: Mapping[str, Any]
    own: Validator | None
    """Its assertions about the value alone."""
    looks_inside: bool
    """Whether they are about all that a value holds: `enum`, `const`, `uniqueItems`."""
    size: int
    numbers: int
    """How many options of its `enum` are numbers."""
    whole_numbers: bool
    """Whether all are, and whole ones: then another whole number is found among them at once."""
    matchers: tuple[tuple[Validator, Any], ...]
    """Of `patternProperties`."""
    referred: tuple[Any, ...]
    """What its references lead to."""
    only_referred: bool
    """Whether it is nothing but its reference, as in draft 7."""
    counts_contained: bool
    """Whether items that `contains` finds need no further look by `unevaluatedItems`, as since 2020-12."""
    items: Validator | None
    """Says which items of a list are wrong, without asking for each; None where that could take long."""


@dataclass(slots=True)
class _Found:
    faults: list[Fault] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    places: set[int] = field(default_factory=set)

    def add(self, verdict: Verdict) -> None:
        """Of another part on the same value. Only one that holds has looked at its fields."""
        self.faults += verdict.faults
        if not verdict.faults:
            self.names |= verdict.names
            self.places |= verdict.places

    def below(self, step: str | int, verdict: Verdict) -> None:
        self.faults += (fault.below(step) for fault in verdict.faults)

    def verdict(self) -> Verdict:
        return Verdict(tuple(self.faults[:MOST_FAULTS]), frozenset(self.names), frozenset(self.places))


def judge(root: Any, parts: Mapping[int, Part], data: Any, steps: Steps) -> Verdict:
    """Raises TooManySteps. `parts` has every object of the schema by its `id`. No value nests too deeply for this."""
    known: dict[tuple[int, int], Verdict] = {}
    open_: list[tuple[tuple[int, int], Asking]] = []
    answer: Verdict | None = _begin(root, data, parts, steps, known, open_)
    while open_:
        key, asking = open_[-1]
        try:
            asked = asking.send(answer) if answer is not None else next(asking)
        except StopIteration as ended:
            answer = known[key] = ended.value
            open_.pop()
        else:
            answer = _begin(*asked, parts, steps, known, open_)
    return answer or _FITS


def _begin(
    schema: Any,
    value: Any,
    parts: Mapping[int, Part],
    steps: Steps,
    known: dict[tuple[int, int], Verdict],
    open_: list[tuple[tuple[int, int], Asking]],
) -> Verdict | None:
    """The verdict where it is known; else None, and it is being found."""
    steps.charge(1)
    if isinstance(schema, bool):
        return _FITS if schema else _REFUSED
    key = id(schema), id(value)
    if key not in known:
        open_.append((key, _asked(parts[id(schema)], value, steps)))
        return None
    return known[key]


def _asked(part: Part, value: Any, steps: Steps) -> Asking:
    found = _Found()
    schema = part.schema
    for target in part.referred:
        found.add((yield target, value))
    if part.only_referred:
        return found.verdict()
    if part.own is not None:
        found.faults += _own(part, part.own, value, steps)
    for one in schema.get("allOf", ()):
        found.add((yield one, value))
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            yield from _alternatives(schema[keyword], keyword, value, found)
    if "not" in schema and not (yield schema["not"], value).faults:
        found.faults.append(Fault((), "not", "is not allowed"))
    if "if" in schema:
        yield from _condition(schema, value, found)
    if isinstance(value, dict):
        yield from _fields(part, value, found, steps)
    elif isinstance(value, list):
        yield from _items(part, value, found, steps)
    return found.verdict()


def _own(part: Part, own: Validator, value: Any, steps: Steps) -> Sequence[Fault]:
    steps.charge(weight(value, deep=part.looks_inside) >> 4)
    if part.looks_inside and isinstance(value, dict | list):
        steps.charge(part.size >> 5)
    elif part.numbers and not (part.whole_numbers and isinstance(value, int)):
        # Compared one by one; with a number, each takes a microsecond.
        steps.charge(part.numbers >> 1 if isinstance(value, int | float) else part.size >> 8)
    if not part.looks_inside:
        if isinstance(value, dict):
            value = dict.fromkeys(value)
        elif isinstance(value, list):
            value = [None] * len(value)
    if own.is_valid(value):
        return ()
    steps.charge(part.size >> 2)
    return faults_of(part.schema, own, value)


def _alternatives(options: Sequence[Any], keyword: str, value: Any, found: _Found) -> Generator[Any, Verdict, None]:
    verdicts: list[Verdict] = []
    for one in options:
        verdict = yield one, value
        verdicts.append(verdict)
    fitting = [verdict for verdict in verdicts if not verdict.faults]
    if not fitting:
        found.faults += nearest([verdict.faults for verdict in verdicts])
    elif keyword == "oneOf" and len(fitting) > 1:
        found.faults.append(Fault((), keyword, "fits more than one of the alternatives"))
    else:
        for verdict in fitting:
            found.add(verdict)


def _condition(schema: Mapping[str, Any], value: Any, found: _Found) -> Generator[Any, Verdict, None]:
    verdict = yield schema["if"], value
    if not verdict.faults:
        found.add(verdict)
    then = schema.get("else" if verdict.faults else "then", _MISSING)
    if then is not _MISSING:
        found.add((yield then, value))


def _fields(part: Part, value: dict[str, Any], found: _Found, steps: Steps) -> Generator[Any, Verdict, None]:
    schema = part.schema
    for keyword in ("dependentSchemas", "dependencies"):
        for name, dependent in schema.get(keyword, {}).items():
            if name in value and not isinstance(dependent, list):
                found.add((yield dependent, value))
        steps.charge(len(schema.get(keyword, ())) >> 2)
    found.faults += (Fault((name,), "required", "missing") for name in _missing(schema, value, steps))
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", _MISSING)
    steps.charge(len(value) * (1 + len(part.matchers)))
    names = schema.get("propertyNames", _MISSING)
    for name, one in value.items():
        if names is not _MISSING:
            for fault in (yield names, name).faults:
                found.faults.append(Fault((name,), "propertyNames", f"its name {fault.message}"))
        wanted = [properties[name]] if name in properties else []
        wanted += (below for matcher, below in part.matchers if matcher.is_valid(name))
        if not wanted and others is not _MISSING:
            wanted = [others]
            if others is False:
                found.names.add(name)
                found.faults.append(Fault((name,), "additionalProperties", _NO_SUCH_FIELD))
                continue
        for below in wanted:
            found.names.add(name)
            found.below(name, (yield below, one))
        if len(found.faults) >= MOST_FAULTS:
            return
    if "unevaluatedProperties" in schema and not found.faults:
        rest = schema["unevaluatedProperties"]
        for name in [name for name in value if name not in found.names]:
            found.names.add(name)
            if rest is False:
                found.faults.append(Fault((name,), "unevaluatedProperties", _NO_SUCH_FIELD))
            else:
                found.below(name, (yield rest, value[name]))


def _missing(schema: Mapping[str, Any], value: dict[str, Any], steps: Steps) -> list[str]:
    """The first fields that must be there and are not."""
    wanted = [schema.get("required", ())]
    for keyword in ("dependentRequired", "dependencies"):
        wanted += (
            names for name, names in schema.get(keyword, {}).items() if name in value and isinstance(names, list)
        )
    steps.charge(sum(map(len, wanted)) >> 4)
    return list(islice((name for name in chain(*wanted) if name not in value), MOST_FAULTS))


def _items(part: Part, value: list[Any], found: _Found, steps: Steps) -> Generator[Any, Verdict, None]:
    steps.charge(len(value) if part.items is None else len(value) >> 4)
    schema = part.schema
    items = schema.get("items", _MISSING)
    first = schema.get("prefixItems", items if isinstance(items, list) else [])
    rest = schema.get("additionalItems", _MISSING) if isinstance(items, list) else items
    last = len(value) if rest is not _MISSING else min(len(first), len(value))
    for place in range(last) if part.items is None else _wrong_items(part.items, value):
        found.below(place, (yield first[place] if place < len(first) else rest, value[place]))
        if len(found.faults) >= MOST_FAULTS:
            return
    found.places.update(range(last))
    if "contains" in schema:
        fitting = yield from _contained(schema, value, found)
        if part.counts_contained:
            found.places |= fitting
    if "unevaluatedItems" in schema and not found.faults:
        for place in [place for place in range(len(value)) if place not in found.places]:
            found.places.add(place)
            found.below(place, (yield schema["unevaluatedItems"], value[place]))


def _wrong_items(items: Validator, value: list[Any]) -> Sequence[int]:
    """Where the first wrong items are. The validator's own list of errors would hold all of them."""
    found: list[int] = []
    for at in range(0, len(value), _AT_ONCE):
        if not items.is_valid(value[at : at + _AT_ONCE]):
            found += (
                place for place in range(at, min(at + _AT_ONCE, len(value))) if not items.is_valid([value[place]])
            )
        if len(found) >= MOST_FAULTS:
            break
    return found


def _contained(schema: Mapping[str, Any], value: list[Any], found: _Found) -> Generator[Any, Verdict, set[int]]:
    fitting: set[int] = set()
    for place, one in enumerate(value):
        if not (yield schema["contains"], one).faults:
            fitting.add(place)
    least, most = schema.get("minContains", 1), schema.get("maxContains")
    if len(fitting) < least:
        found.faults.append(Fault((), "contains", "lacks an item that must be there"))
    elif most is not None and len(fitting) > most:
        found.faults.append(Fault((), "contains", f"has more than {most} of the items that may be there"))
    return fitting
