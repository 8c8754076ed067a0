"""What the Web UI shows of a run at first sight: whose it is, how urgent, where its story is. Ids, words and counts."""

from __future__ import annotations

from typing import Final

from hermod.contracts.ids import parse_workflow_id
from hermod.contracts.priorities import HIGHEST_PRIORITY, priority_key

_STORIES: Final = {
    "message": "hermod status {}",
    "webhook": "hermod webhooks deliveries show {}",
    "submission": "hermod submissions show {}",
}
"""The command that tells a record's story, by the kind of its workflow."""
_DETAILS: Final = """{what}

Tenant `{tenant}`, priority {priority} of {highest}, which is Temporal's priority {key}: there, 1 is the most urgent.
{story}To have done again what was given up: *Reset* to the first workflow task. It says more: docs/web-ui.md.
"""


def summary(what: str, tenant: str, priority: int) -> str:
    return f"{what} for {tenant}, priority {priority}"


def details(workflow_id: str, what: str, tenant: str, priority: int) -> str:
    """In Markdown. `what` the workflow is about, as `500 × email`; `priority` on our scale."""
    return _DETAILS.format(
        what=what,
        tenant=tenant,
        priority=priority,
        highest=HIGHEST_PRIORITY,
        key=priority_key(priority),
        story=_story(workflow_id),
    )


def _story(workflow_id: str) -> str:
    found = parse_workflow_id(workflow_id)
    if found is None or found.kind not in _STORIES:
        return ""
    return f"Its story: `{_STORIES[found.kind].format(found.record)}`.\n"
