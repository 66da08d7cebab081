"""What pydantic found wrong, in the words of the file: where, what, and the nearest right thing. Never a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from greenroom.config.nodes import Keys
from greenroom.domain.template import conceal, secret_names
from greenroom.units import show_duration

_SAID = {
    "dict_type": "should be a mapping of `key: value` lines",
    "model_type": "should be a mapping of `key: value` lines",
    "model_attributes_type": "should be a mapping of `key: value` lines",
    "dataclass_type": "should be a mapping of `key: value` lines",
    "list_type": "should be a list: begin each entry with `- `",
    "tuple_type": "should be a list: begin each entry with `- `",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "finite_number": "should be a number",
    "string_too_short": "is empty",
    "too_short": "should have an entry",
}


_LIMITS = {
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
}


def problems(
    error: ValidationError, model: type[BaseModel], raw: Any, secrets: Mapping[str, str]
) -> Iterator[tuple[Keys, str]]:
    """(path below `raw`, sentence), one for each path. `raw` is as written, `${NAME}` unfilled."""
    found: dict[Keys, list[tuple[str, str, str]]] = {}
    for one in error.errors(include_url=False, include_input=False):
        keys = _path(raw, one["loc"], one["type"])
        found.setdefault(keys, []).append((one["type"], *_sentence(one, keys, model, raw, secrets)))
    for keys, said in found.items():
        deeper = any(len(other) > len(keys) and other[: len(keys)] == keys for other in found)
        if deeper and all(kind in _SAID or kind == "string_type" for kind, *_ in said):
            continue  # the other branches of a union, of which one went further
        # "Too short" is said as well when there are entries and none of them is good.
        said = [one for one in said if one[0] != "too_short"] or ([] if deeper else said)
        if not said:
            continue
        own = [one for one in said if one[0] == "value_error"] or said
        text = ", or ".join(dict.fromkeys(text for _, text, _ in own)).replace(", or should be", ", or")
        yield keys, text + next((tail for *_, tail in own if tail), "")


def known_keys(model: type[BaseModel], keys: Sequence[str | int]) -> dict[str, Any]:
    """The keys that may stand at this path, with their schemas."""
    try:
        schema = model.model_json_schema(by_alias=True)
    except Exception:  # not every model has one; then nothing can be suggested
        return {}
    here = [schema]
    for key in keys:
        here = [below for one in here for below in _below(_branches(one, schema), key)]
    return {
        name: part
        for one in here
        for branch in _branches(one, schema)
        for name, part in branch.get("properties", {}).items()
    }


def nearest(name: str, names: Sequence[str]) -> str:
    by_small = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), by_small, n=1, cutoff=0.6)
    return by_small[near[0]] if near else ""


def _branches(schema: Any, root: Any) -> list[dict[str, Any]]:
    """A schema and its alternatives, references followed."""
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _branches(root.get("$defs", {}).get(name), root)
    found = [schema]
    for word in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(word, ()):
            found.extend(_branches(one, root))
    return found


def _below(branches: list[dict[str, Any]], key: str | int) -> Iterator[Any]:
    for branch in branches:
        if isinstance(key, int):
            yield from (branch[word] for word in ("items",) if word in branch)
        elif key in branch.get("properties", {}):
            yield branch["properties"][key]
        elif isinstance(branch.get("additionalProperties"), dict):
            yield branch["additionalProperties"]


def _path(raw: Any, location: tuple[str | int, ...], kind: str) -> Keys:
    """The keys of the file in pydantic's location, without the names of a union's branches."""
    keys: list[str | int] = []
    for index, part in enumerate(location):
        below = isinstance(raw, Mapping) and part in raw
        if below or (isinstance(raw, list) and isinstance(part, int) and 0 <= part < len(raw)):
            raw = raw[part]
        elif not (kind == "missing" and index == len(location) - 1):
            continue
        keys.append(part)
    return tuple(keys)


def value_at(raw: Any, keys: Keys) -> Any:
    for key in keys:
        try:
            raw = raw[key]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


def _sentence(one: Any, keys: Keys, model: type[BaseModel], raw: Any, secrets: Mapping[str, str]) -> tuple[str, str]:
    """What is wrong, and what stands there instead."""
    kind: str = one["type"]
    value = value_at(raw, keys)
    if kind == "missing":
        about = known_keys(model, keys[:-1]).get(str(keys[-1]), {}).get("description", "") if keys else ""
        return "is missing" + (f" ({about.rstrip('.')})" if about else ""), ""
    if kind == "extra_forbidden":
        return _unknown_key(model, keys), ""
    text: str = one["msg"]
    if kind in ("value_error", "assertion_error"):
        return _without_secrets(text.partition(", ")[2] or text, value, secrets), ""
    if kind == "string_type":
        return "should be text", _not(value) + ("; put it in quotes" if isinstance(value, int | float) else "")
    if kind in ("literal_error", "enum"):
        expected = str(one.get("ctx", {}).get("expected", "something else"))
        plain = isinstance(value, str) and not secret_names(value)
        near = nearest(value, re.findall(r"'([^']*)'", expected)) if plain else ""
        return f"should be {expected}", _not(value) + (f"; did you mean `{near}`?" if near else "")
    if kind in _LIMITS:
        return _limit(*_LIMITS[kind], one["ctx"], value), _not(value)
    if kind == "string_pattern_mismatch":
        return f"should match `{one['ctx']['pattern']}`", _not(value)
    text = re.sub(r"^Input ", "", re.sub(r", unable to parse.*", "", text))
    text = _SAID.get(kind) or _without_secrets(text[:1].lower() + text[1:], value, secrets)
    return text, _not(value)


def _limit(name: str, words: str, context: Mapping[str, Any], value: Any) -> str:
    """A limit in the units of the value."""
    limit = context[name]
    timely = isinstance(value, str) and re.search(r"\d\s*(ms|s|m|h|d|w)\s*$", value)
    return f"should be {words} {show_duration(limit) if timely else f'{limit:g}'}"


def _unknown_key(model: type[BaseModel], keys: Keys) -> str:
    names = sorted(known_keys(model, keys[:-1]))
    near = nearest(str(keys[-1]), names) if keys else ""
    if near:
        return f"unknown key; did you mean `{near}`?"
    return "unknown key" + (f"; known here: {', '.join(names)}" if names else "; nothing can stand here")


def _not(value: Any) -> str:
    """The value as written, where it is short and no part of it is a secret."""
    if value is None:
        return "; it is empty"
    if isinstance(value, str | int | float) and not secret_names(value):
        text = "".join(c if c.isprintable() else " " for c in str(value))
        return f", not `{text}`" if 0 < len(text) <= 40 else ""
    return ""


def _without_secrets(text: str, value: Any, secrets: Mapping[str, str]) -> str:
    used = secret_names(value)
    if any(0 < len(secrets.get(name, "")) < 4 and secrets[name] in text for name in used):
        return f"the value that {', '.join('${' + name + '}' for name in used)} gives is not good here"
    return conceal(text, {name: secrets[name] for name in used if name in secrets})
