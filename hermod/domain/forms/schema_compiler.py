"""Makes the parts of a form's schema ready to be asked: what jsonschema-rs is to say of a value, and what is followed.

Each part is compiled by itself, so that it takes no longer where others refer to it often; and before jsonschema-rs
sees a pattern, what it will come to is reckoned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import Any, Final

import jsonschema_rs
from jsonschema_rs import RegexOptions, ValidationError, ValidationErrorKind, Validator

from hermod.contracts.errors import InvalidInput
from hermod.domain.forms import patterns
from hermod.domain.forms.formats import FORMATS
from hermod.domain.forms.schema_parts import LONGEST_FIELD, REFERENCES, Path, References, field
from hermod.domain.forms.schema_walk import Part
from hermod.domain.forms.schema_words import Fault, message, nearest

_DRAFT_7: Final = "http://json-schema.org/draft-07/schema"
_2019_09: Final = "https://json-schema.org/draft/2019-09/schema"
NEWEST: Final = "https://json-schema.org/draft/2020-12/schema"
DRAFTS: Final[Mapping[str, Callable[..., Validator]]] = {
    NEWEST: jsonschema_rs.Draft202012Validator,
    _2019_09: jsonschema_rs.Draft201909Validator,
    _DRAFT_7: jsonschema_rs.Draft7Validator,
}
MOST_STATES: Final = 50_000
"""Of all patterns of a schema together, as `patterns.Pattern` counts them: some 200 ms to compile."""

_VALUE_ONLY: Final = frozenset(
    "const contentEncoding contentMediaType enum exclusiveMaximum exclusiveMinimum format maxItems maxLength "
    "maxProperties maximum minItems minLength minProperties minimum multipleOf pattern type uniqueItems".split()
)
"""Keywords that are about the value alone, and not about other parts of the schema."""
_COMPARING: Final = frozenset({"const", "enum"})
_LOOKING_INSIDE: Final = _COMPARING | {"uniqueItems"}
_SAYING_NOTHING: Final = frozenset(
    "$anchor $comment $defs $id $schema default definitions deprecated description examples readOnly title "
    "writeOnly".split()
)
_LARGEST_ITEM: Final = 200
"""Values in the schema of a list's items that is asked about all of them at once."""
_LARGEST_PLAIN_PATTERN: Final = 200
_FEW_NUMBERS: Final = 4
"""Among the options of an `enum`. jsonschema-rs finds a text among many at once, but compares numbers one by one."""
_UNKNOWN: Final[Mapping[str, frozenset[str]]] = {
    NEWEST: frozenset({"$recursiveRef", "additionalItems"}),
    _2019_09: frozenset({"$dynamicRef", "prefixItems"}),
    _DRAFT_7: frozenset(
        "$dynamicRef $recursiveRef dependentRequired dependentSchemas maxContains minContains prefixItems "
        "unevaluatedItems unevaluatedProperties".split()
    ),
}
"""Keywords of other drafts."""
_LARGEST_WHOLE: Final = 2**63


def check_form(path: Path, schema: Mapping[str, Any], dialect: str) -> None:
    """Raises InvalidInput for what the draft does not allow."""
    try:
        jsonschema_rs.meta.validate({**schema, "$schema": dialect})
    except ValidationError as error:
        raise InvalidInput.of(field("schema", (*path, *error.instance_path)), _of_schema(error)) from None
    except ValueError as error:
        raise InvalidInput.of("schema", str(error)[:LONGEST_FIELD]) from None


