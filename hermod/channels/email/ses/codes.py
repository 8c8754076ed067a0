"""The error types of SES's API v2, and what they mean for a message. Data only.

A type that is not listed is judged by the HTTP status. Nothing here says that an address is wrong: SES calls an
address that it cannot parse a BadRequestException, like every other fault of a request, and learns later, by a bounce,
that nobody lives there.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Meaning(Enum):
    MESSAGE = auto()
    SENDER = auto()
    """Halts the account where the sender is the account's own, else refuses the message."""
    ACCOUNT = auto()
    THROTTLED = auto()


MEANINGS: Final[dict[str, Meaning]] = {
    "BadRequestException": Meaning.MESSAGE,
    "MessageRejected": Meaning.MESSAGE,  # content; also an identity that is not verified, which only the text tells
    "MailFromDomainNotVerifiedException": Meaning.SENDER,
    "AccountSuspendedException": Meaning.ACCOUNT,
    "SendingPausedException": Meaning.ACCOUNT,  # for the account or the configuration set
    "NotFoundException": Meaning.ACCOUNT,  # the configuration set
    "AccessDeniedException": Meaning.ACCOUNT,
    "ExpiredToken": Meaning.ACCOUNT,  # the session token's time is over; 400 at some services, 403 at others
    "ExpiredTokenException": Meaning.ACCOUNT,
    "IncompleteSignatureException": Meaning.ACCOUNT,
    "InvalidClientTokenId": Meaning.ACCOUNT,
    "InvalidSignatureException": Meaning.ACCOUNT,  # wrong secret, or a clock that is more than 15 minutes off
    "MissingAuthenticationTokenException": Meaning.ACCOUNT,
    "OptInRequired": Meaning.ACCOUNT,
    "RequestExpired": Meaning.ACCOUNT,
    "SignatureDoesNotMatch": Meaning.ACCOUNT,
    "UnrecognizedClientException": Meaning.ACCOUNT,
    # Which of these stands for the daily quota, and which for the rate, is not documented: both mean to wait.
    "LimitExceededException": Meaning.THROTTLED,
    "RequestThrottled": Meaning.THROTTLED,
    "RequestThrottledException": Meaning.THROTTLED,
    "SlowDown": Meaning.THROTTLED,
    "Throttling": Meaning.THROTTLED,
    "ThrottlingException": Meaning.THROTTLED,
    "TooManyRequestsException": Meaning.THROTTLED,
}
