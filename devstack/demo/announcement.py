"""What the terminal says once the product runs: how the demo went, where everything is, what to try."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from devstack.demo.message import Delivered
from devstack.progress import say

_WIDTH = 26


def announce_demo(console: Console, delivered: Sequence[Delivered]) -> None:
    say(console, "")
    for one in delivered:
        say(console, f"  {one.channel:<6} {one.words}")
        say(console, f"         to {one.to} by {one.account}: sent, in the inbox after {one.seconds:.2f} s ({one.id})")


def announce(console: Console, addresses: Sequence[tuple[str, str]], *, url: str, api_key: str, seconds: float) -> None:
    """`addresses` are names and where to find them."""
    say(console, "")
    for name, where in addresses:
        say(console, f"  {name:<{_WIDTH}} {where}")
    say(console, "\nTry it:\n")
    say(console, f"  curl {url}/v1/messages -H 'Authorization: Bearer {api_key}' \\")
    message = '{"channel": "email", "to": "you@example.com", "subject": "Hello", "text": "It works."}'
    say(console, f"    -H 'Content-Type: application/json' -d '{message}'")
    say(console, f"\nHermod is ready after {seconds:.1f} s. Ctrl-C stops it; the next start goes on where it was.")
