"""`hermod webhooks`: endpoints, what is delivered to them, and what is sent again; put together from its groups."""

from __future__ import annotations

from typing import Final

import typer

from starter.cli import webhook_deliveries, webhook_endpoints, webhook_replays

app: Final = typer.Typer(help="Signed events to the endpoints that asked for them.", no_args_is_help=True)
app.add_typer(webhook_endpoints.app, name="endpoints")
app.add_typer(webhook_deliveries.app, name="deliveries")
webhook_replays.add_to(app)
