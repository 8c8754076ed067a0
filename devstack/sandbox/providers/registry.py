"""The providers that the sandbox speaks for: every module beside this one with a `PROVIDER`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Final

from devstack.sandbox import providers
from devstack.sandbox.providers.contract import HttpProvider


def _found() -> Iterator[HttpProvider]:
    for module in pkgutil.iter_modules(providers.__path__, f"{providers.__name__}."):
        if module.name != __name__:
            provider = getattr(importlib.import_module(module.name), "PROVIDER", None)
            if isinstance(provider, HttpProvider):
                yield provider


HTTP_PROVIDERS: Final = tuple(sorted(_found(), key=lambda provider: provider.name))

SMTP: Final = "smtp"
"""The name of the mail server in the inbox, the counts and the fault API."""

PROVIDER_NAMES: Final = frozenset({provider.name for provider in HTTP_PROVIDERS} | {SMTP})
