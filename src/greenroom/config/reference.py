"""The reference of every key, made from the models themselves: `python -m greenroom.config.reference docs/reference`.

Writes `greenroom.schema.json`, for editors, and `configuration.md`, for people. A test says whether they are current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from greenroom.config.published import SECTIONS, entry, kind_of, models, schema

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


def configuration() -> str:
    """The page for people."""
    whole = schema()
    text = [_INTRODUCTION, "## The file", _table(whole, whole, "")]
    for key, below in whole["properties"].items():
        if key not in SECTIONS:
            text += _nested(whole, below, key)
        if key == "analysis":
            for name, _ in models("source", "source"):
                model = whole["$defs"][f"source.{name}"]
                text += [f"## `analysis[].source` of `type: {name}`", _table(whole, model, f"source.{name}")]
        if key not in SECTIONS:
            continue
        for branch in entry(below)["anyOf"]:
            model = _resolved(whole, branch)
            name = model["properties"]["type"]["const"]
            text += [f"## `{key}` of `type: {name}`", _table(whole, model, f"{key}.{name}")]
            each = "" if entry(below) is below else "[]" if below.get("type") == "array" else ".NAME"
            for inner, part in model["properties"].items():
                text += _nested(whole, part, f"{key}{each}.{inner}")
    return "\n\n".join(part.strip() for part in text) + "\n"


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
    if kind_of(part):
        return kind_of(part)
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
