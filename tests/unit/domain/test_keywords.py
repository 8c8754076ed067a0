"""Which messages opt out, in, or ask for help: the words, their wrappings, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.domain.keywords import Keyword, keyword


@pytest.mark.parametrize(
    "word",
    [
        *("STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"),
        *("REVOKE", "OPTOUT", "OPT-OUT", "OPT OUT", "REMOVE", "ARRET", "ARRÊT", "TD"),
    ],
)
def test_keyword_that_opts_out_is_stop_in_any_case(word: str) -> None:
    assert {keyword(word), keyword(word.lower()), keyword(word.title())} == {Keyword.STOP}


@pytest.mark.parametrize(
    ("word", "meant"),
    [("START", Keyword.START), ("unstop", Keyword.START), ("Help", Keyword.HELP), ("INFO", Keyword.HELP)],
)
def test_keyword_that_opts_in_or_asks_for_help_is_known(word: str, meant: Keyword) -> None:
    assert keyword(word) is meant


@pytest.mark.parametrize(
    "text",
    [
        "  stop\r\n",
        "Stop.",
        "STOP!!!",
        '"STOP"',
        "“Stop”",
        "« stop »",
        "'stop'",
        "(stop)",
        "¡STOP!",
        "STOP 🛑",
        "✋️ stop",
        "\u200bstop\ufeff",
        "STOP",
        "stop  all",
        "Stop-All",
        "opt\u2011out",
        "Opt\u2013Out",
        "opt_out",
        "arre\u0302t",
    ],
)
def test_keyword_in_its_wrapping_is_still_the_keyword(text: str) -> None:
    assert keyword(text) is Keyword.STOP


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "!!!",
        "please stop texting me",
        "the bus stop is closed",
        "stop it",
        "STOP 1",
        "s top",
        "s.t.o.p",
        "nonstop",
        "the end",
        "YES",
        "y",
        "stop" + " " * 100,
    ],
)
def test_keyword_as_part_of_a_message_is_none(text: str) -> None:
    assert keyword(text) is None


@given(st.text())
def test_keyword_of_any_text_is_found_or_not_but_never_raises(text: str) -> None:
    assert keyword(text) in (None, *Keyword)
