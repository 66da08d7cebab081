"""Reading `greenroom.yaml` into plain values, with the line of every key. No pydantic here: `status` must start fast.

YAML as most people believe it to be (1.2): only `true` and `false` are booleans, so `on:` is a key like any other and
`env: {DEBUG: no}` says what it says. A scalar is a number only where it is written as one would print it: `0644`,
`1.10` and `0x10` stay the text that they are.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from greenroom.errors import UsageError

Keys: TypeAlias = tuple[str | int, ...]

LIMIT = 256 * 1024
"""Bytes of a file. The longest that makes sense has a few thousand."""
_VALUES = 20_000
"""Values after aliases are resolved, so that a file of a few lines cannot fill the memory."""
_DEPTH = 50

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


def dotted(keys: Keys) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{_short(key)}" if text else _short(key)
    return text


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
            f"{source.place(('service',))}: {_short(repr(name))} is no name for a service; "
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


class _Loader(yaml.SafeLoader):
    """Composes nodes only; its implicit types are those of the module's first lines."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|)\Z"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), ["t", "f"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"(?:0|-?[1-9][0-9]{0,17})\Z"), list("-0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}\Z"), list("-0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"])


def parse(text: str, path: Path) -> Source:
    shown = show_path(path)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1"
        raise UsageError(f"{shown}:{where}: is not YAML: {_explain(text, error)}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{shown}: is not YAML: {_short(str(error).splitlines()[0], 100)}") from None
    except RecursionError:
        raise UsageError(f"{shown}: is nested too deeply to be a configuration") from None
    except (ValueError, IndexError, OverflowError) as error:  # what PyYAML lets through, like \UFFFFFFFF
        raise UsageError(f"{shown}: is not YAML: {_short(str(error), 100)}") from None
    if node is None:
        raise UsageError(f"{shown}: is empty; `greenroom init` writes a starter file")
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(
            f"{shown}:{node.start_mark.line + 1}: is not a list of `key: value` lines, as a configuration is"
        )
    building = _Building(shown)
    document = building.mapping(node, (), ())
    return Source(path, document, building.lines)


def _explain(text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    lines = text.splitlines()
    if mark and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        return "there is a tab; YAML indents with spaces only"
    problem = error.problem or "it cannot be parsed"
    if "mapping values are not allowed" in problem:
        return "a second `:` in one value; put the value in quotes, or check the indentation of this line"
    if "expected a single document" in (error.context or "") + problem:
        return "a second document begins (`---`); a configuration is one"
    if "that cannot start any token" in problem:
        problem += "; put the value in quotes"
    context = f" ({error.context})" if error.context else ""
    return _short(problem + context, 200)


class _Building:
    """From nodes to plain values, remembering lines and refusing what would be read differently than meant."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.lines: dict[Keys, int] = {}
        self.count = 0

    def wrong(self, node: yaml.Node, problem: str) -> UsageError:
        return UsageError(f"{self.shown}:{node.start_mark.line + 1}: {problem}")

    def value(self, node: yaml.Node, keys: Keys, above: tuple[int, ...]) -> Any:
        self.count += 1
        if self.count > _VALUES:
            raise self.wrong(node, f"more than {_VALUES:,} values, aliases counted; that is no configuration")
        if id(node) in above:
            raise self.wrong(node, "an alias stands inside of what it names; that has no end")
        if len(above) > _DEPTH:
            raise self.wrong(node, f"nested more than {_DEPTH} deep")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, keys, above)
        if isinstance(node, yaml.SequenceNode):
            self.tagged(node, "seq")
            below = (*above, id(node))
            for index, item in enumerate(node.value):
                self.lines[(*keys, index)] = item.start_mark.line + 1
            return [self.value(item, (*keys, index), below) for index, item in enumerate(node.value)]
        return self.scalar(node)

    def mapping(self, node: yaml.MappingNode, keys: Keys, above: tuple[int, ...]) -> dict[str, Any]:
        self.tagged(node, "map")
        below = (*above, id(node))
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged = {**self.merge(value_node, keys, below), **merged}
                continue
            key = self.key(key_node)
            line = key_node.start_mark.line + 1
            if key in seen:
                where = dotted((*keys, key))
                raise self.wrong(key_node, f"{where}: stands twice, first in line {seen[key]}; keep one of them")
            seen[key] = line
            self.lines[(*keys, key)] = line
            own[key] = self.value(value_node, (*keys, key), below)
        return {**merged, **own}

    def merge(self, node: yaml.Node, keys: Keys, above: tuple[int, ...]) -> dict[str, Any]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for part in parts:
            if not isinstance(part, yaml.MappingNode):
                raise self.wrong(part, "`<<` needs a mapping, or a list of them")
            lines, self.lines = self.lines, {}
            result = {**self.value(part, keys, above), **result}
            self.lines = {**self.lines, **lines}
        return result

    def key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self.wrong(node, "a key must be one word; a list or mapping cannot be one. `{name}` needs quotes")
        if node.tag != "tag:yaml.org,2002:str":
            raise self.wrong(node, f"{_short(node.value) or 'nothing'}: a key must be text; put it in quotes")
        text: str = node.value
        if "${" in text:
            raise self.wrong(node, f"{_short(text)}: `${{NAME}}` is filled in values only, not in keys")
        return text

    def scalar(self, node: yaml.Node) -> Any:
        text: str = node.value
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return text
            case "null" if text in ("", "~", "null"):
                return None
            case "bool" if text in ("true", "false"):
                return text == "true"
            case "int" | "float":
                return _number(text)
        raise self.wrong(node, f"the tag {_short(node.tag)} is not known here; write the value as it is")

    def tagged(self, node: yaml.Node, kind: str) -> None:
        if node.tag != f"tag:yaml.org,2002:{kind}":
            raise self.wrong(node, f"the tag {_short(node.tag)} is not known here; write the value as it is")


def _number(text: str) -> Any:
    """A number if printing it gives the same text again, else the text."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text:
            return number
    return text


def _short(text: str, limit: int = 60) -> str:
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
