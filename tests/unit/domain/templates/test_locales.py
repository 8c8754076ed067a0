"""Which version a message gets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Options
from hermod.domain.templates.locales import Head, Reference, chosen, lineage, reference

AT = datetime(2030, 1, 1, tzinfo=UTC)


def head(locale: str, version: int, default: str = "en") -> Head:
    return Head(locale, version, Channel.SMS, locale == default, AT)


HEADS = [head("de", 6), head("en", 5), head("zh-Hant", 4), head("de-AT", 3), head("de", 2), head("en", 1)]


@pytest.mark.parametrize(
    ("locale", "version", "found"),
    [
        (None, None, 5),
        ("en", None, 5),
        ("en-GB", None, 5),
        ("de", None, 6),
        ("de-AT", None, 3),
        ("de-CH", None, 6),
        ("zh-Hant-TW", None, 4),
        ("fr", None, 5),
        ("de", 6, 6),
        ("de", 5, 2),
        ("de-AT", 2, 2),
        ("de-AT", 1, 1),
        (None, 4, 1),
        ("de", 7, None),
    ],
)
def test_nearest_locale_of_the_pinned_moment_is_chosen(
    locale: str | None, version: int | None, found: int | None
) -> None:
    head = chosen(HEADS, locale, version)
    assert (head.version if head else None) == found


def test_default_that_was_not_there_yet_is_the_newest_of_its_time() -> None:
    heads = [head("fr", 3, "fr"), head("de", 2, "fr"), head("en", 1, "fr")]
    assert chosen(heads, "it", 2) == heads[1]


def test_no_template_has_no_version() -> None:
    assert chosen([], "en", None) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("welcome", Reference("welcome", None)),
        ("welcome@3", Reference("welcome", 3)),
        ("welcome@0", None),
        ("welcome@", None),
        ("welcome@x", None),
        ("Welcome", None),
        ("", None),
        ("a/b", None),
        ("welcome@" + "9" * 20, None),
    ],
)
def test_reference_names_a_template_and_perhaps_a_version(text: str, found: Reference | None) -> None:
    assert reference(text) == found


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("en", "en"),
        ("de_at", "de-AT"),
        ("DE-at", "de-AT"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("en_001", "en-001"),
    ],
)
def test_locale_is_kept_in_its_usual_spelling(written: str, kept: str) -> None:
    assert Options(locale=written).locale == kept


@pytest.mark.parametrize(
    ("locale", "order"),
    [
        ("de-AT", ["de-AT", "de"]),
        ("zh-TW", ["zh-TW", "zh-Hant", "zh"]),
        ("zh-HK", ["zh-HK", "zh-Hant", "zh"]),
        ("zh-Hant-TW", ["zh-Hant-TW", "zh-Hant", "zh"]),
        ("zh-CN", ["zh-CN", "zh-Hans", "zh"]),
        ("es-MX", ["es-MX", "es-419", "es"]),
        ("es-ES", ["es-ES", "es"]),
        ("pt-AO", ["pt-AO", "pt-PT", "pt"]),
        ("pt-BR", ["pt-BR", "pt"]),
        ("nn", ["nn", "no", "nb"]),
        ("nb", ["nb", "no"]),
        ("en-001", ["en-001", "en"]),
        ("en-GB", ["en-GB", "en-001", "en"]),
        ("en-AU", ["en-AU", "en-001", "en"]),
        ("en-150", ["en-150", "en-001", "en"]),
        ("en-DE", ["en-DE", "en-150", "en-001", "en"]),
        ("en-US", ["en-US", "en"]),
        ("en-CA", ["en-CA", "en"]),
        ("es-JP", ["es-JP", "es-419", "es"]),
        ("hi-Latn", ["hi-Latn", "en-IN", "en-001", "en"]),
        ("ht", ["ht", "fr-HT", "fr"]),
    ],
)
def test_locale_falls_back_to_its_parents_in_order(locale: str, order: list[str]) -> None:
    assert list(lineage(locale)) == order
