"""A request as a script: any payload, header and address comes out of a real shell as it went in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermod.domain.webhooks.curl import as_script, quoted

SHELLS: Final = [shell for shell in ("sh", "bash", "dash") if shutil.which(shell)]
NASTY: Final = [
    '{"a":1}',
    '{"a":"it\'s $HOME `id` $(id) \\\\ \\" !! * ? ~ ; & | < > # { }"}',
    "{\n}\nEND_OF_BODY\nEND_OF_BODY_\n",
    "E\u0080\nEND\u00e9\n}\u00e9",
    "%s %d %% \\x41 \\101 -n",
    "-n",
    '{"n":"żółć 🚀","u":"\\u0000","r":"\\r\\n"}',
    "",
    "\n\n",
    "a\r\nb\r",
    "'\"$(touch /tmp/hermod-was-here)'",
]
FAKE_CURL: Final = """#!/bin/sh
for word in "$@"; do printf '%s\\0' "$word"; done > "$OUT/words"
cat > "$OUT/body"
"""
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def script(
    body: str,
    url: str = "https://example.com/hook",
    headers: Sequence[tuple[str, str]] = (),
    masked: Sequence[str] = (),
) -> str:
    return as_script("an attempt", url, headers, body.encode(), masked=masked, identity="evt_1")


def run(text: str, folder: Path, shell: str = "sh", **variables: str) -> tuple[list[str], bytes]:
    """Run the script with a curl that only writes down what it was given: its words, and the body."""
    curl = folder / "curl"
    curl.write_text(FAKE_CURL)
    curl.chmod(0o755)
    environment: Mapping[str, str] = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "OUT": str(folder),
        "WEBHOOK_SECRET": SECRET,
        **variables,
    }
    (folder / "script").write_bytes(text.encode())
    subprocess.run([shell, str(folder / "script")], env=environment, check=True, capture_output=True, timeout=20)
    return (folder / "words").read_bytes().decode().split("\0")[:-1], (folder / "body").read_bytes()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("body", NASTY)
def test_script_of_any_payload_is_sound_and_posts_the_very_bytes(tmp_path: Path, shell: str, body: str) -> None:
    text = script(body)
    checked = subprocess.run([shell, "-n"], input=text.encode(), capture_output=True, timeout=20, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
    _, posted = run(text, tmp_path, shell)
    assert posted == body.encode()


@settings(max_examples=40, deadline=None)
@given(
    body=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
)
def test_script_carries_body_header_and_address_unchanged(
    tmp_path_factory: pytest.TempPathFactory, body: str, value: str, path: str
) -> None:
    url = f"https://example.com/{path}"
    words, posted = run(script(body, url, [("x-note", value)]), tmp_path_factory.mktemp("curl"))
    assert posted == body.encode()
    assert f"x-note: {value}" in words
    assert words[-1] == url


def test_script_has_no_secret_and_asks_for_those_it_needs(tmp_path: Path) -> None:
    headers = [
        ("authorization", "Bearer hunter2"),
        ("x-key", "hunter2"),
        ("X_Key", "hunter2"),
        ("webhook-id", "evt_1"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,hunter2"),
    ]
    text = script("{}", headers=headers, masked=["Authorization", "x-key", "x_key"])
    assert "hunter2" not in text
    assert "1614265330" not in text
    with pytest.raises(subprocess.CalledProcessError):
        run(text, tmp_path)
    variables = {"HEADER_AUTHORIZATION": "a b", "HEADER_X_KEY": "$c", "HEADER_X_KEY_": "'d"}
    words, _ = run(text, tmp_path, **variables)
    assert {"authorization: a b", "x-key: $c", "X_Key: 'd", "webhook-id: evt_1"} <= set(words)


def test_script_signs_the_bytes_with_the_time_it_is_run(tmp_path: Path) -> None:
    """The standard's first vector, with its clock."""
    clock = tmp_path / "date"
    clock.write_text("#!/bin/sh\necho 1614265330\n")
    clock.chmod(0o755)
    headers = [("webhook-timestamp", "1"), ("webhook-signature", "v1,x")]
    body = json.dumps({"test": 2432232314}).encode()
    text = as_script("", "https://x.y/", headers, body, masked=[], identity="msg_p5jXN8AQM9LWM0D4loKWxJek")
    words, _ = run(text, tmp_path)
    assert "webhook-timestamp: 1614265330" in words
    assert "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" in words


def test_title_with_a_line_break_stays_a_comment() -> None:
    text = as_script("x\nrm -rf /", "https://x.y/", [], b"{}", masked=[], identity="evt_1")
    assert text.splitlines()[1] == "# x rm -rf /"


@pytest.mark.parametrize("word", ["", "'", "it's", "$(id)", "`id`", "a\\", '"', "*"])
def test_quoted_word_is_one_word(word: str) -> None:
    answer = subprocess.run(["/bin/sh", "-c", f"printf %s {quoted(word)}"], capture_output=True, check=True, timeout=20)
    assert answer.stdout.decode() == word
