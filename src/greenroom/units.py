"""Durations, percents and sizes, written as people write them: `30s`, `1h30m`, `250ms`, `5%`, `10MB`.

A number without a unit is refused: nobody can say whether `timeout: 30` means seconds or milliseconds. Only 0 needs none.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}\s*(ms|s|m|h|d|w)\s*)+", re.ASCII)
_PART = re.compile(rf"{_NUMBER}\s*(ms|s|m|h|d|w)", re.ASCII)
_PERCENT = re.compile(rf"{_NUMBER}\s*%", re.ASCII)
_SIZE = re.compile(rf"{_NUMBER}\s*(b|[kmg]i?b)", re.ASCII | re.IGNORECASE)
_LONGEST = 20 * 365 * 86400.0


def duration(value: Any) -> float:
    """Seconds of `30s`, `5m`, `1h30m`, `250ms`, `7d`. `ValueError` with the way out otherwise."""
    if _zero(value):
        return 0.0
    if _number(value):
        raise ValueError(f"{value} has no unit: write {value}s for seconds, or {value}ms, {value}m, {value}h")
    text = _text(value, "a duration like 30s, 5m, 24h")
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration: write it like 250ms, 30s, 5m, 1h30m, 7d")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST:
        raise ValueError(f"{text!r} is longer than 20 years")
    return seconds


def percent(value: Any) -> float:
    """`5%` is 5.0. From 0 to 100."""
    if _zero(value):
        return 0.0
    if _number(value):
        raise ValueError(f"{value} has no unit: write {value}%")
    text = _text(value, "a percent like 5%")
    match = _PERCENT.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no percent: write it like 5% or 0.1%")
    number = float(match.group(1))
    if number > 100:
        raise ValueError(f"{text!r} is more than 100%")
    return number


def share(value: Any) -> float:
    """`5%` is 0.05."""
    return percent(value) / 100


def size(value: Any) -> int:
    """Bytes of `10MB` (ten million), `10MiB` (ten times 2**20), `64kB`, `512B`."""
    if _zero(value):
        return 0
    if _number(value):
        raise ValueError(f"{value} has no unit: write {value}B, {value}kB, {value}MB or {value}GB")
    text = _text(value, "a size like 10MB")
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no size: write it like 512B, 64kB, 10MB, 2GiB")
    return round(float(match.group(1)) * _BYTES[match.group(2).lower()])


def show_duration(seconds: float) -> str:
    """The inverse for people: 90 is `1m30s`, 0.25 is `250ms`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds else "0s"
    rest, text = round(seconds), ""
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_SECONDS[unit]))
        text += f"{count}{unit}" if count else ""
    return text


def _zero(value: Any) -> bool:
    return _number(value) and value == 0 or isinstance(value, str) and value.strip() == "0"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any, wanted: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {wanted}, not {value!r}")  # noqa: TRY004 - pydantic collects ValueErrors
    return value.strip()


def _schema(pattern: str, *examples: str) -> WithJsonSchema:
    text = {"type": "string", "pattern": pattern, "examples": list(examples)}
    return WithJsonSchema({"anyOf": [text, {"const": 0}]})


def _written(unit: str, of_one: float = 1.0) -> PlainSerializer:
    """In a JSON document as it stands in a file, so that settings can be handed on."""
    return PlainSerializer(lambda value: f"{value * of_one:f}{unit}", return_type=str, when_used="json")


Seconds = Annotated[
    float,
    BeforeValidator(duration),
    _schema(r"^(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$", "250ms", "30s", "1h30m"),
    _written("s"),
]
Percent = Annotated[float, BeforeValidator(percent), _schema(r"^\d+(\.\d+)?\s*%$", "5%", "0.1%"), _written("%")]
Share = Annotated[float, BeforeValidator(share), _schema(r"^\d+(\.\d+)?\s*%$", "1%", "0.1%"), _written("%", 100.0)]
Size = Annotated[
    int, BeforeValidator(size), _schema(r"^\d+(\.\d+)?\s*([kKmMgG]i?)?[bB]$", "10MB", "2GiB"), _written("B")
]
