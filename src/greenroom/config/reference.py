"""The reference of every key, made from the models themselves: `python -m greenroom.config.reference docs/reference`.

Writes `greenroom.schema.json`, for editors, and `configuration.md`, for people. A test says whether they are current.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from greenroom import plugins
from greenroom.config.schema import File
from greenroom.ports import Capability
from greenroom.units import show_duration

_SECTIONS = {
    "environment": ("environment", "process"),
    "router": ("router", "envoy"),
    "gates": ("gate", ""),
    "checks": ("check", ""),
    "watch": ("check", "http"),
    "notify": ("notifier", ""),
    "hosts": ("host", "ssh"),
    "journal": ("journal", "sqlite"),
}
"""Key of the file → port, and the `type` where none is written ("": it must be)."""

_HOSTS = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Names of `hosts` of the first level on which it is. Default: all of them.",
}

_DESCRIBED = re.compile(r"(?:^|[.;]\s+)`(\w+)`: ")

_MEANINGS = {
    ("HaproxySettings", "timeouts"): "How long the router waits.",
}
"""For keys whose models say nothing, by the title of the model."""

_INTRODUCTION = """\
# `greenroom.yaml`: every key

<!-- Written by `python -m greenroom.config.reference docs/reference`; do not edit. -->

One file describes a service. `greenroom init` writes a starter; `greenroom plan VERSION` checks the file and changes
nothing. Unknown keys are refused, with the nearest known one. For completion in an editor, begin the file with
`# yaml-language-server: $schema=greenroom.schema.json` and the [schema](greenroom.schema.json) beside it.

- **Durations** have a unit: `250ms`, `30s`, `5m`, `1h30m`, `7d`. **Percents** have a sign: `5%`, `0.1%`.
- **`${NAME}`** in a value reads the environment of `greenroom deploy`; a variable that is not set is an error. The value
  is kept with the release, so that a rollback starts what was released. It is a secret: it is never shown.
- **`{port}`, `{colour}`, `{version}`, `{release}`, `{idle_url}`** are filled in by Greenroom; the same stand in the
  environment of every process and command, as `PORT`, `GREENROOM_COLOUR` and so on.
- YAML is read as its version 1.2: only `true` and `false` are booleans, and `0644` or `1.10` stay as they are written.
- A key without a value counts as left out. Paths are relative to the file's folder.
"""


class _Schema(GenerateJsonSchema):
    """Without titles that only repeat the name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """JSON Schema of the whole file, with the sections of the adapters that come with Greenroom."""
    whole = _readable(File.model_json_schema(by_alias=True, schema_generator=_Schema))
    definitions = whole.setdefault("$defs", {})
    for key, (kind, usual) in _SECTIONS.items():
        kinds = []
        for name, model in _models(key, kind):
            title = f"{key}.{name}"
            part = _readable(
                model.model_json_schema(
                    by_alias=True, schema_generator=_Schema, ref_template=f"#/$defs/{title}.{{model}}"
                )
            )
            for below, definition in part.pop("$defs", {}).items():
                definitions[f"{title}.{below}"] = definition
            part["properties"] = {"type": {"const": name}, **part.get("properties", {})}
            part["properties"]["type"] = {"const": name, "description": "Which kind it is."}
            if Capability.HOSTS in getattr(plugins.find(kind, name), "capabilities", ()):
                part["properties"]["hosts"] = _HOSTS
            if key == "gates":
                part["properties"] |= _gate_keys(plugins.find(kind, name))
            part["required"] = sorted({*part.get("required", []), *([] if name == usual else ["type"])})
            part["title"] = f"{key} of type {name}"
            definitions[title] = part
            kinds.append({"$ref": f"#/$defs/{title}"})
        place = whole["properties"][key]
        target = _entry(place)
        description = {k: v for k, v in place.items() if k == "description"}
        target.clear()
        target.update(description if target is place else {}, anyOf=kinds)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "title": "greenroom.yaml"}


def _gate_keys(gate: Any) -> dict[str, Any]:
    """Those of every gate, which the loader reads."""
    stages = [str(when) for when in gate.WHEN]
    return {
        "when": {
            "enum": stages,
            "default": stages[0],
            "description": "Who asks: before the build, of what was made, before any traffic moves, or in the bake.",
        },
        "on_failure": {
            "enum": ["stop", "notify"],
            "default": "stop",
            "description": "`stop`: the release goes no further, or back. `notify`: somebody is told, and it goes on.",
        },
    }


def configuration() -> str:
    """The page for people."""
    whole = schema()
    text = [_INTRODUCTION, "## The file", _table(whole, whole, "")]
    for key, below in whole["properties"].items():
        if key not in _SECTIONS:
            text += _nested(whole, below, key)
            continue
        for branch in _entry(below)["anyOf"]:
            model = _resolved(whole, branch)
            name = model["properties"]["type"]["const"]
            text += [f"## `{key}` of `type: {name}`", _table(whole, model, f"{key}.{name}")]
            each = "" if _entry(below) is below else "[]" if below.get("type") == "array" else ".NAME"
            for inner, part in model["properties"].items():
                text += _nested(whole, part, f"{key}{each}.{inner}")
    return "\n\n".join(part.strip() for part in text) + "\n"


