"""What is done to containers. Nothing here waits for one to stop: that goes on in the engine, also when we are killed."""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from docker.errors import APIError, NotFound

from greenroom.adapters.docker.client import client, full, said
from greenroom.adapters.docker.containers import Container, ending_name
from greenroom.adapters.docker.output import printable
from greenroom.adapters.docker.roster import LABEL, Cast
from greenroom.adapters.docker.settings import DockerProcess
from greenroom.adapters.docker.usage import usage
from greenroom.adapters.slots import Slot
from greenroom.domain.model import Colour
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import Place, Usage

_ACCEPTED_WITHIN = 0.25
_NAMES = 5
_TAKEN = re.compile(r"port is already allocated|address already in use|Ports are not available", re.IGNORECASE)
_NO_NETWORK = re.compile(r"network (\S+) not found")

_STOPPING: dict[str, threading.Thread] = {}
"""By container, in this process: each release has adapters of its own, and a second stop signal is not the same as one."""
_GUARD = threading.Lock()


class PortTaken(Exception):
    """Somebody else listens where a container was to be published."""


class Crew:
    """The containers of one service. `socket`: as the file names it."""

    def __init__(self, place: Place, socket: str | None) -> None:
        self.place = place
        self.socket = socket

    def engine(self, *, changing: bool = False) -> contextlib.AbstractContextManager[Any]:
        return client(self.place, self.socket, changing=changing)

    # --- looking

    def all(self, colour: Colour | None = None) -> list[Container]:
        """Ours: foreign ones, and those of other services, do not exist for us."""
        labels = [f"{LABEL}service={self.place.service}"] + ([f"{LABEL}colour={colour}"] if colour else [])
        found = []
        with self.engine() as engine:
            for entry in engine.api.containers(all=True, filters={"label": labels}):
                with contextlib.suppress(NotFound):
                    found.append(Container(engine.api.inspect_container(entry["Id"])))
        return sorted(found, key=lambda container: container.name)

    def usage(self, containers: Sequence[Container]) -> Usage | None:
        """Of those that run; one that has gone meanwhile counts nothing."""
        found = []
        with self.engine() as engine:
            for container in containers:
                if container.running and not container.ending:
                    with contextlib.suppress(NotFound):
                        found.append(engine.api.stats(container.id, stream=False, one_shot=True))
        return usage(found)

    def find(self, name: str) -> Container | None:
        """By name or id; of anybody."""
        with self.engine() as engine, contextlib.suppress(NotFound):
            return Container(engine.api.inspect_container(name))
        return None

    def image(self, name: str) -> dict[str, Any] | None:
        with self.engine() as engine, contextlib.suppress(NotFound):
            found: dict[str, Any] = engine.api.inspect_image(name)
            return found
        return None

    def published(self) -> set[int]:
        """The ports that containers hold on that machine, whoever made them."""
        with self.engine() as engine:
            listed = engine.api.containers()
        return {
            int(port["PublicPort"]) for entry in listed for port in entry.get("Ports") or () if "PublicPort" in port
        }

    def stopping(self, container: Container) -> bool:
        """We have asked for its end, and it goes on."""
        with _GUARD:
            thread = _STOPPING.get(container.id)
            return thread is not None and thread.is_alive()

    def lines(self, container: Container, count: int = 20) -> list[str]:
        """The last ones that it wrote; none where its log driver keeps nothing for us."""
        with contextlib.suppress(PortError):
            return printable(self.written(container, count))[-count:]
        return []

    def written(self, container: Container, last: int, since: float = 0.0, *, stamped: bool = False) -> bytes:
        """`Temporary` where it is gone: somebody else ended it meanwhile, and kept what it wrote."""
        with self.engine() as engine:
            more = {"since": int(since)} if since else {}
            try:
                found: bytes = engine.api.logs(container.id, tail=last, timestamps=stamped, **more)
            except NotFound:
                raise Temporary(f"{container.name} is gone, and what it wrote with it") from None
            return found

    # --- doing

    def create(self, cast: Cast, slot: Slot[DockerProcess], port: int, epoch: int) -> Container:
        """Made, not started. Where a foreign container has our name it keeps it, and ours gets another."""
        body = cast.body(slot, port)
        body["Labels"] = cast.labels(slot, body, epoch)
        with self.engine(changing=True) as engine:
            for number in range(1, _NAMES + 1):
                name = cast.name(slot) + (f".{number}" if number > 1 else "")
                try:
                    made = engine.api.create_container_from_config(body, name)["Id"]
                    for network in cast.networks(slot)[1:]:
                        engine.api.connect_container_to_network(made, network)
                    return Container(engine.api.inspect_container(made))
                except APIError as error:
                    if error.status_code != 409:
                        raise _understood(error, cast, slot) from None
        raise Permanent(f"{_NAMES} containers that are not ours have the names {cast.name(slot)}, ….2 and so on")

    def start(self, container: Container, cast: Cast, slot: Slot[DockerProcess]) -> None:
        """`PortTaken` where it cannot be published there. What keeps the program from starting, the container says."""
        with self.engine(changing=True) as engine:
            try:
                engine.api.start(container.id)
            except APIError as error:
                text = said(error)
                if _TAKEN.search(text):
                    raise PortTaken(text) from None
                if full(text) or _NO_NETWORK.search(text):
                    raise _understood(error, cast, slot) from None
                if not Container(engine.api.inspect_container(container.id)).broken:
                    raise

    def discard(self, container: Container) -> None:
        """Away with it, at once: for one that does not run."""
        with self.engine(changing=True) as engine, contextlib.suppress(NotFound):
            engine.api.remove_container(container.id, v=True, force=True)

    def end(self, container: Container, timeout: float, finish: Callable[[Container], None]) -> None:
        """Gracefully. Returns when it is accepted; it goes on if we are killed, and who asks again continues it.

        `finish`: what is done with it when it has ended.
        """
        if self.stopping(container):
            return
        with self.engine(changing=True) as engine, contextlib.suppress(NotFound):
            if not container.ending:
                engine.api.rename(container.id, ending_name(container))
            _hold(engine.api, container)
        self.stop(container, timeout, finish)

    def hold(self, container: Container) -> None:
        """The engine does not start it again by itself, whatever happens to the machine meanwhile."""
        with self.engine(changing=True) as engine, contextlib.suppress(NotFound):
            _hold(engine.api, container)

    def stop(self, container: Container, timeout: float, finish: Callable[[Container], None]) -> None:
        def run() -> None:
            with contextlib.suppress(PortError):
                with self.engine(changing=True) as engine, contextlib.suppress(NotFound):
                    engine.api.stop(container.id, timeout=math.ceil(timeout))
                finish(container)

        if self.stopping(container):
            return
        thread = threading.Thread(target=run, name=f"stop {container.name}", daemon=True)
        with _GUARD:
            for ended in [name for name, other in _STOPPING.items() if not other.is_alive()]:
                del _STOPPING[ended]
            _STOPPING[container.id] = thread
            thread.start()
        thread.join(_ACCEPTED_WITHIN)


