"""`build:`: an image made by BuildKit, through the `docker` program, in a process that survives us.

`.greenroom/artefacts/RELEASE/` on this machine holds the process (`job/`), what it printed (`prepare.log`, where `greenroom
logs` finds it) and the image's id (`identity`). With several hosts it is built once, and pulled by each.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from greenroom.adapters.docker.client import environment_of, host_of
from greenroom.adapters.docker.provenance import provenance
from greenroom.adapters.docker.settings import BuildSettings, DockerSettings
from greenroom.adapters.shell import Job, last_lines
from greenroom.adapters.supervisor.inherit import inherited
from greenroom.adapters.supervisor.runfiles import try_lock
from greenroom.domain.model import ArtefactSpec
from greenroom.domain.template import conceal, fill
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Place

_NOISE = re.compile(r"#\d+ sha256:\w+|-+")
_PLUGIN = (
    "it needs BuildKit's plug-in: install docker-buildx-plugin (or docker-buildx), and try `docker buildx version`"
)
_HINTS = {
    "buildx component is missing": _PLUGIN,
    "unknown flag: --cache-to": _PLUGIN,
    "no space left on device": "the disk is full: `docker builder prune` frees what builds have left",
    "Cannot connect to the Docker daemon": "Docker is not running on this machine: `sudo systemctl start docker`",
    "permission denied while trying to connect": "put the user into the group docker, and log in anew",
    "no basic auth credentials": "a base image wants a login: `docker login` to its registry on this machine",
    "pull access denied": "a base image is missing or wants a login: `docker login` to its registry on this machine",
}


@dataclass(frozen=True, slots=True)
class Build:
    """The build of one release. `program`: the `docker` to do it with."""

    place: Place
    release: str
    program: str = "docker"

    @property
    def folder(self) -> Path:
        """On this machine, wherever the containers will run."""
        local = not host_of(self.place).name
        state = self.place.state if local else self.place.file.parent / ".greenroom"
        return state.absolute() / "artefacts" / self.release

    @property
    def job(self) -> Job:
        return Job(self.folder / "job")

    @property
    def log(self) -> Path:
        return self.folder / "prepare.log"

    @property
    def alive(self) -> bool:
        who = self.job.found()
        return who is not None and who.alive and self.job.code() is None

    def identity(self) -> str:
        """The id of the finished image; "" if there is none."""
        if self.job.code() != 0:
            return ""
        with contextlib.suppress(OSError):
            return (self.folder / "identity").read_text(encoding="ascii").strip()
        return ""

    def failure(self, secrets: Mapping[str, str]) -> str:
        """What its end said, the last line first; "" if it did not fail."""
        code = self.job.code()
        if code in (0, None):
            return ""
        lines = self.lines(secrets)
        way_out = next((hint for text, hint in _HINTS.items() if any(text in line for line in lines)), "")
        first = (lines[-1:] or [f"`docker build` ended with {code}"])[0]
        return "\n".join([f"{first}; {way_out}" if way_out else first, *lines[:-1]])

    def lines(self, secrets: Mapping[str, str]) -> list[str]:
        """The last ones that say something."""
        lines = [conceal(line, secrets) for line in last_lines(self.log, 40)]
        return [line for line in lines if not _NOISE.fullmatch(line)][-20:]

    def begin(self, spec: ArtefactSpec, settings: DockerSettings, socket: str | None) -> bool:
        """It goes on, or has ended well. One that failed or was killed begins anew. False: somebody else begins it now."""
        assert settings.build is not None
        if shutil.which(self.program) is None:
            raise Permanent(
                "`build:` needs the program `docker` on this machine",
                hint="install Docker's command line with buildx, or build in CI, push, and leave `build` out",
            )
        context = self.place.file.absolute().parent / settings.build.context
        if not context.is_dir():
            raise Permanent(f"environment.build.context is not a folder: {context}")
        try:
            return self._begin(spec, settings, settings.build, context.resolve(), socket)
        except OSError as error:
            raise Temporary(f"the build cannot begin: {error.strerror}: {error.filename}") from None

    def _begin(
        self, spec: ArtefactSpec, settings: DockerSettings, build: BuildSettings, context: Path, socket: str | None
    ) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = try_lock(str(self.folder / "lock"))
        if lock is None:
            return False
        try:
            if self.alive or self.identity():
                return True
            self.job.end(2.0)
            for path in (self.log, self.folder / "identity"):
                path.unlink(missing_ok=True)
            self.log.touch(0o600)
            environment = {**inherited(), **environment_of(socket), "DOCKER_BUILDKIT": "1"}
            words = self._command(spec, settings, build, context, environment)
            self.job.start(f"exec {shlex.join(words)}", directory=context, environment=environment, output=self.log)
            return True
        finally:
            os.close(lock)

    def _command(
        self,
        spec: ArtefactSpec,
        settings: DockerSettings,
        build: BuildSettings,
        context: Path,
        environment: dict[str, str],
    ) -> list[str]:
        """No value that may be secret is in it: they are handed over in the environment."""
        names = {"version": spec.version, "release": spec.release}
        words = [self.program, "build", "--progress=plain", "--iidfile", str(self.folder / "identity")]
        words += ["--tag", fill(settings.image, names)]
        if build.dockerfile:
            words += ["--file", str(context / build.dockerfile)]
        if build.target:
            words += ["--target", build.target]
        if platform := build.platform or settings.platform:
            words += ["--platform", platform]
        for name, value in build.args.items():
            taken = name in environment  # its own value has to stay
            words += ["--build-arg", f"{name}={fill(value, names)}" if taken else name]
            environment.setdefault(name, fill(value, names))
        for number, (name, value) in enumerate(build.secrets.items()):
            environment[f"GREENROOM_BUILD_SECRET_{number}"] = value
            words += ["--secret", f"id={name},env=GREENROOM_BUILD_SECRET_{number}"]
        for option, texts in (("--cache-from", build.cache_from), ("--cache-to", build.cache_to)):
            words += [word for text in texts for word in (option, fill(text, names))]
        for label, value in provenance(context, spec.version, environment).items():
            words += ["--label", f"{label}={value}"]
        return [*words, str(context)]

    def end(self) -> None:
        """It stops, and nothing of it is left but what Docker keeps."""
        self.job.end(2.0)
        shutil.rmtree(self.folder, ignore_errors=True)