def _entry(place: dict[str, Any]) -> dict[str, Any]:
    """What the type of an adapter decides: the key itself, or each entry of its list or mapping."""
    entry: dict[str, Any] = place.get("items") or place
    return place["additionalProperties"] if isinstance(place.get("additionalProperties"), dict) else entry


def _models(key: str, kind: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name in plugins.known(kind):
        adapter = plugins.find(kind, name)
        if adapter.__module__.startswith("greenroom."):
            model = getattr(adapter, "WatchSettings" if key == "watch" else "Settings", None)
            if model is not None:
                yield name, model


def _readable(part: Any) -> Any:
    """Defaults as people write them, durations with units; and meanings with the keys, not with Python's classes."""
    if isinstance(part, list):
        return [_readable(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: _readable(value) for key, value in part.items()}
    if _kind(part) == "duration" and isinstance(part.get("default"), int | float):
        value = part["default"]
        part["default"] = f"{value:g}s" if 1 < value < 60 else show_duration(value)
    return _explained(part) if isinstance(part.get("properties"), dict) and "title" in part else part


def _explained(model: dict[str, Any]) -> dict[str, Any]:
    told = _told(str(model.pop("description", "")))
    for key, part in model["properties"].items():
        meaning = part.get("description") or told.get(key) or _MEANINGS.get((model["title"], key), "")
        if meaning:
            part["description"] = meaning
    return model


def _kind(part: Mapping[str, Any]) -> str:
    """What units it has, by the examples of `greenroom.units`."""
    examples = [example for branch in part.get("anyOf", [part]) for example in branch.get("examples", [])]
    for example, kind in (("30s", "duration"), ("5%", "percent"), ("0.1%", "percent"), ("10MB", "size")):
        if example in examples:
            return kind
    return ""


def _resolved(whole: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        name = str(part["$ref"]).removeprefix("#/$defs/")
        return {**_resolved(whole, whole["$defs"][name]), **{k: v for k, v in part.items() if k != "$ref"}}
    return dict(part)


def _table(whole: Mapping[str, Any], model: Mapping[str, Any], place: str) -> str:
    rows = ["| key | what | default | meaning |", "|---|---|---|---|"]
    for key, part in model["properties"].items():
        if key == "type" and place:
            continue
        default = "must be given" if key in model.get("required", ()) else _default(part)
        meaning = part.get("description", "")
        rows.append(f"| `{key}` | {_what(whole, part)} | {default} | {_cell(meaning)} |")
    return "\n".join(rows)


def _told(text: str) -> dict[str, str]:
    """What a class's docstring says of its keys: "`listen`: where it listens. `drain`: …"."""
    parts = _DESCRIBED.split(" ".join(text.split()))
    return {key: said.rstrip(".") + "." for key, said in zip(parts[1::2], parts[2::2], strict=False)}


def _nested(whole: Mapping[str, Any], part: Mapping[str, Any], path: str) -> list[str]:
    """The tables of the mappings below a key."""
    found: list[str] = []
    for suffix, below in _mappings(whole, part):
        name = f"{path}{suffix}"
        found += [f"### `{name}`", _table(whole, below, name)]
        for key, inner in below["properties"].items():
            found += _nested(whole, inner, f"{name}.{key}")
    return found


def _mappings(whole: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    seen = set()
    for branch in part.get("anyOf", [part]):
        below = _resolved(whole, branch)
        if below.get("type") == "array" and isinstance(below.get("items"), dict):
            found = [(f"[]{suffix}", inner) for suffix, inner in _mappings(whole, below["items"])]
        elif isinstance(below.get("additionalProperties"), dict):
            found = [(f".NAME{suffix}", inner) for suffix, inner in _mappings(whole, below["additionalProperties"])]
        else:
            found = [("", below)] if "properties" in below else []
        for suffix, inner in found:
            if inner.get("title") not in seen:
                seen.add(inner.get("title"))
                yield suffix, inner


def _what(whole: Mapping[str, Any], part: Mapping[str, Any]) -> str:
    if _kind(part):
        return _kind(part)
    names = list(dict.fromkeys(_one(whole, branch) for branch in part.get("anyOf", [part])))
    return " or ".join(name for name in names if name) or "any value"


def _one(whole: Mapping[str, Any], part: Mapping[str, Any]) -> str:
    part = _resolved(whole, part)
    if "enum" in part or "const" in part:
        return ", ".join(f"`{value}`" for value in part.get("enum", [part.get("const")]))
    match part.get("type"):
        case "array" if "items" in part:
            return f"list of {_what(whole, part['items'])}"
        case "array":
            return "list"
        case "object" if isinstance(part.get("additionalProperties"), dict):
            return f"mapping of names to {_what(whole, part['additionalProperties'])}"
        case str(name):
            names = {
                "string": "text",
                "integer": "whole number",
                "object": "mapping",
                "null": "",
                "boolean": "true or false",
            }
            return names.get(name, name)
    return "mapping" if "anyOf" in part else ""


def _default(part: Mapping[str, Any]) -> str:
    value = part.get("default")
    if value is None or value in ("", [], {}):
        return ""
    return "see below" if isinstance(value, dict) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    text = " ".join(text.split()).replace("|", "\\|")
    return text[:1].upper() + text[1:]


def write(folder: Path) -> None:
    (folder / "greenroom.schema.json").write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
    (folder / "configuration.md").write_text(configuration(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
