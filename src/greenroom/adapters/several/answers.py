"""From what each of several hosts answered to one answer, in which the hosts are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from greenroom.adapters.several.side_by_side import Answers
from greenroom.errors import GreenroomError, Permanent, Temporary, Uncertain

T = TypeVar("T")


def apart(answers: Answers[T]) -> tuple[dict[str, T], dict[str, str]]:
    """(What those gave that could be asked, why the others could not), by host."""
    given = {name: answer for name, answer in answers.items() if not isinstance(answer, Exception)}
    return given, {name: why(answer) for name, answer in answers.items() if isinstance(answer, Exception)}


def why(error: Exception) -> str:
    return error.message if isinstance(error, GreenroomError) else f"{type(error).__name__}: {error}"


def named(name: str, text: str) -> str:
    """`app2: no answer`; what names its host already stays as it is."""
    return text if text.startswith((f"{name}: ", f"{name} ")) else f"{name}: {text}"


def said(texts: Mapping[str, str]) -> str:
    """All of it, by host; `app1, app3: starting` where several say the same. Who says nothing is left out."""
    groups: dict[str, list[str]] = {}
    alone = []
    for name, text in texts.items():
        if text and named(name, text) == text:
            alone.append(text)
        elif text:
            groups.setdefault(text, []).append(name)
    return "; ".join([*(f"{listed(names)}: {text}" for text, names in groups.items()), *alone])


def listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def gather(answers: Answers[None], failed: Mapping[str, Exception] | None = None) -> None:
    """What came of the same deed on all hosts: nothing if all did it, else the error that says what may be done next.

    `failed`: hosts on which it was not even tried. Where some did it and others did not, it is `Uncertain`.
    """
    errors = {name: answer for name, answer in answers.items() if isinstance(answer, Exception)} | dict(failed or {})
    if not errors:
        return
    text = said({name: why(error) for name, error in errors.items()})
    done = [name for name, answer in answers.items() if answer is None]
    if done:
        text += f"; done on {listed(done)}"
    first = next((e for e in errors.values() if isinstance(e, Permanent)), next(iter(errors.values())))
    hint = first.hint if isinstance(first, GreenroomError) else ""
    if isinstance(first, Permanent):
        raise Permanent(text, hint=hint) from first
    temporary = [error for error in errors.values() if isinstance(error, Temporary)]
    if done or len(temporary) < len(errors):
        raise Uncertain(text, hint=hint) from first
    raise Temporary(text, retry_after=max(error.retry_after for error in temporary), hint=hint) from first
