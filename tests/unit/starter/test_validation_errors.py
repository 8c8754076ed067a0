"""Errors in the caller's words: no pattern, no model's name, no library's phrase reaches a caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import BASE64_PATTERN, HEADER_NAME_PATTERN, Email
from hermod.contracts.notifications.messages import AnyMessage, Submission
from hermod.contracts.tenants.accounts import AccountInput
from hermod.contracts.values.addresses import EMAIL_PATTERN, PHONE_PATTERN
from hermod.contracts.values.durations import DURATION_PATTERN
from hermod.contracts.values.scalars import NO_NUL
from hermod.contracts.webhooks.deliveries import HEADER_NAME, EndpointSettings, EventInput, ReplayInput
from starter.notifications.parsing import MalformedJson, keyed_message_from, message_from, read_json
from starter.validation_errors import PATTERNS, field_errors

EMAIL = {"channel": "email", "to": "ada@example.com", "subject": "a", "text": "b"}
PUSH = {"channel": "push", "to": "token", "title": "a"}


def wrong(message: object, **options: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as raised:
        message_from(message, **options)
    return {error.field: error.message for error in raised.value.errors}


def patterns(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for inner in schema.values():
            yield from patterns(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from patterns(inner)


def test_pattern_of_a_contract_has_words() -> None:
    """A new pattern needs a line in `starter.validation_errors.PATTERNS`, or a caller is shown nothing useful."""
    models = (AccountInput, Submission, EndpointSettings, EventInput, ReplayInput)
    schemas = [TypeAdapter(AnyMessage).json_schema(), *(model.model_json_schema() for model in models)]
    own_words = {EMAIL_PATTERN, PHONE_PATTERN, DURATION_PATTERN, BASE64_PATTERN, NO_NUL}
    own_words |= {HEADER_NAME, HEADER_NAME_PATTERN}
    assert set(patterns(schemas)) - own_words - set(PATTERNS) == set()


@pytest.mark.parametrize(
    ("message", "field", "text"),
    [
        ({"channel": "fax"}, "channel", "must be one of email, sms, whatsapp, push"),
        ({}, "channel", "missing"),
        (5, "body", "must be an object"),
        ({"channel": "email", "subject": "a", "text": "b"}, "to", "missing"),
        (EMAIL | {"subjekt": "a"}, "subjekt", "there is no such field"),
        (EMAIL | {"priority": "high"}, "priority", "must be a whole number"),
        (EMAIL | {"priority": 0}, "priority", "must be at least 1"),
        (EMAIL | {"category": "spam"}, "category", "must be 'transactional' or 'marketing'"),
        (EMAIL | {"send_at": "x"}, "send_at", "must be a time like 2030-05-01T12:00:00Z"),
        (EMAIL | {"cc": "x"}, "cc", "must be a list"),
        (EMAIL | {"template": "x"}, "template", "give either text or html, or a template, not both"),
        (PUSH | {"to": 5}, "to", "must be a string or an object"),
        (PUSH | {"to": ""}, "to", "must not be empty"),
        (PUSH | {"title": "x" * 513}, "title", "must have at most 512 characters"),
        (PUSH | {"push": 5}, "push", "there is no such field"),
    ],
)
def test_message_is_wrong_says_what_to_write(message: object, field: str, text: str) -> None:
    assert wrong(message) == {field: text}


def test_list_with_a_wrong_item_is_not_said_to_be_too_short() -> None:
    for given, field in (({"event_types": ["a b"]}, "event_types.0"), ({"event_types": []}, "event_types")):
        with pytest.raises(ValidationError) as raised:
            EndpointSettings.model_validate({"url": "https://example.com/"} | given)
        assert [error.field for error in field_errors(raised.value, given)] == [field]


def test_many_fields_are_wrong_names_a_hundred_at_most() -> None:
    assert len(wrong(EMAIL | {f"x{number}": 1 for number in range(1000)})) == 100


def test_field_has_an_endless_name_is_cut() -> None:
    assert max(map(len, wrong(EMAIL | {"x" * 100_000: 1}))) == 200


def test_message_is_right_becomes_content_and_options() -> None:
    asked = message_from(EMAIL | {"from": "shop@example.com", "priority": 9}, idempotency_key="k")
    assert asked.content == Email(to="ada@example.com", subject="a", text="b", from_="shop@example.com")
    assert type(asked.content) is Email
    assert (asked.options.priority, asked.idempotency_key) == (9, "k")


def test_key_is_wrong_is_called_what_the_caller_calls_it() -> None:
    assert list(wrong(EMAIL, idempotency_key="", key_field="Idempotency-Key")) == ["Idempotency-Key"]
    with pytest.raises(InvalidInput) as raised:
        keyed_message_from(EMAIL | {"idempotency_key": 5})
    assert [error.field for error in raised.value.errors] == ["idempotency_key"]


def test_message_brings_its_key_it_wins_over_the_default() -> None:
    assert keyed_message_from(EMAIL | {"idempotency_key": "own"}, default_key="other").idempotency_key == "own"
    assert keyed_message_from(EMAIL, default_key="other").idempotency_key == "other"


def deep(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"a": inner}
    return inner


@pytest.mark.parametrize("field", ["metadata", "data"])
@pytest.mark.parametrize(
    "value",
    [
        {"a": 2**64},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": "\0"},
        {"\0": 1},
        deep(300),
        {"a": object()},
        {"a": {1: 2}},
    ],
    ids=["integer", "nan", "infinity", "nul", "nul key", "deep", "object", "number as key"],
)
def test_object_is_no_plain_json_is_refused(field: str, value: dict[str, Any]) -> None:
    assert "plain JSON" in wrong(EMAIL | {field: value})[field]


@pytest.mark.parametrize(
    "value", [{"a": 2**63}, {"a": "\\u0000"}, {"a": "\\"}, deep(150), {"a": [None, True, 1.5, "é"]}]
)
def test_object_is_plain_json_is_taken(value: dict[str, Any]) -> None:
    assert message_from(EMAIL | {"metadata": value}).options.metadata == value


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a": Infinity}', "[" * 1000, '"\\ud800"', b"\xff", "9" * 5000])
def test_text_is_not_json_is_malformed(text: str | bytes) -> None:
    with pytest.raises(MalformedJson, match="not JSON"):
        read_json(text)
