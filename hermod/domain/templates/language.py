"""What a template may say: Jinja's expressions, conditions, loops, assignments and macros, and nothing else.

The parsed template is read once, before it is compiled. What is not listed here is refused with its line, and what
could repeat or build is given a price: Jinja's sandbox guards what a template reaches, not how long it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import isfinite
from typing import Any, Final

from jinja2 import nodes

from hermod.domain.templates.meter import TemplateFault

MAX_NODES: Final = 20_000
"""Names, operators, constants, tags and stretches of text in one field."""
MAX_DEPTH: Final = 60
"""How deep they may stand inside each other; Python's own compiler has an end too, and a less friendly one."""
MAX_BLOCKS: Final = 12
"""The same for tags with an end: loops in loops in conditions."""

EACH: Final = "hermod:each"
SPENT: Final = "hermod:spent"
GLANCED: Final = "hermod:glanced"
WEIGHED: Final = "hermod:weighed"
CONCATENATED: Final = "hermod:concatenated"
"""Filters that the reader puts in. No template can name them: a name has no colon."""

_BLOCKS: Final = (nodes.For, nodes.If, nodes.With, nodes.Macro, nodes.AssignBlock, nodes.FilterBlock)
_ALLOWED: Final = frozenset(_BLOCKS) | {
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Assign,
    nodes.Name, nodes.NSRef, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword,
    nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.Concat, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow,
}  # fmt: skip
_TAGS: Final[dict[type[nodes.Node], str]] = {
    nodes.FromImport: "import",
    nodes.CallBlock: "call",
    nodes.ScopedEvalContextModifier: "autoescape",
}
FUNCTIONS: Final = frozenset({"range", "namespace"})
_OF_A_LOOP: Final = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "depth0"}
)
_LOOP_CALLS: Final = frozenset({"cycle", "changed"})
_METHODS: Final = {
    "items": "items", "upper": "upper", "lower": "lower", "title": "title", "capitalize": "capitalize",
    "strip": "trim", "replace": "replace", "format": "format",
}  # fmt: skip
"""Methods that people write out of habit, and the filters that do the same."""
_RESERVED: Final = frozenset({"self", "super", "caller", "varargs", "kwargs"})
_PRICES: Final[dict[type[nodes.Node], int]] = {
    nodes.Call: 20, nodes.Filter: 4, nodes.Test: 4, nodes.Compare: 4, nodes.Output: 3, nodes.Getattr: 2, nodes.For: 2,
}  # fmt: skip
"""Steps of what takes longer than one."""
_LONGEST_WHOLE: Final = 2**63


