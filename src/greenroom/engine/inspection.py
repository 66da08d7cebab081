"""What a failed candidate leaves behind, kept for who looks at it later: `failed/RELEASE/` in the state folder.

`inspection.json`: how its replicas were (exit codes, restarts), and which of users' requests failed; `output/`: the last
lines of each replica. Taken beside the loop, once its traffic is back, so it delays nothing. Whether it was taken stands in
the folder alone: an engine that died in the middle of it is followed by one that does it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from greenroom.domain.model import EnvironmentStatus, Member
from greenroom.domain.observation import Seen
from greenroom.domain.phases import Phase
from greenroom.domain.release import Release, Service
from greenroom.domain.template import conceal
from greenroom.engine.tail import tail
from greenroom.engine.world import Adapters
from greenroom.errors import GreenroomError, PortError
from greenroom.ports import Audible, FailedRequest, Recalling

log = logging.getLogger(__name__)

FOLDER = "failed"

KEPT = 5
"""Releases."""

LINES, REQUESTS = 200, 20

SETTLED = 3.0
"""Seconds after which everything that failed stands in a router's log."""

AGAIN = 10.0
"""Seconds until what could not be kept is tried again."""

NO_RECORD = "this router writes no single requests down, only how many of which status there were"


class Inspector:
    """`state`: the state folder. `secrets`: every value that no file may show, by name, of every release."""

    def __init__(
        self,
        state: Path,
        adapters_for: Callable[[Service], Adapters],
        secrets: Callable[[], Iterable[Mapping[str, str]]],
    ) -> None:
        self._state, self._adapters_for, self._secrets = state, adapters_for, secrets
        self._known: tuple[Mapping[str, str], ...] = ()
        self._done = self._complained = ""
        self._again = float("-inf")

    def step(self, service: Service, seen: Seen | None, now: Callable[[], float]) -> None:
        """Take what is to be taken. What cannot be kept is said once, and tried again later."""
        release = service.release
        if release is None or seen is None or release.id == self._done or not turned(release):
            return
        before = inspection(self._state, release.id)
        at = now()
        if before is not None and (before.get("complete") or at < float(before.get("at", 0.0)) + SETTLED):
            self._done = release.id if before.get("complete") else ""
            return
        if at < self._again:
            return
        try:
            self._known = tuple(self._secrets())
            self._take(release, service, seen, before, at)
        except (OSError, GreenroomError) as error:
            if self._complained != release.id:
                log.warning("what %s left behind cannot be kept now: %s", release.id, error)
            self._complained, self._again = release.id, at + AGAIN

    def _conceal(self, text: str) -> str:
        for values in self._known:
            text = conceal(text, values)
        return text

    def _take(
        self, release: Release, service: Service, seen: Seen, before: Mapping[str, Any] | None, at: float
    ) -> None:
        status = seen.environment(release.colour)
        ours = status is not None and status.release == release.id
        adapters = self._adapters_for(service)
        folder = folder_of(self._state, release.id)
        if before is None:
            (folder / "output").mkdir(parents=True, exist_ok=True)
            for name, lines in self._output(release, adapters, status).items():
                text = "".join(f"{self._conceal(line)}\n" for line in lines)
                (folder / "output" / f"{name.replace('/', '_')}.log").write_text(text, encoding="utf-8")
        requests, why = self._requests(release, adapters, before, status if ours else None)
        document = {
            "release": release.id,
            "version": release.version,
            "colour": str(release.colour),
            "at": at if before is None else before["at"],
            "complete": before is not None or not _exposed(release),
            "replicas": (before or {}).get("replicas") or (_replicas(status, self._conceal) if ours else []),
            "requests": requests,
            "without_requests": why,
        }
        beside = folder / "inspection.new"
        beside.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(beside, folder / "inspection.json")
        _forget(self._state / FOLDER)

    def _output(
        self, release: Release, adapters: Adapters, status: EnvironmentStatus | None
    ) -> Mapping[str, Sequence[str]]:
        """By replica. Nothing where the colour runs another release, or never ran this one."""
        if not release.artefact or (status is not None and status.release not in (None, release.id)):
            return {}
        if isinstance(adapters.environment, Audible):
            found: dict[str, list[str]] = {}
            with contextlib.suppress(PortError):
                for line in adapters.environment.output(release.colour, LINES, release.begun):
                    found.setdefault(line.replica, []).append(line.text)
            return found
        paths = sorted((self._state / "logs" / str(release.colour)).glob("*.log"))
        return {path.stem: tail(path, LINES) for path in paths if path.stat().st_mtime >= release.begun}

    def _requests(
        self,
        release: Release,
        adapters: Adapters,
        before: Mapping[str, Any] | None,
        status: EnvironmentStatus | None,
    ) -> tuple[list[dict[str, Any]], str]:
        """The last ones, with those that were found before; and why there may be none."""
        if not _exposed(release):
            return [], ""
        analyser: object = adapters.analyser
        if not isinstance(analyser, Recalling):
            return [], NO_RECORD
        names = {str(m.endpoint): _name(m) for m in (status.members if status else ()) if m.endpoint}
        known = list((before or {}).get("requests", []))
        try:
            found = analyser.failed(release.colour, release.version, release.begun, REQUESTS)
        except PortError as error:
            return known, "" if known else error.message
        fresh = [self._request(one, names) for one in found]
        fresh = [one for one in fresh if not any(_same(one, other) for other in known)]
        return sorted(known + fresh, key=lambda one: float(one["at"]))[-REQUESTS:], ""

    def _request(self, one: FailedRequest, names: Mapping[str, str]) -> dict[str, Any]:
        return {**asdict(one), "path": self._conceal(one.path), "replica": names.get(one.replica, one.replica)}


def turned(release: Release) -> bool:
    """It goes or went back, and its traffic is away: what it left behind may be looked at."""
    if release.plan.rehearsal:
        return False
    if release.phase is Phase.ROLLING_BACK:
        return release.live_since is not None
    return release.phase in (Phase.ROLLED_BACK, Phase.FAILED, Phase.ABORTING, Phase.ABORTED)


def _exposed(release: Release) -> bool:
    """Users' requests went to it."""
    return release.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED)


def folder_of(state: Path, release: str) -> Path:
    return state / FOLDER / release.replace("/", "_")


def inspection(state: Path, release: str) -> dict[str, Any] | None:
    """What was kept of a release; None where nothing was."""
    try:
        document = json.loads((folder_of(state, release) / "inspection.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def kept_output(state: Path, release: str) -> dict[str, Path]:
    """By replica: the files of its last lines."""
    return {path.stem: path for path in sorted((folder_of(state, release) / "output").glob("*.log"))}


def _replicas(status: EnvironmentStatus | None, conceal: Callable[[str], str]) -> list[dict[str, Any]]:
    return [
        {"name": _name(m), "health": str(m.health), "restarts": m.restarts, "detail": conceal(m.detail)}
        for m in (status.members if status else ())
        if m.process
    ]


def _name(member: Member) -> str:
    name = f"{member.process}-{member.replica}"
    return f"{member.machine}/{name}" if member.machine else name


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other.get(name) for name in ("at", "method", "path", "status", "took"))


def _forget(folder: Path) -> None:
    """The last ones stay."""
    every = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: (len(path.name), path.name))
    for old in every[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
