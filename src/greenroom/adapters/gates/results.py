"""What a scanner reports, whatever its format: its findings, and what it says of its own run. Nothing here has a secret."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

_BIGGEST = 64_000_000
_LONGEST = 300
_QUOTED = re.compile(r"(['\"`])((?:(?!\1).)+)\1")
_TOKEN = re.compile(r"(?=[^\s]*\d)(?=[^\s]*[A-Za-z])[A-Za-z0-9+/=_.-]{8,}")


class Level(IntEnum):
    """The levels of SARIF."""

    NONE = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3

    @classmethod
    def of(cls, text: Any, default: Level) -> Level:
        return cls[text.upper()] if isinstance(text, str) and text.upper() in cls.__members__ else default


class Unreadable(Exception):
    """It is no report."""


@dataclass(frozen=True, slots=True)
class Found:
    """`key`: the same for the same finding in the next report. `suppressed`: by a comment in the source, or the like."""

    rule: str
    level: Level
    file: str
    line: int
    message: str
    key: str
    suppressed: bool = False

    @property
    def text(self) -> str:
        where = f"{self.file}:{self.line}" if self.file and self.line else self.file or "(no file)"
        return f"{self.level.name.lower()} {where} {self.rule}: {self.message}"


@dataclass(frozen=True, slots=True)
class Report:
    """`blind`: why it did not look, or not at all of it; `warnings`: what it says of its run besides."""

    tools: tuple[str, ...]
    found: tuple[Found, ...]
    blind: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    ended: float | None = None
    """When the scanner says that it was done; seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in the source. `texts`: what stands there, which may be the secret itself: for comparing, never for showing."""

    file: str = ""
    line: int = 0
    texts: tuple[str, ...] = field(default=(), repr=False)


def document(path: Path) -> Any:
    """The JSON of a report. `Unreadable` in words that follow its name."""
    try:
        if path.stat().st_size > _BIGGEST:
            raise Unreadable(f"has more than {_BIGGEST // 1_000_000} MB")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise Unreadable("is not there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not text.strip():
        raise Unreadable("is empty")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("is no JSON") from None


def key(rule: str, spot: Spot, prints: Iterable[str]) -> str:
    """By the scanner's own fingerprint, else by the text that was found, else by the line."""
    own = sorted(prints)
    text = re.sub(r"\s+", " ", spot.texts[0]).strip() if spot.texts else ""
    if not own and (not text or text.upper() == "REDACTED" or set(text) <= {"*"}):
        text = f"line {spot.line}"
    parts = (rule, spot.file, *(own or [text]))
    return sha256("\0".join(parts).encode()).hexdigest()[:20]


def hidden(message: str, texts: Sequence[str]) -> str:
    """One line for a person, without what it quotes from the source: that may be the password that was found."""
    literals = {literal for text in texts for _, literal in _QUOTED.findall(text) if len(literal) >= 6}
    for text in sorted({text.strip() for text in texts if len(text.strip()) >= 4} | literals, key=len, reverse=True):
        message = message.replace(text, "…")

    def quoted(match: re.Match[str]) -> str:
        there = len(match[2]) >= 3 and any(match[2] in text for text in texts)
        return f"{match[1]}…{match[1]}" if there else match[0]

    def token(match: re.Match[str]) -> str:
        return "…" if any(match[0] in text for text in texts) else match[0]

    message = _TOKEN.sub(token, _QUOTED.sub(quoted, message))
    return one_line("; ".join(line.strip() for line in message.splitlines() if line.strip()))


def one_line(text: str, limit: int = _LONGEST) -> str:
    text = "".join(c if c.isprintable() else " " for c in text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown_file(path: str, base: Path) -> str:
    """Below the folder of the file: relative to it, on every machine the same."""
    path = os.path.normpath(path) if path else ""
    if os.path.isabs(path):
        inside = os.path.relpath(path, base.absolute())
        path = path if inside.startswith("..") else inside
    return one_line(path)


def of_detect_secrets(report: Any, base: Path) -> Report:
    """Of the JSON of `detect-secrets scan`. It names the kind of secret, and a hash of it, never the secret."""
    results = report.get("results") if isinstance(report, Mapping) else None
    if not isinstance(results, Mapping) or not isinstance(report.get("plugins_used"), list):
        raise Unreadable("is no report of detect-secrets")
    if not report["plugins_used"]:
        return Report((_name(report),), (), ("it was told to look for nothing: no plugin is in use",))
    found = [_secret(entry, base) for entries in results.values() for entry in mappings(entries)]
    return Report((_name(report),), tuple(found))


def _name(report: Mapping[str, Any]) -> str:
    return one_line(f"detect-secrets {report.get('version', '')}".strip(), 60)


def _secret(entry: Mapping[str, Any], base: Path) -> Found:
    line = entry.get("line_number")
    spot = Spot(shown_file(str(entry.get("filename", "")), base), line if isinstance(line, int) else 0)
    kind = one_line(str(entry.get("type", "secret")), 80)
    verified = " (it was tried, and works)" if entry.get("is_verified") is True else ""
    prints = [str(entry["hashed_secret"])] if entry.get("hashed_secret") else []
    safe = entry.get("is_secret") is False  # somebody audited it
    return Found(kind, Level.ERROR, spot.file, spot.line, f"a secret{verified}", key(kind, spot, prints), safe)


def mapping(value: Any) -> Mapping[str, Any]:
    """What is no object counts as an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; what is no list counts as an empty one."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
