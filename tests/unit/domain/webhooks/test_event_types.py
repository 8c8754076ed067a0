"""Which events an endpoint asked for: exactly the named types, all below a prefix, or everything."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hermod.contracts.webhooks.deliveries import EventFilter, EventType
from hermod.domain.webhooks.event_types import matches

PART = st.text(alphabet="abcAB01_", min_size=1, max_size=4)
TYPE = st.lists(PART, min_size=1, max_size=4).map(".".join)
FILTER = st.one_of(st.just("*"), TYPE, TYPE.map(lambda prefix: f"{prefix}.*"))


@pytest.mark.parametrize(
    ("wanted", "event_type", "asked"),
    [
        ("*", "order", True),
        ("*", "order.paid", True),
        ("order.*", "order.paid", True),
        ("order.*", "order.paid.twice", True),
        ("order.*", "order", False),
        ("order.*", "orders.paid", False),
        ("order.*", "ORDER.paid", False),
        ("order.paid", "order.paid", True),
        ("order.paid", "order.paid.twice", False),
        ("order", "order.paid", False),
        ("a.b.*", "a.b.c", True),
        ("a.b.*", "a.bc.d", False),
    ],
)
def test_filter_asks_for_what_it_says(wanted: str, event_type: str, asked: bool) -> None:
    assert matches([wanted], event_type) is asked


def test_no_filter_asks_for_nothing() -> None:
    assert not matches([], "order.paid")


@given(filters=st.lists(FILTER, max_size=4), event_type=TYPE)
def test_filters_together_ask_for_what_one_of_them_asks_for(filters: list[str], event_type: str) -> None:
    def pattern(wanted: str) -> str:
        return ".*" if wanted == "*" else re.escape(wanted.removesuffix(".*")) + (r"\..+" if wanted[-1] == "*" else "")

    expected = any(re.fullmatch(pattern(each), event_type) for each in filters)
    assert matches(filters, event_type) is expected


@given(wanted=FILTER, event_type=TYPE)
def test_filters_and_types_of_the_tests_are_what_the_contract_takes(wanted: str, event_type: str) -> None:
    assert TypeAdapter(EventFilter).validate_python(wanted) == wanted
    assert TypeAdapter(EventType).validate_python(event_type) == event_type


@pytest.mark.parametrize("wanted", ["", ".", "a.", ".a", "a..b", "a.*.b", "*.a", "a*", "a.**", "a b", "é", "a\n"])
def test_filter_of_another_form_is_refused(wanted: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(EventFilter).validate_python(wanted)
