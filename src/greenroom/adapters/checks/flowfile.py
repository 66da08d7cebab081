"""A file of flows: a YAML list, each entry a flow (`name`, `steps`) or a single request (`path`, `status`, …)."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.checks.steps import FlowSettings, StepSettings, unfilled
from greenroom.domain.template import secret_names

_LIMIT = 1_000_000
_FLOWS = 500
_PROBLEMS = 10


class Unusable(Exception):
    """`problems`: each with the file's name, the line and the way out."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Flows:
    """`digest`: changes with the file."""

    flows: tuple[FlowSettings, ...]
    digest: str


class _Loader(yaml.SafeLoader):
    """Only `true` and `false` are booleans; numbers are what one would print as such."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|)\Z"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), ["t", "f"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"(?:0|-?[1-9][0-9]{0,17})\Z"), list("-0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"-?(?:0|[1-9]\d{0,14})\.\d{0,14}[1-9]\Z"), None)


def read_flows(path: Path, shown: str, known: Iterable[str] | None = None) -> Flows:
    """All of them. `Unusable` with everything that is wrong; `shown` is the file's name for people. `known`: names that
    are filled; None: whatever they need."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unusable(f"{shown}: cannot be read: {error.strerror}") from None
    if len(content) > _LIMIT:
        raise Unusable(f"{shown}: has {len(content):,} bytes; a file of flows has at most {_LIMIT:,}")
    try:
        node = yaml.compose(content.decode(), Loader=_Loader)
        raw = _Loader("").construct_document(node) if node else None
    except UnicodeDecodeError:
        raise Unusable(f"{shown}: is not text in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Unusable(f"{shown}{line}: is not YAML: {short(error.problem or 'it cannot be parsed')}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unusable(f"{shown}: is not YAML: {short(str(error))}") from None
    if node is None or not isinstance(raw, list) or not raw:
        raise Unusable(f"{shown}: should be a list of flows: begin each with `- name: …` and give it `steps:`")
    if len(raw) > _FLOWS:
        raise Unusable(f"{shown}: has {len(raw)} flows; at most {_FLOWS} in one file")
    return Flows(tuple(_Reading(shown, node, known).flows(raw)), hashlib.sha256(content).hexdigest()[:16])


class _Reading:
    def __init__(self, shown: str, node: yaml.Node, known: Iterable[str] | None) -> None:
        self._shown, self._node, self._known = shown, node, known
        self._problems: list[str] = []

    def flows(self, raw: list[Any]) -> list[FlowSettings]:
        found: list[FlowSettings] = []
        names: dict[str, int] = {}
        for index, entry in enumerate(raw):
            flow = self._flow(index, entry)
            if flow is None:
                continue
            if flow.name in names:
                self._wrong((index, "name"), f"`{short(flow.name)}` is the name of flow {names[flow.name] + 1} already")
            names.setdefault(flow.name, index)
            if self._known is not None and (problem := unfilled(flow.steps, self._known)):
                self._wrong((index,), problem)
            found.append(flow)
        if self._problems:
            more = len(self._problems) - _PROBLEMS
            rest = [f"{self._shown}: and {more} more problems"] if more > 0 else []
            raise Unusable(*self._problems[:_PROBLEMS], *rest)
        return found

    def _flow(self, index: int, entry: Any) -> FlowSettings | None:
        if not isinstance(entry, dict):
            self._wrong((index,), "should be a mapping with `name` and `steps`, or with `path`")
            return None
        if names := secret_names(entry):
            text = f"${{{names[0]}}} is filled in greenroom.yaml only: give it there, as `values: {{name: ${{{names[0]}}}}}`"
            self._wrong((index,), f"{text}, and write `{{name}}` here")
            return None
        try:
            if "steps" in entry:
                flow = FlowSettings.model_validate(entry)
                return flow if flow.name else flow.model_copy(update={"name": flow.steps[0].title})
            step = StepSettings.model_validate(entry)
            return FlowSettings(name=step.title, steps=[step.model_copy(update={"name": ""})])
        except ValidationError as error:
            for keys, text in _explained(error, entry):
                self._wrong((index, *keys), text)
        return None

    def _wrong(self, keys: Sequence[str | int], text: str) -> None:
        line, dotted = _line(self._node, keys), ""
        for key in keys:
            dotted += f"[{key}]" if isinstance(key, int) else f".{key}"
        self._problems.append(f"{self._shown}:{line}: {dotted.lstrip('.')}: {text}")


def _explained(error: ValidationError, entry: Any) -> Iterator[tuple[list[str | int], str]]:
    told = set()
    for one in error.errors(include_url=False, include_input=False):
        keys = _written(entry, one["loc"])
        if tuple(keys) in told and one["type"] != "extra_forbidden":
            continue  # another branch of the same union
        told.add(tuple(keys))
        text = one["msg"]
        if one["type"] == "extra_forbidden":
            text = _unknown(
                str(keys[-1]) if keys else "", FlowSettings if len(keys) < 2 and "steps" in entry else StepSettings
            )
        elif one["type"] in ("value_error", "assertion_error"):
            text = text.partition(", ")[2] or text
        elif one["type"] == "missing":
            text = f"`{one['loc'][-1]}` is missing"
        else:
            text = text[:1].lower() + text[1:].replace("Input ", "")
            text = text.removeprefix("input ")
        yield keys, text


def _unknown(name: str, model: type[BaseModel]) -> str:
    names = [field.alias or key for key, field in model.model_fields.items()]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"unknown key; did you mean `{near[0]}`?" if near else f"unknown key; known here: {', '.join(sorted(names))}"


def _written(entry: Any, location: Sequence[str | int]) -> list[str | int]:
    """The keys of the file in pydantic's location, without the names of a union's branches."""
    keys: list[str | int] = []
    for part in location:
        try:
            entry = entry[part]
        except (KeyError, IndexError, TypeError):
            continue
        keys.append(part)
    return keys


def _line(node: yaml.Node, keys: Sequence[str | int]) -> int:
    line = node.start_mark.line + 1
    for key in keys:
        below = None
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            below = node.value[key]
            line = below.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == key:
                    below, line = value, name.start_mark.line + 1
        if below is None:
            break
        node = below
    return line
