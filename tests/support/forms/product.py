"""Forms and submissions of a tenant in a running product."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import text

from hermod.contracts.forms.forms import SubmissionStatus, SubmissionView
from starter.forms.forms import put_form
from starter.forms.submissions import submission
from tests.support.polling import eventually
from tests.support.product import ProductFixture

SCHEMA: Final = {
    "type": "object",
    "required": ["email"],
    "additionalProperties": False,
    "properties": {"email": {"type": "string", "format": "email"}, "name": {"type": "string", "maxLength": 100}},
}
ENTERED: Final = {"email": "ada@example.com", "name": "Ada"}

_OPEN: Final = frozenset({SubmissionStatus.PENDING, SubmissionStatus.PROCESSING, SubmissionStatus.AWAITING_PAYMENT})
_PAY: Final = text("""
    UPDATE form_submissions
       SET payment_status = :payment_status, amount = 4900, currency = 'eur', amount_refunded = :refunded,
           payment_refunds = :refunds, payment_failures = :failures, failure_code = :code, updated_at = now()
     WHERE tenant_id = :tenant AND id = :id
""")


async def add_form(house: ProductFixture, form: str = "signup", **settings: Any) -> str:
    await put_form(house.hermod, form, {"name": "Sign up", "schema": SCHEMA, **settings})
    return form


async def submitted(house: ProductFixture, form: str = "signup", **options: Any) -> str:
    """The id of a submission that was taken."""
    return (await house.hermod.submit(form, ENTERED, **options)).id


async def ended(house: ProductFixture, own: str, *statuses: SubmissionStatus, within: float = 20.0) -> SubmissionView:
    """The submission, once it has one of the statuses, and its end where that is one; or any end."""

    async def there() -> SubmissionView | None:
        view = await submission(house.hermod, own)
        if statuses:
            assert view.status in statuses, f"{view.status.value}: {view.error}"
            assert view.finished_at is not None or view.status in _OPEN
            return view
        return view if view.finished_at is not None else None

    view = await eventually(there, within=within)
    assert view is not None
    return view


async def pay(
    house: ProductFixture,
    own: str,
    status: str,
    *,
    refunded: int = 0,
    refunds: int = 0,
    failures: int = 0,
    code: str | None = None,
) -> None:
    """What a payment provider's events make of the record. The workflow is told by whoever calls this."""
    names = {"tenant": house.hermod.tenant, "id": own, "payment_status": status, "refunded": refunded}
    more = {"refunds": refunds, "failures": failures, "code": code}
    await house.hermod.core.storage.database.execute(_PAY, names | more)


async def told(house: ProductFixture, own: str) -> list[str]:
    """The moments that were announced, in their order."""
    statement = text("SELECT announced FROM form_submissions WHERE tenant_id = :tenant AND id = :id")
    rows = await house.hermod.core.storage.database.rows(statement, {"tenant": house.hermod.tenant, "id": own})
    return list(rows[0].announced)
