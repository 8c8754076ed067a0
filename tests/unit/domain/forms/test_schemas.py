"""A form's schema: what is refused when it is put, and what visitors are told of what they entered."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from hermod.contracts.errors import FieldError, InvalidInput
from hermod.domain.forms.schema_words import MOST_FAULTS
from hermod.domain.forms.schemas import compiled

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["email"],
    "additionalProperties": False,
    "properties": {
        "email": {"type": "string", "format": "email", "maxLength": 30},
        "age": {"type": "integer", "minimum": 18},
        "size": {"enum": ["S", "M", "L"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2, "uniqueItems": True},
        "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "address": {"$ref": "#/$defs/address"},
    },
    "$defs": {"address": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}},
}
GOOD: dict[str, Any] = {"email": "ada@example.com"}


def doubling(levels: int) -> dict[str, Any]:
    """Each definition refers to the next one twice."""
    steps = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**steps, f"d{levels}": {"type": "object"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        ({}, "data.email", "missing"),
        (GOOD | {"email": "nobody"}, "data.email", "is not of the format email"),
        (GOOD | {"email": "a" * 30 + "@example.com"}, "data.email", "must have at most 30 characters"),
        (GOOD | {"email": 5}, "data.email", "must be a string"),
        (GOOD | {"age": 17}, "data.age", "must be at least 18"),
        (GOOD | {"age": 17.5}, "data.age", "must be a whole number"),
        (GOOD | {"size": "XL"}, "data.size", "must be one of S, M, L"),
        (GOOD | {"tags": ["a", 1]}, "data.tags.1", "must be a string"),
        (GOOD | {"tags": ["a", "b", "c"]}, "data.tags", "must have at most 2 items"),
        (GOOD | {"tags": ["a", "a"]}, "data.tags", "must not have the same item twice"),
        (GOOD | {"code": "abc"}, "data.code", "does not match the pattern ^[A-Z]{3}$"),
        (GOOD | {"either": 1.5}, "data.either", "must be a string or a whole number"),
        (GOOD | {"address": {}}, "data.address.city", "missing"),
        (GOOD | {"surprise": "hunter2"}, "data.surprise", "there is no such field"),
    ],
)
def test_wrong_entry_is_named_with_what_to_write_instead(data: dict[str, Any], field: str, message: str) -> None:
    assert FieldError(field, message) in compiled(SCHEMA).faults(data)


def test_good_entry_has_no_faults() -> None:
    full = GOOD | {"age": 18, "size": "S", "tags": ["a"], "code": "ABC", "either": 1, "address": {"city": "Rome"}}
    assert compiled(SCHEMA).faults(full) == []


def test_faults_never_repeat_what_was_entered() -> None:
    data = {"email": "hunter2", "size": "hunter2", "code": "hunter2", "either": ["hunter2"], "tags": {"hunter2": 1}}
    told = compiled(SCHEMA).faults(data)
    assert len(told) == 5
    assert not [fault for fault in told if "hunter2" in fault.message]


def test_faults_are_told_up_to_a_number() -> None:
    schema = compiled({"properties": {"l": {"items": {"type": "string"}}}})
    assert len(schema.faults({"l": [1] * 1000})) == MOST_FAULTS


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"properties": {"a": {"type": "strin"}}}, "schema.properties.a.type"),
        ({"properties": 5}, "schema.properties"),
        ({"required": "email"}, "schema.required"),
        ({"maxLength": -1}, "schema.maxLength"),
        ({"properties": {"a": {"pattern": "("}}}, "schema.properties.a.pattern"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "schema.properties.a.pattern"),
        ({"properties": {"a": {"$ref": "https://example.com/a.json"}}}, "schema.properties.a.$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "schema.properties.a.$ref"),
        ({"$id": "https://example.com/a", "$ref": "b.json"}, "schema.$ref"),
        ({"properties": {"a": {"$ref": "#/$defs/nowhere"}}}, "schema.properties.a.$ref"),
        ({"properties": {"a": {"$id": "https://example.com/a"}}}, "schema.properties.a.$id"),
        ({"$schema": "https://example.com/dialect"}, "schema.$schema"),
        ({"$schema": 5}, "schema.$schema"),
        ({"description": "x" * 300_000}, "schema"),
        (doubling(60), "schema"),
    ],
)
def test_schema_that_cannot_hold_is_refused_with_the_place(schema: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        compiled(schema)
    assert [error.field for error in wrong.value.errors] == [field]


@pytest.mark.parametrize(
    "dialect", ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"]
)
def test_dialects_are_taken(dialect: str) -> None:
    assert compiled({"$schema": dialect, "required": ["a"]}).faults({}) == [FieldError("data.a", "missing")]


def test_schema_that_refers_to_itself_is_taken() -> None:
    tree = compiled({"$anchor": "tree", "properties": {"left": {"$ref": "#tree"}, "value": {"type": "integer"}}})
    assert tree.faults({"left": {"left": {"value": "x"}}}) == [
        FieldError("data.left.left.value", "must be a whole number")
    ]


@pytest.mark.parametrize("name", ["Post address", "a/b", "a~b", "50%", "größe", "a%20b"])
def test_reference_is_decoded_as_the_fragment_of_an_address(name: str) -> None:
    escaped = quote(name.replace("~", "~0").replace("/", "~1"), safe="~")
    schema = {"properties": {"a": {"$ref": f"#/$defs/{escaped}"}}, "$defs": {name: {"type": "string"}}}
    assert compiled(schema).faults({"a": 5}) == [FieldError("data.a", "must be a string")]


@pytest.mark.parametrize(
    "quoted",
    [
        {"$ref": "https://example.com/x"},
        {"$ref": "#/nowhere"},
        {"$id": "https://example.com/y"},
        {"$anchor": "a"},
        {"pattern": "("},
    ],
)
@pytest.mark.parametrize("keyword", ["const", "default", "enum", "examples", "x-note"])
def test_what_a_schema_quotes_is_data_and_no_part_of_it(keyword: str, quoted: dict[str, Any]) -> None:
    value: Any = [quoted] if keyword in ("enum", "examples") else quoted
    schema = compiled({"properties": {"a": {keyword: value}}})
    assert schema.faults({"a": quoted}) == []


def test_field_named_like_a_keyword_is_a_part() -> None:
    schema = compiled(
        {"properties": {"const": {"$ref": "#/$defs/x"}, "default": {"type": "string"}}, "$defs": {"x": False}}
    )
    assert {fault.field for fault in schema.faults({"const": 1, "default": 1})} == {"data.const", "data.default"}


def test_reference_to_what_no_draft_knows_is_checked_as_a_part() -> None:
    def schema(part: Any) -> dict[str, Any]:
        return {"properties": {"a": {"$ref": "#/components/x"}}, "components": {"x": part}}

    assert compiled(schema({"type": "string"})).faults({"a": 5}) == [FieldError("data.a", "must be a string")]
    for wrong in ({"type": "strin"}, {"properties": 5}, {"$ref": "#/nowhere"}, "text", 5):
        with pytest.raises(InvalidInput, match=r"^schema\.properties\.a\.\$ref"):
            compiled(schema(wrong))


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [(r"^\<b\>$", "<b>", "b"), (r"^[\<\>]$", ">", "b"), (r"^\\<$", "\\<", "<"), (r"^\u{41}\x41\/$", "AA/", "u")],
)
def test_pattern_means_what_it_does_in_a_browser(pattern: str, fits: str, fits_not: str) -> None:
    schema = compiled({"properties": {"a": {"pattern": pattern}}})
    assert schema.faults({"a": fits}) == []
    assert schema.faults({"a": fits_not}) == [FieldError("data.a", f"does not match the pattern {pattern}")]


def test_wrong_pattern_of_the_items_of_a_list_is_refused_at_its_place() -> None:
    for pattern in ("(", r"a\z", "a{99999}{99999}"):
        with pytest.raises(InvalidInput, match=r"^schema\.properties\.a\.items\.items\.pattern: "):
            compiled({"properties": {"a": {"items": {"items": {"pattern": pattern}}}}})


@pytest.mark.parametrize("pattern", [r"\Aa", r"a\z", r"a\Z", r"[a\z]", r"\x{41}"])
@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
def test_pattern_that_means_nothing_in_a_browser_is_refused_with_its_reason(keyword: str, pattern: str) -> None:
    schema: dict[str, Any] = {keyword: {pattern: {}} if keyword == "patternProperties" else pattern}
    with pytest.raises(InvalidInput, match="ECMA-262: use "):
        compiled(schema)


CARD = {"required": ["kind", "number"], "properties": {"kind": {"const": "card"}, "number": {"type": "string"}}}
IBAN = {
    "required": ["kind", "iban"],
    "properties": {"kind": {"const": "iban"}, "iban": {"type": "string"}, "owner": {"required": ["name"]}},
}


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf"])
@pytest.mark.parametrize(
    ("entered", "faults"),
    [
        ({"kind": "iban"}, {"iban": "missing"}),
        ({"kind": "card", "number": 5}, {"number": "must be a string"}),
        ({"kind": "iban", "iban": 5, "owner": {}}, {"iban": "must be a string", "owner.name": "missing"}),
        ({"kind": "iban", "iban": "x", "owner": {}}, {"owner.name": "missing"}),
        (5, {"": "must be a list or an object"}),
        (["x"], {"0": "must be a whole number"}),
    ],
)
def test_wrong_entry_of_an_alternative_is_told_by_the_faults_of_the_nearest(
    keyword: str, entered: Any, faults: dict[str, str]
) -> None:
    branches = [
        CARD | {"type": "object"},
        IBAN | {"type": "object"},
        {"type": "array", "items": {"type": "integer"}},
    ]
    schema = compiled({"properties": {"pay": {keyword: branches}}})
    told = {
        fault.field.removeprefix("data.pay").lstrip("."): fault.message for fault in schema.faults({"pay": entered})
    }
    assert told == faults


def test_names_of_fields_are_told_with_what_is_wrong_about_them() -> None:
    schema = compiled({"propertyNames": {"maxLength": 3}})
    assert schema.faults({"long name": 1}) == [FieldError("data.long name", "its name must have at most 3 characters")]


@pytest.mark.parametrize("format_", ["email", "idn-email"])
@pytest.mark.parametrize(
    "value",
    [
        "Your Bank <ada@example.com>",
        '"Your Bank" <ada@example.com>',
        "<ada@example.com>",
        "ada@example.com, grace@example.com",
        "ada@example.com (Ada)",
        "mailto:ada@example.com",
        " ada@example.com",
        "ada@example.com\n",
        "ada@example.com\r\nBcc: grace@example.com",
        "ada@exa mple.com",
        "ada@-example.com",
        "ada..l@example.com",
        "ada@",
        "@example.com",
        "ada",
    ],
)
def test_what_is_more_than_one_bare_address_is_no_email(format_: str, value: str) -> None:
    schema = compiled({"properties": {"email": {"type": "string", "format": format_}}})
    assert [fault.field for fault in schema.faults({"email": value})] == ["data.email"]


@pytest.mark.parametrize(
    "value", ["ada@example.com", "ada+news.letter@mail.example.co.uk", "o'hara_1@x.example", '"ada l"@example.com']
)
def test_bare_address_is_an_email(value: str) -> None:
    schema = compiled({"properties": {"email": {"format": "email"}, "other": {"format": "idn-email"}}})
    assert schema.faults({"email": value, "other": "jörg@müller.example"}) == []
