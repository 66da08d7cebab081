"""Why an image cannot be had: what Docker and registries say in many ways, told apart, each with a way out."""

from __future__ import annotations

import re

from greenroom.adapters.docker.client import disk_is_full, full, machine_of
from greenroom.adapters.docker.login import Login
from greenroom.adapters.docker.names import Name
from greenroom.errors import Permanent, PortError
from greenroom.ports import Place


def _any(*texts: str) -> re.Pattern[str]:
    return re.compile("|".join(texts), re.IGNORECASE)


_HIDDEN = _any("repository does not exist or may require", "access to the resource is denied")
_LOGIN = _any(
    "no basic auth", "authentication required", "unauthorized", "(?<!permission )denied", r"\b40[13]\b",
    "incorrect username",
)  # fmt: skip
_LIMIT = _any("toomanyrequests", "too many requests", "rate limit")
_PLATFORM = _any("no matching manifest", "no match for platform", "does not match the specified platform")
_PLAIN = _any("server gave HTTP response to HTTPS client")
_CERTIFICATE = _any("x509", "certificate")
_MISSING = _any(
    "manifest unknown", "name unknown", "manifest for .* not found", "no such image", ": not found", r"\b404\b"
)
_UNREACHABLE = _any(
    "no such host", "connection refused", "timeout", "unreachable", "server misbehaving", "no route to host", "dial tcp",
    "deadline exceeded", "connection reset", "nothing came for", r"\bEOF\b", "name resolution", r"\b50[234]\b",
    "request canceled",
)  # fmt: skip


def refusal(text: str, image: Name, login: Login, place: Place, doing: str = "pulled") -> PortError:
    """`text`: what Docker said when this image was to be pulled or pushed, or its registry asked."""
    registry = "Docker Hub" if image.hub else image.registry
    if full(text):
        disk = disk_is_full(place, f"{image} cannot be {doing}")
        return Permanent(disk.message, hint=disk.hint)
    if _PLATFORM.search(text):
        return Permanent(f"{image} is not for this platform: {text}", hint=_BUILD_IT)
    if _LIMIT.search(text):
        return Permanent(f"{registry} gives no more images for now: {text}", hint=_way_in(image, login))
    if _HIDDEN.search(text) and not login:
        return Permanent(f"there is no {image} at {registry}, or it wants a login", hint=_way_in(image, login))
    if _LOGIN.search(text):
        if login:
            who = login.get("username") or "the token"
            return Permanent(f"{registry} refuses the login of {who} for {image}", hint=_way_in(image, login))
        return Permanent(f"{registry} wants a login for {image}", hint=_way_in(image, login))
    if _PLAIN.search(text):
        return Permanent(
            f"{registry} speaks HTTP without TLS, which Docker on {machine_of(place)} does not",
            hint=f'give it TLS, or name it in /etc/docker/daemon.json: {{"insecure-registries": ["{image.registry}"]}}',
        )
    if _CERTIFICATE.search(text):
        return Permanent(
            f"{registry} shows a certificate that Docker does not trust: {text}",
            hint=f"put its CA into /etc/docker/certs.d/{image.registry}/ca.crt on {machine_of(place)}",
        )
    if _MISSING.search(text):
        return missing(image, registry)
    if _UNREACHABLE.search(text):
        return _unreachable(text, image, registry, place)
    return Permanent(f"{image} cannot be {doing}: {text}")


def missing(image: Name, registry: str) -> PortError:
    return Permanent(f"there is no {image} at {registry}", hint="push it first, or correct `environment.image`")


def not_here(image: Name, place: Place) -> PortError:
    return Permanent(
        f"there is no image {image} on {machine_of(place)}, and `pull: never` keeps it from being pulled",
        hint="bring it there (`docker load`, `docker build`), or leave `pull` out",
    )


def other_platform(image: str, found: str, wanted: str, place: Place, asked: bool) -> PortError:
    """`asked`: the file wants this platform; else it is that of the machine."""
    here = "`environment.platform` asks for" if asked else f"Docker on {machine_of(place)} runs"
    return Permanent(f"{image} is for {found}, and {here} {wanted}", hint=_BUILD_IT)


_BUILD_IT = "build it for this platform too (`docker buildx build --platform …`), or release it where it belongs"


def _way_in(image: Name, login: Login) -> str:
    command = "docker login" if image.hub else f"docker login {image.registry}"
    if login:
        return f"does this user have the right to it? check `environment.login`, or log in anew: `{command}`"
    return f"`{command}`, or give user and password in `environment.login`"


def _unreachable(text: str, image: Name, registry: str, place: Place) -> PortError:
    on = machine_of(place)
    if image.hub:
        return Permanent(
            f"there is no image {image} on {on}, and Docker Hub, where it would come from, cannot be reached: {text}",
            hint=f"an image of another registry is written with its name: `registry.example/{image}`",
        )
    return Permanent(
        f"the registry {registry} cannot be reached from {on}: {text}",
        hint=f"is the name right, does it run? `curl https://{registry}/v2/` on {on} says more",
    )
