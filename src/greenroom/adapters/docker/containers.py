"""The containers of a service as the engine shows them: whose they are, and how they are.

What is on its way out is renamed first (`shop-blue-web-1.ending-1a2b3c4d`): everybody sees it, and the name is free.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from greenroom.adapters.docker.roster import LABEL

_ENDING = ".ending-"
_SHORT_LIFE = 10.0
"""Docker itself calls a run of this length a good one, and starts its patience anew."""
_LOOPS = 5


@dataclass(frozen=True, slots=True)
class Container:
    """What `docker inspect` says of one."""

    raw: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.raw["Id"])

    @property
    def name(self) -> str:
        return str(self.raw["Name"]).removeprefix("/")

    def label(self, name: str) -> str:
        return str((self.raw["Config"].get("Labels") or {}).get(LABEL + name, ""))

    @property
    def slot(self) -> tuple[str, str]:
        return self.label("process"), self.label("replica")

    @property
    def replica(self) -> str:
        """`web-1`, also of one that is not ours."""
        return "-".join(self.slot) if self.slot[0] else self.name

    @property
    def worker(self) -> bool:
        return self.label("runs") == "active"

    # --- how it is

    @property
    def state(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.raw["State"]
        return found

    @property
    def ending(self) -> bool:
        return _ENDING in self.name

    @property
    def running(self) -> bool:
        """Also while it is paused, or waits for its restart: it is kept alive."""
        return bool(self.state["Running"] or self.state.get("Restarting"))

    @property
    def paused(self) -> bool:
        return bool(self.state.get("Paused"))

    @property
    def restarting(self) -> bool:
        return bool(self.state.get("Restarting"))

    @property
    def unstarted(self) -> bool:
        """Made, and never begun: whoever made it died, or it cannot be started."""
        return str(self.state["Status"]) == "created"

    @property
    def broken(self) -> str:
        """Why it could not be started; "" if it could, or was not tried."""
        return _plain(str(self.state.get("Error") or "")) if self.unstarted else ""

    @property
    def lost(self) -> bool:
        """Half removed by somebody."""
        return self.state["Status"] in ("dead", "removing")

    @property
    def restarts(self) -> int:
        return int(self.raw.get("RestartCount") or 0)

    @property
    def started(self) -> float:
        return moment(self.state.get("StartedAt"))

    @property
    def me(self) -> tuple[str, str]:
        """This run of it."""
        return self.id, str(self.state.get("StartedAt"))

    @property
    def health(self) -> tuple[str, str]:
        """What its HEALTHCHECK came to, and its last words; "" if it has none."""
        found = self.state.get("Health") or {}
        log = found.get("Log") or []
        status = str(found.get("Status") or "")
        return ("" if status == "none" else status), str(log[-1].get("Output") or "").strip() if log else ""

    @property
    def image(self) -> str:
        return str(self.raw["Image"])

    @property
    def policy(self) -> str:
        return str((self.raw["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no")

    def published(self, port: int = 0) -> list[tuple[int, str, int]]:
        """(port inside, address, port outside) of each TCP port; of one that does not run, as it was asked for."""
        live = (self.raw.get("NetworkSettings") or {}).get("Ports") or {}
        asked = self.raw["HostConfig"].get("PortBindings") or {}
        found = []
        for inside, bindings in (live if any(live.values()) else asked).items():
            number, _, protocol = inside.partition("/")
            if protocol == "tcp" and port in (0, int(number)):
                found += [(int(number), b["HostIp"], int(b["HostPort"])) for b in bindings or () if b.get("HostPort")]
        return found

    @property
    def ended(self) -> str:
        """Why it does not run any more, for people."""
        code = int(self.state.get("ExitCode") or 0)
        if self.state.get("OOMKilled"):
            limit = int(self.raw["HostConfig"].get("Memory") or 0)
            return "was killed: it needed more memory" + (f" than its {limit / 2**20:.0f} MiB" if limit else "")
        if code > 128:
            return f"was ended by signal {code - 128}"
        return f"ended with exit status {code}"

    @property
    def hopeless(self) -> str:
        """Why it can never become ready, as far as anybody can say; "" if it may."""
        if self.broken:
            return f"cannot be started: {self.broken}"
        short = 0 <= moment(self.state.get("FinishedAt")) - self.started < _SHORT_LIFE
        if self.restarting and self.restarts >= _LOOPS and short:
            return f"{self.ended}, again and again ({self.restarts} restarts)"
        given_up = not self.running and not self.unstarted and self.policy in ("no", "on-failure")
        if given_up and short and self.state.get("ExitCode"):
            return self.ended
        return ""


def ending_name(container: Container) -> str:
    return f"{container.name}{_ENDING}{container.id[:8]}"


def moment(text: Any) -> float:
    """Seconds since 1970 of `2026-01-02T03:04:05.123456789Z`; 0 for Docker's "never"."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?", str(text))
    if not found or found[1].startswith("0001"):
        return 0.0
    return datetime.fromisoformat(found[1] + "+00:00").timestamp() + float(found[2] or 0)


def _plain(text: str) -> str:
    """Without what only its authors understand."""
    text = re.sub(
        r"^(failed to create (shim task|task for container|shim)|OCI runtime create failed|Error response): ", "", text
    )
    text = re.sub(r"(OCI runtime create failed: |runc create failed: |unable to start container process: )", "", text)
    return text.removesuffix(": unknown").strip()
