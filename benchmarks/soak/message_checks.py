"""What is promised about messages, held against the provider's own record. Pure: records in, broken promises out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.soak.accepted import Accepted

WITH_KEYS: Final = frozenset({"sandbox"})
"""Providers that recognise a repeat by its key."""
ANSWERS: Final = frozenset({"accepted", "throttled", "recipient_rejected", "message_rejected", "account_halted"})
"""Outcomes that only the provider can have told."""
_SENT: Final = frozenset({"sent", "delivered", "bounced", "complained"})


@dataclass(frozen=True, slots=True)
class Story:
    """A message as it is on record."""

    id: str
    status: str
    final: bool
    error: str | None
    """Its code."""
    outcomes: Sequence[str | None]
    """Of its attempts, in their order; None: the answer is awaited."""
    providers: Sequence[str]


@dataclass(frozen=True, slots=True)
class Inbox:
    """The providers' record, by message id."""

    requests: Mapping[str, int]
    taken: Mapping[str, int]
    """How often the provider took the message, repeats under the same key not counted."""


def broken(stories: Mapping[str, Story], inbox: Inbox, accepted: Accepted) -> Iterator[str]:
    """Every broken promise, in a line each."""
    yield from (f"{own} was accepted and is not on record" for own in sorted(accepted.messages - stories.keys()))
    yield from (f"{own} was never on record and reached a provider" for own in sorted(inbox.requests - stories.keys()))
    for story in stories.values():
        for fault in _faults(story, inbox.requests.get(story.id, 0), inbox.taken.get(story.id, 0), accepted):
            yield f"{story.id} ({story.status}, {', '.join(map(str, story.outcomes)) or 'no attempt'}) {fault}"


def _faults(story: Story, requests: int, taken: int, accepted: Accepted) -> Iterator[str]:
    doubts = story.outcomes.count("unknown") + story.outcomes.count(None)
    answers = sum(outcome in ANSWERS for outcome in story.outcomes)
    if requests > len(story.outcomes):
        yield f"made {requests} requests, and {len(story.outcomes)} are on record"
    if requests < answers:
        yield f"has {answers} answers on record, and the provider saw {requests} requests"
    if taken > 1 + doubts:
        yield f"was taken {taken} times by the provider, and {doubts} outcomes are unknown"
    if story.status in _SENT and not taken:
        yield "counts as sent, and no provider has it"
    if story.final and story.status not in _SENT and taken and not doubts:
        yield "counts as not sent, and a provider has it"
    if story.id in accepted.cancelled and story.status != "cancelled":
        yield "was cancelled, and went on"
    if story.id in accepted.at_most_once:
        yield from _at_most_once(story, taken)


def _at_most_once(story: Story, taken: int) -> Iterator[str]:
    """Nothing is sent again after a doubt, unless the same provider recognises the repeat."""
    if taken > 1:
        yield f"is at_most_once and was taken {taken} times"
    for number, outcome in enumerate(story.outcomes[:-1]):
        provider, following = story.providers[number : number + 2]
        if outcome == "unknown" and not (provider in WITH_KEYS and following == provider):
            yield "is at_most_once and was sent again after an unknown outcome"


def outcomes(stories: Iterable[Story]) -> dict[str, int]:
    """Messages by how they ended, with the reason where they were not sent."""
    ends = Counter(
        story.status if story.status in _SENT or not story.error else f"{story.status} ({story.error})"
        for story in stories
    )
    return dict(ends.most_common())


def repeats(stories: Iterable[Story]) -> dict[str, int]:
    """Requests that followed another one of the same message, by what that had come to."""
    before = Counter(str(outcome) for story in stories for outcome in story.outcomes[:-1])
    return dict(before.most_common())
