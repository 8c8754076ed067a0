"""A content that an earlier version took is read as it is stored, also where such a one would be refused by now."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hermod.contracts.notifications.content import Email, Sms
from hermod.contracts.values.addresses import TRUSTED

FILE = {"filename": "a.png", "content_base64": "YQ=="}


@pytest.mark.parametrize(
    ("model", "stored"),
    [
        (
            Email,
            {"to": "ada@example.com", "subject": "a", "text": "b", "attachments": [FILE | {"content_id": "größe"}]},
        ),
        (
            Email,
            {
                "to": "ada@example.com",
                "subject": "a",
                "text": "b",
                "attachments": [FILE | {"content_type": "bild/größe"}],
            },
        ),
        (Email, {"to": "ada@example.com", "subject": "a\u2028b", "text": "a\x00"}),
        (Sms, {"to": "+14155550100", "media_urls": ["https://example.com/\x01"]}),
    ],
)
def test_content_of_an_earlier_version_is_read_and_a_new_one_like_it_is_refused(
    model: type[Email | Sms], stored: dict[str, Any]
) -> None:
    assert model.model_validate(stored, context=TRUSTED)
    with pytest.raises(ValidationError):
        model.model_validate(stored)
