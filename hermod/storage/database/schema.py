"""All tables of Hermod, for Alembic: `metadata` knows a table once its module is imported."""

from __future__ import annotations

from hermod.storage.analytics import tables as analytics
from hermod.storage.database import tables
from hermod.storage.forms import tables as forms
from hermod.storage.recipients import device_tables
from hermod.storage.webhooks import tables as webhooks

MODULES = (tables, device_tables, webhooks, forms, analytics)
metadata = tables.metadata
