"""The search attributes by which operators find runs in the Web UI, as one list. Values are ids and words only."""

from __future__ import annotations

from typing import Final

from temporalio.common import SearchAttributeKey

TENANT: Final = SearchAttributeKey.for_keyword("HermodTenant")
CHANNEL: Final = SearchAttributeKey.for_keyword("HermodChannel")
STATUS: Final = SearchAttributeKey.for_keyword("HermodStatus")
"""How the messages ended, where that is not simply `sent`: `failed`, `unknown`, `expired`, `cancelled`, `handed_off`
(they go on in other workflows), `missing` (the database does not have them), or `mixed`."""
CAMPAIGN: Final = SearchAttributeKey.for_keyword("HermodCampaign")
REQUEST_ID: Final = SearchAttributeKey.for_keyword("HermodRequestId")

SEARCH_ATTRIBUTES: Final = (TENANT, CHANNEL, STATUS, CAMPAIGN, REQUEST_ID)