class Compiler:
    """Makes the parts of a schema ready to be asked."""

    def __init__(self, dialect: str, references: References) -> None:
        self._dialect = dialect
        self._references = references
        self._states = 0
        self._plains: dict[int, dict[str, Any] | None] = {}
        self._places: dict[int, Path] = {}
        self.found: dict[int, Part] = {}

    def add(self, path: Path, schema: Mapping[str, Any]) -> None:
        """Comes after the parts within it. Raises InvalidInput."""
        if id(schema) in self.found:
            return
        place, unknown = id(schema), _UNKNOWN[self._dialect]
        self._places[place] = path
        schema = {name: value for name, value in schema.items() if name not in unknown}
        own = {name: value for name, value in schema.items() if name in _VALUE_ONLY}
        if "pattern" in own:
            own["pattern"] = self._pattern((*path, "pattern"), own["pattern"])
        referred = [schema[name] for name in REFERENCES if isinstance(schema.get(name), str)]
        self.found[place] = Part(
            schema=schema,
            own=self._validator(path, own) if own else None,
            looks_inside=not _LOOKING_INSIDE.isdisjoint(own),
            size=_count(own),
            numbers=_numbers(own.get("enum", ())),
            whole_numbers=all(type(one) is int and abs(one) < _LARGEST_WHOLE for one in own.get("enum", ())),
            matchers=tuple(
                (self._matcher((*path, "patternProperties", name), name), below)
                for name, below in schema.get("patternProperties", {}).items()
            ),
            referred=tuple(self._references.target(reference) for reference in referred),
            only_referred=self._dialect == _DRAFT_7 and "$ref" in schema,
            counts_contained=self._dialect == NEWEST,
            items=self._items(schema),
        )

    def check_circles(self) -> None:
        """Raises InvalidInput for a part that is to be asked about a value to say whether that very value fits it."""
        try:
            TopologicalSorter({place: _on_same_value(part) for place, part in self.found.items()}).prepare()
        except CycleError as error:
            place = field("schema", self._places[error.args[1][0]])
            raise InvalidInput.of(place, "refers back to itself without going into a field or an item") from None

    def whole(self, schema: Mapping[str, Any]) -> Validator | None:
        """One that says of a value at once whether it fits; None for a schema that could take long over it."""
        plain = self._plain(schema)
        return None if plain is None else self._validator((), plain)

    def _items(self, schema: Mapping[str, Any]) -> Validator | None:
        """The same for the items of a list, of which there may be many."""
        items = schema.get("items")
        plain = self._plain(items) if isinstance(items, Mapping) and "prefixItems" not in schema else None
        return None if plain is None or _count(plain) > _LARGEST_ITEM else self._validator((), {"items": plain})

    def _plain(self, schema: Any) -> Any | None:
        """A schema whose parts look at each value once at most, as Rust's engine reads it; None for any other."""
        if not isinstance(schema, Mapping):
            return schema
        if id(schema) not in self._plains:
            self._plains[id(schema)] = self._made_plain(schema)
        return self._plains[id(schema)]

    def _made_plain(self, schema: Mapping[str, Any]) -> dict[str, Any] | None:
        plain: dict[str, Any] = {}
        for name, value in schema.items():
            if name == "pattern":
                read = patterns.read(value)
                if read.states > _LARGEST_PLAIN_PATTERN:
                    return None
                plain[name] = read.source
            elif name in _COMPARING:
                options = value if name == "enum" else [value]
                if any(isinstance(one, dict | list) for one in options) or _numbers(options) > _FEW_NUMBERS:
                    return None
                plain[name] = value
            elif name in _VALUE_ONLY or name == "required":
                plain[name] = value
            elif name == "properties":
                plain[name] = {one: self._plain(below) for one, below in value.items()}
                if None in plain[name].values():
                    return None
            elif name in ("additionalProperties", "items") and not isinstance(value, list):
                plain[name] = self._plain(value)
                if plain[name] is None:
                    return None
            elif name not in _SAYING_NOTHING and not name.startswith("x-"):
                return None
        return plain

    def _matcher(self, path: Path, pattern: str) -> Validator:
        return self._validator(path, {"pattern": self._pattern(path, pattern)})

    def _pattern(self, path: Path, pattern: str) -> str:
        try:
            read = patterns.read(pattern)
        except patterns.PatternFault as fault:
            raise InvalidInput.of(field("schema", path), str(fault)) from None
        self._states += read.states
        if self._states > MOST_STATES:
            raise InvalidInput.of(field("schema", path), "with it, the patterns of the schema repeat too much")
        return read.source

    def _validator(self, path: Path, schema: dict[str, Any]) -> Validator:
        try:
            return DRAFTS[self._dialect](
                schema, offline=True, pattern_options=RegexOptions(), validate_formats=True, formats=dict(FORMATS)
            )
        except ValidationError as error:
            below = () if path[-2:-1] == ("patternProperties",) else error.instance_path
            raise InvalidInput.of(field("schema", (*path, *below)), _of_schema(error)) from None
        except ValueError as error:
            raise InvalidInput.of(field("schema", path), str(error)[:LONGEST_FIELD]) from None


def _on_same_value(part: Part) -> Sequence[int]:
    """The parts that a part asks about the value it is asked about itself, by their `id`."""
    asked = list(part.referred)
    if not part.only_referred:
        schema = part.schema
        asked += chain.from_iterable(schema[keyword] for keyword in ("allOf", "anyOf", "oneOf") if keyword in schema)
        asked += (schema[keyword] for keyword in ("not", "if", "then", "else") if keyword in schema)
        asked += chain.from_iterable(
            schema.get(keyword, {}).values() for keyword in ("dependentSchemas", "dependencies")
        )
    return [id(one) for one in asked if isinstance(one, Mapping)]


def _count(value: Any) -> int:
    """Values that a value holds, itself among them."""
    if isinstance(value, Mapping):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


def _numbers(options: Iterable[Any]) -> int:
    return sum(isinstance(one, int | float) for one in options)


def _of_schema(error: ValidationError) -> str:
    kind = error.kind
    if isinstance(kind, ValidationErrorKind.Format):
        return (
            "is no regular expression that can be matched in linear time and little memory: no look-arounds, no "
            "references back, no large repetitions"
        )
    if isinstance(kind, ValidationErrorKind.AnyOf):
        branches = [[Fault((), one.kind.name, _of_schema(one)) for one in branch] for branch in kind.context]
        return nearest([tuple(branch) for branch in branches])[0].message
    return message({kind.name: kind.value}, kind.name, "is nothing that JSON Schema allows here")
