"""What of events can be taken: each stands for itself, whatever the others are."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.contracts.analytics.events import MAX_EVENTS, TrackedEvent
from hermod.contracts.errors import InvalidInput
from starter.analytics.validation import ValidatedEvents, read_events, validate
from starter.notifications.parsing import MalformedJson

NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)


def sifted(*events: object) -> ValidatedEvents:
    return validate("demo", events, 0, NOW)


def sifted_body(body: bytes) -> ValidatedEvents:
    return validate("demo", read_events(body)[0], 0, NOW)


def rejections(found: ValidatedEvents) -> dict[int, list[tuple[str, str]]]:
    return {one.index: [(error["field"], error["message"]) for error in one.errors] for one in found.rejected}


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels - 1):
        inner = {"a": inner}
    return inner


def test_event_with_everything_becomes_its_line() -> None:
    found = sifted(
        {
            "type": "order.paid",
            "occurred_at": "2026-11-21T11:59:58.5+02:00",
            "event_id": "order-42-paid",
            "contact": "customer-7",
            "session": "s-81",
            "properties": {"total": 49.99, "tags": ["a", "b"], "nothing": None},
        }
    )
    (line,) = found.good
    assert line.type == "order.paid"
    assert line.fingerprint is not None
    assert len(line.fingerprint) == 16
    assert line.line.endswith(b"}\n")
    assert orjson.loads(line.line) == {
        "tenant": "demo",
        "type": "order.paid",
        "occurred_at": "2026-11-21 09:59:58.500",
        "received_at": "2026-11-21 10:00:00.123",
        "event_id": "order-42-paid",
        "contact": "customer-7",
        "session": "s-81",
        "source": "api",
        "properties": {"total": 49.99, "tags": ["a", "b"], "nothing": None},
    }


def test_event_with_its_type_alone_happened_now() -> None:
    (line,) = sifted(TrackedEvent(type="page.viewed")).good
    written = orjson.loads(line.line)
    assert line.fingerprint is None
    assert written["occurred_at"] == written["received_at"] == "2026-11-21 10:00:00.123"
    assert written["event_id"] == written["contact"] == written["session"] == ""


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        ({}, "type", "missing"),
        ({"type": "order paid"}, "type", "must be letters, digits, _ and -, in parts joined by dots or slashes"),
        ({"type": "a" * 129}, "type", "must have at most 128 characters"),
        ({"type": "a", "name": 1}, "name", "there is no such field"),
        ({"type": "a", "contact": "ada@example.com"}, "contact", "must be 1 to 128 letters, digits and _ . : -"),
        ({"type": "a", "event_id": ""}, "event_id", "must be 1 to 128 letters, digits and _ . : -"),
        ({"type": "a", "occurred_at": "2026-11-21T10:00:00"}, "occurred_at", "must name its time zone"),
        ({"type": "a", "occurred_at": NOW - timedelta(days=366)}, "occurred_at", "must be within the last 365 days"),
        ({"type": "a", "occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at", "must be within the last 365 days"),
        ({"type": "a", "occurred_at": NOW + timedelta(hours=25)}, "occurred_at", "must be within the last 365 days"),
        ({"type": "a", "occurred_at": "9999-12-31T23:59:59Z"}, "occurred_at", "must be within the last 365 days"),
        ({"type": "a", "properties": []}, "properties", "must be an object"),
        ({"type": "a", "properties": {"x": "a" * 16_384}}, "properties", "must be at most 16 KiB as JSON"),
        ({"type": "a", "properties": nested(9)}, "properties", "must be at most 8 levels deep"),
        ({"type": "a", "properties": nested(10_000)}, "properties", "must be at most 8 levels deep"),
        ({"type": "a", "properties": {"x": [[[[[[[[0]]]]]]]]}}, "properties", "must be at most 8 levels deep"),
        ({"type": "a", "properties": {str(n): n for n in range(257)}}, "properties", "must have at most 256 keys"),
        ({"type": "a", "properties": {"x": float("nan")}}, "properties", "must be plain JSON"),
        ({"type": "a", "properties": {"x": [float("-inf")]}}, "properties", "must be plain JSON"),
        ({"type": "a", "properties": {"x": 2**64}}, "properties", "must be plain JSON"),
        ({"type": "a", "properties": {"x": "\0"}}, "properties", "must be plain JSON"),
        ({"type": "a", "properties": {"x\0": 1}}, "properties", "must be plain JSON"),
        ({"type": "a", "properties": {"x": "\ud800"}}, "properties", "must be plain JSON"),
        ({"type": "a", "properties": {"x": NOW}}, "properties", "must be plain JSON"),
        ({"type": "a", "properties": {"x": {1: 2}}}, "properties", "must be plain JSON"),
        (7, "event", "must be an object"),
        (None, "event", "must be an object"),
    ],
)
def test_wrong_event_is_rejected_with_its_place_and_the_others_are_good(wrong: Any, field: str, message: str) -> None:
    found = sifted({"type": "first"}, wrong, {"type": "third"})
    assert [line.type for line in found.good] == ["first", "third"]
    ((index, errors),) = rejections(found).items()
    assert index == 1
    assert errors[0][0] == field
    assert errors[0][1].startswith(message)


@pytest.mark.parametrize(
    "properties",
    [
        nested(8),
        {"x": [[[[[[[0]]]]]]]},
        {str(n): n for n in range(256)},
        {"x": 2**64 - 1, "y": -(2**63)},
        {"x": "a" * 16_000},
        {"x": None, "y": "null", "z": "\\u0000"},
        {"braces": "{{{{{{{{{{[[[[[[["},
        {'":' * 300: 1},
    ],
)
def test_properties_at_the_bounds_are_good(properties: dict[str, Any]) -> None:
    (line,) = sifted({"type": "a", "properties": properties}).good
    assert orjson.loads(line.line)["properties"] == properties


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"a","properties":{"x":NaN}}',
        b'{"type":"a","properties":{"x":"\xff\xfe"}}',
        b'{"type":"a","properties":{"x":"\\ud800"}}',
        b'{"type":"a","properties":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"type":"a" "properties":{}}',
        b'{"type":"a\n"}',
        b"nothing",
    ],
)
def test_event_that_is_no_json_takes_no_other_with_it(bad: bytes) -> None:
    good = b'{"type":"x","properties":{"text":"}],\\"{["}}'
    found = sifted_body(b' {"events" : [' + good + b" , " + bad + b"," + good + b"] } ")
    assert [line.type for line in found.good] == ["x", "x"]
    ((index, errors),) = rejections(found).items()
    assert index == 1
    assert errors[0][0] == "event"
    assert errors[0][1].startswith("is not JSON")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b'{"type":"a","properties":{"x":NaN}}',
        b'{"events":[{"type":"a"}',
        b'{"events":[{"type":"a"}]',
        b'{"events":[{"type":NaN}]}]}',
        b'{"events":[{"type":NaN}}',
        b'{"events":["' + b'\\"' * 1_000_000,
        b'{"events":["' + b'\\"' * 1_000_000 + b"\\",
        b'{"events":[' + b"," * 20_000 + b"NaN]}",
    ],
)
def test_body_that_does_not_fit_together_is_malformed_and_soon(body: bytes) -> None:
    begun = time.process_time()  # which others on the machine do not lengthen
    with pytest.raises(MalformedJson):
        read_events(body)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", "body"),
        (b'{"events":7}', "events"),
        (b'{"events":[]}', "events"),
        (b'{"events":[],"more":1}', "more"),
        (orjson.dumps({"events": [1] * (MAX_EVENTS + 1)}), "events"),
    ],
)
def test_body_of_another_shape_is_refused_as_a_whole(body: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        read_events(body)
    assert wrong.value.errors[0].field == field


def test_event_by_itself_is_told_from_a_list() -> None:
    assert read_events(b'{"type":"a"}') == ([{"type": "a"}], True)
    assert read_events(b'{"events":[{"type":"a"}]}') == ([{"type": "a"}], False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["type", "properties", "contact", "x"]), _JSON), min_size=1, max_size=8)
)
def test_whatever_comes_every_event_is_good_or_rejected_and_lines_are_json(events: list[dict[str, Any]]) -> None:
    found = sifted(*events)
    assert len(found.good) + len(found.rejected) == len(events)
    for line in found.good:
        assert orjson.loads(line.line)["tenant"] == "demo"
        assert line.line.count(b"\n") == 1
