"""What the rates let go now: of an account at its provider, of the tenant, and of its mail to single domains.

A `RateLimitGate` belongs to one account's jobs in one dispatch, and asks `hermod.ports.notifications.limiter` for
tokens: first the account's, then the tenant's, then the domains'. Tokens that a later limit makes useless are given
back. Jobs to a domain that is closed for a moment are left out, and the others go. Where nothing limits these jobs,
nothing is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from activities.dispatch.staggered_backoff import StaggeredBackoff
from activities.notifications.requests import SendJob, group_into_requests
from hermod.contracts.notifications.content import Channel
from hermod.domain.notifications.recipients import bare
from hermod.domain.rates import URGENT, borrow_ahead, burst, domain_of, effective
from hermod.ports.notifications.limiter import Limiter, RateRules, Reservation, ReserveRequest

MAX_WAITERS: Final = 8
"""Single messages of a tenant that wait for one bucket inside this worker; the others come again later."""

SOON: Final = timedelta(milliseconds=20)
"""The shortest wait: another caller may always have been faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One bucket that jobs go through."""

    bucket: str
    rate: float
    words: str
    """For the record: what is used up."""
    shared: bool = False
    """Other tenants may use it as well."""
    counts_requests: bool = False

    def cost(self, jobs: Sequence[SendJob]) -> int:
        return len(group_into_requests(jobs)) if self.counts_requests else len(jobs)

    def affordable(self, jobs: Sequence[SendJob], tokens: int) -> list[SendJob]:
        """The first of the jobs, as many as so many tokens pay for."""
        if not self.counts_requests:
            return list(jobs[:tokens])
        return [job for request in group_into_requests(jobs)[:tokens] for job in request]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What may go: `jobs`, after `delay`. Where there are none, `limit` is why, and it is worth asking after `wait`."""

    jobs: Sequence[SendJob] = ()
    delay: float = 0.0
    wait: float = 0.0
    limit: Limit | None = None


@dataclass(slots=True)
class RateWaiters:
    """What a worker knows about waiting: how many single messages sleep for what, and when others come again."""

    asleep: Counter[str] = field(default_factory=Counter)
    appointments: StaggeredBackoff = field(default_factory=StaggeredBackoff)

    def has_room(self, key: str, priority: int) -> bool:
        return priority >= URGENT or self.asleep[key] < MAX_WAITERS

    @asynccontextmanager
    async def sleeping(self, key: str) -> AsyncIterator[None]:
        self.asleep[key] += 1
        try:
            yield
        finally:
            self.asleep[key] -= 1
            if not self.asleep[key]:
                del self.asleep[key]

    def retry_after(self, key: str, rate: float, wait: float) -> float:
        """Seconds after which a message that found no room comes again."""
        return max(wait, self.appointments.next(key, 1 / rate))


