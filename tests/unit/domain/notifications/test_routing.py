"""Which account is asked next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hermod.contracts.notifications.content import Channel
from hermod.contracts.tenants.accounts import Account
from hermod.domain.notifications.routing import Choice, NoRoute, Route, eligible, route

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)


def account(name: str, order: int = 10, **changes: object) -> Account:
    plain = Account(
        tenant="t",
        name=name,
        channel=Channel.EMAIL,
        provider="sandbox",
        credentials={},
        base_url=None,
        from_=None,
        order=order,
        rate_per_second=None,
        enabled=True,
        blocked_until=None,
        blocked_reason=None,
        blocked_count=0,
        revision=1,
    )
    return plain.model_copy(update=changes)


def fits(_account: Account) -> None:
    return None


def test_eligible_accounts_come_by_order_then_name_without_disabled_ones() -> None:
    accounts = [account("b"), account("a"), account("first", 1), account("off", 0, enabled=False)]
    assert [one.name for one in eligible(accounts, None)] == ["first", "a", "b"]


def test_eligible_with_a_requested_account_is_only_that_one() -> None:
    assert [one.name for one in eligible([account("a"), account("b")], "b")] == ["b"]


def test_route_takes_the_first_that_was_not_tried() -> None:
    found = route([account("a"), account("b")], {"a"}, fits, NOW)
    assert isinstance(found, Route)
    assert found.account.name == "b"


def test_route_passes_by_a_blocked_account_and_says_so() -> None:
    blocked = account("a", blocked_until=LATER, blocked_reason="halted")
    found = route([blocked, account("b")], set(), fits, NOW)
    assert isinstance(found, Route)
    assert (found.account.name, found.reason) == ("b", "a is halted")


def test_route_with_everything_blocked_waits_for_the_first_to_come_back() -> None:
    soon = NOW + timedelta(seconds=5)
    accounts = [
        account("a", blocked_until=LATER, blocked_reason="halted"),
        account("b", blocked_until=soon, blocked_reason="throttled"),
    ]
    found = route(accounts, set(), fits, NOW)
    assert found == NoRoute(soon, "a is halted; b is throttled")


def test_route_to_a_halted_account_whose_time_has_come_is_a_probe() -> None:
    found = route([account("a", blocked_until=NOW, blocked_reason="halted")], set(), fits, NOW)
    assert isinstance(found, Route)
    assert found.probe


def test_route_to_a_throttled_account_whose_time_has_come_is_no_probe() -> None:
    found = route([account("a", blocked_until=NOW, blocked_reason="throttled")], set(), fits, NOW)
    assert isinstance(found, Route)
    assert not found.probe


def test_route_passes_by_an_account_that_cannot_express_the_content() -> None:
    found = route([account("a")], set(), lambda _: "no attachments", NOW)
    assert found == NoRoute(None, "a cannot: no attachments")


def test_route_after_another_account_was_tried_says_so() -> None:
    found = route([account("a"), account("b")], {"a"}, fits, NOW)
    assert isinstance(found, Route)
    assert found.reason == "a was tried in this round"


def test_route_with_every_account_tried_does_not_say_that_none_is_enabled() -> None:
    assert route([account("a"), account("b")], {"a", "b"}, fits, NOW) == NoRoute(
        None, "a was tried in this round; b was tried in this round"
    )


def test_route_to_the_only_account_that_comes_into_question_says_why_it_is_the_only_one() -> None:
    found = route([account("a")], set(), fits, NOW, choice=Choice("the message names it", "a is not enabled"))
    assert isinstance(found, Route)
    assert found.reason == "the message names it"
    assert route([], set(), fits, NOW, choice=Choice("the message names it", "a is not enabled")) == NoRoute(
        None, "a is not enabled"
    )


def test_route_to_a_halted_account_whose_time_has_come_says_that_it_is_tried_again() -> None:
    found = route([account("a", blocked_until=NOW, blocked_reason="halted")], set(), fits, NOW)
    assert isinstance(found, Route)
    assert found.reason == "first in order; a was halted, and this message tries it again"
