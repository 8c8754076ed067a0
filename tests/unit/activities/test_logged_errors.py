"""An error that nobody has foreseen is logged by its class and its places. Its text may quote a record, and is not."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from pydantic import ValidationError

from activities.notifications.dispatcher import MessageDispatcher
from activities.notifications.requests import SendJob, is_batchable, send_all
from activities.notifications.transitions import unprepared
from activities.webhooks.dispatcher import WebhookDispatcher
from hermod.contracts.forms.forms import FormMoment
from hermod.contracts.notifications.content import Email
from hermod.ports.forms.forms import Announcement
from hermod.telemetry import fault, get_logger
from starter.client import _rejected
from starter.concurrency.relay import Relay
from starter.forms.announcer import FormAnnouncer
from starter.housekeeping.sweeping import Sweepers
from tests.support.log_lines import logged
from web.http.request_log import RequestLogMiddleware

SECRET = "ada-secret@example.com"


def quoting() -> ValidationError:
    """As a record gives it that another version has stored: the text quotes what is in it."""
    try:
        Email.model_validate({"to": "ada@example.com", "subject": "a", "text": "b", "nickname": SECRET})
    except ValidationError as error:
        return error
    raise AssertionError


def raised(kind: str = "refused") -> Exception:
    """The error with a traceback, a cause that quotes, and a local variable that a pretty traceback would show."""
    secret_local = SECRET
    try:
        try:
            raise quoting()
        except ValidationError as cause:
            raise RuntimeError(f"{kind}: {secret_local}") from cause
    except RuntimeError as error:
        error.add_note(SECRET)
        return error


def by_name(error: Exception) -> None:
    get_logger("x").error("failed", exc_info=error)


def by_logger_of_libraries(error: Exception) -> None:
    logging.getLogger("library").error("failed", exc_info=error)


def within(error: Exception) -> None:
    try:
        raise error
    except Exception:
        logging.getLogger("library").exception("failed")
        get_logger("x").exception("failed")


def by_the_helper(error: Exception) -> None:
    get_logger("x").error("failed", **fault(error))


def by_a_group(error: Exception) -> None:
    get_logger("x").error("failed", exc_info=ExceptionGroup(SECRET, [error]))


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("log", [by_name, by_logger_of_libraries, within, by_the_helper, by_a_group])
def test_error_that_quotes_a_record_is_logged_without_its_text(log: Callable[[Exception], None], form: str) -> None:
    error = raised()
    assert SECRET in str(error.__cause__)
    with logged(form) as text:
        log(error)
    assert SECRET not in text()
    assert "RuntimeError" in text()
    assert "ValidationError" in text(), "the cause"
    assert "in raised" in text()


def test_chain_of_causes_is_a_circle_is_logged_to_its_end() -> None:
    first, second = ValueError(SECRET), KeyError(SECRET)
    first.__cause__, second.__cause__ = second, first
    assert fault(first)["exception"].count("Traceback") == 2


async def test_error_of_a_task_that_nobody_awaits_is_logged_without_its_text() -> None:
    async def fails() -> None:
        raise raised()

    with logged() as text:
        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        del task
        gc.collect()
        asyncio.get_running_loop().call_soon(lambda secret: 1 / 0, SECRET)
        await asyncio.sleep(0)
    assert "Task exception was never retrieved" in text()
    assert "Exception in callback" in text()
    assert "RuntimeError" in text()
    assert SECRET not in text()


async def of_work_in_the_background() -> None:
    async def fails() -> None:
        raise raised()

    relay = Relay()
    relay.start(fails)
    await relay.drain()


async def of_a_sweep() -> None:
    async def sweep() -> Any:
        raise raised()

    await Sweepers({"messages": cast(Any, SimpleNamespace(sweep=sweep))}).sweep()


async def of_a_call() -> None:
    async def app(*_: Any) -> None:
        raise raised()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": [], "state": {}, "query_string": b""}
    await RequestLogMiddleware(app)(scope, cast(Any, None), send)
    assert SECRET.encode() not in b"".join(message.get("body", b"") for message in sent)


async def of_one_of_a_batch() -> None:
    assert SECRET not in str(_rejected(0, raised()))


async def of_a_message_that_is_no_request() -> None:
    change = unprepared(
        cast(Any, SimpleNamespace(id="msg_1", attempts=0, round=1, spent=0, wait_reason=None)), raised()
    )
    assert SECRET not in str(change)


class Failing:
    """An adapter that fails at whatever it is asked."""

    capability = SimpleNamespace(max_batch=2, deadline=None)

    def _fail(self, *_: Any) -> Any:
        raise raised()

    batchable = cannot_express = send = send_batch = _fail


def job() -> SendJob:
    names = SimpleNamespace(name="main", provider="smtp", tenant="shop", credentials={}, describe=dict)
    item = SimpleNamespace(id="msg_1", attempts=0, channel=SimpleNamespace(value="email"))
    return SendJob(
        cast(Any, item), cast(Any, names), cast(Any, Failing()), cast(Any, SimpleNamespace(content=None)), ""
    )


async def of_an_adapter_that_weighs() -> None:
    assert not is_batchable(job())


async def of_an_adapter_that_routes() -> None:
    delivery = object.__new__(MessageDispatcher)
    delivery._senders = cast(Any, SimpleNamespace(sender=lambda _: Failing()))
    delivery._in_order = {}
    account = SimpleNamespace(
        name="main", order=1, enabled=True, blocked_until=None, blocked_reason=None, half_open=False, probe_until=None
    )
    delivery._known = [cast(Any, account)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("activities.notifications.dispatcher.pinned_account", lambda _: None)
        patch.setattr("activities.notifications.dispatcher.choice_for", lambda _: 0.0)
        patch.setattr(
            "activities.notifications.dispatcher.route", lambda accounts, tried, unfit, now, choice: unfit(account)
        )
        item = SimpleNamespace(id="msg_1", content=None, requested_account=None, tried=set())
        assert SECRET not in str(delivery._look_up(cast(Any, item), datetime.now(UTC)))


async def of_an_adapter_that_sends() -> None:
    one = job()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Failing, "capability", SimpleNamespace(max_batch=1, deadline=timedelta(days=1)))
        await send_all([one], lambda: False, 1)
    assert SECRET not in str(one.outcome)


async def of_a_webhook_request() -> None:
    dispatch = object.__new__(WebhookDispatcher)
    dispatch._work = cast(Any, SimpleNamespace(tenant="shop"))
    dispatch._clock = cast(Any, SimpleNamespace(now=lambda: datetime.now(UTC)))
    dispatch._ways = cast(Any, SimpleNamespace(requests=Failing()._fail))
    asked = SimpleNamespace(
        begin_by=float("inf"), endpoint=SimpleNamespace(id="whe_1"), item=SimpleNamespace(id="whd_1", attempts=1)
    )
    assert SECRET not in str(await dispatch._exchange(cast(Any, asked)))


async def of_a_notification() -> None:
    announcer = FormAnnouncer(cast(Any, None), cast(Any, None), cast(Any, None), cast(Any, None))
    told = Announcement(
        tenant="shop",
        moment=FormMoment.PARTIAL,
        reference="sub_1",
        turn="1",
        form="contact",
        at=datetime.now(UTC),
        payload={},
        scope={},
        webhooks=False,
        notifications=(cast(Any, SimpleNamespace(on=FormMoment.PARTIAL)),),
        session=None,
        contact=None,
        request_id=None,
    )

    async def noted(*_: Any) -> bool:
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FormAnnouncer, "_notify", Failing._fail)
        patch.setattr(FormAnnouncer, "_note", noted)
        assert SECRET not in str(await announcer.announce(told))


DOORS = [
    of_work_in_the_background,
    of_a_sweep,
    of_a_call,
    of_one_of_a_batch,
    of_a_message_that_is_no_request,
    of_an_adapter_that_weighs,
    of_an_adapter_that_routes,
    of_an_adapter_that_sends,
    of_a_webhook_request,
    of_a_notification,
]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
async def test_door_fails_with_an_error_that_quotes_a_record_the_log_has_its_place_and_no_word_of_it(
    door: Callable[[], Awaitable[None]],
) -> None:
    structlog.contextvars.clear_contextvars()
    with logged() as text:
        await door()
    assert SECRET not in text()
    assert "RuntimeError" in text()
    assert "in raised" in text()


async def test_logger_of_a_module_was_used_before_its_lines_are_seen_all_the_same() -> None:
    with logged():
        structlog.configure(cache_logger_on_first_use=True)
        await of_a_sweep()
    with logged() as text:
        await of_a_sweep()
    assert "sweep_failed" in text()
