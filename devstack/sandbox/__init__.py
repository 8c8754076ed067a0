"""A counterpart for every provider: it speaks their wire, keeps what it took in an inbox, and fails on request."""

from __future__ import annotations

from devstack.sandbox.server import Sandbox

__all__ = ["Sandbox"]
