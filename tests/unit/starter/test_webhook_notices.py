"""What an owner reads when a webhook endpoint was disabled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from hermod.contracts.webhooks.notices import EndpointDisabled
from starter.webhooks.notices import letter

AT: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TOLD: Final = EndpointDisabled(
    endpoint_id="wep_1",
    url="https://shop.example.com/hooks",
    description="Orders\r\nof the shop",
    reason="failing",
    disabled_at=AT,
    failing_since=AT - timedelta(days=5),
)


def test_letter_about_a_failing_endpoint_says_since_when_and_what_to_do() -> None:
    email = letter(TOLD, "ops@example.com")
    assert (email.to, email.subject) == ("ops@example.com", "Webhook endpoint disabled: wep_1")
    assert email.text is not None
    assert (
        "“Orders of the shop” (https://shop.example.com/hooks) was disabled on 22 November 2026 at 12:00" in email.text
    )
    assert "since 17 November 2026, 12:00 UTC" in email.text
    assert "hermod webhooks" in email.text


def test_letter_about_an_endpoint_that_is_gone_says_so() -> None:
    email = letter(TOLD.model_copy(update={"reason": "gone", "description": None}), "ops@example.com")
    assert email.text is not None
    assert email.text.startswith("The webhook endpoint wep_1 (")
    assert "410 Gone" in email.text


def test_letter_about_the_same_notice_is_the_same() -> None:
    assert letter(TOLD, "ops@example.com") == letter(TOLD, "ops@example.com")
