"""What a container really runs with, as flat `path → text`; the same words for what the definition asks for.

What may differ between the colours stands in no text: colour, version, release, port, and what is the image's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from greenroom.adapters.docker.containers import Container
from greenroom.adapters.docker.roster import SECRETS
from greenroom.adapters.settings import GIVEN

Raw = Mapping[str, Any]
_NONE = "none"


def facts(config: Raw, host: Raw) -> dict[str, str]:
    """Of `Config` and `HostConfig`, as the engine shows them or as they are asked for; of keys that are there."""
    return dict((*_config(config), *_host(host), *_mounts(host)))


def effective(container: Container, image: Raw, secrets: Mapping[str, str]) -> dict[str, str]:
    """`image`: what it was made from. `secrets`: the hash of each file in /run/secrets."""
    raw, config, own = container.raw, dict(container.raw["Config"]), image.get("Config") or {}
    theirs = set(own.get("Env") or ())
    config["Env"] = [text for text in config.get("Env") or () if text not in theirs]
    for key in ("Cmd", "Entrypoint"):
        if config.get(key) == own.get(key):
            config[key] = None
    found = facts(config, container.raw["HostConfig"])
    found["image.platform"] = "/".join(str(image[k]) for k in ("Os", "Architecture", "Variant") if image.get(k))
    found["networks"] = ", ".join(sorted((raw.get("NetworkSettings") or {}).get("Networks") or ())) or _NONE
    found |= {f"mounts.{SECRETS}/{name}": digest for name, digest in secrets.items()}
    return found


def hashed(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:12]


def levelled(found: Mapping[str, str], told: Mapping[str, str], plain: Mapping[str, str]) -> dict[str, str]:
    """Texts that are as they were told, by the words of the definition: those hold no colour, version or port."""
    return {path: plain[path] if path in plain and text == told.get(path) else text for path, text in found.items()}


def _config(config: Raw) -> Iterator[tuple[str, str]]:
    for key, path in (("Cmd", "command"), ("Entrypoint", "entrypoint")):
        if key in config:
            yield path, " ".join(config[key]) if config[key] else "the image's"
    if "User" in config:
        yield "user", config["User"] or "root"
    if "WorkingDir" in config:
        yield "directory", config["WorkingDir"] or "/"
    for text in config.get("Env") or ():
        name, _, value = text.partition("=")
        if name not in GIVEN:
            yield f"env.{name}", hashed(value)
    if "StopSignal" in config:
        yield "stop.signal", config["StopSignal"] or "SIGTERM"
    if config.get("StopTimeout") is not None:
        yield "stop.timeout", f"{config['StopTimeout']} s"
    if config.get("Healthcheck"):
        check = config["Healthcheck"]
        if check.get("Test"):
            yield "health.test", " ".join(check["Test"])
        if check.get("Interval"):
            yield "health.interval", f"{check['Interval'] / 1e9:g} s"


def _host(host: Raw) -> Iterator[tuple[str, str]]:
    for key, path in (("Memory", "memory"), ("MemorySwap", "memory_and_swap"), ("ShmSize", "shm_size")):
        if key in host:
            yield path, f"{host[key]} B" if host[key] else _NONE
    if "NanoCpus" in host:
        yield "cpus", f"{host['NanoCpus'] / 1e9:g}" if host["NanoCpus"] else _NONE
    if "PidsLimit" in host:
        yield "pids", str(host["PidsLimit"]) if host["PidsLimit"] and host["PidsLimit"] > 0 else _NONE
    for limit in host.get("Ulimits") or ():
        yield f"ulimits.{limit['Name']}", f"{limit['Soft']}:{limit['Hard']}"
    if "ReadonlyRootfs" in host:
        yield "read_only", "yes" if host["ReadonlyRootfs"] else "no"
    if "Privileged" in host:
        yield "privileged", "yes" if host["Privileged"] else "no"
    for path, options in (host.get("Tmpfs") or {}).items():
        yield f"tmpfs.{path}", options or "default"
    for key, path in (("CapAdd", "cap_add"), ("CapDrop", "cap_drop"), ("SecurityOpt", "security")):
        if key in host:
            yield path, ", ".join(sorted(_short(text) for text in host[key] or ())) or _NONE
    if "ExtraHosts" in host:
        yield "extra_hosts", ", ".join(sorted(host["ExtraHosts"] or ())) or _NONE
    if "Init" in host:
        yield "init", "yes" if host["Init"] else "no"
    if host.get("LogConfig", {}).get("Type"):
        yield "log.driver", host["LogConfig"]["Type"]
    for name, value in (host.get("LogConfig", {}).get("Config") or {}).items():
        yield f"log.options.{name}", value
    if "RestartPolicy" in host:
        yield "restart", host["RestartPolicy"].get("Name") or "no"


def _mounts(host: Raw) -> Iterator[tuple[str, str]]:
    for mount in host.get("Mounts") or ():
        if not mount["Target"].startswith(f"{SECRETS}/"):
            yield f"mounts.{mount['Target']}", _mount(mount["Type"], mount["Source"], mount.get("ReadOnly"))
    for bind in host.get("Binds") or ():  # of containers that others made
        source, target, *options = bind.split(":")
        kind = "bind" if source.startswith("/") else "volume"
        yield f"mounts.{target}", _mount(kind, source, "ro" in options[0].split(",") if options else False)


def _mount(kind: str, source: str, read_only: Any) -> str:
    return f"{kind} {source}" + (", read-only" if read_only else "")


def _short(text: str) -> str:
    """One engine says `CAP_CHOWN` and `no-new-privileges`, another `CHOWN` and `no-new-privileges:true`."""
    return text.removeprefix("CAP_").removesuffix(":true")
