"""The values of `${NAME}`, one file a release, which only their owner can read: on this machine, or on a host."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from greenroom.adapters.hosts.fenced import Folder, Gone, Write, put
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import Host

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class FileVault:
    """`ports.Vault` in a folder (0700) of JSON files (0600). No error names a value."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def values(self, release: str) -> Mapping[str, str]:
        """What this release was given; `Permanent` if it is gone."""
        path = self._path(release)
        try:
            return _values(path.read_bytes(), release, path)
        except FileNotFoundError:
            raise _gone(release, path) from None
        except OSError as error:
            raise _failed(error, "read", path) from error

    def pin(self, release: str, values: Mapping[str, str]) -> None:
        """Keep these, durably; whoever reads meanwhile sees all of the old or all of the new."""
        path = self._path(release)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.chmod(0o700)
            self._write(path, json.dumps(dict(values)).encode())
        except OSError as error:
            raise _failed(error, "written", path) from error

    def every(self) -> list[Mapping[str, str]]:
        """What every release that can be read was given, to keep it out of what people read."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(PortError):
                found.append(self.values(path.stem))
        return found

    def forget(self, release: str) -> None:
        """Also what a pin that was killed left behind."""
        path = self._path(release)
        try:
            for file in (path, *self._folder.glob(f".{release}=*")):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise _failed(error, "removed", path) from error

    def _path(self, release: str) -> Path:
        return self._folder / f"{_named(release)}.json"

    def _write(self, path: Path, content: bytes) -> None:
        handle, fresh = tempfile.mkstemp(dir=self._folder, prefix=f".{path.stem}=")  # made 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class HostVault:
    """`ports.Vault` in a folder (0700) of JSON files (0600) of a host. Values go there by standard input alone."""

    def __init__(self, host: Host, folder: str) -> None:
        self._host, self._folder = host, folder
        self._where = f" on {host.name}" if host.name else ""

    def values(self, release: str) -> Mapping[str, str]:
        path = self._path(release)
        content = self._host.read(path)
        if content is None:
            raise _gone(release, f"{path}{self._where}")
        return _values(content, release, f"{path}{self._where}")

    def pin(self, release: str, values: Mapping[str, str]) -> None:
        """Keep these, durably; whoever reads meanwhile sees all of the old or all of the new."""
        path = self._path(release)
        put(self._host, self._folder, 0, Folder(".", 0o700), Write(path, json.dumps(dict(values)).encode(), 0o600))

    def every(self) -> list[Mapping[str, str]]:
        """What every release that can be read was given, to keep it out of what people read."""
        ran = self._host.run(["sh", "-c", _EVERY, self._folder])
        found = []
        for number, line in enumerate(ran.out.splitlines()):
            with contextlib.suppress(PortError, ValueError):
                found.append(_values(base64.b64decode(line), str(number), self._folder))
        return found

    def forget(self, release: str) -> None:
        """Also what a pin that was killed left behind."""
        path = self._path(release)
        put(self._host, self._folder, 0, Gone(path), Gone(f"{path}.new"))

    def _path(self, release: str) -> str:
        return f"{self._folder}/{_named(release)}.json"


_EVERY = 'for file in "$0"/*.json; do [ ! -f "$file" ] || { base64 -w 0 <"$file"; echo; }; done'


def _named(release: str) -> str:
    if not _NAME.fullmatch(release):
        raise Permanent(f"{release!r} cannot be the name of a release.")
    return release


def _values(content: bytes, release: str, where: str | Path) -> Mapping[str, str]:
    try:
        found = json.loads(content)
    except ValueError:  # not `from`: the error would quote what it could not read
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Permanent(f"The secrets of {release} are damaged: {where}.", hint="Deploy its version anew.")
    return found


def _gone(release: str, where: str | Path) -> Permanent:
    return Permanent(
        f"The secrets of {release} are gone: there is no {where}.",
        hint="Without them it cannot be started again. Deploy its version anew.",
    )


def _failed(error: OSError, what: str, path: Path) -> PortError:
    text = f"The secrets in {path} cannot be {what}: {error.strerror}."
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError | IsADirectoryError):
        return Permanent(text, hint=f"Who runs Greenroom must own {path.parent}.")
    return Temporary(text)
