"""Filling in: `{port}` in commands and URLs, `${NAME}` for what comes from outside and is secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_VARIABLE = re.compile(r"(?<!\$)\{([a-z_]+)\}")
_SECRET = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def fill(text: str, variables: Mapping[str, str]) -> str:
    """Replace `{name}` for the names given; other braces stay as they are."""
    return _VARIABLE.sub(lambda m: variables.get(m.group(1), m.group(0)), text)


def secret_names(document: Any) -> tuple[str, ...]:
    """Every `${NAME}` in a document, in order of appearance, once."""
    found: dict[str, None] = {}

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.update(dict.fromkeys(_SECRET.findall(value)))
        elif isinstance(value, Mapping):
            for item in value.values():
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)

    walk(document)
    return tuple(found)


def reveal(document: Any, secrets: Mapping[str, str]) -> Any:
    """A copy with every `${NAME}` filled in. `KeyError(name)` where a value is missing."""
    if isinstance(document, str):
        return _SECRET.sub(lambda m: secrets[m.group(1)], document)
    if isinstance(document, Mapping):
        return {key: reveal(value, secrets) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [reveal(value, secrets) for value in document]
    return document


def conceal(text: str, secrets: Mapping[str, str]) -> str:
    """Take the values of secrets out of a text that people will read. Values under 4 characters are too common."""
    for name, value in sorted(secrets.items(), key=lambda item: -len(item[1])):
        if len(value) >= 4:
            text = text.replace(value, "${" + name + "}")
    return text
