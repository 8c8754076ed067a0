"""The headers by which a mail program shows its own Unsubscribe button (RFC 2369, RFC 8058)."""

from __future__ import annotations

from hermod.contracts.notifications.content import Email


def with_unsubscribe(email: Email, url: str) -> Email:
    """The mail with `List-Unsubscribe` headers, unless it brings its own.

    One click needs https (RFC 8058, section 3.1): over http a mail program may show the link, and must not post to it.
    """
    if any(name.lower() == "list-unsubscribe" for name in email.headers):
        return email
    headers = email.headers | {"List-Unsubscribe": f"<{url}>"}
    if url.startswith("https://"):
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return email.model_copy(update={"headers": headers})
