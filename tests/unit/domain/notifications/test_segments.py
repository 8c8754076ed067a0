"""Parts of an SMS: the limits of both alphabets, and what holds for every text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.domain.notifications.segments import Encoding, encoding, segments

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = "\f^{}\\[~]|€"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 0),
        ("a", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("a" * 153 + "€" + "a" * 151, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
        ("ê" * 70, 1),
        ("ê" * 71, 2),
        ("ê" * 134, 2),
        ("ê" * 135, 3),
        ("👩‍👩‍👧‍👦" * 6, 1),
        ("👩‍👩‍👧‍👦" * 7, 2),
    ],
)
def test_segments_of_a_text_are_counted_as_it_is_packed(text: str, parts: int) -> None:
    assert segments(text) == parts


def test_encoding_of_the_whole_alphabet_is_gsm_7() -> None:
    assert len(set(BASIC)) == 127
    assert encoding(BASIC + EXTENDED) is Encoding.GSM_7


@pytest.mark.parametrize(
    "character", [*"`ç\t’“”–…•êáíóúёж", "\N{NO-BREAK SPACE}", "😀", "\N{ZERO WIDTH SPACE}", "\x00", "\x1b"]
)
def test_encoding_of_one_other_character_is_ucs_2(character: str) -> None:
    assert encoding(f"it{character}s") is Encoding.UCS_2


def units(text: str) -> int:
    if encoding(text) is Encoding.UCS_2:
        return len(text.encode("utf-16-le")) // 2
    return sum(2 if character in EXTENDED else 1 for character in text)


TEXTS = st.one_of(
    st.text(BASIC, max_size=700),
    st.text(BASIC + EXTENDED, max_size=700),
    st.text("aж😀\N{ZERO WIDTH JOINER}", max_size=300),
    st.text(max_size=300),
)


@given(TEXTS)
def test_segments_hold_the_text_and_waste_one_unit_each_at_most(text: str) -> None:
    single, part = (160, 153) if encoding(text) is Encoding.GSM_7 else (70, 67)
    parts = segments(text)
    if units(text) <= single:
        assert parts == (1 if text else 0)
    else:
        assert -(-units(text) // part) <= parts <= -(-units(text) // (part - 1))


@given(TEXTS, st.sampled_from("a€ж😀"))
def test_segments_never_shrink_when_a_character_is_added(text: str, more: str) -> None:
    assert segments(text) <= segments(text + more) or encoding(text) is not encoding(text + more)
    assert encoding(text) is Encoding.GSM_7 or encoding(text + more) is Encoding.UCS_2
