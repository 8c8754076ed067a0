"""A fault proxy that knows the statements it carries, and loses a connection or an answer at a chosen one.

    async with PostgresProxy.before(database_url) as proxy:
        database = Database(proxy.through(database_url))
        rule = proxy.cut_after_commit("INSERT INTO messages")
        ... the call fails, and the rows are there ...
        await rule.fired()

A statement is chosen by whole words of its SQL, in their case and with any white space as one space: `INSERT INTO kept`
does not mean `INSERT INTO kept_rows`, nor `COMMIT` the `READ COMMITTED` of a BEGIN. A rule takes the next `times`
executions, on whichever connections; of several rules the oldest that fits does. What SQLAlchemy sends by itself is a
statement, too: `BEGIN`, `COMMIT`, `ROLLBACK`.

Reads version 3 of the protocol, with the extended queries of asyncpg and simple ones, without TLS.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from tests.support.proxies.fault_proxy import FaultProxy, Inspector, Severed

_CANCEL_REQUEST: Final = 80877102
_SSL_REQUEST: Final = 80877103
_GSS_REQUEST: Final = 80877104

_EXECUTE, _QUERY, _PARSE, _BIND, _CLOSE, _FUNCTION_CALL, _SYNC = b"E", b"Q", b"P", b"B", b"C", b"F", b"S"
_BEGINS_A_CYCLE: Final = frozenset({_EXECUTE, _QUERY, _PARSE, _BIND, _CLOSE, _FUNCTION_CALL, _SYNC, b"D"})
_ENDS_A_CYCLE: Final = frozenset({_QUERY, _FUNCTION_CALL, _SYNC})
_COMMAND_COMPLETE, _ERROR, _READY = b"C", b"E", b"Z"


class Action(Enum):
    CUT_BEFORE = auto()
    CUT_AFTER_COMMIT = auto()
    HOLD_ANSWER = auto()
    DROP_ANSWER = auto()


@dataclass(kw_only=True, eq=False)
class Rule:
    """What happens to the next executions of a statement. Made by the methods of `PostgresProxy`."""

    action: Action
    containing: str
    times: int
    """How often it fires."""
    afterwards: Callable[[], None] = lambda: None
    """Is called when it fires."""
    matched: list[str] = field(default_factory=list, init=False)
    """The SQL of each execution it has fired for; any white space in it is one space."""
    _claimed: int = field(default=0, init=False)
    _used_up: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _released: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def fired(self, *, within: float = 30.0) -> str:
        """Wait until it has fired as often as it may; gives the last SQL. Raises AssertionError after the deadline."""
        try:
            await asyncio.wait_for(self._used_up.wait(), within)
        except TimeoutError:
            raise AssertionError(f"{len(self.matched)} of {self.times} for {self.containing!r}") from None
        return self.matched[-1]

    def release(self) -> None:
        """Let answers go that are held, and those still to come."""
        self._released.set()

    def end(self) -> None:
        """Take no more executions."""
        self.times = self._claimed

    def claim(self, sql: str) -> bool:
        """Whether the rule takes this execution. It is then given `fire` or `give_back`."""
        taken = self._claimed < self.times and bool(re.search(rf"(?<!\w){re.escape(self.containing)}(?!\w)", sql))
        self._claimed += taken
        return taken

    def give_back(self) -> None:
        """The execution came to nothing, so another one may be taken."""
        self._claimed -= 1

    def fire(self, sql: str) -> None:
        self.matched.append(sql)
        self.afterwards()
        if len(self.matched) == self.times:
            self._used_up.set()

    async def until_released(self) -> None:
        await self._released.wait()


class PostgresProxy(FaultProxy):
    """A proxy in front of a PostgreSQL server."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._rules: list[Rule] = []

    def cut_before(self, containing: str, *, times: int = 1) -> Rule:
        """The connection is reset in place of the execution, which never reaches the server."""
        return self._add(Action.CUT_BEFORE, containing, times)

    def cut_after_commit(self, containing: str, *, times: int = 1, and_refuse: bool = False) -> Rule:
        """The statement is executed and committed, alone or by the COMMIT of its transaction; that answer is lost and
        the connection reset. A statement that fails or is rolled back does not count.

        `and_refuse`: from then on nobody can connect any more.
        """
        rule = self._add(Action.CUT_AFTER_COMMIT, containing, times)
        if and_refuse:
            rule.afterwards = self.refuse
        return rule

    def hold_answer(self, containing: str, *, times: int = 1) -> Rule:
        """The statement is executed, and its answer comes when the rule is released. It fires when the answer is there:
        outside a transaction, and for COMMIT, it is committed then.
        """
        return self._add(Action.HOLD_ANSWER, containing, times)

    def drop_answer(self, containing: str, *, times: int = 1) -> Rule:
        """The statement is executed, and no answer ever comes on this connection, which stays open."""
        return self._add(Action.DROP_ANSWER, containing, times)

    def inspector(self) -> Inspector:
        return _Session(self._rules)

    def _add(self, action: Action, containing: str, times: int) -> Rule:
        rule = Rule(action=action, containing=_one_line(containing), times=times)
        self._rules.append(rule)
        return rule


