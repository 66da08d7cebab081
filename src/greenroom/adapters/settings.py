"""What the settings of several environments have in common: variables, commands, health, stopping."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from greenroom.adapters.supervisor.runfiles import signal_number
from greenroom.domain.model import Document
from greenroom.domain.template import reveal, secret_names
from greenroom.errors import Permanent
from greenroom.units import Seconds

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
GIVEN = ("PORT", "GREENROOM_SERVICE", "GREENROOM_COLOUR", "GREENROOM_VERSION", "GREENROOM_RELEASE")
"""Variables that every process gets; the file cannot set them."""


def _signal(name: str) -> str:
    try:
        signal_number(name)
    except KeyError:
        raise ValueError(f"there is no signal {name!r}; usual are SIGTERM, SIGINT, SIGQUIT, SIGUSR1") from None
    return "SIG" + name.upper().removeprefix("SIG")


def _text(value: Any) -> Any:
    """YAML reads `1` as a number and `true` as a boolean; a variable's value is a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _env(variables: dict[str, str]) -> dict[str, str]:
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a variable")
        if name in GIVEN:
            raise ValueError(f"{name} is given by Greenroom; use another name")
    return variables


def _command(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; write the command that starts the process")
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if names := secret_names(text):
        raise ValueError(
            f"holds ${{{names[0]}}}, which everybody could read in the process list; "
            f"give it in `env`, where the program can read it"
        )
    return text


Text = Annotated[str, BeforeValidator(_text)]
Env = Annotated[dict[str, Text], AfterValidator(_env)]
Command = Annotated[str, AfterValidator(_command)]
Signal = Annotated[str, AfterValidator(_signal)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HealthSettings(Section):
    path: str | None = Field(
        default=None,
        pattern=r"^/[^\s#]*$",
        description="Asked by HTTP GET at the replica's own port; it has 0.9 s to answer.",
    )
    command: Command | None = Field(
        default=None,
        description="Or: healthy if this exits with 0 within 5 s. Run where the process runs, with its variables.",
    )
    timeout: Seconds = Field(default=30.0, description="How long a start may take until it is healthy.")
    interval: Seconds = Field(default=2.0, gt=0, description="How often the router asks.")
    status: int | None = Field(
        default=None, ge=100, le=599, description="The only status that is healthy; else 200 to 299 are."
    )

    @model_validator(mode="after")
    def _one(self) -> HealthSettings:
        if self.path and self.command:
            raise ValueError("has `path` and `command`; one of them decides")
        if self.status and not self.path:
            raise ValueError("has `status` without `path`")
        return self


def known_names(processes: Mapping[str, object]) -> None:
    for name in processes:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a process: lower-case letters, digits, `-` and `_`")


def routed_of(processes: Mapping[str, Any]) -> str | None:
    """The process that gets the traffic: `web`, else the only one that runs always; None if that is unclear."""
    if "web" in processes:
        return "web"
    names = [name for name, process in processes.items() if process.runs == "always"]
    return names[0] if len(names) == 1 else None


class _Sections(Protocol):
    UNFILLED: ClassVar[frozenset[str]]

    @classmethod
    def model_validate(cls, obj: Any) -> Any: ...


_Settings = TypeVar("_Settings", bound=_Sections)


def read_definition(model: type[_Settings], definition: Document, secrets: Mapping[str, str]) -> _Settings:
    """The settings that a release was made with. `Permanent` if this Greenroom cannot read them any more."""
    section = {key: value for key, value in definition.get("environment", {}).items() if key != "type"}
    unfilled = model.UNFILLED
    try:
        filled = {key: value if key in unfilled else reveal(value, secrets) for key, value in section.items()}
        found: _Settings = model.model_validate(filled)
    except KeyError as error:
        raise Permanent(f"the value of ${{{error.args[0]}}} is not kept for this release") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(key) for key in first["loc"])
        raise Permanent(f"the definition of this release cannot be read: environment.{place}: {first['msg']}") from None
    return found
