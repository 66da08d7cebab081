"""Conditions over `candidate` and `baseline`, as in `candidate < 0.05 and candidate <= 2 * baseline`.

Only arithmetic, comparisons, `and`, `or`, `not`: an expression cannot call, look into or change anything.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

NAMES = ("candidate", "baseline")

_LONGEST = 500
_ARITHMETIC: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARED: Mapping[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_KNOWN = "known are the names candidate and baseline, numbers, + - * /, comparisons, and, or, not"


def problem(expression: str) -> str:
    """What is wrong with it, with the way out; "" if nothing is."""
    if len(expression) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    try:
        root = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return f"cannot be read; write it like `candidate <= 2 * baseline` ({_KNOWN})"
    if not isinstance(root, ast.Compare | ast.BoolOp) and not (
        isinstance(root, ast.UnaryOp) and isinstance(root.op, ast.Not)
    ):
        return "is no condition; write what must hold, like `candidate <= 2 * baseline`"
    if wrong := next((text for node in ast.walk(root) if (text := _wrong(node))), ""):
        return wrong
    if "candidate" not in {node.id for node in ast.walk(root) if isinstance(node, ast.Name)}:
        return "says nothing about `candidate`"
    return ""


def holds(expression: str, candidate: float | None, baseline: float | None) -> bool | None:
    """Whether it is so; None where a value that it needs is missing, or no number comes out of it."""
    root = ast.parse(expression.strip(), mode="eval").body
    try:
        return bool(_value(root, {"candidate": candidate, "baseline": baseline}))
    except (_NoData, ArithmeticError):
        return None


class _NoData(Exception):
    """A name has no value, or not a finite one."""


def _wrong(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) if name not in NAMES:
            return f"`{name}` is not known; {_KNOWN}"
        case ast.Call():
            return f"`{ast.unparse(node)[:60]}` is a call, and nothing can be called here; {_KNOWN}"
        case ast.Constant(value=value) if isinstance(value, bool) or not isinstance(value, int | float):
            return f"`{ast.unparse(node)[:60]}` is no number; {_KNOWN}"
        case ast.BinOp(op=op) if type(op) not in _ARITHMETIC:
            return f"`{ast.unparse(node)[:60]}` cannot be computed here; {_KNOWN}"
        case ast.Compare(ops=ops) if any(type(op) not in _COMPARED for op in ops):
            return f"`{ast.unparse(node)[:60]}` cannot be compared so; {_KNOWN}"
        case ast.UnaryOp(op=op) if not isinstance(op, ast.USub | ast.UAdd | ast.Not):
            return f"`{ast.unparse(node)[:60]}` cannot be computed here; {_KNOWN}"
        case ast.Name() | ast.Constant() | ast.BinOp() | ast.Compare() | ast.UnaryOp() | ast.BoolOp():
            return ""
        case ast.operator() | ast.cmpop() | ast.boolop() | ast.unaryop() | ast.expr_context():
            return ""
    return f"`{ast.unparse(node)[:60]}` cannot stand here; {_KNOWN}"


def _value(node: ast.AST, names: Mapping[str, float | None]) -> Any:
    match node:
        case ast.Constant(value=number):
            return number
        case ast.Name(id=name):
            value = names[name]
            if value is None or not math.isfinite(value):
                raise _NoData
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_value(left, names), _value(right, names))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, names)
        case ast.UnaryOp(op=op, operand=operand):
            number = _value(operand, names)
            return -number if isinstance(op, ast.USub) else number
        case ast.BoolOp(op=op, values=parts):
            said = (bool(_value(part, names)) for part in parts)
            return all(said) if isinstance(op, ast.And) else any(said)
        case ast.Compare(left=left, ops=ops, comparators=others):
            numbers = [_value(each, names) for each in (left, *others)]
            return all(_COMPARED[type(op)](a, b) for op, a, b in zip(ops, numbers, numbers[1:], strict=False))
    raise ValueError(f"not checked by `problem`: {ast.dump(node)[:80]}")
