"""The request bodies of the API as its reference shows them: the schema's place, and examples to begin with."""

from __future__ import annotations

from typing import Any, Final

from hermod.contracts.analytics.events import MAX_EVENTS
from hermod.contracts.notifications.messages import KEY_PATTERN
from starter.idempotency import LONGEST_FOR_BATCH

_CHANNELS: Final = ("email", "sms", "whatsapp", "push")
MODELS: Final = ("EmailMessage", "SmsMessage", "WhatsAppMessage", "PushMessage")
IN_BATCH: Final = "Batched"
"""Before a model's name: the same message with a field for its idempotency key."""
SCHEMAS: Final = "#/components/schemas/"
"""Where the reference keeps its schemas."""


def any_message(prefix: str = "") -> dict[str, Any]:
    """The schema of a message of any channel."""
    places = [SCHEMAS + prefix + model for model in MODELS]
    return {
        "oneOf": [{"$ref": place} for place in places],
        "discriminator": {"propertyName": "channel", "mapping": dict(zip(_CHANNELS, places, strict=True))},
    }


_EMAIL: Final = {
    "channel": "email",
    "to": "Ada Lovelace <ada@example.com>",
    "subject": "Your receipt",
    "text": "Thank you for your order 42.",
    "html": "<p>Thank you for your order <b>42</b>.</p>",
    "metadata": {"order": 42},
}
_SMS: Final = {
    "channel": "sms",
    "to": "+14155550100",
    "body": "Your code is 481516",
    "priority": 10,
    "retry": ["2s", "5s", "10s"],
}
TEMPLATE_DATA: Final = {"name": "Ada", "orders": [{"item": "Coffee", "price": 2.5}, {"item": "Cake", "price": 4}]}
_WELCOME: Final = {
    "channel": "email",
    "locale": "en",
    "subject": "Welcome, {{ name }}",
    "html": "<p>Hello {{ name }},</p>\n<ul>\n{% for order in orders|default([]) %}\n"
    "<li>{{ order.item }}: {{ '%.2f'|format(order.price) }}</li>\n{% endfor %}\n</ul>",
}

IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the call safe to repeat, like `receipt:42`. Printable ASCII, 255 characters at most.",
    "schema": {"type": "string", "maxLength": 255, "pattern": KEY_PATTERN},
}
BATCH_KEY: Final[dict[str, Any]] = IDEMPOTENCY_KEY | {
    "description": f"Makes the call safe to repeat. Printable ASCII, {LONGEST_FOR_BATCH} characters at most.",
    "schema": IDEMPOTENCY_KEY["schema"] | {"maxLength": LONGEST_FOR_BATCH},
}
MESSAGE_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": any_message(),
            "examples": {
                "email": {"summary": "An email", "value": _EMAIL},
                "email_with_attachment": {
                    "summary": "An email with an attachment",
                    "value": _EMAIL
                    | {
                        "attachments": [
                            {
                                "filename": "receipt.txt",
                                "content_type": "text/plain",
                                "content_base64": "VGhhbmsgeW91Lg==",
                            }
                        ]
                    },
                },
                "email_from_a_template": {
                    "summary": "An email from a template (put it first, under /v1/templates)",
                    "value": {
                        "channel": "email",
                        "to": "ada@example.com",
                        "template": "welcome",
                        "locale": "de-AT",
                        "data": TEMPLATE_DATA,
                    },
                },
                "sms": {"summary": "An SMS, most urgent", "value": _SMS},
                "scheduled": {
                    "summary": "An SMS for later, worthless after an hour",
                    "value": _SMS | {"send_at": "2030-05-01T12:00:00Z", "not_after": "2030-05-01T13:00:00Z"},
                },
                "whatsapp": {
                    "summary": "A WhatsApp template",
                    "value": {
                        "channel": "whatsapp",
                        "to": "+14155550100",
                        "template": {"name": "order_confirmation", "language": "en_US", "components": []},
                    },
                },
                "push": {
                    "summary": "A push notification",
                    "value": {
                        "channel": "push",
                        "to": "device-token",
                        "title": "Your order is on its way",
                        "body": "It arrives tomorrow.",
                        "url": "https://shop.example.com/orders/42",
                        "data": {"order": "42"},
                    },
                },
            },
        }
    },
}
BATCH_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["messages"],
                "additionalProperties": False,
                "properties": {
                    "messages": {"type": "array", "minItems": 1, "maxItems": 5000, "items": any_message(IN_BATCH)}
                },
            },
            "example": {"messages": [_EMAIL | {"idempotency_key": "receipt:42"}, _SMS]},
        }
    },
}
LIMITS_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "Limits"},
            "examples": {
                "limits": {
                    "summary": "100 messages a second, 20 of them to Gmail",
                    "value": {"rate_per_second": 100, "domains": {"gmail.com": 20}},
                },
                "none": {"summary": "No limits but those of the accounts", "value": {}},
            },
        }
    },
}
ACCOUNT_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "AccountInput"},
            "examples": {
                "smtp": {
                    "summary": "A mail server",
                    "value": {
                        "channel": "email",
                        "provider": "smtp",
                        "credentials": {"host": "smtp.example.com", "username": "mailer", "password": "secret"},
                        "from": "Shop <shop@example.com>",
                        "order": 10,
                    },
                },
                "sendgrid": {
                    "summary": "SendGrid, 50 a second at most",
                    "value": {
                        "channel": "email",
                        "provider": "sendgrid",
                        "credentials": {"api_key": "SG.key"},
                        "from": "shop@example.com",
                        "order": 20,
                        "rate_per_second": 50,
                    },
                },
                "twilio": {
                    "summary": "Twilio",
                    "value": {
                        "channel": "sms",
                        "provider": "twilio",
                        "credentials": {"account_sid": "ACsid", "auth_token": "token"},
                        "from": "+14155550199",
                    },
                },
            },
        }
    },
}
ENDPOINT_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "EndpointSettings"},
            "examples": {
                "everything": {"summary": "Every event", "value": {"url": "https://shop.example.com/webhooks"}},
                "orders": {
                    "summary": "Orders, in order, with a header for the receiver's gateway",
                    "value": {
                        "url": "https://erp.example.com/hooks?source=shop",
                        "event_types": ["order.*", "refund.created"],
                        "description": "The ERP",
                        "ordering": "by_key",
                        "headers": {"authorization": "Bearer token"},
                    },
                },
                "paid": {
                    "summary": "Only what is paid, from 50 on",
                    "value": {
                        "url": "https://crm.example.com/in",
                        "event_types": ["order.*"],
                        "filter": [
                            {"path": "data.status", "op": "eq", "value": "paid"},
                            {"path": "data.total", "op": "gte", "value": 50},
                        ],
                    },
                },
                "careful": {
                    "summary": "A slow receiver: few at once, its own schedule",
                    "value": {
                        "url": "https://legacy.example.com/in",
                        "retry": [60, 600, 3600],
                        "timeout_seconds": 30,
                        "max_concurrency": 2,
                        "rate_per_second": 5,
                    },
                },
            },
        }
    },
}
ENDPOINT_CHANGES_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "EndpointChanges"},
            "examples": {
                "disable": {"summary": "Park what comes", "value": {"enabled": False}},
                "filter": {
                    "summary": "Two countries only",
                    "value": {"filter": [{"path": "data.customer.country", "op": "in", "value": ["DE", "AT"]}]},
                },
                "header": {
                    "summary": "Another token, one header less",
                    "value": {"headers": {"authorization": "Bearer new", "x-old": None}},
                },
            },
        }
    },
}
ROTATION_BODY: Final[dict[str, Any]] = {
    "required": False,
    "content": {
        "application/json": {"schema": {"$ref": SCHEMAS + "Rotation"}, "example": {"overlap_hours": 48}},
    },
}
TEMPLATE_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "TemplateInput"},
            "examples": {
                "email": {"summary": "An email; its text is made from the HTML", "value": _WELCOME},
                "german": {
                    "summary": "The same in German, with a text of its own",
                    "value": {
                        "channel": "email",
                        "locale": "de",
                        "subject": "Willkommen, {{ name }}",
                        "html": "<p>Hallo {{ name }}!</p>",
                        "text": "Hallo {{ name }}!",
                    },
                },
                "mjml": {
                    "summary": "MJML (needs the extra mjml)",
                    "value": {
                        "channel": "email",
                        "subject": "Welcome, {{ name }}",
                        "mjml": "<mjml><mj-body><mj-section><mj-column><mj-text>Hello {{ name }}</mj-text>"
                        "</mj-column></mj-section></mj-body></mjml>",
                    },
                },
                "sms": {
                    "summary": "An SMS",
                    "value": {"channel": "sms", "body": "{{ code }} is your code, {{ name|default('friend') }}."},
                },
                "push": {
                    "summary": "A push notification with data",
                    "value": {
                        "channel": "push",
                        "title": "Your order is on its way",
                        "body": "{{ name }}, it arrives {{ day|default('soon') }}.",
                        "data": {"customer": "{{ name }}"},
                    },
                },
            },
        }
    },
}
PREVIEW_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "PreviewInput"},
            "example": {"locale": "en", "data": TEMPLATE_DATA},
        }
    },
}
DRAFT_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "DraftInput"},
            "example": {
                "template": {"channel": "sms", "body": "{{ name }}, your code is {{ code }}."},
                "data": {"name": "Ada", "code": "481516"},
            },
        }
    },
}
EVENT_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": SCHEMAS + "EventInput"},
            "examples": {
                "event": {
                    "summary": "An event",
                    "value": {"type": "order.paid", "payload": {"id": 42, "total": "12.50", "currency": "EUR"}},
                },
                "repeatable": {
                    "summary": "Safe to repeat, and in order for each customer",
                    "value": {
                        "type": "order.shipped",
                        "payload": {"id": 42},
                        "event_id": "order-42-shipped",
                        "ordering_key": "customer-7",
                    },
                },
            },
        }
    },
}
_PAGE_VIEW: Final = {"type": "page.viewed", "session": "s-81", "properties": {"path": "/pricing", "seconds": 12.5}}
EVENTS_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    {"$ref": SCHEMAS + "TrackedEvent"},
                    {
                        "type": "object",
                        "required": ["events"],
                        "additionalProperties": False,
                        "properties": {
                            "events": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": MAX_EVENTS,
                                "items": {"$ref": SCHEMAS + "TrackedEvent"},
                            }
                        },
                    },
                ]
            },
            "examples": {
                "event": {"summary": "An event", "value": _PAGE_VIEW},
                "events": {
                    "summary": "Several, one of them safe to repeat",
                    "value": {
                        "events": [
                            _PAGE_VIEW,
                            {
                                "type": "order.paid",
                                "event_id": "order-42-paid",
                                "contact": "customer-7",
                                "properties": {"total": 49.99, "currency": "EUR"},
                            },
                        ]
                    },
                },
            },
        }
    },
}
