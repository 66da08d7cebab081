"""Finding and reading `greenroom.yaml`. No pydantic here: `status` needs this module only, and must start fast."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenroom.config.nodes import Keys, dotted, short, values
from greenroom.errors import UsageError

LIMIT = 256 * 1024
"""Bytes of a file. The longest that makes sense has a few thousand."""
_KEYED = re.compile(r"(?P<keys>[\w-]+(?:\.[\w-]+|\[\d+\])*):(?=\s)")
SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Source:
    """A file as written. `lines`: the line of each key and list entry, by its path."""

    path: Path
    document: Mapping[str, Any]
    lines: Mapping[Keys, int] = field(default_factory=dict)

    def line(self, keys: Keys) -> int:
        """Of this key, or of the nearest one above it that stands in the file; 0 if there is none."""
        while keys:
            if keys in self.lines:
                return self.lines[keys]
            keys = keys[:-1]
        return 0

    def place(self, keys: Keys) -> str:
        """`greenroom.yaml:12: router.listen`"""
        line = self.line(keys)
        start = f"{show_path(self.path)}:{line}" if line else show_path(self.path)
        return f"{start}: {dotted(keys)}" if keys else start


def placed(source: Source, problem: str) -> str:
    """A problem that begins with its key (`router.listen[1]: …`), with file and line; any other as it is."""
    match = _KEYED.match(problem)
    if match is None or match["keys"].split(".")[0].split("[")[0] not in source.document:
        return problem
    keys = tuple(int(word) if word.isdecimal() else word for word in re.split(r"[.\[\]]+", match["keys"]) if word)
    return f"{source.place(keys)}: {problem[match.end() :].lstrip()}"


def show_path(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def locate(path: Path) -> tuple[str, Path]:
    """The service's name and its state folder: all that is needed to look at what runs. Cheap; `UsageError`."""
    source = read(path)
    return service_of(source), state_of(source)


def service_of(source: Source) -> str:
    name = source.document.get("service")
    if name is None:
        raise UsageError(f"{source.place(())}: service: is missing; give the service a name: `service: shop`")
    if not isinstance(name, str) or not SERVICE.fullmatch(name):
        raise UsageError(
            f"{source.place(('service',))}: {short(repr(name))} is no name for a service; "
            "use up to 40 small letters, digits and dashes, like `shop`"
        )
    return name


def state_of(source: Source) -> Path:
    """`state_dir`, or `.greenroom` beside the file; absolute."""
    written = source.document.get("state_dir")
    folder = Path(os.path.abspath(source.path)).parent
    if written is None:
        return folder / ".greenroom"
    if not isinstance(written, str) or not written.strip() or "\0" in written:
        raise UsageError(f"{source.place(('state_dir',))}: is no path; write one like `state_dir: /var/lib/greenroom`")
    if "${" in written:
        raise UsageError(
            f"{source.place(('state_dir',))}: cannot come from the environment, "
            "or two commands could disagree about it; write the path, `~` may begin it"
        )
    try:
        return Path(os.path.abspath(folder / Path(written).expanduser()))
    except RuntimeError as error:
        raise UsageError(f"{source.place(('state_dir',))}: {error}; write the whole path") from None


def read(path: Path) -> Source:
    """The file's content and the lines of its keys; whatever is wrong with it is one `UsageError`."""
    return parse(_text(path, _bytes(path)), path)


def _bytes(path: Path) -> bytes:
    shown = show_path(path)
    try:
        about = os.stat(path)
        if stat.S_ISDIR(about.st_mode):
            raise UsageError(f"{shown}: is a folder; name the file in it: `--file {shown}/greenroom.yaml`")
        if not stat.S_ISREG(about.st_mode):
            raise UsageError(f"{shown}: is not a regular file; the state of the service is kept beside it")
        if about.st_size > LIMIT:
            raise UsageError(
                f"{shown}: has {about.st_size:,} bytes; a configuration has at most {LIMIT:,}. Is it the right file?"
            )
        with open(path, "rb") as file:
            return file.read(LIMIT + 1)
    except FileNotFoundError:
        raise UsageError(f"{shown}: no such file; `greenroom init` writes one, `--file` names another") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{shown}: cannot be read: {why}") from None


def _text(path: Path, content: bytes) -> str:
    shown = show_path(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{shown}:{line}: is not text in UTF-8 (byte {error.start} is 0x{content[error.start]:02x}); "
            "is it the right file?"
        ) from None
    if "\0" in text:
        raise UsageError(f"{shown}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: is a binary file, not YAML")
    return text


def parse(text: str, path: Path) -> Source:
    """What the file at `path` would be with this text."""
    document, lines = values(text, show_path(path))
    return Source(path, document, lines)