class RateLimitGate:
    def __init__(self, limiter: Limiter, rules: RateRules, jobs: Sequence[SendJob]) -> None:
        self._limiter = limiter
        self._rules = rules
        self._tenant = jobs[0].account.tenant
        self._account = _account_limit(jobs[0])
        self._own = _tenant_limit(self._tenant, rules)
        self._domains = _domain_limits(self._tenant, rules, jobs)
        self._closed: dict[str, datetime] = {}
        """Until when it is not worth asking, by bucket."""

    @property
    def limited(self) -> bool:
        return self._account is not None or self._own is not None or bool(self._domains)

    async def allow(self, jobs: Sequence[SendJob], room: int, now: datetime) -> Permit:
        """The jobs that may go now, `room` at the most. Their tokens are taken."""
        if not self.limited:
            return Permit(jobs=jobs[:room])
        for limit in (self._account, self._own):
            if limit is not None and (closed := self._closed.get(limit.bucket, now)) > now:
                return Permit(wait=_seconds(closed - now), limit=limit)
        chosen = self._candidates(jobs, room, now)
        if not chosen:
            first = min(self._domains.values(), key=lambda limit: self._closed.get(limit.bucket, now))
            return Permit(wait=_seconds(self._closed[first.bucket] - now), limit=first)
        return await self._take(chosen, jobs, now)

    def _candidates(self, jobs: Sequence[SendJob], room: int, now: datetime) -> list[SendJob]:
        """Those of limited domains first, a slice of each: they need the opportunity more than the others do."""
        if not self._domains:
            return list(jobs[:room])
        scarce: list[SendJob] = []
        free: list[SendJob] = []
        taken: Counter[str] = Counter()
        for job in jobs:
            limit = self._domains.get(_domain(job))
            if limit is None:
                free.append(job)
            elif self._closed.get(limit.bucket, now) <= now and taken[limit.bucket] < int(burst(limit.rate)):
                taken[limit.bucket] += 1
                scarce.append(job)
        return (scarce + free)[:room]

    async def _take(self, chosen: list[SendJob], jobs: Sequence[SendJob], now: datetime) -> Permit:
        paid: list[tuple[Limit, int]] = []
        delay = 0.0
        for limit in (self._account, self._own):
            if limit is None:
                continue
            got = await self._reserve(limit, chosen, jobs, now)
            chosen, delay = limit.affordable(chosen, got.tokens), max(delay, got.delay)
            paid.append((limit, got.tokens))
            if not chosen:
                await self._settle(paid, chosen)
                return Permit(wait=_seconds(self._closed[limit.bucket] - now), limit=limit)
        kept: list[SendJob] = [] if self._domains else chosen
        for domain, members in _by_domain(chosen).items() if self._domains else ():
            limit = self._domains.get(domain)
            if limit is not None:
                got = await self._reserve(limit, members, members, now)
                members, delay = members[: got.tokens], max(delay, got.delay)
            kept += members
        await self._settle(paid, kept)
        return Permit(jobs=kept, delay=delay)

    async def _reserve(
        self, limit: Limit, chosen: Sequence[SendJob], jobs: Sequence[SendJob], now: datetime
    ) -> Reservation:
        most = limit.cost(chosen)
        got = await self._limiter.reserve(
            ReserveRequest(
                bucket=limit.bucket,
                rate=limit.rate,
                tenant=self._tenant if limit.shared else None,
                weight=self._rules.weight,
                most=most,
                wanted=limit.cost(jobs),
                borrow_ahead=borrow_ahead(max(job.item.priority for job in chosen), limit.rate),
            ),
            now,
        )
        if got.tokens < most:
            self._closed[limit.bucket] = now + max(timedelta(seconds=got.wait), SOON)
        return got

    async def _settle(self, paid: Sequence[tuple[Limit, int]], jobs: Sequence[SendJob]) -> None:
        """Give back what was paid for jobs that do not go after all."""
        for limit, tokens in paid:
            if (over := tokens - limit.cost(jobs)) > 0:
                await self._limiter.give_back(limit.bucket, limit.rate, over)


def _account_limit(job: SendJob) -> Limit | None:
    capability, account = job.sender.capability, job.account
    rate = effective(account.rate_per_second, capability.default_rate)
    if rate is None:
        return None
    what = "requests" if capability.rate_counts_requests else "messages"
    return Limit(
        bucket=account.bucket or f"account/{account.tenant}/{account.name}",
        rate=rate,
        words=f"{account.name} sends {rate:g} {what} a second",
        shared=True,
        counts_requests=capability.rate_counts_requests,
    )


def _tenant_limit(tenant: str, rules: RateRules) -> Limit | None:
    if rules.rate is None:
        return None
    return Limit(bucket=f"tenant/{tenant}", rate=rules.rate, words=f"the limit is {rules.rate:g} messages a second")


def _domain_limits(tenant: str, rules: RateRules, jobs: Sequence[SendJob]) -> Mapping[str, Limit]:
    """The limits of those domains that these jobs go to."""
    if not rules.domains or jobs[0].item.channel is not Channel.EMAIL:
        return {}
    return {
        domain: Limit(
            bucket=f"domain/{tenant}/{domain}",
            rate=rules.domains[domain],
            words=f"the limit is {rules.domains[domain]:g} emails a second to {domain}",
        )
        for domain in {_domain(job) for job in jobs} & rules.domains.keys()
    }


def _domain(job: SendJob) -> str:
    return domain_of(bare(job.item.channel, job.item.content.to))


def _by_domain(jobs: Sequence[SendJob]) -> dict[str, list[SendJob]]:
    members: dict[str, list[SendJob]] = {}
    for job in jobs:
        members.setdefault(_domain(job), []).append(job)
    return members


def _seconds(wait: timedelta) -> float:
    return wait.total_seconds()