class Reader:
    """Reads one parsed field; `read` gives it back with its prices. Raises TemplateFault.

    `filters` and `tests` are the names of those there are: inside a condition, Jinja itself looks only when it runs.
    """

    def __init__(self, filters: Collection[str], tests: Collection[str]) -> None:
        self._filters = filters
        self._tests = tests
        self._price = 0
        self._count = 0
        self._macros: dict[str, int] = {}

    def read(self, template: nodes.Template) -> nodes.Template:
        read: nodes.Template = self._read(template, 0, 0)
        return read

    def _read(self, node: Any, depth: int, blocks: int) -> Any:
        kind = type(node)
        self._count += 1
        self._price += _PRICES.get(kind, 1)
        blocks += kind in _BLOCKS
        if kind not in _ALLOWED:
            word = _TAGS.get(kind, kind.__name__.lower())
            raise TemplateFault(f"{word} is not available in a stored template", node.lineno)
        if depth > MAX_DEPTH or blocks > MAX_BLOCKS:
            raise TemplateFault("is nested too deeply", node.lineno)
        if self._count > MAX_NODES:
            raise TemplateFault(f"has more than {MAX_NODES} parts", node.lineno)
        if kind is nodes.Call:
            return self._call(node, depth, blocks)
        if kind is nodes.Getattr and _is_name(node.node, "loop"):
            if node.attr not in _OF_A_LOOP:
                raise TemplateFault(f"loop.{node.attr}: there is no such thing", node.lineno)
            return node
        before = self._price
        self._read_fields(node, depth, blocks)
        rule = _RULES.get(kind)
        return rule(self, node, self._price - before, blocks) if rule else node

    def _read_fields(self, node: nodes.Node, depth: int, blocks: int) -> None:
        for name, value in node.iter_fields():
            if isinstance(value, nodes.Node):
                setattr(node, name, self._read(value, depth + 1, blocks))
            elif isinstance(value, list):
                value[:] = [self._read(one, depth + 1, blocks) if isinstance(one, nodes.Node) else one for one in value]

    def _call(self, node: nodes.Call, depth: int, blocks: int) -> nodes.Expr:
        """Calls are of macros, of `range` and `namespace`, and of what a loop offers; a method becomes its filter."""
        _no_stars(node)
        called = node.node
        node.args[:] = [self._read(one, depth + 1, blocks) for one in node.args]
        node.kwargs[:] = [self._read(one, depth + 1, blocks) for one in node.kwargs]
        if isinstance(called, nodes.Name):
            if called.name in self._macros:
                self._price += self._macros[called.name]
                return _filter(node, SPENT, self._macros[called.name])
            if called.name in FUNCTIONS:
                return node
            raise TemplateFault(f"{called.name}(): there is no such function, and no such macro above", node.lineno)
        if isinstance(called, nodes.Getattr):
            if _is_name(called.node, "loop") and called.attr in _LOOP_CALLS:
                node.args[:] = [_filter(one, WEIGHED) for one in node.args]
                return node
            if called.attr in _METHODS:
                value = self._read(called.node, depth + 1, blocks)
                return nodes.Filter(
                    value, _METHODS[called.attr], node.args, node.kwargs, None, None, lineno=node.lineno
                )
            raise TemplateFault(f".{called.attr}() cannot be called; use a filter instead", node.lineno)
        raise TemplateFault("this cannot be called", node.lineno)

    def _name(self, node: Any, _price: int, _blocks: int) -> nodes.Node:
        if node.name.startswith("_") or node.name in _RESERVED or node.name == "loop":
            raise TemplateFault(f"{node.name} cannot be used here", node.lineno)
        if node.name in self._macros:
            raise TemplateFault(f"{node.name} is a macro; it can only be called", node.lineno)
        read: nodes.Node = node
        return read

    def _data(self, node: nodes.TemplateData, _price: int, _blocks: int) -> nodes.Node:
        self._price += len(node.data) >> 6
        return node

    def _const(self, node: nodes.Const, _price: int, _blocks: int) -> nodes.Node:
        too_large = isinstance(node.value, int) and abs(node.value) > _LONGEST_WHOLE
        if too_large or (isinstance(node.value, float) and not isfinite(node.value)):
            raise TemplateFault("the number is too large", node.lineno)
        return node

    def _for(self, node: nodes.For, price: int, _blocks: int) -> nodes.Node:
        if node.recursive:
            raise TemplateFault("a recursive loop is not available in a stored template", node.lineno)
        node.iter = _filter(node.iter, EACH, price)
        return node

    def _macro(self, node: nodes.Macro, price: int, blocks: int) -> nodes.Node:
        """Called only below its end, so that no macro can come to call itself."""
        if blocks > 1:
            raise TemplateFault("a macro stands by itself, not inside another tag", node.lineno)
        if node.name.startswith("_") or node.name in self._macros or node.name in FUNCTIONS | _RESERVED | {"loop"}:
            raise TemplateFault(f"a macro cannot be called {node.name}, or not twice", node.lineno)
        self._macros[node.name] = price
        return node

    def _filter(self, node: nodes.Filter, _price: int, _blocks: int) -> nodes.Node:
        if node.name not in self._filters:
            raise TemplateFault(f"there is no filter {node.name}", node.lineno)
        _no_stars(node)
        return node

    def _test(self, node: nodes.Test, _price: int, _blocks: int) -> nodes.Node:
        if node.name not in self._tests:
            raise TemplateFault(f"there is no test {node.name}", node.lineno)
        _no_stars(node)
        return node

    def _getitem(self, node: nodes.Getitem, _price: int, _blocks: int) -> nodes.Node:
        if isinstance(node.arg, nodes.Slice):
            node.node = _filter(node.node, GLANCED)
        return node

    def _compare(self, node: nodes.Compare, _price: int, _blocks: int) -> nodes.Node:
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def _concat(self, node: nodes.Concat, _price: int, _blocks: int) -> nodes.Node:
        return _filter(nodes.List(node.nodes, lineno=node.lineno), CONCATENATED)

    def _pair(self, node: nodes.Pair, _price: int, _blocks: int) -> nodes.Node:
        if not isinstance(node.key, nodes.Const):
            raise TemplateFault("the name of a field of an object is written out", node.lineno)
        return node

    def _keyword(self, node: nodes.Keyword, _price: int, _blocks: int) -> nodes.Node:
        if node.key.startswith("_") or node.key in _RESERVED:
            raise TemplateFault(f"{node.key} cannot be used here", node.lineno)
        return node


_RULES: Final[dict[type[nodes.Node], Callable[[Reader, Any, int, int], nodes.Node]]] = {
    nodes.Name: Reader._name,
    nodes.NSRef: Reader._name,
    nodes.TemplateData: Reader._data,
    nodes.Const: Reader._const,
    nodes.For: Reader._for,
    nodes.Macro: Reader._macro,
    nodes.Filter: Reader._filter,
    nodes.Test: Reader._test,
    nodes.Getitem: Reader._getitem,
    nodes.Compare: Reader._compare,
    nodes.Concat: Reader._concat,
    nodes.Pair: Reader._pair,
    nodes.Keyword: Reader._keyword,
}


def _is_name(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == name


def _no_stars(node: Any) -> None:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise TemplateFault("* and ** before an argument are not available in a stored template", node.lineno)


def _filter(node: nodes.Node, name: str, *arguments: int) -> nodes.Filter:
    given = [nodes.Const(argument) for argument in arguments]
    return nodes.Filter(node, name, given, [], None, None, lineno=node.lineno)


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _filter(node, WEIGHED)
