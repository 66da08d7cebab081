"""Which operations of AWS the source asks for, read from the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import botocore.session

ADAPTERS = Path(__file__).parents[2] / "src" / "greenroom" / "adapters"
UNSEEN = "?"
_ASKS = ("read", "write", "pages")
_KNOWN = frozenset(botocore.session.get_session().get_available_services())


@dataclass(frozen=True, order=True)
class Call:
    """`where`: the module, below adapters. "?": the source does not show which."""

    where: str
    service: str
    operation: str


def calls(folder: Path = ADAPTERS) -> set[Call]:
    found: set[Call] = set()
    for path in sorted(folder.rglob("*.py")):
        where = path.relative_to(folder).as_posix()
        text = path.read_text(encoding="utf-8")
        if where != "aws/client.py" and any(f".{verb}(" in text for verb in _ASKS):
            found |= {Call(where, *call) for call in _Module(text).calls()}
    return found


class _Module:
    """One file. What is passed on by a function's parameter is looked up where that function is called in the same file."""

    def __init__(self, text: str) -> None:
        self._tree = ast.parse(text)
        self._words = {
            target.id: node.value.value
            for node in self._tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }

    def calls(self) -> Iterator[tuple[str, str]]:
        for function, node in _inside(self._tree, None):
            match node:
                case ast.Call(func=ast.Attribute(value=whose, attr=verb), args=[service, operation, *_]) if (
                    verb in _ASKS
                ):
                    if _passes_on(function, verb, service, operation):
                        continue
                    for name in self._texts(service, None):
                        if name in _KNOWN:
                            yield from ((name, which) for which in self._texts(operation, function))
                        elif name == UNSEEN and "client" in ast.unparse(whose).lower():
                            yield UNSEEN, ast.unparse(node)[:80]

    def _texts(self, value: ast.expr, function: Function | None) -> set[str]:
        match value:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.IfExp(body=one, orelse=other):
                return self._texts(one, function) | self._texts(other, function)
            case ast.Name(id=name) if name in self._words:
                return {self._words[name]}
            case ast.Name(id=name) if function and name in (names := _places(function)):
                return self._given(function.name, name, names.index(name) - (names[0] == "self"))
        return {UNSEEN}

    def _given(self, function: str, name: str, place: int) -> set[str]:
        """What this file passes to a function's parameter."""
        found: set[str] = set()
        for within, node in _inside(self._tree, None):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == function:
                named = next((k.value for k in node.keywords if k.arg == name), None)
                value = named or (node.args[place] if len(node.args) > place else None)
                passed_on = within is not None and within.name == function
                found |= self._texts(value, None if passed_on else within) if value is not None else {UNSEEN}
        return found or {UNSEEN}


def _passes_on(function: Function | None, verb: str, service: ast.expr, operation: ast.expr) -> bool:
    """In a `read` (`write`, `pages`) of the same shape: whoever calls that one is seen."""
    if function is None or function.name != verb:
        return False
    return [ast.unparse(service), ast.unparse(operation)] == [name for name in _places(function) if name != "self"][:2]


def _places(function: Function) -> list[str]:
    return [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _inside(tree: ast.AST, function: Function | None) -> Iterator[tuple[Function | None, ast.AST]]:
    """Every node below, with the function that it stands in."""
    for node in ast.iter_child_nodes(tree):
        yield function, node
        yield from _inside(node, node if isinstance(node, Function) else function)
