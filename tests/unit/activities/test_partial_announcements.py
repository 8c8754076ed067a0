"""What a look at a partial has to tell, and to whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activities.forms.partials import announcements
from hermod.contracts.forms.forms import FormMoment, FormNotification, PartialRules, PartialStatus
from hermod.contracts.notifications.content import Channel
from hermod.ports.forms.partials import PartialSnapshot

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
REMINDER = FormNotification(channel=Channel.EMAIL, to="{{ data.email }}", on=FormMoment.ABANDONED)
SEEN = PartialSnapshot(
    tenant="shop",
    form="order",
    session="session-1",
    revision=7,
    status=PartialStatus.OPEN,
    data={"email": "ada@example.com"},
    contact="ada",
    updated_at=NOW,
    abandoned_at=None,
    abandonments=0,
    is_new=True,
    abandonment_is_new=False,
    rules=PartialRules(abandon_after=timedelta(hours=1), webhooks=True, resume_url="https://shop.example.com/{token}"),
    notifications=(REMINDER,),
    resume_token="sealed",
)
LEFT = replace(
    SEEN,
    status=PartialStatus.ABANDONED,
    is_new=False,
    abandonment_is_new=True,
    abandonments=2,
    abandoned_at=NOW + timedelta(hours=1),
)


def test_new_revision_is_told_once_for_itself_and_writes_to_nobody() -> None:
    (told,) = announcements(SEEN)
    assert (told.moment, told.reference, told.turn, told.at) == (FormMoment.PARTIAL, "order.session-1", "7", NOW)
    assert told.webhooks
    assert told.notifications == ()
    assert told.payload["data"] == {"email": "ada@example.com"}
    assert list(announcements(replace(SEEN, is_new=False))) == []


def test_abandonment_is_told_with_the_way_back() -> None:
    (told,) = announcements(LEFT)
    assert (told.moment, told.turn, told.at) == (FormMoment.ABANDONED, "2", LEFT.abandoned_at)
    assert told.notifications == (REMINDER,)
    assert told.payload["resume_url"] == told.scope["resume_url"] == "https://shop.example.com/sealed"
    assert told.scope["partial"] == {"revision": 7, "abandonments": 2}


@pytest.mark.parametrize("status", [PartialStatus.OPEN, PartialStatus.CONVERTED])
def test_visitor_who_came_back_before_the_message_was_made_is_not_written_to(status: PartialStatus) -> None:
    (told,) = announcements(replace(LEFT, status=status))
    assert (told.moment, told.notifications) == (FormMoment.ABANDONED, ())


def test_revision_of_a_form_that_was_sent_meanwhile_is_not_told() -> None:
    assert list(announcements(replace(SEEN, status=PartialStatus.CONVERTED))) == []


def test_form_whose_contents_are_gone_still_has_its_moments() -> None:
    (told,) = announcements(replace(LEFT, data=None))
    assert (told.payload["data"], told.scope["data"]) == (None, {})


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, NOW + timedelta(hours=1)),
        ({"rules": PartialRules()}, None),
        ({"status": PartialStatus.ABANDONED}, None),
        ({"status": PartialStatus.CONVERTED}, None),
    ],
)
def test_only_an_open_partial_is_ever_due(changes: dict[str, object], due: datetime | None) -> None:
    assert replace(SEEN, **changes).due_at == due  # type: ignore[arg-type]
