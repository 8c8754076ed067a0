"""What every model needs."""

from __future__ import annotations

import pytest

from activities.dispatch import recording
from activities.heartbeat import ActivityHeartbeat
from activities.webhooks import endpoint_sender


@pytest.fixture
def order_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step of a schedule waits for a moment to pass, none is cut off because it took long, and the time of an
    activity is that of its beginning: a schedule that runs again is the same.
    """
    monkeypatch.setattr(ActivityHeartbeat, "now", lambda own: own._from)
    monkeypatch.setattr(recording, "RECORD_WAITS", (0.0, 0.0))
    monkeypatch.setattr(recording, "LAST_WORDS", 3600.0)
    monkeypatch.setattr(endpoint_sender, "GATHER", 0.0)
