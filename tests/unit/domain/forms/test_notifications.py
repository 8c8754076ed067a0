"""What a form's notification says once it is filled in, and what is refused when the form is put."""

from __future__ import annotations

from typing import Any

import pytest

from hermod.contracts.errors import InvalidInput
from hermod.contracts.forms.forms import FormInput, FormNotification
from hermod.contracts.notifications.content import Email
from hermod.domain.forms.definitions import check
from hermod.domain.forms.notifications import faults, rendered
from starter.notifications.parsing import message_from

SCOPE: dict[str, Any] = {"data": {"email": "ada@example.com", "name": "Ada\r\nBcc: <x>"}, "form": "signup"}


def notification(**settings: Any) -> FormNotification:
    given = {"channel": "email", "to": "{{ data.email }}", "content": {"subject": "Hi", "text": "Hello"}, **settings}
    return FormNotification.model_validate(given)


def test_texts_are_filled_in_and_html_is_escaped() -> None:
    content = {
        "subject": "Hello {{ data.name }}",
        "html": "<b>{{ data.name }}</b>",
        "text": "{{ form }}",
        "headers": {"X-Form": "{{ form }}"},
        "priority": 8,
    }
    assert rendered(notification(content=content, locale="de"), SCOPE) == {
        "channel": "email",
        "to": "ada@example.com",
        "subject": "Hello Ada Bcc: <x>",
        "html": "<b>Ada\r\nBcc: &lt;x&gt;</b>",
        "text": "signup",
        "headers": {"X-Form": "signup"},
        "priority": 8,
        "locale": "de",
    }


def test_template_sees_the_whole_scope() -> None:
    message = rendered(notification(content={}, template="welcome"), SCOPE)
    assert message == {"channel": "email", "to": "ada@example.com", "template": "welcome", "data": SCOPE}


