"""Images: which one a name means at this moment, bringing exactly that one here, for the right platform."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from docker import DockerClient
from docker.auth import encode_header
from docker.errors import APIError, ImageNotFound, NotFound

from greenroom.adapters.docker.client import said, timed_out
from greenroom.adapters.docker.login import Login
from greenroom.adapters.docker.names import Name, is_id, short
from greenroom.adapters.docker.refusals import missing, not_here, other_platform, refusal
from greenroom.errors import Permanent
from greenroom.ports import Place

Tell = Callable[[str], None]
"""Says how far it is; raises where nobody wants it any more."""

_SILENCE = "nothing came for {:g} s"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`platform`: as the file asks for it, "" for that of the machine."""

    image: Name
    pull: str = "missing"
    platform: str = ""
    login: Login = field(default_factory=dict)


def resolve(engine: DockerClient, wanted: Wanted, place: Place) -> str:
    """What the name means now: `repository@digest`, or the id of an image that never was in its registry."""
    image = wanted.image
    if image.digest:
        return image.at(image.digest)
    local = look(engine, str(image))
    if local is not None:
        digest = image.digest_in(local.get("RepoDigests"))
        if not digest:
            return str(local["Id"])  # made here: no registry knows better
        if wanted.pull != "always":
            return image.at(digest)
    if wanted.pull == "never":
        raise not_here(image, place)
    try:
        found = engine.api.inspect_distribution(str(image), auth_config=dict(wanted.login))
    except (APIError, requests.RequestException) as error:
        if not isinstance(error, APIError) and not timed_out(error):
            raise  # Docker itself is gone
        text = said(error) if isinstance(error, APIError) else _SILENCE.format(engine.api.timeout)
        raise refusal(text, image, wanted.login, place) from None
    platforms = [_platform(entry) for entry in found.get("Platforms") or () if entry.get("os") not in ("", "unknown")]
    ours, asked = _ours(engine, wanted)
    if platforms and not any(_same(platform, ours) for platform in platforms):
        raise other_platform(str(image), " and ".join(sorted(set(platforms))), ours, place, asked)
    return image.at(str(found["Descriptor"]["digest"]))


def bring(engine: DockerClient, reference: str, wanted: Wanted, place: Place, tell: Tell) -> None:
    """This very image is on the machine, and runs there."""
    image = wanted.image
    if look(engine, reference) is None:
        if is_id(reference):
            raise Permanent(
                f"the image {short(reference)} of {image} is not on this machine any more, and was in no registry",
                hint="build it again and release that; push images to a registry to keep them",
            )
        if wanted.pull == "never":
            raise not_here(Name.parse(reference), place)
        _pull(engine, reference, wanted, place, tell)
    found = look(engine, reference)
    if found is None:
        raise missing(Name.parse(reference), image.registry)
    ours, asked = _ours(engine, wanted)
    platform = _platform({key.lower(): value for key, value in found.items() if isinstance(value, str)})
    if not _same(platform, ours):
        raise other_platform(str(image), platform, ours, place, asked)


def push(engine: DockerClient, image: Name, login: Login, place: Place, tell: Tell) -> str:
    """Push what has this name here. Returns its digest there."""
    progress, digest = Progress(f"pushing {image}"), ""
    try:
        for event in _events(engine, f"images/{image.repository}/push", {"tag": image.tag}, login):
            digest = str((event.get("aux") or {}).get("Digest", digest))
            tell(progress.after(event))
    except Failed as error:
        raise refusal(str(error), image, login, place, doing="pushed") from None
    if not digest:
        raise Permanent(f"{image} was pushed, and its registry told no digest", hint="is it a registry of version 2?")
    return digest


def look(engine: DockerClient, reference: str) -> Mapping[str, Any] | None:
    """The image, None if it is not on the machine."""
    try:
        found: Mapping[str, Any] = engine.api.inspect_image(reference)
    except (ImageNotFound, NotFound):
        return None
    return found


