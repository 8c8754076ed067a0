"""`hermod webhooks`: endpoints, what is delivered to them, and what is sent again; put together from its groups."""

from __future__ import annotations

from typing import Final

import typer

from starter.cli.webhooks import deliveries, endpoints, replays

app: Final = typer.Typer(help="Signed events to the endpoints that asked for them.", no_args_is_help=True)
app.add_typer(endpoints.app, name="endpoints")
app.add_typer(deliveries.app, name="deliveries")
replays.add_to(app)
