"""How the listeners are asked from here."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from greenroom.adapters.aws.elb.balancer import Balancer, Door
from greenroom.adapters.aws.elb.settings import AlbSettings
from greenroom.errors import Permanent


class Reach:
    """Addresses, each asked of AWS once, where the file does not give them."""

    def __init__(self, balancer: Balancer, settings: AlbSettings) -> None:
        self._balancer, self._settings = balancer, settings
        self._doors: dict[str, Door] = {}
        self._lock = Lock()

    def public(self) -> str:
        return self._settings.url or self._of(self._settings.listeners[0])

    def asked(self) -> tuple[str, ...]:
        """What an observation asks: the public address, else every listener's own."""
        if self._settings.url:
            return (self._settings.url,)
        return tuple(self._of(arn) for arn in self._settings.listeners)

    def test(self) -> tuple[str, Mapping[str, str]]:
        way = self._settings.test_route
        if way is None:
            raise Permanent(
                "the idle environment cannot be asked: `router` has no `test_route`",
                hint="Give it a listener or a rule of the load balancer: `test_route: {listener: arn:…}`.",
            )
        if way.listener:
            return way.url or self._of(way.listener), {}
        assert way.rule is not None
        return way.url or self.public(), asking_for(self._door(way.rule))

    def _of(self, listener: str) -> str:
        door = self._door(listener)
        scheme = "https" if door.protocol == "HTTPS" else "http"
        usual = {"http": 80, "https": 443}[scheme]
        name = self._balancer.described()["DNSName"]
        return f"{scheme}://{name}" + (f":{door.port}" if door.port != usual else "")

    def _door(self, arn: str) -> Door:
        with self._lock:
            if arn not in self._doors:
                self._doors |= self._balancer.doors([arn])
            if arn not in self._doors:
                raise Permanent(f"AWS has no listener or rule {arn}.")
            return self._doors[arn]


def asking_for(rule: Door) -> dict[str, str]:
    """Headers that meet the rule's conditions. `Permanent` for conditions that no header meets."""
    headers: dict[str, str] = {}
    for condition in rule.conditions:
        match condition.get("Field"):
            case "http-header":
                config = condition["HttpHeaderConfig"]
                headers[config["HttpHeaderName"].lower()] = _meeting(config["Values"][0])
            case "host-header":
                values = condition.get("HostHeaderConfig", {}).get("Values") or condition["Values"]
                headers["Host"] = _meeting(values[0])
            case other:
                raise Permanent(
                    f"{rule} of the test route is for a {other}, which no header meets",
                    hint="Make a rule for a header (http-header) or a host name (host-header).",
                )
    if not headers:
        raise Permanent(f"{rule} of the test route has no condition", hint="Give a rule for a header or a host name.")
    return headers


def _meeting(pattern: str) -> str:
    """Some text that a pattern with `*` and `?` is met by."""
    return pattern.replace("*", "").replace("?", "x") or "1"
