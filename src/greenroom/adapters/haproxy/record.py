"""What HAProxy was told, on its machine's disk: `told.json`, Greenroom's file of the configuration, and the map.

`told.json` is written first, so what was told is known after any crash. A file that still is as it was before the
telling is unfinished work; any other content was not ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from greenroom.adapters.haproxy import slots
from greenroom.adapters.haproxy.layout import Layout
from greenroom.adapters.haproxy.render import Slots
from greenroom.adapters.hosts.fenced import Change, Write, put
from greenroom.adapters.told import Told, Unreadable, digest, dumps, loads
from greenroom.errors import Permanent
from greenroom.ports import Host

NOTHING = "nothing was told yet"
_READABLE = 0o644


@dataclass(frozen=True, slots=True)
class Disk:
    """What is there now. `told` None: nothing that can be relied on, as `trouble` says; `raw`: what is left of it."""

    told: Told | None
    raw: Told | None
    config: bytes | None
    route: bytes | None
    trouble: str = ""
    unfinished: tuple[str, ...] = ()

    @property
    def slots(self) -> Slots:
        return slots.load(self.raw.extra.get("slots", {})) if self.raw else {}

    @property
    def files(self) -> dict[str, bytes | None]:
        return {"config": self.config, "map": self.route}


class Record:
    def __init__(self, host: Host, layout: Layout) -> None:
        self._host = host
        self._layout = layout

    def read(self) -> Disk:
        """`Temporary` or `Permanent` where the machine cannot be reached, or its files not be read."""
        disk = self._once()
        # Unless somebody tells something new just now: that begins with told.json.
        while disk.trouble and disk.raw and (again := self._once()) != disk:
            disk = again
        return disk

    def _once(self) -> Disk:
        layout = self._layout
        raw = self._host.read(layout.told)
        files = {"config": self._host.read(layout.file), "map": self._host.read(layout.map_file)}
        config, route = files.values()
        if raw is None:
            return Disk(None, None, config, route, NOTHING)
        try:
            told = loads(raw, layout.told)
        except Unreadable as error:
            return Disk(None, None, config, route, str(error))
        unfinished, strange = _compare(told, files)
        if strange:
            names = {"config": layout.file, "map": layout.map_file}
            text = f"changed by somebody else: {', '.join(names[name] for name in strange)}"
            return Disk(None, told, config, route, text)
        return Disk(told, told, config, route, "", tuple(unfinished))

    def epoch(self) -> int:
        """The newest under which anything was changed here."""
        text = (self._host.read(self._layout.epoch) or b"0").strip()
        return int(text) if text.isdigit() else 0

    def fence(self, epoch: int) -> None:
        if (newest := self.epoch()) > epoch:
            raise Permanent(
                f"the router was told something under a newer lease ({newest}) than ours ({epoch})",
                hint="another Greenroom is in charge now; this one has to stop",
            )

    def write(self, epoch: int, told: Told, disk: Disk, files: Mapping[str, bytes]) -> Disk:
        """Files of `files` that are not so already, after `told`, which says how to know them again."""
        after = {**disk.files, **files}
        marks = {name: [_digest(after[name]), _digest(disk.files[name])] for name in after}
        told = replace(told, extra={**told.extra, "files": marks})
        paths = {"config": self._layout.file, "map": self._layout.map_file}
        changes: list[Change] = [Write(self._layout.told, dumps(told))]
        changes += [Write(paths[n], files[n], _READABLE) for n in paths if n in files and files[n] != disk.files[n]]
        put(self._host, self._layout.folder, epoch, *changes)
        return Disk(told, told, after["config"], after["map"])

    def change(self, epoch: int, *changes: Change) -> None:
        put(self._host, self._layout.folder, epoch, *changes)


def _compare(told: Told, files: Mapping[str, bytes | None]) -> tuple[list[str], list[str]]:
    """The files that were not handed over, and those that somebody else has changed."""
    marks: Mapping[str, Any] = told.extra.get("files", {})
    unfinished: list[str] = []
    strange: list[str] = []
    for name, content in files.items():
        now, before = marks.get(name, ["", ""])
        if _digest(content) != now:
            (unfinished if _digest(content) == before else strange).append(name)
    return unfinished, strange


def _digest(content: bytes | None) -> str:
    return "" if content is None else digest(content)
