"""Which of a template's versions a message gets: by locale, by the version it asks for, and by what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from hermod.contracts.notifications.content import Channel

_REFERENCE: Final = re.compile(r"(?P<name>[a-z0-9][a-z0-9_-]{0,62})(?:@(?P<version>[1-9]\d{0,8}))?")


class Reference(NamedTuple):
    """What a message's `template` says: `welcome`, or `welcome@3` for the template as it was with version 3."""

    name: str
    version: int | None


class Head(NamedTuple):
    """A version without its source. Versions of all locales of a template are counted together."""

    locale: str
    version: int
    channel: Channel
    is_default: bool
    """Whether its locale is the one for readers of no known locale."""
    created_at: datetime


def reference(text: str) -> Reference | None:
    """None where this can be no template."""
    found = _REFERENCE.fullmatch(text)
    return Reference(found["name"], int(found["version"]) if found["version"] else None) if found else None


_WORLD_ENGLISH: Final = (
    "150 AG AI AU BB BM BS BW BZ CC CK CM CX CY DG DM ER FJ FK FM GB GD GG GH GI GM GY HK ID IE IL IM IN IO JE JM KE "
    "KI KN KY LC LR LS MG MO MS MT MU MV MW MY NA NF NG NR NU NZ PG PK PN PW RW SB SC SD SG SH SL SS SX SZ TC TK TO "
    "TT TV TZ UG VC VG VU WS ZA ZM ZW"
)
_PARENTS: Final = {
    **dict.fromkeys((f"en-{at}" for at in _WORLD_ENGLISH.split()), "en-001"),
    **dict.fromkeys((f"en-{at}" for at in "AT BE CH DE DK FI NL SE SI".split()), "en-150"),
    **dict.fromkeys(
        (f"es-{at}" for at in "AR BO BR BZ CL CO CR CU DO EC GT HN JP MX NI PA PE PR PY SV US UY VE".split()), "es-419"
    ),
    **dict.fromkeys((f"pt-{at}" for at in "AO CH CV FR GQ GW LU MO MZ ST TL".split()), "pt-PT"),
    **dict.fromkeys((f"zh-{at}" for at in ("TW", "HK", "MO")), "zh-Hant"),
    **dict.fromkeys((f"zh-{at}" for at in ("CN", "SG")), "zh-Hans"),
    "zh-Hant-MO": "zh-Hant-HK",
    "hi-Latn": "en-IN",
    "ht": "fr-HT",
    "no": "nb",
    "nb": "no",
    "nn": "no",
}
"""CLDR's parents (version 45) that are not what is left without the last part: 001 is the world, 150 Europe, 419 Latin
America. Without those that have none there, since a reader of zh-Hant rather gets zh than another language."""


def lineage(locale: str) -> Iterator[str]:
    """A locale and what it is a part of, or may stand for it: de-AT, de; en-GB, en-001, en; zh-TW, zh-Hant, zh."""
    seen: set[str] = set()
    while locale and locale not in seen:
        seen.add(locale)
        yield locale
        locale = _PARENTS.get(locale) or locale.rpartition("-")[0]


def chosen(heads: Sequence[Head], locale: str | None, version: int | None) -> Head | None:
    """The newest version in the nearest locale: de-AT, de, then the default. `heads` has the newest first.

    With `version`, later ones do not exist: a pinned template does not change, in any of its locales. None where there
    is no such version, or no template.
    """
    if version is not None and all(head.version != version for head in heads):
        return None
    newest: dict[str, Head] = {}
    for head in heads:
        if version is None or head.version <= version:
            newest.setdefault(head.locale, head)
    default = next((head.locale for head in heads if head.is_default), "")
    nearest = next((newest[wanted] for wanted in (*lineage(locale or ""), default) if wanted in newest), None)
    return nearest or next(iter(newest.values()), None)
