"""Registers Hermod's search attributes with a namespace; the list itself is `workflows.search_attributes`."""

from __future__ import annotations

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client

from workflows.search_attributes import SEARCH_ATTRIBUTES

__all__ = ["SEARCH_ATTRIBUTES", "WrongSearchAttributes", "register"]


class WrongSearchAttributes(Exception):
    """The namespace has an attribute of this name and another type. Temporal cannot change a type."""


async def register(client: Client) -> list[str]:
    """Add what is missing; the names added. Raises WrongSearchAttributes, as Temporal itself would say nothing."""
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    wanted = {key.name: key.indexed_value_type.value for key in SEARCH_ATTRIBUTES}
    present = {name: listed.custom_attributes[name] for name in wanted if name in listed.custom_attributes}
    wrong = sorted(name for name, kind in present.items() if kind != wanted[name])
    if wrong:
        raise WrongSearchAttributes(
            f"the namespace {client.namespace} has {', '.join(wrong)} with another type than Keyword; "
            "use another namespace for Hermod"
        )
    missing = {name: IndexedValueType.ValueType(kind) for name, kind in wanted.items() if name not in present}
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
    return sorted(missing)
