"""What it takes to hold a submission against a schema: counted, linear in its levels, and bounded."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hermod.contracts.errors import FieldError, InvalidInput
from hermod.domain.forms.patterns import read
from hermod.domain.forms.schema_parts import MOST_LEVELS
from hermod.domain.forms.schemas import FEW_STEPS, MOST_STEPS, FormSchema, compiled, steps_of
from hermod.domain.steps import TooManySteps

LIST = {"type": "array", "items": {"$ref": "#/$defs/node"}}
TREE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {"oneOf": [{"$ref": "#/$defs/section"}, {"$ref": "#/$defs/question"}]},
        "section": {
            "type": "object",
            "required": ["title"],
            "properties": {"title": {"type": "string"}, "items": LIST},
        },
        "question": {
            "type": "object",
            "required": ["text"],
            "properties": {"text": {"type": "string"}, "items": LIST},
        },
    },
}
"""Sections and questions, both with more of either below them: each level can be read in two ways."""


def tree(levels: int, leaf: Any) -> dict[str, Any]:
    found = leaf
    for _ in range(levels):
        found = {"title": "a", "items": [found]}
    return dict(found)


def steps_for(schema: dict[str, Any], data: dict[str, Any]) -> int:
    steps = steps_of(MOST_STEPS)
    compiled(schema).faults(data, steps)
    return steps.used


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf", "allOf"])
def test_steps_of_a_recursive_form_grow_with_its_levels_and_do_not_double(keyword: str) -> None:
    node = {keyword: TREE["$defs"]["node"]["oneOf"]}
    schema = TREE | {"$defs": TREE["$defs"] | {"node": node}}
    one, two, four = (steps_for(schema, tree(levels, {"text": 5})) for levels in (10, 20, 40))
    assert four - two == 2 * (two - one)


def test_wrong_entry_fourteen_levels_down_is_named_within_few_steps() -> None:
    faults = compiled(TREE).faults(tree(14, {"text": 5}), steps_of(FEW_STEPS))
    assert faults == [FieldError("data" + ".items.0" * 14 + ".text", "must be a string")]


def test_good_entry_may_be_as_deep_as_json_may_be() -> None:
    assert compiled(TREE).faults(tree(95, {"text": "a"})) == []


@pytest.mark.parametrize("around", ["not", "if", "contains", "propertyNames", "unevaluatedProperties"])
def test_each_way_to_ask_twice_is_walked_once(around: str) -> None:
    again = {"$ref": "#"}
    twice: dict[str, Any] = {
        "not": {"properties": {"a": {"not": again, "allOf": [again]}}, "required": ["x"]},
        "if": {"properties": {"a": again}},
        "then": {"properties": {"a": again}},
        "else": {"properties": {"a": again}},
        "contains": again,
        "propertyNames": again,
        "unevaluatedProperties": again,
    }
    schema = {name: value for name, value in twice.items() if name == around or (around == "if" and name != "not")}
    schema["anyOf"] = [{"properties": {"a": again}}, {"properties": {"a": again}}]

    def nested(levels: int) -> dict[str, Any]:
        return {"a": nested(levels - 1)} if levels else {}

    small, large = steps_for(schema, nested(20)), steps_for(schema, nested(40))
    assert large <= 2.2 * small


def test_what_takes_too_many_steps_is_refused_and_not_walked_to_its_end() -> None:
    options = [{"const": -number} for number in range(1, 20)]
    schema = compiled({"properties": {"l": {"items": {"anyOf": [*options, {"type": "integer"}]}}}})
    with pytest.raises(TooManySteps) as refused:
        schema.faults({"l": list(range(10_000))})
    assert [error.field for error in refused.value.errors] == ["data"]


@pytest.mark.parametrize(
    "data",
    [
        {"l": [*range(50_000), "x"]},
        {"l": ["x"] * 50_000},
    ],
)
def test_wrong_item_of_a_long_list_is_found_in_few_steps(data: dict[str, Any]) -> None:
    schema = compiled({"properties": {"l": {"items": {"type": "integer"}}, "m": {"$ref": "#"}}})
    steps = steps_of(MOST_STEPS)
    faults = schema.faults(data, steps)
    assert faults[0] == FieldError(f"data.l.{data['l'].index('x')}", "must be a whole number")
    assert steps.used < MOST_STEPS // 20


def test_options_that_are_lists_are_paid_for_by_each_value_that_is_compared() -> None:
    options = [[0] * 10 + [number] for number in range(5_000)]
    schema = compiled({"properties": {"l": {"items": {"enum": options}}}})
    with pytest.raises(TooManySteps):
        schema.faults({"l": [[0] * 10 + [4_999] for _ in range(3_000)]})


@pytest.mark.parametrize(
    ("options", "entered"),
    [
        ([number + 0.5 for number in range(500)], 499.5),
        ([*range(500), 0.5], 0.5),
        (["a", *range(500)], 499),
        (list(range(500)), 499.0),
    ],
)
def test_options_that_are_numbers_are_paid_for_by_each_value_that_is_compared(
    options: list[Any], entered: float
) -> None:
    schema = compiled({"properties": {"l": {"items": {"enum": options}}}})
    with pytest.raises(TooManySteps):
        schema.faults(orjson.loads(orjson.dumps({"l": [entered] * 500})))


@pytest.mark.parametrize(
    "options", [list(range(1_900, 2_100)), [f"place {number}" for number in range(5_000)], [0.5, 1.5, None]]
)
def test_options_as_forms_have_them_take_few_steps(options: list[Any]) -> None:
    schema = compiled({"properties": {"l": {"items": {"enum": options}}}})
    assert schema.faults({"l": options[:100]}, steps_of(FEW_STEPS)) == []


def test_missing_fields_are_told_up_to_a_number_and_not_all_made() -> None:
    schema = compiled({"required": [f"f{number}" for number in range(20_000)]})
    assert len(schema.faults({})) == 50


def test_chain_of_references_that_is_too_long_is_refused() -> None:
    chain: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}]} for n in range(5_000)}
    with pytest.raises(InvalidInput) as wrong:
        compiled({"$ref": "#/$defs/d0", "$defs": chain | {"d5000": {}}})
    assert [error.field for error in wrong.value.errors] == ["schema"]
    assert f"{MOST_LEVELS} levels" in wrong.value.errors[0].message


CIRCLES: list[dict[str, Any]] = [
    {"$ref": "#"},
    {"allOf": [{"$ref": "#"}]},
    {"oneOf": [{"$ref": "#"}, {"required": ["a"]}]},
    {"not": {"not": {"$ref": "#"}}},
    {"if": {"required": ["a"]}, "then": {"$ref": "#"}},
    {"dependentSchemas": {"a": {"$ref": "#"}}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
    {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}},
    {"additionalProperties": False, "$ref": "#two", "$defs": {"two": {"$anchor": "two", "not": {"$ref": "#"}}}},
    {"$schema": "http://json-schema.org/draft-07/schema", "dependencies": {"a": {"allOf": [{"$ref": "#"}]}}},
]


@pytest.mark.parametrize("schema", CIRCLES)
def test_schema_that_asks_itself_about_the_same_value_is_refused(schema: dict[str, Any]) -> None:
    """It says nothing, or the contrary of what it says: validators differ in what they make of it."""
    with pytest.raises(InvalidInput, match="refers back to itself") as wrong:
        compiled(schema)
    assert wrong.value.errors[0].field.startswith("schema")


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#"}}},
        {"not": {"items": {"$ref": "#"}}},
        {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"contains": {"$ref": "#"}}}},
        {"$schema": "http://json-schema.org/draft-07/schema", "$ref": "#/definitions/a", "not": {"$ref": "#"}}
        | {"definitions": {"a": {}}},
    ],
)
def test_schema_that_comes_back_to_itself_further_down_is_taken(schema: dict[str, Any]) -> None:
    compiled(schema)


@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
@pytest.mark.parametrize(
    "pattern",
    [
        r"^\p{L}{1000}$",
        r"^((a{1000}){1000}){1000}$",
        r"^[^a]{20000}$",
        r"^.{9999999999999999999}$",
        r"(?:\w{100}){100}",
    ],
)
def test_pattern_that_repeats_too_much_is_refused_before_it_is_compiled(keyword: str, pattern: str) -> None:
    schema: dict[str, Any] = {"pattern": pattern} if keyword == "pattern" else {keyword: {pattern: {}}}
    with pytest.raises(InvalidInput, match="repeat too much"):
        compiled({"properties": {"a": schema}})


def test_patterns_of_a_schema_are_counted_together() -> None:
    one = {"pattern": r"^\p{L}{50}$"}
    compiled({"allOf": [one | {"maxLength": number} for number in range(9)]})
    with pytest.raises(InvalidInput, match="repeat too much"):
        compiled({"allOf": [one | {"maxLength": number} for number in range(12)]})


def test_states_of_a_pattern_are_those_of_all_its_repetitions() -> None:
    assert read("^a{3}$").states == 5
    assert read("^(ab){2,10}$").states == 22
    assert read(r"\p{L}{50}").states == 5_000
    assert read("[a-z]{2}").states == 20


SCALARS = st.sampled_from([None, True, False, 0, 1, 1.5, 20, "", "a", "abc", "a1"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcx"), inner, max_size=3),
    max_leaves=8,
)
OWN = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "object", "array", ["null", "number"]]),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "minimum": st.just(1),
        "maxLength": st.just(2),
        "pattern": st.sampled_from(["^a", r"\d"]),
        "minItems": st.just(1),
        "uniqueItems": st.booleans(),
        "required": st.sampled_from([["a"], ["a", "b"]]),
        "maxProperties": st.just(1),
        "dependentRequired": st.just({"a": ["b"]}),
    },
)


def _joined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some, named = st.lists(inner, min_size=1, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    ways: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), some),
        **dict.fromkeys(("not", "if", "then", "else", "items", "contains", "propertyNames"), inner),
        **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "unevaluatedItems"), inner | st.booleans()),
        **dict.fromkeys(("properties", "dependentSchemas"), named),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "x|b"]), inner, max_size=2),
        "$ref": st.sampled_from(["#", "#/$defs/one", "#two"]),
        "maxContains": st.just(1),
        "minContains": st.just(0),
    }
    joined = st.lists(st.sampled_from(sorted(ways)), min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: ways[name] for name in names})
    )
    return st.builds(lambda own, others: {**own, **others}, OWN, joined)


PARTS = st.recursive(OWN | st.booleans(), _joined, max_leaves=6)
SCHEMAS = st.builds(
    lambda top, one, two: {**top, "$defs": {"one": one, "two": {"$anchor": "two", **two}}},
    PARTS.filter(lambda part: isinstance(part, dict)),
    PARTS,
    PARTS.filter(lambda part: isinstance(part, dict)),
)


@settings(deadline=None, max_examples=400)
@given(schema=SCHEMAS, data=st.dictionaries(st.sampled_from("abcx"), VALUES, max_size=4))
def test_a_submission_fits_where_the_library_by_itself_says_so(schema: dict[str, Any], data: dict[str, Any]) -> None:
    whole = jsonschema_rs.Draft202012Validator(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    assert (_unless_it_asks_itself(schema).faults(data) == []) is whole.is_valid(data)


def _unless_it_asks_itself(schema: dict[str, Any]) -> FormSchema:
    try:
        return compiled(schema)
    except InvalidInput as refused:
        assume("refers back to itself" not in refused.errors[0].message)
        raise
