"""Providers quote whom they refuse; the record does not."""

from __future__ import annotations

import pytest

from hermod.channels.redaction import LONGEST_LINE, one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("550 5.1.1 <ada@example.com>: user unknown", "550 5.1.1 <[address]>: user unknown"),
        ("mail to ada.lovelace+x@mail.example.co.uk.", "mail to [address]."),
        ('"ada"@example.com and bob@xn--bcher-kva.example', "[address] and [address]"),
        ("zoë@bücher.example is unknown", "[address] is unknown"),
        ("The 'To' number +14155550100 is not valid", "The 'To' number [number] is not valid"),
        ("from 14155550100 to +1 (415) 555-0100", "from [number] to [number]"),
        (
            "error 21211, see https://www.twilio.com/docs/errors/21211",
            "error 21211, see https://www.twilio.com/docs/errors/21211",
        ),
        ("queued as 4Rk2XQ0z1Yz9vBc", "queued as 4Rk2XQ0z1Yz9vBc"),
        ("two\r\nlines\tand\x00more", "two lines and more"),
        ("key SG.secret-key was refused", "key [credential] was refused"),
        ("user test is unknown", "user test is unknown"),
    ],
)
def test_error_text_names_nobody(text: str, line: str) -> None:
    assert one_line(text, ["SG.secret-key", "test"]) == line


def test_error_text_is_cut_to_one_short_line() -> None:
    line = one_line("x" * 100_000)
    assert len(line) == LONGEST_LINE
    assert line.endswith("…")
