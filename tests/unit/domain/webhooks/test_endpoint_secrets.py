"""Secrets that rotate with an overlap: which ones sign, until when, and in which units."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.contracts.errors import Conflict
from hermod.domain.webhooks.endpoint_secrets import MOST_KEYS, EndpointSecrets, SigningKey

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def secrets(*keys: str, pair: str | None = None) -> EndpointSecrets:
    return EndpointSecrets(keys=tuple(SigningKey(secret=key) for key in keys), headers={"x-a": "b"}, pair=pair)


def test_rotated_secret_signs_first_and_the_old_one_beside_it_until_its_end() -> None:
    rotated = secrets("old").rotated("new", DAY, NOW)
    assert rotated.valid(NOW) == ("new", "old")
    assert rotated.valid(NOW + DAY - SECOND) == ("new", "old")
    assert rotated.valid(NOW + DAY) == ("new",)
    assert rotated.headers == {"x-a": "b"}


def test_rotation_without_overlap_ends_all_old_ones_at_once() -> None:
    rotated = secrets("old").rotated("newer", DAY, NOW).rotated("newest", timedelta(0), NOW + SECOND)
    assert rotated.keys == (SigningKey(secret="newest"),)


def test_second_rotation_lengthens_no_overlap_that_was_promised_before() -> None:
    rotated = secrets("old").rotated("newer", DAY, NOW).rotated("newest", 10 * DAY, NOW + DAY / 2)
    assert [key.until for key in rotated.keys] == [None, NOW + DAY / 2 + 10 * DAY, NOW + DAY]


def test_rotation_drops_what_has_expired() -> None:
    rotated = secrets("old").rotated("newer", DAY, NOW).rotated("newest", DAY, NOW + 2 * DAY)
    assert [key.secret for key in rotated.keys] == ["newest", "newer"]


def test_pair_signs_after_the_secrets_and_stays_when_they_rotate() -> None:
    rotated = secrets("old", pair="whsk_pair").rotated("new", DAY, NOW)
    assert rotated.valid(NOW) == ("new", "old", "whsk_pair")


def test_too_many_secrets_at_once_are_a_conflict_until_one_ends() -> None:
    rotated = secrets("0")
    for number in range(1, MOST_KEYS):
        rotated = rotated.rotated(str(number), DAY, NOW)
    with pytest.raises(Conflict, match="overlap_hours 0"):
        rotated.rotated("too many", DAY, NOW)
    assert rotated.rotated("new", timedelta(0), NOW).valid(NOW) == ("new",)
    assert len(rotated.rotated("new", DAY, NOW + DAY).valid(NOW + DAY)) == 2


def test_no_secret_is_in_what_is_printed() -> None:
    shown = repr(secrets("whsec_secret", pair="whsk_pair")) + repr(SigningKey(secret="whsec_secret"))
    assert "whsec_secret" not in shown
    assert "whsk_pair" not in shown
    assert "'b'" not in shown


@given(
    overlaps=st.lists(st.timedeltas(timedelta(0), 30 * DAY), max_size=MOST_KEYS - 1),
    later=st.timedeltas(timedelta(0), 60 * DAY),
)
def test_document_read_back_is_the_same_and_the_newest_key_never_ends(
    overlaps: list[timedelta], later: timedelta
) -> None:
    rotated = secrets("0")
    for number, overlap in enumerate(overlaps, start=1):
        rotated = rotated.rotated(str(number), overlap, NOW)
    again = EndpointSecrets.of(rotated.document())
    assert again == rotated
    assert again.valid(NOW + later)[0] == str(len(overlaps))
    assert all(key.until is not None and key.until <= NOW + 30 * DAY for key in again.keys[1:])