@pytest.mark.parametrize(
    ("when", "sent"),
    [
        ("data.email", True),
        ("data.newsletter", False),
        ("data.plan == 'pro'", False),
        ("form == 'signup'", True),
        ("not data.email", False),
        ("data.newsletter is defined", False),
        ("data.newsletter is not defined", True),
        ("not data.optout", True),
        ("not data.optout.email", True),
        ("data.vip or data.email", True),
        ("data.vip and data.email", False),
        ("data.plan != 'pro'", True),
        ("not data.plan == 'pro'", True),
        ("data.a == data.b", False),
        ("data.age < 18 or data.age >= 18", False),
        ("not data.age >= 18", True),
        ("18 <= data.age", False),
        ("data.address.city == 'Graz'", False),
        ("data['first-name'] == 'Ada'", False),
        ("data.tags[0] == 'a'", False),
        ("data.tags|length == 0", True),
        ("data.tags|length > 2 or data.email", True),
        ("'a' in data.tags", False),
        ("'a' not in data.tags", True),
        ("data.plan in ['a', 'b']", False),
        ("data.plan|lower == 'pro'", False),
        ("data.plan|lower in ['pro', '']", True),
        ("data.age|int > 17", False),
        ("data.age|default(20) > 17", True),
        ("data.a + data.b > 3", False),
        ("not 1 + data.b * 2 > 3", True),
        ("-data.a > 3", False),
        ("data.birthday|date('%Y') == '2000'", False),
        ("data.tags|map(attribute='name')|join(',') == ''", True),
        ("data.prices|sum > 3", False),
        ("data.age is odd", False),
        ("data.age is not odd", True),
        ("data.plan is string", False),
        ("data.plan[:2] == 'pr'", False),
        ("data.plan ~ 'x' == 'x'", True),
        ("(data.plan if data.vip else data.email)", True),
        ("payment.status == 'paid'", False),
    ],
)
def test_condition_decides_and_what_was_not_entered_is_not_true(when: str, sent: bool) -> None:
    assert (rendered(notification(when=when), SCOPE) is not None) is sent


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"to": "{{ data.phone }}"}, "to"),
        ({"content": {"subject": "{{ data.first }}", "text": "x"}}, "subject"),
        ({"content": {"subject": "{{ 1 / 0 }}", "text": "x"}}, "subject"),
        ({"when": "1 / 0"}, "when"),
        ({"when": "data.email > 5"}, "when"),
    ],
)
def test_what_cannot_be_filled_in_is_refused_by_field(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        rendered(notification(**settings), SCOPE)
    assert wrong.value.errors[0].field == field
    assert "ada@example.com" not in str(wrong.value)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"to": "{{ data.email"}, "to"),
        ({"when": "data.email =="}, "when"),
        ({"when": "true %}x{% endif %}{% if true"}, "when"),
        ({"content": {"text": "{% include 'x' %}"}}, "content.text"),
        ({"content": {"headers": {"X-A": "{{"}}}, "content.headers.X-A"),
        ({"content": {"to": "eve@example.com"}}, "content.to"),
        ({"content": {"channel": "sms"}}, "content.channel"),
        ({"content": {"body": "x"}}, "content.body"),
        ({"template": "welcome", "content": {"data": {}}}, "content.data"),
        ({"when": "data.n < 1e999"}, "when"),
        ({"when": "vip"}, "when"),
        ({"when": "not optout"}, "when"),
        ({"when": "data.first-name"}, "when"),
        ({"when": "session == 'x'"}, "when"),
        ({"when": "submission.id", "on": "form.abandoned"}, "when"),
        ({"to": "{{ email }}"}, "to"),
        ({"content": {"subject": "Hi {{ data.first-name }}", "text": "x"}}, "content.subject"),
        ({"content": {"subject": "Hi {{ name }}", "text": "x"}}, "content.subject"),
    ],
)
def test_notification_that_can_never_be_sent_is_refused_when_the_form_is_put(
    settings: dict[str, Any], field: str
) -> None:
    assert [fault.field for fault in faults(notification(**settings))] == [field]
    given = {"name": "A", "schema": {}, "on_submit": {"notifications": [notification(**settings).model_dump()]}}
    with pytest.raises(InvalidInput) as wrong:
        check(FormInput.model_validate(given))
    assert [error.field for error in wrong.value.errors] == [f"on_submit.notifications.0.{field}"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"partials": {"resume_url": "https://example.com/"}}, "partials.resume_url"),
        ({"schema": {"required": ["website"]}, "spam": {"honeypot": "website"}}, "spam.honeypot"),
        ({"schema": {"type": "x"}}, "schema.type"),
        *(({"schema": {"required": wrong}, "spam": {"honeypot": "website"}}, "schema.required") for wrong in (5, True)),
        ({"schema": {"required": None}, "spam": {"honeypot": "website"}}, "schema.required"),
        ({"schema": {"required": "my website"}, "spam": {"honeypot": "website"}}, "schema.required"),
        ({"schema": {"required": {"website": 1}}, "spam": {"honeypot": "website"}}, "schema.required"),
    ],
)
def test_definition_that_cannot_work_is_refused(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        check(FormInput.model_validate({"name": "A", "schema": {}, **settings}))
    assert [error.field for error in wrong.value.errors] == [field]


@pytest.mark.parametrize("broken", ["Ada\r\nBcc: x", "Ada\u2028Bcc: x", "Ada\u0085Bcc: x", "Ada\x07\x9f Bcc: x"])
def test_what_is_entered_into_a_line_is_one_line(broken: str) -> None:
    content = {
        "subject": "{{ data.name }}",
        "text": "{{ data.name }}",
        "from": "{{ data.name }} <shop@example.com>",
        "reply_to": ["{{ data.name }} <{{ data.email }}>"],
        "headers": {"X-Name": "{{ data.name }}"},
        "attachments": [{"filename": "{{ data.name }}.txt", "content_base64": "eA=="}],
    }
    message = rendered(notification(content=content), {"data": {"email": "ada@example.com", "name": broken}})
    assert message is not None
    email = message_from(message).content
    assert isinstance(email, Email)
    line = "Ada Bcc: x"
    assert (email.subject, email.text, email.headers["X-Name"]) == (line, broken, line)
    assert (email.from_, email.reply_addresses) == (
        f'"{line}" <shop@example.com>',
        (f'"{line}" <ada@example.com>',),
    )
    assert email.attachments[0].filename == f"{line}.txt"


@pytest.mark.parametrize("when", ["data.first-name", "not data.first-name", "data.a-b-c == 1", "data.line-1"])
def test_field_with_a_hyphen_is_told_how_to_be_asked_for(when: str) -> None:
    name = when.removeprefix("not ").removeprefix("data.").partition(" ")[0]
    schema: dict[str, Any] = {"properties": {"line-1": {}}}
    assert [*faults(notification(when=when), schema)] == [
        ("when", f'data.{name} is read as a calculation; write data["{name}"]')
    ]
    assert [*faults(notification(when=f'data["{name}"]'), schema)] == []


@pytest.mark.parametrize(
    "when", ["data.total - data.paid > 0", "data.total-data.paid", "data.total-1", "data.a - 1 > data.b"]
)
def test_calculation_of_what_was_entered_is_taken(when: str) -> None:
    assert [*faults(notification(when=when), {"properties": {"total": {}, "paid": {}}})] == []


def test_variable_of_the_text_itself_is_taken() -> None:
    text = "{% set name = data.name %}{% for tag in data.tags %}{{ name }} {{ tag }} {{ loop.index }}{% endfor %}"
    assert [*faults(notification(content={"subject": "x", "text": text}))] == []


def test_texts_of_a_form_are_counted_together_before_they_are_parsed() -> None:
    text = "{{ [" + "1," * 900 + "1] }}"
    headers = {f"X-{number}": text for number in range(5)}
    notifications = [notification(content={"subject": "x", "text": "x", "headers": headers}).model_dump()] * 20
    with pytest.raises(InvalidInput) as wrong:
        check(FormInput.model_validate({"name": "A", "schema": {}, "on_submit": {"notifications": notifications}}))
    assert [error.field for error in wrong.value.errors] == ["on_submit.notifications.2.content.headers.X-1"]