@dataclass(slots=True)
class _Claim:
    """An execution that a rule has taken."""

    rule: Rule
    sql: str


@dataclass(slots=True)
class _Cycle:
    """What the server answers together: up to a ReadyForQuery."""

    claim: _Claim | None = None


class _Session(Inspector):
    """What one connection has prepared, and which of its answers a rule waits for."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._sent = _Messages(typed=False)
        self._answers = _Messages(typed=True)
        self._negotiating = False
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}
        self._cycles: deque[_Cycle] = deque([_Cycle()])  # the first is the login
        self._sending: _Cycle | None = None
        self._uncommitted: _Claim | None = None
        """Executed in a transaction that is still open."""
        self._kept = bytearray()
        self._failed = False
        self._tag = b""

    async def to_server(self, data: bytes) -> AsyncIterator[bytes]:
        passed = bytearray()
        for message in self._sent.feed(data):
            if self._sent.typed:
                self._note_sent(message[:1], message[5:])
            else:
                self._note_start(int.from_bytes(message[4:8], "big"))
            passed += message
        yield bytes(passed)

    async def to_client(self, data: bytes) -> AsyncIterator[bytes]:
        if self._negotiating:
            self._negotiating = False
            if data != b"N":
                raise NotImplementedError("statements inside TLS cannot be read")
            yield data
            return
        for message in self._answers.feed(data):
            self._kept += message
            if message[:1] == _READY:
                if claim := self._answered():
                    await self._act(claim, message[5:6])
                self._failed, self._tag = False, b""
                yield self._take_kept()
            elif message[:1] == _COMMAND_COMPLETE:
                self._tag = message[5:-1]
            elif message[:1] == _ERROR:
                self._failed = True
        if self._kept and not self._claimed():
            yield self._take_kept()

    def closed(self) -> None:
        for claim in (self._uncommitted, *(cycle.claim for cycle in self._cycles)):
            if claim:
                claim.rule.give_back()

    def _note_start(self, code: int) -> None:
        self._negotiating = code in {_SSL_REQUEST, _GSS_REQUEST}
        self._sent.typed = not self._negotiating and code != _CANCEL_REQUEST

    def _note_sent(self, kind: bytes, body: bytes) -> None:
        if kind not in _BEGINS_A_CYCLE:
            return
        if self._sending is None:
            self._sending = _Cycle()
            self._cycles.append(self._sending)
        if kind == _PARSE:
            name, sql, _ = body.split(b"\0", 2)
            self._statements[name] = _one_line(sql.decode())
        elif kind == _BIND:
            portal, name, _ = body.split(b"\0", 2)
            self._portals[portal] = self._statements.get(name, "")
        elif kind == _EXECUTE:
            self._note_execution(self._sending, self._portals.get(body.split(b"\0", 1)[0], ""))
        elif kind == _QUERY:
            self._note_execution(self._sending, _one_line(body[:-1].decode()))
        if kind in _ENDS_A_CYCLE:
            self._sending = None

    def _note_execution(self, cycle: _Cycle, sql: str) -> None:
        if cycle.claim:
            return  # executemany: one answer for many
        rule = next((rule for rule in self._rules if rule.claim(sql)), None)
        if rule is None:
            return
        if rule.action is Action.CUT_BEFORE:
            rule.fire(sql)
            raise Severed
        cycle.claim = _Claim(rule, sql)

    def _take_kept(self) -> bytes:
        kept = bytes(self._kept)
        self._kept.clear()
        return kept

    def _claimed(self) -> bool:
        """Whether the answer that comes now has to be whole before it is passed on."""
        return bool(self._uncommitted or (self._cycles and self._cycles[0].claim))

    def _answered(self) -> _Claim | None:
        """A cycle is over; what a rule has to say to it."""
        own = self._cycles.popleft().claim
        if own and self._uncommitted:
            self._uncommitted.rule.give_back()
            self._uncommitted = None
        claim, self._uncommitted = own or self._uncommitted, None
        return claim

    async def _act(self, claim: _Claim, status: bytes) -> None:
        """Returns where the answer is to be passed on."""
        if claim.rule.action is Action.CUT_AFTER_COMMIT:
            if status != b"I":
                self._uncommitted = claim
            elif self._failed or self._tag == b"ROLLBACK":
                claim.rule.give_back()
            else:
                claim.rule.fire(claim.sql)
                raise Severed
            return
        claim.rule.fire(claim.sql)
        if claim.rule.action is Action.DROP_ANSWER:
            await asyncio.Event().wait()
        await claim.rule.until_released()


class _Messages:
    """Whole messages out of a stream of bytes. Only those before the login have no type in front of their length."""

    def __init__(self, *, typed: bool) -> None:
        self.typed = typed
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """`typed` may be changed between two messages."""
        self._rest += data
        while len(self._rest) >= self.typed + 4:
            size = self.typed + int.from_bytes(self._rest[self.typed : self.typed + 4], "big")
            if len(self._rest) < size:
                return
            message = bytes(self._rest[:size])
            del self._rest[:size]
            yield message


def _one_line(sql: str) -> str:
    return " ".join(sql.split())
