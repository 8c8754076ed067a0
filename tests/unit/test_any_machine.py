"""What the suite asks of the machine it runs on."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def test_generated_examples_may_take_as_long_as_a_busy_machine_needs() -> None:
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
