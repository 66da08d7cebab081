"""What a release consists of on a colour, program by program."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from greenroom.adapters.process.commands import words
from greenroom.adapters.process.settings import EnvironmentSettings, ProcessSettings
from greenroom.adapters.slots import Slot
from greenroom.domain.model import Colour, EnvironmentSpec
from greenroom.domain.template import fill, reveal, secret_names
from greenroom.errors import Permanent
from greenroom.ports import Place, Program


def log_file(place: Place, colour: Colour, slot: Slot[ProcessSettings]) -> Path:
    return place.state.absolute() / "logs" / str(colour) / f"{slot}.log"


@dataclass(frozen=True, slots=True)
class Cast:
    """Makes the programs of one release on one colour. `values`: of the release's `${NAME}`."""

    place: Place
    colour: Colour
    spec: EnvironmentSpec
    settings: EnvironmentSettings
    values: Mapping[str, str]

    def program(self, slot: Slot[ProcessSettings], name: str, port: int) -> Program:
        process = slot.settings
        environment, secrets = self.variables(slot, port)
        return Program(
            name=name,
            command=self.command(process.command),
            directory=Path(self.spec.artefact) / process.directory,
            environment=environment,
            secrets=secrets,
            output=log_file(self.place, self.colour, slot),
            user=process.user,
            stop_signal=process.stop.signal,
            stop_timeout=process.stop.timeout,
            port=port,
            labels={
                "colour": str(self.colour),
                "process": slot.process,
                "replica": str(slot.replica),
                "release": self.spec.release,
                "version": self.spec.version,
                "runs": process.runs,
            },
        )

    @property
    def names(self) -> dict[str, str]:
        """What fills `{name}`; `{port}` stays for the launcher, which knows the port that it really got."""
        return {"colour": str(self.colour), "version": self.spec.version, "release": self.spec.release}

    def command(self, text: str) -> tuple[str, ...]:
        """Split first, then filled: a version is never read by a shell."""
        split = words(text)
        if split[:2] == ("/bin/sh", "-c"):
            quoted = {name: shlex.quote(value) for name, value in self.names.items()}
            return ("/bin/sh", "-c", fill(text, quoted))
        return tuple(fill(word, self.names) for word in split)

    def variables(self, slot: Slot[ProcessSettings], port: int) -> tuple[dict[str, str], dict[str, str]]:
        """The plain ones, and those that hold a secret."""
        plain = {
            "PORT": "{port}",
            "GREENROOM_SERVICE": self.place.service,
            "GREENROOM_COLOUR": str(self.colour),
            "GREENROOM_VERSION": self.spec.version,
            "GREENROOM_RELEASE": self.spec.release,
        }
        secret = {}
        for name, text in {**self.settings.env, **slot.settings.env}.items():
            if secret_names(text):
                secret[name] = self._reveal(fill(text, {**self.names, "port": str(port)}))
            else:
                plain[name] = fill(text, self.names)
        return plain, secret

    def _reveal(self, text: str) -> str:
        try:
            return str(reveal(text, self.values))
        except KeyError as error:
            raise Permanent(
                f"the value of ${{{error.args[0]}}} is not kept for {self.spec.release}",
                hint="deploy that version again, with the variable set",
            ) from None
