"""What can be seen before anything is touched: why a deploy would fail, and why users would notice one that does not."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from docker.errors import NotFound

from greenroom.adapters.docker.client import client, host_of, machine_of, socket_problem
from greenroom.adapters.docker.limits import Mount, merged
from greenroom.adapters.docker.roster import LABEL, path_of
from greenroom.adapters.docker.settings import DockerSettings
from greenroom.errors import PortError
from greenroom.ports import Host, Place

OLDEST = (1, 40)
"""The API of Docker 19.03."""
LEAST_FREE = 1 << 30
_LABELLED = f"{LABEL}service"


def problems(settings: DockerSettings, place: Place) -> list[str]:
    """What would keep a deploy from working."""
    if text := socket_problem(place, settings.socket):
        return [f"environment.socket: {text}"]
    try:
        found = [*_there(settings, place)]
        with client(place, settings.socket) as engine:
            found = [*_engine(engine.api, place), *_asked_of(engine.api, settings, place), *found]
    except PortError as error:
        return [f"environment.socket: {error.message}" + (f"; {error.hint}" if error.hint else "")]
    return found


def hazards(settings: DockerSettings, place: Place) -> list[str]:
    """Facts for which users would notice a deploy that works."""
    found = []
    for name, process in settings.processes.items():
        where, always = f"environment.processes.{name}", process.runs == "always"
        if process.fixed_ports and always:
            found.append(
                f"{where}.fixed_ports: two copies cannot share the port {process.fixed_ports[0]} of the machine, and both "
                f"colours run at once; leave it out (the router finds the traffic's port by itself), or `runs: active`"
            )
        if always and process.stop.timeout == 0:
            found.append(f"{where}.stop.timeout: 0 kills it in the middle of its requests; give it some seconds")
        for mount in (merged(settings, process).volumes or ()) if always else ():
            if not mount.read_only and not mount.shared:
                found.append(
                    f"{where}.volumes: both colours write to {mount.source} while both run; if they can share it, say "
                    f"`shared: true` there, else keep what they write in a database, or make it `:ro`"
                )
    with contextlib.suppress(PortError), client(place, settings.socket) as engine:  # `problems` says if it is not there
        found += [*_unasked(engine.api, settings, place), *_memory(engine.api, settings, place)]
    return found


# --- what is there


def _engine(api: Any, place: Place) -> Iterator[str]:
    version = api.version()
    spoken = tuple(int(part) for part in re.findall(r"\d+", version.get("ApiVersion", "0"))[:2])
    if spoken < OLDEST:
        yield f"environment.socket: Docker {version.get('Version')} is too old; install 19.03 or newer"
    root = str(api.info().get("DockerRootDir") or "/")
    ran = host_of(place).run(["df", "-Pk", root])
    cells = ran.out.decode("utf-8", "replace").splitlines()[-1:] and ran.out.decode().splitlines()[-1].split()
    if ran.code == 0 and len(cells) > 3 and cells[3].isdigit() and int(cells[3]) * 1024 < LEAST_FREE:
        yield (
            f"environment: the disk of {machine_of(place)} with Docker's images ({root}) has {int(cells[3]) // 1024} MiB "
            f"left; free some: `docker image prune`"
        )


def _asked_of(api: Any, settings: DockerSettings, place: Place) -> Iterator[str]:
    """What the file names has to be there: a new volume would be an empty one."""
    for network in _networks(settings):
        try:
            api.inspect_network(network)
        except NotFound:
            yield f"environment.networks: there is no network {network}; `docker network create {network}`"
    for mount in _mounts(settings):
        if not mount.named:
            continue
        try:
            api.inspect_volume(mount.source)
        except NotFound:
            yield f"environment.volumes: there is no volume {mount.source}; `docker volume create {mount.source}`"
    with contextlib.suppress(NotFound):
        image = api.inspect_image(settings.image) if "{" not in settings.image else {}
        machine = api.version().get("Arch")
        if settings.platform is None and machine and image.get("Architecture") not in ("", None, machine):
            yield (
                f"environment.image: {settings.image} is for {image['Architecture']}, {machine_of(place)} is {machine}; "
                f"build it for this platform, or set `platform`"
            )
    for entry in api.containers(filters={"label": f"{_LABELLED}={place.service}"}):
        home = entry["Labels"].get(f"{LABEL}home")
        if home and home != str(place.state):
            yield (
                f"environment: containers of a service {place.service} run already, of the installation in {home}; "
                f"give one of the two another name: `service`"
            )
            return


def _there(settings: DockerSettings, place: Place) -> Iterator[str]:
    host = host_of(place)
    for mount in _mounts(settings):
        if mount.named:
            continue
        if host.name and not mount.source.startswith("/"):
            yield f"environment.volumes: {mount.source}: on other machines a path has to be a whole one, like /srv/shop"
        elif host.run(["test", "-e", path_of(mount, place)]).code:
            yield f"environment.volumes: {path_of(mount, place)} does not exist on {machine_of(place)}; create it"
    address = settings.publish or place.address
    known = addresses(host)
    if known and not ipaddress.ip_address(address).is_unspecified and str(ipaddress.ip_address(address)) not in known:
        key = "environment.publish" if settings.publish else "environment"
        yield f"{key}: {address} is no address of {machine_of(place)}; it has {', '.join(sorted(known)[:6])}"


def addresses(host: Host) -> set[str]:
    """Those of the machine; empty if it does not say."""
    found = set()
    last = ""
    for line in (host.read("/proc/net/fib_trie") or b"").decode("ascii", "replace").splitlines():
        if match := re.search(r"\|-- (\S+)", line):
            last = match[1]
        elif "/32 host LOCAL" in line:
            found.add(last)
    if "127.0.0.1" in found:
        found |= {f"127.0.0.{n}" for n in range(2, 10)}  # all of 127/8 is
    for line in (host.read("/proc/net/if_inet6") or b"").decode("ascii", "replace").splitlines():
        found.add(str(ipaddress.IPv6Address(int(line.split()[0], 16))))
    return found


# --- what users would notice


def _unasked(api: Any, settings: DockerSettings, place: Place) -> Iterator[str]:
    """A routed process of which nothing says that it is ready. An image that is not known yet may well say so."""
    process = settings.processes.get(settings.routed or "")
    if process is None or process.health.path or process.health.command:
        return
    running = api.containers(filters={"label": [f"{_LABELLED}={place.service}", f"{LABEL}process={settings.routed}"]})
    images = [entry["ImageID"] for entry in running]
    images += [entry["Id"] for entry in api.images(name=re.split(r"[:@](?!.*/)", settings.image)[0])]
    for name in images[:1]:
        with contextlib.suppress(NotFound):
            check = (api.inspect_image(name).get("Config") or {}).get("Healthcheck") or {}
            if not check.get("Test") or check["Test"][0] == "NONE":
                yield (
                    f"environment.processes.{settings.routed}.health: nothing says when it is ready: it gets traffic as "
                    f"soon as it listens; set `health: {{path: …}}`, or give the image a HEALTHCHECK"
                )


def _memory(api: Any, settings: DockerSettings, place: Place) -> Iterator[str]:
    """What is still to be started must find room: both colours, where none runs."""
    one = sum((merged(settings, p).memory or 0) * p.replicas for p in settings.processes.values() if p.runs == "always")
    running = {
        entry["Labels"].get(f"{LABEL}colour")
        for entry in api.containers(filters={"label": f"{_LABELLED}={place.service}"})
    }
    needed = one * max(1, 2 - len(running))
    told = re.search(rb"MemAvailable:\s+(\d+) kB", host_of(place).read("/proc/meminfo") or b"")
    free = int(told[1]) * 1024 if told else 0
    if told and needed > free:
        yield (
            f"environment: {machine_of(place)} has {free >> 20} MiB of memory left, and "
            f"{'both colours' if not running else 'the second colour'} may need {needed >> 20} MiB; lower `memory`, run "
            f"fewer replicas, or add memory"
        )


def _networks(settings: DockerSettings) -> list[str]:
    return sorted({n for p in settings.processes.values() for n in merged(settings, p).networks or ()} - {"bridge"})


def _mounts(settings: DockerSettings) -> list[Mount]:
    found = {m.source: m for p in settings.processes.values() for m in merged(settings, p).volumes or ()}
    return list(found.values())
