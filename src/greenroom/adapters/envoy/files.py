"""Envoy's folder: the files that it watches, and `told.json`, the record of what it was told.

    router/told.json       spec, epoch, revision, and what each watched file must contain
    router/live/*.json     what the proxy watches: replaced by rename only, so it never reads half a file
    router/bootstrap.json  what it is started with
    router/admin.sock      its admin socket; the folder is 0700, for it has no login
    router/lock            held while something is told

`told.json` is written before anything else, so what was told is known after any crash. A file that still is as it was
before the telling is unfinished work; any other content was not ours.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from greenroom.adapters.envoy.wire import Part, type_url
from greenroom.adapters.told import Told, Unreadable, compact, digest, dumps, loads
from greenroom.errors import Permanent, Temporary

_LOCK_WITHIN = 3.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """One watched file. `version`: what Envoy reports once it has taken the file over."""

    name: str
    version: str
    content: bytes

    @property
    def digest(self) -> str:
        return digest(self.content)


@dataclass(frozen=True, slots=True)
class Mark:
    """How a file is recognised: its version, its digest, and the digest that it had before."""

    version: str
    digest: str
    before: str = ""


def marks(told: Told) -> dict[str, Mark]:
    """What each watched file must contain."""
    return {name: Mark(*mark) for name, mark in told.extra.get("files", {}).items()}


@dataclass(frozen=True, slots=True)
class Draft:
    """What shall be told. `essence`: the same for the same content."""

    essence: str
    digests: Mapping[str, str]
    parts: Mapping[str, Part]

    @classmethod
    def of(cls, parts: Mapping[str, Part]) -> Draft:
        digests = {name: digest(compact(part)) for name, part in parts.items()}
        return cls(digest(compact(digests)), digests, parts)

    def sheets(self, revision: str) -> dict[str, Sheet]:
        """Only the route's version is the revision; the others' change with their own content."""
        made = {}
        for name, (kind, resources) in self.parts.items():
            version, extra = self.digests[name], {}
            if name == "route":
                # Also inside the route, where the live data plane shows it.
                version, extra = revision, {"metadata": {"filter_metadata": {"greenroom": {"revision": revision}}}}
            content = [{"@type": type_url(kind), **resource, **extra} for resource in resources]
            made[name] = Sheet(name, version, compact({"version_info": version, "resources": content}))
        return made


class Folder:
    """The router's folder under the state folder."""

    def __init__(self, state: Path) -> None:
        self.path = state.absolute() / "router"
        self.live = self.path / "live"
        self.bootstrap = self.path / "bootstrap.json"
        self._told = self.path / "told.json"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the folder and holds its lock. `Temporary` if another holds it for seconds."""
        try:
            self.live.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(error) from error
        try:
            deadline = time.monotonic() + _LOCK_WITHIN
            while not _locked(handle):
                if time.monotonic() > deadline:
                    raise Temporary(f"another process holds {self.path / 'lock'}")
                time.sleep(0.005)
            yield
        finally:
            os.close(handle)

    def told(self) -> Told | None:
        """None: nothing was ever told. `Unreadable` if it cannot be known."""
        try:
            raw = self._told.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unreadable(f"{self._told} cannot be read: {error.strerror}") from error
        return loads(raw, str(self._told))

    def complete(self, told: Told) -> bool:
        """All of the last telling was handed over, and nobody else wrote."""
        return self.compare(told) == ([], [])

    def write_told(self, told: Told) -> None:
        self.write(self._told, dumps(told))

    def write_sheet(self, sheet: Sheet) -> None:
        self.write(self.live / f"{sheet.name}.json", sheet.content)

    def write(self, path: Path, content: bytes) -> None:
        """All or nothing, and it survives a power cut. `Temporary` if the disk refuses."""
        draft = path.with_name(f".{path.name}.new")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                with open(handle, "wb", closefd=False) as file:
                    file.write(content)
                os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(draft, path)
            _sync_folder(path.parent)
        except OSError as error:
            raise _unwritable(error) from error

    def digest(self, name: str) -> str:
        """Of a watched file as it is now; "" if there is none."""
        try:
            return digest((self.live / f"{name}.json").read_bytes())
        except OSError:
            return ""

    def age(self, name: str) -> float:
        """Seconds since a watched file was written."""
        try:
            return abs(time.time() - (self.live / f"{name}.json").stat().st_mtime)
        except OSError:
            return 0.0

    def compare(self, told: Told) -> tuple[list[str], list[Path]]:
        """Files that still are as they were before the telling, and files whose content was never ours."""
        unfinished, strange = [], []
        for name, mark in marks(told).items():
            here = self.digest(name)
            if here not in (mark.digest, mark.before):
                strange.append(self.live / f"{name}.json")
            elif here != mark.digest:
                unfinished.append(name)
        return unfinished, strange

    def tidy(self, keep: Container[str]) -> None:
        """Remove the watched files that nobody needs any more."""
        for path in self.live.glob("*.json"):
            if path.stem not in keep:
                path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Nothing is told any more."""
        for path in (self._told, *sorted(self.live.glob("*.json"))):
            path.unlink(missing_ok=True)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unwritable(error: OSError) -> Temporary | Permanent:
    text = f"the router's files cannot be written: {error.filename or 'its folder'}: {error.strerror}"
    return Permanent(text) if isinstance(error, PermissionError) else Temporary(text)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
