"""A form's JSON Schema: checked when it is put, and asked about what visitors enter.

The work is jsonschema-rs's. Its regular expressions take linear time and it fetches nothing, so that neither a visitor
nor a schema can keep the process busy; what is left, references that multiply, is bounded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import jsonschema_rs
import orjson
from jsonschema_rs import RegexOptions, ValidationError, ValidationErrorKind, Validator

from hermod.contracts.errors import FieldError, InvalidInput
from hermod.contracts.forms import MAX_SCHEMA_BYTES
from hermod.domain.forms.formats import FORMATS

DRAFTS: Final = {
    "https://json-schema.org/draft/2020-12/schema": jsonschema_rs.Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema_rs.Draft201909Validator,
    "http://json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
}
NEWEST: Final = "https://json-schema.org/draft/2020-12/schema"
MOST_NODES: Final = 20_000
"""Parts of a schema with every reference written out."""
MOST_ERRORS: Final = 50
LONGEST_FIELD: Final = 200

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_KINDS: Final = {
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_WORDS: Final[Mapping[type[ValidationErrorKind], str]] = {
    ValidationErrorKind.Constant: "must be {expected_value}",
    ValidationErrorKind.Contains: "lacks an item that must be there",
    ValidationErrorKind.ExclusiveMaximum: "must be less than {limit}",
    ValidationErrorKind.ExclusiveMinimum: "must be greater than {limit}",
    ValidationErrorKind.FalseSchema: "must not be there",
    ValidationErrorKind.Format: "is not of the format {format}",
    ValidationErrorKind.MaxItems: "must have at most {limit} items",
    ValidationErrorKind.MaxLength: "must have at most {limit} characters",
    ValidationErrorKind.MaxProperties: "must have at most {limit} fields",
    ValidationErrorKind.Maximum: "must be at most {limit}",
    ValidationErrorKind.MinItems: "must have at least {limit} items",
    ValidationErrorKind.MinLength: "must have at least {limit} characters",
    ValidationErrorKind.MinProperties: "must have at least {limit} fields",
    ValidationErrorKind.Minimum: "must be at least {limit}",
    ValidationErrorKind.MultipleOf: "must be a multiple of {multiple_of}",
    ValidationErrorKind.Not: "is not allowed",
    ValidationErrorKind.OneOfMultipleValid: "fits more than one of the alternatives",
    ValidationErrorKind.Pattern: "does not match the pattern {pattern}",
    ValidationErrorKind.UniqueItems: "must not have the same item twice",
}
"""What a visitor can have entered wrongly, by kind. The words never repeat what was entered."""


class FormSchema:
    """A schema that has been checked. Safe to share among threads."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator

    def faults(self, data: Mapping[str, Any]) -> list[FieldError]:
        """What is wrong with what was entered, by field (`data.email`), at most `MOST_ERRORS`; empty where it fits."""
        if self._validator.is_valid(data):
            return []
        errors = islice(self._validator.iter_errors(data), MOST_ERRORS)
        return [fault for error in errors for fault in _entered(error)][:MOST_ERRORS]


def compiled(schema: Mapping[str, Any]) -> FormSchema:
    """Raises InvalidInput, which names the place in the schema (`schema.properties.email.type`)."""
    if len(orjson.dumps(schema)) > MAX_SCHEMA_BYTES:
        raise InvalidInput.of("schema", f"must be at most {MAX_SCHEMA_BYTES // 1024} KiB as JSON")
    dialect = schema.get("$schema", NEWEST)
    draft = DRAFTS.get(dialect.rstrip("#")) if isinstance(dialect, str) else None
    if draft is None:
        raise InvalidInput.of("schema.$schema", f"must be one of {', '.join(DRAFTS)}, or missing")
    _Size(schema).check()
    try:
        validator = draft(
            dict(schema), offline=True, pattern_options=RegexOptions(), validate_formats=True, formats=dict(FORMATS)
        )
    except ValidationError as error:
        raise InvalidInput.of(_field("schema", error.instance_path), _of_schema(error)) from None
    except ValueError as error:
        raise InvalidInput.of("schema", str(error)[:LONGEST_FIELD]) from None
    return FormSchema(validator)


