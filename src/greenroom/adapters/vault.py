"""The values of `${NAME}`, one file a release, which only their owner can read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from greenroom.errors import Permanent, PortError, Temporary

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class FileVault:
    """`ports.Vault` in a folder (0700) of JSON files (0600). No error names a value."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def values(self, release: str) -> Mapping[str, str]:
        """What this release was given; `Permanent` if it is gone."""
        path = self._path(release)
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise Permanent(
                f"The secrets of {release} are gone: there is no {path}.",
                hint="Without them it cannot be started again. Deploy its version anew.",
            ) from None
        except OSError as error:
            raise _failed(error, "read", path) from error
        except ValueError:  # not `from`: the error would quote what it could not read
            found = None
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise Permanent(f"The secrets of {release} are damaged: {path}.", hint="Deploy its version anew.")
        return found

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
        if not _NAME.fullmatch(release):
            raise Permanent(f"{release!r} cannot be the name of a release.")
        return self._folder / f"{release}.json"

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


def _failed(error: OSError, what: str, path: Path) -> PortError:
    text = f"The secrets in {path} cannot be {what}: {error.strerror}."
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError | IsADirectoryError):
        return Permanent(text, hint=f"Who runs Greenroom must own {path.parent}.")
    return Temporary(text)
