"""What the providers took: newest first, findable, and countable by message id without reading it all.

The newest `KEEP` messages are held whole. Of older ones the inbox still knows the message id, so that `ids` counts
everything since the inbox was last cleared, and the idempotency key, so that a late repeat is still a repeat.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from devstack.sandbox.entry import Entry, now
from devstack.sandbox.journal import Journal, entry_record, recorded_entry

KEEP: Final = 50_000
"""Messages held whole, in memory and over a restart."""

BUDGET_BYTES: Final = 64 * 1024 * 1024
"""Raw requests and files held in memory; the oldest go first."""


@dataclass(slots=True)
class Counts:
    """Per provider, since the start or the last clearing. `accepted` counts messages, the others requests."""

    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    faults: int = 0


class Known(NamedTuple):
    """What an idempotency key stands for."""

    provider_message_id: str
    message_id: str | None
    number: int


class Filter(NamedTuple):
    """What to list. `after` and `before` are message numbers and exclude the message of that number."""

    provider: str | None = None
    channel: str | None = None
    to: str | None = None
    message_id: str | None = None
    after: int | None = None
    before: int | None = None

    def matches(self, entry: Entry) -> bool:
        return (
            (self.provider is None or entry.provider == self.provider)
            and (self.channel is None or entry.channel == self.channel)
            and (self.message_id is None or entry.message_id == self.message_id)
            and (self.to is None or any(self.to.lower() == address.lower() for address in entry.to))
        )

    def reaches(self, entry: Entry) -> bool:
        return (self.after is None or entry.number > self.after) and (self.before is None or entry.number < self.before)


class Inbox:
    """In memory, and in `data_file` where one is given."""

    def __init__(self, data_file: Path | None = None, keep: int = KEEP, budget: int = BUDGET_BYTES) -> None:
        self.counts: defaultdict[str, Counts] = defaultdict(Counts)
        self._keep = keep
        self._budget = budget
        self._journal = Journal(data_file) if data_file is not None else None
        self._entries: dict[int, Entry] = {}
        self._by_provider_id: dict[str, int] = {}
        self._keys: defaultdict[str, dict[str, Known]] = defaultdict(dict)
        self._ids: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._requests: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._channels: Counter[str] = Counter()
        self._held_bytes = 0
        self._next = 1
        self._oldest = 1
        """No message that is held has a smaller number. (The first key of a dict that loses them is slow to find.)"""
        self._stripped = 1
        """The same for messages that still have their raw bytes."""

    def __len__(self) -> int:
        return len(self._entries)

    def receive(self, entries: Sequence[Entry], raw: bytes) -> None:
        """Take the messages of one accepted request, which came over the wire as `raw`."""
        received_at = now()
        for entry in entries:
            entry.number = self._next
            entry.received_at = received_at
            entry.raw = raw
            self._hold(entry)
            self.counts[entry.provider].accepted += 1
            if self._journal is not None:
                self._journal.append(entry_record(entry))

    def note_request(self, provider: str, entries: Sequence[Entry]) -> None:
        """Count a request that was understood, for each of its messages, whatever becomes of it."""
        requests = self._requests[provider]
        for entry in entries:
            if entry.message_id is not None:
                requests[entry.message_id] += 1

    def known(self, provider: str, key: str) -> Known | None:
        """What was accepted under this idempotency key."""
        return self._keys[provider].get(key)

    def repeat(self, provider: str, known: Known, messages: int = 1) -> None:
        """Count a request that was recognised as a repeat, and its messages, which came one behind the other."""
        self.counts[provider].repeated += 1
        for number in range(known.number, known.number + messages):
            self._count_repeat(number)
            if self._journal is not None:
                self._journal.append({"repeated": number})

    def get(self, number: int) -> Entry | None:
        return self._entries.get(number)

    def of_provider_id(self, provider_message_id: str) -> Entry | None:
        number = self._by_provider_id.get(provider_message_id)
        return None if number is None else self._entries.get(number)

    def find(self, wanted: Filter, limit: int) -> tuple[list[Entry], int]:
        """The newest matching messages, newest first, and how many match in all (`after` and `before` apart)."""
        page: list[Entry] = []
        total = 0
        for entry in reversed(self._entries.values()):
            if wanted.matches(entry):
                total += 1
                if len(page) < limit and wanted.reaches(entry):
                    page.append(entry)
        return page, total

    def ids(self, provider: str | None = None) -> dict[str, int]:
        """How often each message id was accepted: more than once means the same message was taken twice."""
        return _counted(self._ids, provider)

    def requests(self, provider: str | None = None) -> dict[str, int]:
        """How many requests came for each message id, those that met a fault and repeats included.

        Over HTTP (a mail server is asked in several steps), since the start or the last clearing.
        """
        return _counted(self._requests, provider)

    def channels(self) -> dict[str, int]:
        """Messages held, by channel."""
        return dict(self._channels)

    def stats(self) -> dict[str, dict[str, int]]:
        return {provider: asdict(counts) for provider, counts in self.counts.items()}

    def clear(self) -> None:
        """Forget everything: messages, message ids, idempotency keys, counts. Numbers go on where they were."""
        for held in (self._entries, self._by_provider_id, self._keys, self._ids, self._requests, self._channels):
            held.clear()
        self.counts.clear()
        self._held_bytes = 0
        self._oldest = self._stripped = self._next
        if self._journal is not None:
            self._journal.replace(())

    def load(self) -> None:
        """Read what an earlier run left, and shorten the file where it holds far more than is kept."""
        if self._journal is None:
            return
        lines = 0
        for record in self._journal.lines():
            lines += 1
            self._restore(record)
        if lines > 2 * self._keep:
            self._journal.replace(self._compacted())
        else:
            self._journal.open()

    def flush(self) -> None:
        if self._journal is not None:
            self._journal.flush()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def _hold(self, entry: Entry) -> None:
        number = entry.number
        self._next = number + 1
        self._entries[number] = entry
        self._by_provider_id[entry.provider_message_id] = number
        self._channels[entry.channel] += 1
        self._remember(entry.provider, entry.message_id, entry.idempotency_key, entry.provider_message_id, number)
        self._held_bytes += entry.held_bytes()
        while self._held_bytes > self._budget:
            self._strip_next()
        while len(self._entries) > self._keep:
            self._drop_next()

    def _strip_next(self) -> None:
        entry = self._entries.get(self._stripped)
        self._stripped += 1
        if entry is not None:
            self._held_bytes -= entry.strip()

    def _drop_next(self) -> None:
        entry = self._entries.pop(self._oldest, None)
        self._oldest += 1
        if entry is None:
            return
        self._held_bytes -= entry.strip()
        self._channels[entry.channel] -= 1
        if self._by_provider_id.get(entry.provider_message_id) == entry.number:
            del self._by_provider_id[entry.provider_message_id]

    def _remember(self, provider: str, message_id: str | None, key: str | None, provider_id: str, number: int) -> None:
        if message_id is not None:
            self._ids[provider][message_id] += 1
        if key is not None:
            self._keys[provider][key] = Known(provider_id, message_id, number)

    def _count_repeat(self, number: int) -> None:
        entry = self._entries.get(number)
        if entry is not None:
            entry.repeats += 1

    def _restore(self, record: dict[str, Any]) -> None:
        try:
            if "entry" in record:
                self._hold(recorded_entry(record))
            elif "repeated" in record:
                self._count_repeat(record["repeated"])
            elif "forgotten" in record:
                self._remember(**record["forgotten"])
        except (KeyError, TypeError, IndexError, ValueError):
            return

    def _compacted(self) -> Iterator[dict[str, Any]]:
        """The records of a shorter file: a line each for what is only known by its id or key, then what is held."""
        counted = Counter((entry.provider, entry.message_id) for entry in self._entries.values())
        for provider, keys in self._keys.items():
            for key, known in keys.items():
                if known.number not in self._entries:
                    yield _forgotten(provider, known.message_id, key, known.provider_message_id, known.number)
                    counted[provider, known.message_id] += 1
        for provider, ids in self._ids.items():
            for message_id, count in ids.items():
                for _ in range(count - counted[provider, message_id]):
                    yield _forgotten(provider, message_id, None, "", 0)
        for entry in self._entries.values():
            yield entry_record(entry)


def _counted(by_provider: Mapping[str, Counter[str]], provider: str | None) -> dict[str, int]:
    """Those of one provider, or of all."""
    if provider is not None:
        return dict(by_provider.get(provider, {}))
    every: Counter[str] = Counter()
    for ids in by_provider.values():
        every.update(ids)
    return dict(every)


def _forgotten(provider: str, message_id: str | None, key: str | None, provider_id: str, number: int) -> dict[str, Any]:
    return {
        "forgotten": {
            "provider": provider,
            "message_id": message_id,
            "key": key,
            "provider_id": provider_id,
            "number": number,
        }
    }
