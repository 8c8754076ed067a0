"""A webhook request as a shell script around curl: to be made again by hand, signed afresh, with no secret in it.

Everything from outside is inside single quotes, where a POSIX shell expands nothing and keeps every byte: what is
signed is what is sent. No here-document: dash drops a byte of a line that begins as the delimiter does and goes on with
anything but ASCII. The secrets are variables, which the script asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

SECRET: Final = "WEBHOOK_SECRET"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
ID: Final = "webhook-id"
_CURLS_OWN: Final = frozenset({"host", "content-length", "connection", "transfer-encoding", "accept-encoding"})
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Z0-9]+")

_SIGNING: Final = """\
timestamp=$(date +%s)
key=$(printf '%s' "${{{secret}#whsec_}}" | base64 -d | od -An -v -tx1 | tr -d ' \\n')
signature=$({{ printf '%s.%s.' {id} "$timestamp"; body; }} |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64 | tr -d '\\n')
"""


def as_script(
    title: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, *, masked: Iterable[str], identity: str
) -> str:
    """A `sh` script that posts `body` to `url`.

    `masked` names the headers whose values are secrets; `identity` is the `webhook-id` to sign. `title` is a line for
    the reader. Raises ValueError for a body that is no text.
    """
    text = body.decode()
    if "\0" in text:
        raise ValueError("a word of a shell holds no NUL")
    variables = _variables(headers, {name.lower() for name in masked})
    lines = [
        "#!/bin/sh",
        f"# {_one_line(title)}",
        f"# {SECRET} is the endpoint's signing secret (whsec_...).",
        *(f': "${{{name}:?set it first}}"' for name in (SECRET, *variables.values())),
        f"body() {{ printf '%s' {quoted(text)}; }}",
        _SIGNING.format(secret=SECRET, id=quoted(identity)).rstrip(),
        "body | curl --globoff --include --request POST \\",
    ]
    options = [_header(name, value, variables) for name, value in headers if name.lower() not in _CURLS_OWN]
    lines += [f"  {option} \\" for option in options]
    lines.append(f"  --data-binary @- --url {quoted(url)}")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """One word of a POSIX shell, which expands nothing in it."""
    return "'" + text.replace("'", "'\\''") + "'"


def _header(name: str, value: str, variables: dict[str, str]) -> str:
    known = name.lower()
    if known == TIMESTAMP:
        return f'--header "{TIMESTAMP}: $timestamp"'
    if known == SIGNATURE:
        return f'--header "{SIGNATURE}: v1,$signature"'
    if known in variables:
        return f'--header {quoted(name + ": ")}"${variables[known]}"'
    return f"--header {quoted(f'{name}: {value}')}"


def _variables(headers: Iterable[tuple[str, str]], masked: set[str]) -> dict[str, str]:
    """A variable for each secret header, by the header's name: none that a shell or curl knows, none twice."""
    found: dict[str, str] = {}
    for name, _ in headers:
        known = name.lower()
        if known in masked and known not in found and known not in (TIMESTAMP, SIGNATURE, ID):
            variable = "HEADER_" + _NOT_IN_A_NAME.sub("_", known.upper())
            while variable in found.values():
                variable += "_"
            found[known] = variable
    return found


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
