"""Forms on the wire: their definitions, submissions, partial ones, payments."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from hermod.contracts.analytics.events import Reference
from hermod.contracts.notifications.content import Channel, Line
from hermod.contracts.notifications.templates import Locale, TemplateName
from hermod.contracts.values.durations import IsoDuration, WrittenDuration, short_duration
from hermod.contracts.values.model import Model, says_nothing
from hermod.contracts.values.plain_json import PlainObject
from hermod.contracts.values.scalars import Flag, Whole

MAX_SCHEMA_BYTES: Final = 256 * 1024
MAX_DATA_BYTES: Final = 256 * 1024
"""Of what a visitor entered, as JSON; a form may set less."""

FormId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Session = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,128}$")]
"""A visitor's session, random, made by the application; it becomes part of a workflow id, so no address."""


def duration(given: object) -> object:
    """`24h` and `1h30m` as they are meant; and true, which counts as 1 elsewhere, is no second."""
    if isinstance(given, bool):
        raise PydanticCustomError("time_delta_type", "true and false are no durations")
    if isinstance(given, str) and (short := short_duration(given)) is not None:
        return short
    return given


FormDuration = Annotated[
    Annotated[timedelta, Field(ge=timedelta(seconds=1), le=timedelta(days=366))],
    BeforeValidator(duration, json_schema_input_type=Annotated[float, Field(ge=1, le=366 * 86_400)] | WrittenDuration),
    IsoDuration,
]
"""Seconds as a number, ISO 8601 (`PT24H`), or `24h`."""


class FormMoment(StrEnum):
    """What happens to a submission or a partial, as events, webhooks and notifications name it."""

    COMPLETED = "submission.completed"
    PAID = "submission.paid"
    PAYMENT_FAILED = "submission.payment_failed"
    REFUNDED = "submission.refunded"
    DISPUTED = "submission.disputed"
    PAYMENT_RETURNED = "submission.payment_returned"
    EXPIRED = "submission.expired"
    PARTIAL = "form.partial"
    ABANDONED = "form.abandoned"


class FormNotification(Model):
    """A message that a form sends at a moment. Texts may have expressions: `{{ data.email }}`, `{{ resume_url }}`."""

    channel: Channel
    to: Annotated[Line, Field(min_length=1, max_length=500)]
    on: FormMoment = FormMoment.COMPLETED
    template: TemplateName | None = None
    """Its data are `data` (what was entered), `form`, `submission`, `payment`, `resume_url`."""
    content: PlainObject = Field(default_factory=dict)
    """The words where there is no template, as in `POST /v1/messages`: `subject`, `text`, `body`, `title` …"""
    locale: Locale | None = None
    when: Annotated[Line, Field(min_length=1, max_length=200)] | None = None
    """An expression; the message is sent where it is true: `data.newsletter`."""


class FormPayment(Model):
    required: Flag = True
    provider: Literal["stripe"] = "stripe"
    expires_in: FormDuration = timedelta(hours=24)
    """From the submission on; what is not paid by then is expired."""


class OnSubmit(Model):
    webhooks: Flag = True
    """Whether the moments of a submission are emitted to webhook endpoints that ask for them."""
    notifications: tuple[FormNotification, ...] = Field(default=(), max_length=20)


class PartialRules(Model):
    abandon_after: FormDuration | None = None
    """After the last change; null: never."""
    webhooks: Flag = False
    resume_url: (
        Annotated[
            str,
            StringConstraints(pattern=r"^https?://[^\s\x00-\x1f\x7f\x85]+$", max_length=1000),
            Field(json_schema_extra={"pattern": r"^https?://[^\s\x00-\x1f\x7f\x85]*\{token\}[^\s\x00-\x1f\x7f\x85]*$"}),
        ]
        | None
    ) = None
    """Where a visitor goes on, with `{token}` in it."""


class SpamGuard(Model):
    honeypot: Annotated[Line, Field(min_length=1, max_length=64)] | None = None
    """A field that people do not see. What fills it is kept as spam: nothing comes of it but word of money."""
    per_address_per_hour: Annotated[int, Whole(1, 100_000)] | None = 60
    max_bytes: Annotated[int, Whole(100, MAX_DATA_BYTES)] = 64 * 1024


class FormInput(Model):
    """`PUT /v1/forms/{id}`. `schema` is a JSON Schema (2020-12) for the data."""

    name: Annotated[Line, Field(min_length=1, max_length=200)]
    schema_: Annotated[PlainObject, Field(alias="schema")]
    payment: FormPayment | None = None
    on_submit: OnSubmit = Field(default_factory=OnSubmit)
    partials: PartialRules = Field(default_factory=PartialRules)
    spam: SpamGuard = Field(default_factory=SpamGuard)


class FormView(FormInput):
    id: str
    revision: int
    created_at: datetime
    updated_at: datetime


class FormSummary(Model):
    """A form as a row of a list."""

    id: str
    name: str
    revision: int
    asks_for_payment: bool
    updated_at: datetime


class FormPage(Model):
    items: tuple[FormSummary, ...]
    next_cursor: str | None


class SubmissionTerms(Model):
    """What of a form's definition holds for a submission, as it was when it was submitted."""

    name: str
    payment: FormPayment | None = None
    on_submit: OnSubmit = Field(default_factory=OnSubmit)


