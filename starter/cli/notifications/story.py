"""A message's story as text: its facts, its attempts, its decisions, what its provider reported."""

from __future__ import annotations

from hermod.contracts.notifications.messages import MessageSummary, MessageView, Page
from starter.cli.notifications.waits import WHOSE, shown
from starter.cli.output import print_facts, print_table, say


def print_story(view: MessageView) -> None:
    print_facts(
        [
            ("id", view.id),
            ("channel", view.channel),
            ("to", view.to),
            ("status", view.status),
            ("discarded", view.discarded_at),
            ("error", view.error),
            ("error code", view.error_code),
            ("provider", view.provider),
            ("provider's id", view.provider_message_id),
            ("priority", view.priority),
            ("category", view.category),
            ("guarantee", view.guarantee),
            ("retry", f"{shown(view.retry)} ({WHOSE[view.retry_from]})" if view.retry_from else shown(view.retry)),
            ("created", view.created_at),
            ("send at", view.send_at),
            ("not after", view.not_after),
            ("next attempt", view.next_attempt_at),
            ("finished", view.finished_at),
            ("workflow", view.workflow_id),
            ("request", view.request_id),
        ]
    )
    if view.attempts:
        say("")
        columns = ("attempt", "account", "outcome", "status", "code", "ms", "started", "error")
        print_table(
            columns,
            [
                (
                    one.number,
                    one.account,
                    one.outcome or "under way",
                    one.status_code,
                    one.error_code,
                    one.duration_ms,
                    one.started_at,
                    one.error,
                )
                for one in view.attempts
            ],
            empty="",
        )
    if view.decisions:
        say("")
        rows = [(one.at, one.kind, one.verdict, one.reason) for one in view.decisions]
        print_table(("decided", "kind", "verdict", "reason"), rows, empty="")
    if view.receipts:
        say("")
        reported = [(one.at, one.kind, one.word, one.code, one.text) for one in view.receipts]
        print_table(("reported", "meaning", "provider's word", "code", "text"), reported, empty="")


def print_page(page: Page, *, empty: str) -> None:
    columns = ("id", "channel", "status", "to", "provider", "updated", "error")
    print_table(columns, map(_row, page.items), empty=empty)


def _row(one: MessageSummary) -> tuple[object, ...]:
    return (one.id, one.channel, one.status, one.to, one.provider, one.updated_at, one.error or one.error_code)