def _hold(api: Any, container: Container) -> None:
    """Also a frozen process shall be able to end itself."""
    if container.paused:
        api.unpause(container.id)
    if container.policy not in ("", "no"):
        api.update_container(container.id, restart_policy={"Name": "no"})


def _understood(error: APIError, cast: Cast, slot: Slot[DockerProcess]) -> Exception:
    """What Docker says of a container that it will not make, with the way out; else its own error."""
    text = said(error)
    if network := _NO_NETWORK.search(text):
        return Permanent(
            f"{slot} of {cast.spec.version}: there is no network {network[1]}",
            hint=f"`docker network create {network[1]}`, or correct `environment.networks`",
        )
    if "No such image" in text:
        return Permanent(
            f"the image of {cast.spec.release} is gone from the machine: {cast.spec.artefact}",
            hint="deploy that version again",
        )
    if "bind source path does not exist" in text:
        return Permanent(
            f"{slot} of {cast.spec.version}: {text.partition('invalid mount config for type ')[2] or text}",
            hint="create that folder or file on the machine, or correct `environment.volumes`",
        )
    theirs: Exception = error
    return theirs


def side_by_side(jobs: Sequence[Callable[[], Any]]) -> None:
    """All of them at once; the first error that one had is raised when all have ended."""
    errors: list[Exception] = []

    def run(job: Callable[[], Any]) -> None:
        try:
            job()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
