"""When what is old may go, and how sure one wants to be: part of `migrations:`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from greenroom.adapters.settings import Section
from greenroom.domain.model import Colour
from greenroom.units import Seconds

Kind = Literal["code", "statements"]
BOTH: tuple[Kind, ...] = ("code", "statements")


class ContractSettings(Section):
    contract: Literal["by_hand", "auto"] = Field(
        default="by_hand",
        description="Who begins the contract once nobody can need the old any more: a person, by `greenroom db contract`,"
        " or the engine.",
    )
    soft_drop: Seconds = Field(
        default=86400.0,
        description="How long columns and tables that go are only hidden: renamed, kept up to date and put back by one"
        " command. 0: they are dropped at once.",
    )
    colours: dict[Colour, str] = Field(
        default_factory=dict,
        description="The role by which each colour logs in to the database. Without it a session is told by its"
        " application name, in which the colour or the version must stand.",
    )
    evidence: tuple[Kind, ...] = Field(
        default=BOTH,
        description="Where to look whether the live version still uses what goes: in its code, and in the statements that"
        " the server counts (pg_stat_statements). One that could look must have found nothing, and no other anything.",
    )
    evidence_for: Seconds = Field(
        default=600.0, description="How long the server's statements are watched before anything is hidden."
    )
    evidence_skip: list[str] = Field(
        default_factory=list, description="Files of the artefact that are not searched, as `docs/**` or `*.md`."
    )

    @model_validator(mode="after")
    def _two(self) -> ContractSettings:
        if self.colours and (set(self.colours) != set(Colour) or len(set(self.colours.values())) != 2):
            raise ValueError("`colours` names a role for blue and another for green, or is left out")
        return self
