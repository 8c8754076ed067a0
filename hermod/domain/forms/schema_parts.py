"""The parts of a JSON Schema: where they are, what refers to what, and how large it is with references written out.

What a schema quotes (`const`, `enum`, `default`, `examples`) and what no draft knows is data and no part, whatever it
looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from hermod.contracts.errors import InvalidInput

MOST_PARTS: Final = 20_000
"""Of a schema with every reference written out."""
MOST_LEVELS: Final = 150
"""How deep they may stand inside each other then."""
LONGEST_FIELD: Final = 200

REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ONE: Final = frozenset(
    "additionalItems additionalProperties contains contentSchema else if items not propertyNames then unevaluatedItems "
    "unevaluatedProperties".split()
)
_LISTS: Final = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED: Final = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)

Path = tuple[str | int, ...]
Part = Mapping[str, Any]


def field(root: str, path: Sequence[str | int]) -> str:
    return ".".join([root, *map(str, path)])[:LONGEST_FIELD]


def parts(schema: Any, path: Path = ()) -> Iterator[tuple[Path, Part]]:
    """The schema itself and all within it, each that is an object, with its place."""
    if isinstance(schema, Mapping):
        yield path, schema
        for place, one in _below(schema):
            yield from parts(one, (*path, *place))


def _below(part: Part) -> Iterator[tuple[Path, Any]]:
    for keyword, value in part.items():
        if keyword in _NAMED and isinstance(value, Mapping):
            yield from (((keyword, name), one) for name, one in value.items())
        elif keyword in _LISTS and isinstance(value, list):
            yield from (((keyword, place), one) for place, one in enumerate(value))
        elif keyword in _ONE:
            yield (keyword,), value


class References:
    """What the references of a schema lead to. Raises InvalidInput, by place, where one leads nowhere within it."""

    def __init__(self, schema: Part) -> None:
        self._schema = schema
        own = list(parts(schema))
        self._anchors = {
            part[name]: part
            for _, part in own
            for name in ("$anchor", "$dynamicAnchor")
            if isinstance(part.get(name), str)
        }
        self._elsewhere: dict[int, tuple[Path, Part]] = {}
        known = {id(part) for _, part in own}
        for path, part in own:
            # Grows on the way: a reference may lead to what no keyword of the draft holds, and there to others.
            own += self._checked(path, part, known)

    @property
    def elsewhere(self) -> Sequence[tuple[Path, Part]]:
        """Parts that only a reference makes one, under a name that no draft knows."""
        return tuple(self._elsewhere.values())

    def target(self, reference: str) -> Any:
        """The part that a reference leads to; None where there is none."""
        if not reference.startswith("#"):
            return None
        pointer = unquote(reference[1:], errors="surrogateescape")
        if not pointer:
            return self._schema
        if not pointer.startswith("/"):
            return self._anchors.get(pointer)
        found: Any = self._schema
        for step in pointer[1:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and len(name) < 9 and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, Mapping) and name in found:
                found = found[name]
            else:
                return None
        return found

    def check_size(self) -> None:
        """Raises InvalidInput for a schema that comes to too much with its references written out."""
        known: dict[int, tuple[int, int]] = {}
        count, levels = self._size(self._schema, 0, known)
        if count > MOST_PARTS:
            raise InvalidInput.of("schema", f"has more than {MOST_PARTS} parts, with its references written out")
        if levels > MOST_LEVELS:
            raise _too_deep()

    def _checked(self, path: Path, part: Part, known: set[int]) -> list[tuple[Path, Part]]:
        if path and isinstance(part.get("$id"), str):
            raise InvalidInput.of(field("schema", (*path, "$id")), "only the schema as a whole may have an $id")
        new: list[tuple[Path, Part]] = []
        for name in REFERENCES:
            reference = part.get(name)
            if not isinstance(reference, str):
                continue
            target, place = self.target(reference), field("schema", (*path, name))
            if target is None:
                raise InvalidInput.of(
                    place,
                    "leads nowhere" if reference.startswith("#") else "must stay within the schema, like #/$defs/x",
                )
            if not isinstance(target, Mapping | bool):
                raise InvalidInput.of(place, "leads to something that is no schema")
            if not isinstance(target, bool) and id(target) not in known:
                self._elsewhere[id(target)] = ((*path, name), target)
                fresh = [one for one in parts(target, (*path, name)) if id(one[1]) not in known]
                known.update(id(one) for _, one in fresh)
                new += fresh
        return new

    def _size(self, part: Any, level: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
        """Of a part: how many it comes to, and how many levels deep. One that is within itself counts once."""
        if not isinstance(part, Mapping):
            return 0, 0
        if id(part) in known:
            return known[id(part)]
        if level > MOST_LEVELS:
            raise _too_deep()
        known[id(part)] = (1, 1)
        below = [one for _, one in _below(part)]
        below += [self.target(part[name]) for name in REFERENCES if isinstance(part.get(name), str)]
        sizes = [self._size(one, level + 1, known) for one in below]
        known[id(part)] = (1 + sum(count for count, _ in sizes), 1 + max((levels for _, levels in sizes), default=0))
        return known[id(part)]


def _too_deep() -> InvalidInput:
    return InvalidInput.of("schema", f"has parts more than {MOST_LEVELS} levels deep, with its references written out")
