"""Which names may be a contact's, so that no token is ever taken for one."""

from __future__ import annotations

import pytest

from hermod.contracts.notifications.devices import is_contact_id


@pytest.mark.parametrize(
    "text", ["42", "user-7", "ada@example.com", "shop:7.ada_l", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "a" * 63]
)
def test_name_of_a_contact_may_be_one(text: str) -> None:
    assert is_contact_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "ab" * 32,
        "AB" * 80,
        "ExponentPushToken[abc]",
        "cJ9kQ0aTRk2" + ":" + "APA91b" + "x" * 134,
        "https://push.example.com/1",
        "",
        "-ada",
        "ada lovelace",
        "ada\n",
        "æda",
    ],
)
def test_token_or_nonsense_is_no_name_of_a_contact(text: str) -> None:
    assert not is_contact_id(text)
