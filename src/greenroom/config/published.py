"""The JSON Schema that is published for editors, made from the models themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from greenroom import plugins
from greenroom.config.schema import File
from greenroom.ports import Capability
from greenroom.units import show_duration

SECTIONS = {
    "environment": ("environment", "process"),
    "router": ("router", "envoy"),
    "gates": ("gate", ""),
    "checks": ("check", ""),
    "watch": ("check", "http"),
    "migrations": ("migrator", "sql"),
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

_ENVIRONMENT = {
    "type": "object",
    "properties": {"type": {"const": "environment"}},
    "required": ["type"],
    "additionalProperties": False,
}
"""The source of `cpu` and `memory`, which has no keys of its own."""

_DESCRIBED = re.compile(r"(?:^|[.;]\s+)`(\w+)`: ")

_MEANINGS = {
    ("HaproxySettings", "timeouts"): "How long the router waits.",
}
"""For keys whose models say nothing, by the title of the model."""


class _Schema(GenerateJsonSchema):
    """Without titles that only repeat the name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """JSON Schema of the whole file, with the sections of the adapters that come with Greenroom."""
    whole = _readable(File.model_json_schema(by_alias=True, schema_generator=_Schema))
    definitions = whole.setdefault("$defs", {})
    for key, (kind, usual) in SECTIONS.items():
        kinds = _kinds(definitions, key, kind, usual)
        place = whole["properties"][key]
        target = entry(place)
        description = {k: v for k, v in place.items() if k == "description"}
        target.clear()
        target.update(description if target is place else {}, anyOf=kinds)
    source = definitions["Analysis"]["properties"]["source"]
    description = source["description"]
    source.clear()
    source.update(description=description, anyOf=[*_kinds(definitions, "source", "source", ""), _ENVIRONMENT])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "title": "greenroom.yaml"}


def _kinds(definitions: dict[str, Any], key: str, kind: str, usual: str) -> list[dict[str, Any]]:
    """A reference to each type of a section; the types themselves go into `definitions`."""
    kinds = []
    for name, model in models(key, kind):
        title = f"{key}.{name}"
        part = _readable(
            model.model_json_schema(by_alias=True, schema_generator=_Schema, ref_template=f"#/$defs/{title}.{{model}}")
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
    return kinds


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


def entry(place: dict[str, Any]) -> dict[str, Any]:
    """What the type of an adapter decides: the key itself, or each entry of its list or mapping."""
    entry: dict[str, Any] = place.get("items") or place
    return place["additionalProperties"] if isinstance(place.get("additionalProperties"), dict) else entry


def models(key: str, kind: str) -> Iterator[tuple[str, type[BaseModel]]]:
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
    if kind_of(part) == "duration" and isinstance(part.get("default"), int | float):
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


def kind_of(part: Mapping[str, Any]) -> str:
    """What units it has, by the examples of `greenroom.units`."""
    examples = [example for branch in part.get("anyOf", [part]) for example in branch.get("examples", [])]
    for example, kind in (("30s", "duration"), ("5%", "percent"), ("0.1%", "percent"), ("10MB", "size")):
        if example in examples:
            return kind
    return ""


def _told(text: str) -> dict[str, str]:
    """What a class's docstring says of its keys: "`listen`: where it listens. `drain`: …"."""
    parts = _DESCRIBED.split(" ".join(text.split()))
    return {key: said.rstrip(".") + "." for key, said in zip(parts[1::2], parts[2::2], strict=False)}