class SubmissionStatus(StrEnum):
    PENDING = "pending"
    """Stored; its workflow has yet to be started."""
    PROCESSING = "processing"
    AWAITING_PAYMENT = "awaiting_payment"
    COMPLETED = "completed"
    """Saved, paid where that is asked for, and announced."""
    EXPIRED = "expired"
    """It was not paid in time."""
    FAILED = "failed"
    """A dead letter: the backend refused it for good. It can be retried."""
    SPAM = "spam"
    """The honeypot was filled in. A payment for it is told, and somebody may say that it is no spam."""


class PaymentStatus(StrEnum):
    """Of a submission's payment, made of all that its provider has told, in whatever order."""

    AWAITED = "awaited"
    PROCESSING = "processing"
    """A method that takes days; not final."""
    FAILED = "failed"
    """The last try failed; another may follow until it expires."""
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    """The payer, or their bank, contests some of it: it is being looked at, or lost."""
    RETURNED = "returned"
    """The payer's bank took it back: there was no money, or no such account."""
    EXPIRED = "expired"


class SubmissionInput(Model):
    """`POST /v1/forms/{id}/submissions`. Header `Idempotency-Key` makes it safe to repeat."""

    data: PlainObject
    session: Session | None = None
    """Of the partial that it completes."""
    contact: Reference | None = None
    remote_address: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    """The visitor's address, for the rate of the form's spam guard, also with a port or as `X-Forwarded-For` has it,
    the visitor first. Only a keyed hash is used, and nothing kept.
    """
    metadata: PlainObject = Field(default_factory=dict)


class SubmissionReceipt(Model):
    id: str
    status: SubmissionStatus


class PaymentView(Model):
    status: PaymentStatus
    expires_at: datetime | None = None
    amount: int | None = None
    """In the currency's smallest unit, as received."""
    amount_refunded: int = 0
    amount_disputed: int = 0
    """Contested, and not won."""
    amount_returned: int = 0
    """Taken back by the payer's bank."""
    currency: str | None = None
    reference: str | None = None
    """The provider's id of it, `pi_…`."""
    paid_at: datetime | None = None
    failure_code: str | None = None


class SpamView(Model):
    """What caught a submission as spam. It stays there when somebody has said that it is none."""

    field: str
    """The honeypot."""
    value: Any
    """What it was filled with; None where what was entered was dropped."""


class SubmissionView(Model):
    id: str
    form: str
    form_revision: int
    status: SubmissionStatus
    data: dict[str, Any] | None
    """None where it was dropped."""
    caught_by: SpamView | None
    """None where nothing did."""
    session: str | None
    contact: str | None
    metadata: dict[str, Any]
    payment: PaymentView | None
    backend_id: str | None
    """As the user's own backend calls it."""
    error_code: str | None
    error: str | None
    workflow_id: str
    request_id: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    discarded_at: datetime | None
    """When somebody took this dead letter off the list."""


class SubmissionSummary(Model):
    id: str
    form: str
    status: SubmissionStatus
    payment_status: PaymentStatus | None
    contact: str | None
    created_at: datetime
    error_code: str | None
    discarded_at: datetime | None


class SubmissionPage(Model):
    items: tuple[SubmissionSummary, ...]
    next_cursor: str | None


class PartialStatus(StrEnum):
    OPEN = "open"
    ABANDONED = "abandoned"
    CONVERTED = "converted"
    SPAM = "spam"
    """The honeypot was filled in, here or in its submission: nothing comes of it."""


class PartialInput(Model):
    """`PUT /v1/forms/{id}/partials/{session}`. The highest revision wins; the others change nothing."""

    revision: Annotated[int, Whole(0, 2**62)]
    data: PlainObject
    contact: Reference | None = None


class PartialReceipt(Model):
    id: str
    """The session."""
    status: PartialStatus
    revision: int
    """The newest one that is stored."""
    stored: bool
    """Whether this call's revision is the newest now."""
    resume_token: str


class PartialView(Model):
    form: str
    session: str
    status: PartialStatus
    revision: int
    data: dict[str, Any] | None
    contact: str | None
    submission: str | None
    created_at: datetime
    updated_at: datetime
    abandoned_at: datetime | None
    converted_at: datetime | None


class ResumeView(Model):
    """What a resume token opens."""

    form: str
    session: str
    revision: int
    """The next one that is stored has to be higher."""
    data: dict[str, Any]
    updated_at: datetime


class ProcessSubmissionInput(Model):
    tenant: str
    submission: str
    is_reset: bool = Field(default=False, exclude_if=says_nothing)
    """Whether this is a run that an operator has made of an older one in Temporal. The workflow says so itself."""


class SavePartialInput(Model):
    tenant: str
    form: str
    session: str


class SubmissionStep(Model):
    """How far a submission has come, and what its workflow does next.

    `run` is the workflow run that gave it up. A workflow that finds another run's id in a failure has been reset by an
    operator, and tries again.
    """

    status: SubmissionStatus
    wait_until: datetime | None = None
    run: str | None = None
    reason: str | None = None
    """Why it was given up, in a code."""


class SubmissionResult(Model):
    """The result of a workflow, as the Web UI shows it."""

    status: SubmissionStatus
