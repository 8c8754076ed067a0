"""A form's JSON Schema: checked when it is put, and asked about what visitors enter.

The assertions are jsonschema-rs's. Its regular expressions take linear time and it fetches nothing; how they are joined
is followed by `schema_walk`, within a number of steps: neither a visitor nor a schema can keep the process busy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from jsonschema_rs import Validator

from hermod.contracts.errors import FieldError, InvalidInput
from hermod.contracts.forms.forms import MAX_SCHEMA_BYTES
from hermod.domain.forms.schema_compiler import DRAFTS, NEWEST, Compiler, check_form
from hermod.domain.forms.schema_parts import References, field, parts
from hermod.domain.forms.schema_walk import Part, judge
from hermod.domain.steps import Steps

MOST_STEPS: Final = 100_000
"""Of holding one submission against a schema; some 300 ms."""
FEW_STEPS: Final = 1_500
"""What may be done while others wait: some milliseconds, and more than most forms take."""


class FormSchema:
    """A schema that has been checked. Safe to share among threads."""

    def __init__(self, schema: Mapping[str, Any], found: Mapping[int, Part], whole: Validator | None) -> None:
        self._schema = schema
        self._parts = found
        self._whole = whole

    def faults(self, data: Mapping[str, Any], steps: Steps | None = None) -> list[FieldError]:
        """What is wrong with what was entered, by field (`data.email`), at most `MOST_FAULTS`; empty where it fits.

        Raises TooManySteps where it takes more than `steps`, or MOST_STEPS.
        """
        steps = steps or steps_of(MOST_STEPS)
        if self._whole is not None and self._whole.is_valid(data):
            return []
        verdict = judge(self._schema, self._parts, data, steps)
        return [FieldError(field("data", fault.path), fault.message) for fault in dict.fromkeys(verdict.faults)]


def steps_of(most: int) -> Steps:
    """So many steps of holding one submission against its schema."""
    return Steps(most, field="data", what="to see whether it fits the form would take")


def compiled(schema: Mapping[str, Any]) -> FormSchema:
    """Raises InvalidInput, which names the place in the schema (`schema.properties.email.type`)."""
    if len(orjson.dumps(schema)) > MAX_SCHEMA_BYTES:
        raise InvalidInput.of("schema", f"must be at most {MAX_SCHEMA_BYTES // 1024} KiB as JSON")
    dialect = schema.get("$schema", NEWEST)
    named = dialect.rstrip("#") if isinstance(dialect, str) else ""
    if named not in DRAFTS:
        raise InvalidInput.of("schema.$schema", f"must be one of {', '.join(DRAFTS)}, or missing")
    check_form((), schema, named)
    references = References(schema)
    for path, elsewhere in references.elsewhere:
        check_form(path, elsewhere, named)
    references.check_size()
    compiler = Compiler(named, references)
    for top, one in (((), schema), *references.elsewhere):
        for path, part in reversed(list(parts(one, top))):
            compiler.add(path, part)
    compiler.check_circles()
    return FormSchema(schema, compiler.found, compiler.whole(schema))
