"""The settings of the gate `sarif`."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from greenroom.adapters.checks.command import CommandSettings
from greenroom.adapters.gates.presets import PRESETS, Preset, word
from greenroom.adapters.gates.results import Level
from greenroom.units import Seconds

Kind = Literal["bandit", "detect-secrets", "gitleaks", "gitleaks-history", "semgrep", "trivy", "trivy-image", "zap"]
_REPORT = re.compile(r"(?<!\$)\{report\}|\$\{?GREENROOM_REPORT\b")


class SarifSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    UNFILLED: ClassVar[frozenset[str]] = frozenset({"run", "args", "paths"})
    """Keys in which the loader leaves `${NAME}`."""

    name: str = Field(default="", description="What it is called in output and journal.")
    run: str | None = Field(
        default=None, min_length=1, description="A command that writes its report to `{report}`, or else to its output."
    )
    file: str | None = Field(
        default=None,
        min_length=1,
        description="A report that is there already, instead of `run`; `{artefact}` is known.",
    )
    preset: Kind | None = Field(
        default=None, description="A scanner that is known here, with honest options, instead of `run`."
    )
    format: Literal["sarif", "detect-secrets"] | None = Field(
        default=None, description="What the report is written in: `sarif`, unless the preset says otherwise."
    )
    paths: list[str] = Field(
        default=[], description="What the preset is to look at: files and folders (`.` if empty), an image, an address."
    )
    args: list[str] = Field(default=[], description="More arguments for the preset's scanner.")
    rules: list[str] = Field(default=[], description="Semgrep's rules: files, or names of its registry.")
    fail_on: Literal["error", "warning", "note", "none"] = Field(
        default="warning",
        description="The lowest level of SARIF that fails. `none` is the lowest of all: everything does.",
    )
    finding_exits: list[int] = Field(
        default=[], description="Exit codes of `run`, beside 0, that mean that it looked and found something."
    )
    baseline: str | None = Field(
        default=None, min_length=1, description="A file of findings that are known: they are counted, and fail nothing."
    )
    strict: bool | None = Field(
        default=None,
        description="Whether a warning of the scanner about its own run, like a file that it could not read, is "
        "`unknown`. For presets it is, otherwise not.",
    )
    timeout: Seconds = Field(
        default=600.0, gt=0, description="After this the scanner is ended, and the answer unknown."
    )
    max_age: Seconds = Field(default=86400.0, gt=0, description="How old the report of `file` may be.")
    env: dict[str, str | int | float | bool] = Field(default={}, description="More of the scanner's environment.")

    @field_validator("env")
    @classmethod
    def _names(cls, env: dict[str, Any]) -> dict[str, Any]:
        return CommandSettings(run="true", env=env).env

    @field_validator("finding_exits")
    @classmethod
    def _exits(cls, codes: list[int]) -> list[int]:
        for code in codes:
            if not 1 <= code <= 125:
                raise ValueError(
                    f"{code} cannot mean that it found something: 0 does always, and above 125 it did not run"
                )
        return codes

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("run", "file", "preset") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs `run:`, `file:` or `preset:`, one of the three{_and(given)}")
        if self.run is None and self.finding_exits:
            raise ValueError("`finding_exits` belongs to `run`; a preset knows its own")
        if self.preset is None and (self.paths or self.args or self.rules):
            raise ValueError("`paths`, `args` and `rules` belong to `preset`; with `run` write them in the command")
        if self.preset is not None:
            self._fits(self.preset, PRESETS[self.preset])
        return self

    def _fits(self, name: str, preset: Preset) -> None:
        if self.format not in (None, preset.format):
            raise ValueError(f"the preset {name} writes {preset.format}; leave `format` out")
        if len(self.paths) > preset.most:
            raise ValueError(
                f"{name} looks at one path only, and would leave the others out without a word: make more gates"
            )
        if any(path.startswith("-") for path in self.paths):
            raise ValueError("a path that begins with `-` is an option to the scanner; write `./-…`, or use `args`")
        if (name == "semgrep") != bool(self.rules):
            raise ValueError("semgrep needs `rules`" if not self.rules else "`rules` belongs to the preset semgrep")
        if preset.weak and self.fail_on == "error":
            raise ValueError(
                f"{name} gives every finding the level `warning`: with `fail_on: error` none would ever fail"
            )

    @property
    def threshold(self) -> Level:
        return Level[self.fail_on.upper()]

    @property
    def looked_at(self) -> tuple[str, ...]:
        return tuple(self.paths) or (PRESETS[self.preset].paths if self.preset else ())

    @property
    def shell(self) -> str:
        """The command; "" where there is a report already."""
        if self.preset is not None:
            rules = [text for rule in self.rules for text in ("--config", rule)]
            args = " ".join(word(text) for text in [*rules, *self.args])
            return PRESETS[self.preset].command(args, " ".join(word(path) for path in self.looked_at))
        if self.run is None:
            return ""
        return self.run if _REPORT.search(self.run) else f'(\n{self.run}\n) >"$GREENROOM_REPORT"'

    @property
    def exits(self) -> tuple[int, ...]:
        """The codes that mean that it looked."""
        return (0, *(PRESETS[self.preset].found if self.preset else self.finding_exits))


def _and(given: list[str]) -> str:
    return f", not {' and '.join(f'`{name}`' for name in given)}" if given else ""