def discard(engine: DockerClient, image: Name, identity: str) -> None:
    """An image that we built goes, if nobody uses it. Our name goes with it, unless it means another one by now."""
    if engine.api.containers(all=True, quiet=True, filters={"ancestor": identity}):
        return
    named = look(engine, str(image))
    own = named is not None and named["Id"] == identity
    with contextlib.suppress(APIError):
        engine.api.remove_image(str(image) if own else identity)


def _pull(engine: DockerClient, reference: str, wanted: Wanted, place: Place, tell: Tell) -> None:
    image, exact = wanted.image, Name.parse(reference)
    progress = Progress(f"pulling {image}")
    tell(progress.text)
    query = {"fromImage": exact.repository, "tag": exact.digest, "platform": wanted.platform or None}
    try:
        for event in _events(engine, "images/create", query, wanted.login):
            tell(progress.after(event))
    except Failed as error:
        raise refusal(str(error), image, wanted.login, place) from None


class Failed(Exception):
    """What Docker says of a pull or a push that came to nothing."""


def _events(engine: DockerClient, path: str, query: Mapping[str, Any], login: Login) -> Iterator[Mapping[str, Any]]:
    """What Docker says while it works. Who stops listening ends the work. (The SDK's own would wait for ever.)"""
    api = engine.api
    url = f"{api.base_url}/v{api.api_version}/{path}"
    headers = {"X-Registry-Auth": encode_header(dict(login))}
    try:
        with api.post(url, params=query, headers=headers, stream=True, timeout=api.timeout) as answer:
            if answer.status_code >= 400:
                raise Failed(str(answer.json().get("message", answer.reason)))
            for line in answer.iter_lines():
                event = json.loads(line) if line.strip() else {}
                if "error" in event:
                    raise Failed(str(event["error"]))
                yield event
    except (requests.RequestException, ValueError) as error:
        if timed_out(error):
            raise Failed(_SILENCE.format(api.timeout)) from None
        raise


class Progress:
    """What Docker says of each layer, as one line: `pulling shop:1.2: 3 of 7 layers, 41 of 96 MB`."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._done: dict[str, bool] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def after(self, event: Mapping[str, Any]) -> str:
        layer, status = str(event.get("id", "")), str(event.get("status", ""))
        if layer and not status.startswith("Pulling from") and "progressDetail" in event:
            self._done[layer] = status in ("Pull complete", "Already exists", "Pushed", "Layer already exists")
            detail = event["progressDetail"] or {}
            if status in ("Downloading", "Pushing") and detail.get("total"):
                total = int(detail["total"])
                self._sizes[layer] = (min(int(detail.get("current", 0)), total), total)
            elif layer in self._sizes and status not in ("Waiting", "Downloading", "Pushing"):
                self._sizes[layer] = (self._sizes[layer][1],) * 2
        return self.text

    @property
    def text(self) -> str:
        if not self._done:
            return self._doing
        layers = f"{self._doing}: {sum(self._done.values())} of {len(self._done)} layers"
        here, total = (sum(size[n] for size in self._sizes.values()) for n in (0, 1))
        return f"{layers}, {here / 1e6:.0f} of {total / 1e6:.0f} MB" if total >= 1e6 else layers


def _ours(engine: DockerClient, wanted: Wanted) -> tuple[str, bool]:
    """The platform that is to run, and whether the file asks for it."""
    if wanted.platform:
        return wanted.platform, True
    told = engine.api.version()
    return f"{told['Os']}/{told['Arch']}", False


def _platform(entry: Mapping[str, Any]) -> str:
    parts = [entry.get("os"), entry.get("architecture"), entry.get("variant")]
    return "/".join(str(part) for part in parts if part)


def _same(found: str, wanted: str) -> bool:
    """A variant counts only where both name one: `linux/arm64` is `linux/arm64/v8`."""
    return all(a == b for a, b in zip(found.split("/"), wanted.split("/"), strict=False))
