"""`--filter 'data.status=paid'`: a condition on the payload of an event, in the shape that the API has it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

import typer

from hermod.contracts.webhooks.payload_filters import Operator, PayloadCondition

_SIGNS: Final = {
    "!=": Operator.NE,
    ">=": Operator.GTE,
    "<=": Operator.LTE,
    "=": Operator.EQ,
    ">": Operator.GT,
    "<": Operator.LT,
}
_CONDITION: Final = re.compile(r"(?P<path>[^=<>!]+?)\s*(?P<sign>!=|>=|<=|=|>|<)\s*(?P<value>.*)", re.DOTALL)
_HOW: Final = """write it like data.status=paid, data.total>=50, data.plan=["a","b"], data.coupon or !data.coupon"""


def condition(text: str) -> dict[str, Any]:
    """A path alone asks whether it is there, `!` before it whether it is not; a list asks for one of its values. A
    value is read as JSON where it is some (`7`, `true`, `"7"`), else it is a text. Raises BadParameter.
    """
    text = text.strip()
    found = _CONDITION.fullmatch(text)
    if found is None:
        path, wanted = text.removeprefix("!"), not text.startswith("!")
        if not path or re.search(r"[=<>!]", path):
            raise typer.BadParameter(_HOW, param_hint="filter")
        return {"path": path, "op": Operator.EXISTS.value, "value": wanted}
    op, value = _SIGNS[found["sign"]], _value(found["value"])
    if isinstance(value, list) and op is Operator.EQ:
        op = Operator.IN
    return {"path": found["path"], "op": op.value, "value": value}


def shown(conditions: Iterable[PayloadCondition]) -> str | None:
    """As `--filter` takes them, one after another."""
    return " and ".join(map(_shown, conditions)) or None


def _shown(one: PayloadCondition) -> str:
    if one.op is Operator.EXISTS:
        return one.path if one.value else f"!{one.path}"
    sign = next((sign for sign, op in _SIGNS.items() if op is one.op), "=")
    return f"{one.path}{sign}{json.dumps(one.value, ensure_ascii=False)}"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