class _Size:
    """How large a schema is with its references written out, and that all of them lead somewhere within it."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._anchors = {
            f"#{node[name]}": node
            for _, node in _objects((), schema)
            for name in ("$anchor", "$dynamicAnchor")
            if isinstance(node.get(name), str)
        }
        self._known: dict[str, int] = {}
        self._open: set[str] = set()

    def check(self) -> None:
        """Raises InvalidInput."""
        for path, node in _objects((), self._schema):
            if path and isinstance(node.get("$id"), str):
                raise InvalidInput.of(_field("schema", (*path, "$id")), "only the schema as a whole may have an $id")
            for name in _REFERENCES:
                reference = node.get(name)
                if isinstance(reference, str) and self._target(reference) is None:
                    raise InvalidInput.of(
                        _field("schema", (*path, name)),
                        "leads nowhere" if reference.startswith("#") else "must stay within the schema, like #/$defs/x",
                    )
        if self._of(self._schema) > MOST_NODES:
            raise InvalidInput.of("schema", f"has more than {MOST_NODES} parts, with its references written out")

    def _of(self, node: Any) -> int:
        if isinstance(node, list):
            return sum(map(self._of, node))
        if not isinstance(node, Mapping):
            return 0
        references = (node[name] for name in _REFERENCES if isinstance(node.get(name), str))
        return 1 + sum(map(self._of, node.values())) + sum(map(self._referred, references))

    def _referred(self, reference: str) -> int:
        if reference in self._open:
            return 1
        if reference not in self._known:
            self._open.add(reference)
            self._known[reference] = self._of(self._target(reference))
            self._open.discard(reference)
        return self._known[reference]

    def _target(self, reference: str) -> Any:
        """The part of the schema that a reference leads to, or None."""
        if reference == "#":
            return self._schema
        if not reference.startswith("#/"):
            return self._anchors.get(reference)
        found: Any = self._schema
        for step in reference[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, Mapping) and name in found:
                found = found[name]
            else:
                return None
        return found


def _objects(path: tuple[str | int, ...], node: Any) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        yield path, node
        for name, one in node.items():
            yield from _objects((*path, name), one)
    elif isinstance(node, list):
        for place, one in enumerate(node):
            yield from _objects((*path, place), one)


def _of_schema(error: ValidationError) -> str:
    if error.instance_path and error.instance_path[-1] == "pattern":
        return "is no regular expression that can be matched in linear time: no look-arounds, no references back"
    return _message(error) or "is no JSON Schema"


def _entered(error: ValidationError) -> Iterator[FieldError]:
    """The errors that a visitor can do something about: each missing and each surplus field by its own name."""
    kind, path = error.kind, error.instance_path
    match kind:
        case ValidationErrorKind.Required():
            yield FieldError(_field("data", (*path, kind.property)), "missing")
        case ValidationErrorKind.AdditionalProperties() | ValidationErrorKind.UnevaluatedProperties():
            for name in kind.unexpected:
                yield FieldError(_field("data", (*path, name)), "there is no such field")
        case _:
            yield FieldError(_field("data", path), _message(error) or "does not fit the form")


def _message(error: ValidationError) -> str | None:
    kind = error.kind
    match kind:
        case ValidationErrorKind.Type():
            return "must be " + " or ".join(_KINDS.get(name, name) for name in kind.types)
        case ValidationErrorKind.Enum():
            return "must be one of " + ", ".join(_shown(option) for option in kind.options)[:LONGEST_FIELD]
        case ValidationErrorKind.AnyOf() | ValidationErrorKind.OneOfNotValid():
            inner = {
                _message(one) for branch in kind.context for one in branch if one.instance_path == error.instance_path
            }
            told = sorted(message.removeprefix("must be ") for message in inner if message)
            return "must be " + " or ".join(told) if told else None
        case _:
            words = _WORDS.get(type(kind))
            return None if words is None else words.format_map(_Shown(kind.as_dict()))


class _Shown(dict[str, Any]):
    def __getitem__(self, name: str) -> str:
        return _shown(super().__getitem__(name))


def _shown(value: Any) -> str:
    return (
        value[:LONGEST_FIELD] if isinstance(value, str) else orjson.dumps(value, default=str).decode()[:LONGEST_FIELD]
    )


def _field(root: str, path: Sequence[str | int]) -> str:
    return ".".join([root, *map(str, path)])[:LONGEST_FIELD]
