"""From the text of a YAML file to plain values, with the line of every key.

YAML as most people believe it to be (1.2): only `true` and `false` are booleans, so `on:` is a key like any other and
`env: {DEBUG: no}` says what it says. A scalar is a number only where it is written as one would print it: `0644`,
`1.10` and `0x10` stay the text that they are. Keys that stand twice, tags and endless aliases are refused.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import yaml

from greenroom.errors import UsageError

Keys: TypeAlias = tuple[str | int, ...]

_VALUES = 20_000
"""Values after aliases are resolved, so that a file of a few lines cannot fill the memory."""
_DEPTH = 50


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


def values(text: str, shown: str) -> tuple[dict[str, Any], dict[Keys, int]]:
    """The document and the lines of its keys. `UsageError` beginning with `shown`, the file's name."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1"
        raise UsageError(f"{shown}:{where}: is not YAML: {_explain(text, error)}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{shown}: is not YAML: {short(str(error).splitlines()[0], 100)}") from None
    except RecursionError:
        raise UsageError(f"{shown}: is nested too deeply to be a configuration") from None
    except (ValueError, IndexError, OverflowError) as error:  # what PyYAML lets through, like \UFFFFFFFF
        raise UsageError(f"{shown}: is not YAML: {short(str(error), 100)}") from None
    if node is None:
        raise UsageError(f"{shown}: is empty; `greenroom init` writes a starter file")
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(
            f"{shown}:{node.start_mark.line + 1}: is not a list of `key: value` lines, as a configuration is"
        )
    building = _Building(shown)
    document = building.mapping(node, (), ())
    return document, building.lines


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
    return short(problem + context, 200)


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
            raise self.wrong(node, f"{short(node.value) or 'nothing'}: a key must be text; put it in quotes")
        text = self.text(node)
        if "${" in text:
            raise self.wrong(node, f"{short(text)}: `${{NAME}}` is filled in values only, not in keys")
        return text

    def text(self, node: yaml.Node) -> str:
        text: str = node.value
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise self.wrong(node, "a zero byte or half a character in a text")
        return text

    def scalar(self, node: yaml.Node) -> Any:
        text: str = node.value
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return self.text(node)
            case "null" if text in ("", "~", "null"):
                return None
            case "bool" if text in ("true", "false"):
                return text == "true"
            case "int" | "float":
                return _number(text)
        raise self.wrong(node, f"the tag {short(node.tag)} is not known here; write the value as it is")

    def tagged(self, node: yaml.Node, kind: str) -> None:
        if node.tag != f"tag:yaml.org,2002:{kind}":
            raise self.wrong(node, f"the tag {short(node.tag)} is not known here; write the value as it is")


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


def dotted(keys: Keys) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{short(key)}" if text else short(key)
    return text


def short(text: str, limit: int = 60) -> str:
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
