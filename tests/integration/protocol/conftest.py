"""What every model needs."""

from __future__ import annotations

import pytest

from activities.delivery import recording
from activities.pulse import Pulse
from activities.webhook_delivery import stream


@pytest.fixture
def order_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step of a schedule waits for a moment to pass, none is cut off because it took long, and the time of an
    activity is that of its beginning: a schedule that runs again is the same.
    """
    monkeypatch.setattr(Pulse, "now", lambda own: own._from)
    monkeypatch.setattr(recording, "RECORD_WAITS", (0.0, 0.0))
    monkeypatch.setattr(recording, "LAST_WORDS", 3600.0)
    monkeypatch.setattr(stream, "GATHER", 0.0)
