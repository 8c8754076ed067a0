"""Access tokens for FCM: a JWT signed with the service account's key is exchanged for one that is good for an hour.

POST https://oauth2.googleapis.com/token     grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=<JWT>
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import httpx
import jwt

from hermod.channels.access_tokens import form_request
from hermod.channels.push.fcm.service_account import GOOGLE_TOKEN_URI, ServiceAccount

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_VALID_FOR: Final = timedelta(hours=1)


def token_request(account: ServiceAccount, now: datetime) -> httpx.Request:
    claims = {
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": GOOGLE_TOKEN_URI,
        "iat": int(now.timestamp()),
        "exp": int((now + _VALID_FOR).timestamp()),
    }
    headers = {"kid": account.private_key_id}
    assertion = jwt.encode(claims, account.private_key, algorithm="RS256", headers=headers)
    return form_request(account.token_uri, {"grant_type": _GRANT, "assertion": assertion})
