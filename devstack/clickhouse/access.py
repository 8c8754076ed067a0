"""What a statement may do: work with tables of the engine's own, and read what it knows of itself.

Nothing that reads or writes files, asks other servers, moves folders or runs programs as the user who started it. Most
of that is refused by ClickHouse itself, whose user here has no grant for it. Some is done without asking for a grant,
as chDB is a part of the process that asks it: that is refused by its words, before it gets there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

USER: Final = "hermod"
PASSWORD_VARIABLE: Final = "CLICKHOUSE_FRONT_PASSWORD"

_CONFIG: Final = """<clickhouse>
    <users_config>{file}</users_config>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password/>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SHOW, SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE, KILL QUERY ON *.*</query>
                <query>GRANT TABLE ENGINE ON MergeTree</query>
                <query>GRANT TABLE ENGINE ON ReplacingMergeTree</query>
            </grants>
        </default>
    </users>
</clickhouse>
"""
_SUSPECT: Final = (b"outfile", b"infile", b"attach", b"python", b"disk")
# A call of python or disk, whose name may be quoted; strings, names and comments, which are passed by; a bare word.
_WORDS: Final = re.compile(
    rb"""
    (?P<called> [`"]? \b (?:python|disk) \b [`"]? (?:\s | /\*.*?\*/ | --[^\n]*\n)* \( )
    | '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*` | --[^\n]* | /\*.*?\*/
    | \b (?P<word> outfile | infile | attach ) \b
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


def write_config(folder: Path) -> Path:
    """The engine's configuration, beside its data; the engine reads it when it opens."""
    file = folder.with_name(f"{folder.name}.xml")
    file.write_text(_CONFIG.format(file=escape(str(file))))
    return file


def refused(text: bytes) -> str | None:
    """The word of a statement that no grant stands before, or None where there is none.

    `INTO OUTFILE`, `FROM INFILE`, `ATTACH … FROM '/folder'`, which moves it, the engine's `disk(…)`, and `python(…)`.
    """
    lowered = text.lower()
    if not any(word in lowered for word in _SUSPECT):
        return None
    for found in _WORDS.finditer(text):
        word = found["word"] or found["called"]
        if word:
            return str(word.decode(errors="replace"))
    return None
