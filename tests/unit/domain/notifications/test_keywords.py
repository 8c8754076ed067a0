"""Which messages opt out, in, or ask for help: the words, their wrappings, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.domain.notifications.keywords import Keyword, keyword


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
        "the bus stop is closed",
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


@pytest.mark.parametrize(
    "text",
    [
        "Stop. Thank you",
        "Please stop",
        "please STOP!",
        "STOP STOP",
        "stop, stop, STOP!!",
        "Unsubscribe me",
        "Please unsubscribe me from this list",
        "Stop texting me",
        "please stop texting me",
        "Stop sending me messages",
        "Stop these texts now",
        "stop it",
        "Opt me out",
        "Opt out please. Thanks",
        "Remove me from your list",
        "Take me off this list, please",
        "Cancel, thanks",
        "STOP\n\nSent from my iPhone",
        "Stop Sent from my iPhone 17 Pro",
        "STOP\n--\nDr. Ada Lovelace, Analytical Engines Ltd., 12 Long Street, London",
        "Stop\nGet Outlook for Android",
        "Stop\n\nVon meinem iPhone gesendet",
        "STOP\n> Our sale begins tomorrow! Reply STOP to opt out.",
        "Stop bitte",
        "Arrêt svp",
    ],
)
def test_stop_in_so_many_words_is_stop(text: str) -> None:
    assert keyword(text) is Keyword.STOP


@pytest.mark.parametrize(
    "text",
    [
        "Don't stop",
        "please don't stop texting me",
        "Stop by at noon",
        "Please cancel my order",
        "cancel this order",
        "Can you stop at the store?",
        "the stop is closed, thank you",
        "Thank you",
        "please",
        "Remove this item from my cart",
        "the end of the list",
        "When does it end?",
        "Please start",
        "START START",
        "help me please",
        "Sent from my iPhone",
        "I will stop",
        "stop or start?",
    ],
)
def test_what_only_sounds_like_stop_is_left_to_a_person(text: str) -> None:
    assert keyword(text) is not Keyword.STOP
    assert keyword(text) is not Keyword.START
