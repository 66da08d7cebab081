"""What was measured in a release, kept: one JSON line a sample in `measurements/RELEASE.jsonl` of the state folder.

It lets people see later what the verdict saw. Nothing waits for it and nothing fails with it: what cannot be written is
said once in the log. A file stays small: when it has grown, every second sample is left out, and so on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from greenroom.domain.assess import figures_document, figures_of
from greenroom.domain.figures import Figures, Measurement

log = logging.getLogger(__name__)

MEASUREMENTS = "measurements"
"""The folder, in the state folder."""

EVERY = 1.0
"""Seconds between two samples at least, but for the first one of another share."""

LARGEST = 2_000_000
"""Bytes of one release's file."""

KEPT = 20
"""Releases."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One sample. `at`: seconds since 1970. `share`: of users' traffic that the candidate had, in percent; None: not seen.

    The counters are the router's own: `measurement.incarnation` tells when they began anew.
    """

    at: float
    share: float | None
    measurement: Measurement


class Recorder(Protocol):
    def add(self, release: str, sample: Recorded) -> None:
        """Never raises."""


class FileRecorder:
    """In this folder, which is made when it is needed."""

    def __init__(self, folder: Path, *, every: float = EVERY, largest: int = LARGEST, kept: int = KEPT) -> None:
        self._folder, self._least, self._largest, self._kept = folder, every, largest, kept
        self._release, self._every, self._last = "", every, float("-inf")
        self._share: float | None = None
        self._complained = False

    def add(self, release: str, sample: Recorded) -> None:
        try:
            if release != self._release:
                self._begin(release)
            if sample.at - self._last < self._every and sample.share == self._share:
                return
            self._last, self._share = sample.at, sample.share
            if self._write(path_of(self._folder, release), sample) > self._largest:
                self._thin(path_of(self._folder, release))
        except (OSError, ValueError, TypeError) as error:
            if not self._complained:
                log.warning("what is measured cannot be kept: %s", error)
            self._complained = True

    def _begin(self, release: str) -> None:
        """Another release, or another engine: no half line of one that was killed stands before what follows."""
        self._every, self._last = self._least, float("-inf")
        self._folder.mkdir(parents=True, exist_ok=True)
        path = path_of(self._folder, release)
        with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
            if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                file.write(b"\n")
        others = [p for p in self._folder.glob("*.jsonl") if p != path]
        others.sort(key=lambda p: (len(p.name), p.name))
        for old in others[: max(0, len(others) + 1 - self._kept)]:
            old.unlink(missing_ok=True)
        self._release = release

    def _write(self, path: Path, sample: Recorded) -> int:
        """The size that the file has then."""
        with path.open("ab") as file:
            file.write(_line(sample))
            return file.tell()

    def _thin(self, path: Path) -> None:
        """The last one stays."""
        lines = path.read_bytes().splitlines(keepends=True)
        beside = path.with_suffix(".new")
        beside.write_bytes(b"".join(lines[(len(lines) + 1) % 2 :: 2]))
        os.replace(beside, path)
        self._every *= 2


def path_of(folder: Path, release: str) -> Path:
    """Of a release; its name cannot lead out of the folder."""
    return folder / f"{release.replace('/', '_')}.jsonl"


def recorded(folder: Path, release: str) -> list[Recorded]:
    """What is kept of a release, in order of time; lines that were not written to their end are left out."""
    try:
        content = path_of(folder, release).read_bytes()
    except OSError:
        return []
    found = (_sample(line) for line in content.splitlines())
    return sorted((sample for sample in found if sample is not None), key=lambda sample: sample.at)


def _line(sample: Recorded) -> bytes:
    measured = sample.measurement
    document = {
        "at": round(sample.at, 3),
        "share": sample.share,
        "steady": round(measured.at, 3),
        "incarnation": measured.incarnation,
        **{name: figures_document(value) for name, value in _figures(measured)},
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _figures(measured: Measurement) -> Sequence[tuple[str, Figures]]:
    parts = [("blue", measured.blue), ("green", measured.green)]
    return [*parts, ("mirrored", measured.mirrored)] if measured.mirrored.requests else parts


def _sample(line: bytes) -> Recorded | None:
    try:
        document = json.loads(line)
        share = document["share"]
        blue, green, mirrored = (figures_of(document.get(name)) or Figures() for name in ("blue", "green", "mirrored"))
        measured = Measurement(float(document["steady"]), str(document["incarnation"]), blue, green, mirrored)
        return Recorded(float(document["at"]), None if share is None else float(share), measured)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
