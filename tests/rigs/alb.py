"""An ALB that follows moto: what moto says of listeners, rules, weights, stickiness and targets, a real HAProxy does.

moto stores and serves nothing; here requests go through a proxy that obeys it, and its health checks are what
`describe_target_health` answers. As on AWS: a target gets traffic once its first checks have passed; a group whose targets
are all unhealthy sends to all of them (fail-open); a group that no listener uses is not checked (`unused`); what is
deregistered drains; a group's cookie keeps a client on it whatever the weights are, while the rule is sticky.

Weights, stickiness and targets never reload HAProxy. moto keys targets by id alone: one loopback address for each.
The server of moto must run in this process (`aws_front.moto`).
"""

from __future__ import annotations

import itertools
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
import pytest

from greenroom.domain.model import Colour
from greenroom.testing.processes import free_ports
from tests.rigs.aws_front import ACCOUNT, REGION
from tests.rigs.certificates import certificate
from tests.rigs.haproxy import Haproxy

PATIENCE = 60.0
SLOTS = 12
"""Targets that a group may have without a reload."""
TICK = 0.03
DRAINS_FOR = 0.5
"""Seconds that stand for a group's deregistration delay, if that is longer."""
MILLION = 1_000_000
FIXED = (200, 404, 410, 503)
CERTIFICATE = "arn:aws:iam::123456789012:server-certificate/shop"

_NAMES = itertools.count(1)

HEAD = """
global
    nbthread 1
    maxconn 4000
    stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners
defaults
    mode http
    timeout connect 2s
    timeout check 2s
    timeout client 60s
    timeout server 60s
    timeout tunnel 3600s
    timeout http-keep-alive 60s
    option http-keep-alive
backend none
"""


@dataclass(frozen=True)
class Group:
    """A target group. `port`: that of its targets, where they do not name another."""

    name: str
    arn: str
    port: int


@dataclass(frozen=True)
class Listener:
    arn: str
    port: int
    scheme: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


@dataclass
class _Slot:
    """A place for a target. `state`: maint (free), drain (not checked yet), ready, leaving, emptying."""

    target: tuple[str, int] | None = None
    state: str = "maint"
    leaves: float = 0.0
    """When it has drained, by the steady clock."""


@dataclass
class _Followed:
    """A group, with its slots."""

    name: str
    slots: list[_Slot] = field(default_factory=lambda: [_Slot() for _ in range(SLOTS)])

    def at(self, target: tuple[str, int]) -> int | None:
        return next((n for n, slot in enumerate(self.slots) if slot.target == target), None)


@cache
def _client(service: str, where: str) -> Any:
    """To make one takes longer than most of what is done with it."""
    options = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
    return boto3.client(service, endpoint_url=where, **options)


class Proxy(Haproxy):
    """HAProxy with one file, that is written anew before a reload."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.main, self.ours = folder / "haproxy.cfg", folder / "none"
        self.ours.mkdir()
        self._master = None


class Alb:
    """A context manager: one load balancer with a public HTTP listener (`tls`: an HTTPS one too), a test listener and two
    target groups, made in moto, and the HAProxy that obeys it.

    `api` and `ec2` are clients that ask moto itself, round everything. The public listeners forward to blue at first, in
    the shape that `shape` names: arn, forward, or both.
    """

    def __init__(self, upstream: tuple[str, int], *, tls: bool = False, shape: str = "forward") -> None:
        if shutil.which("haproxy") is None:
            pytest.skip("haproxy is not installed")
        where = f"http://{upstream[0]}:{upstream[1]}"
        self.api, self.ec2 = _client("elbv2", where), _client("ec2", where)
        self.name = f"shop-{next(_NAMES)}"
        self._make(tls, shape)
        # A Unix socket's path may have 107 bytes.
        self.home = Path(tempfile.mkdtemp(prefix="greenroom-alb-"))
        certificate(self.home, 1)
        (self.home / "both.pem").write_bytes(
            (self.home / "site.pem").read_bytes() + (self.home / "site.key").read_bytes()
        )
        self.map = self.home / "weights.map"
        self.proxy = Proxy(self.home)
        self.health: dict[tuple[str, str], str] = {}
        """What HAProxy's checks say, by group's ARN and target's id: healthy, unhealthy, initial, draining."""
        self.reloads = 0
        self.trouble: BaseException | None = None
        self._followed: dict[str, _Followed] = {}
        self._topology, self._weights = "", ""
        self._stalled = False
        self._over, self._lock = threading.Event(), threading.RLock()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    # making

    def _make(self, tls: bool, shape: str) -> None:
        self.vpc: str = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        zones = [f"{REGION}{zone}" for zone in "ab"]
        subnets = [
            self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=zone)["Subnet"][
                "SubnetId"
            ]
            for n, zone in enumerate(zones)
        ]
        [made] = self.api.create_load_balancer(Name=self.name, Subnets=subnets)["LoadBalancers"]
        self.arn: str = made["LoadBalancerArn"]
        self.groups = {colour: self.group(f"{self.name}-{colour}") for colour in Colour}
        first = self.forward({Colour.BLUE: 100, Colour.GREEN: 0}, shape)
        ports = free_ports(3)
        self.http = self.listener(ports[0], first)
        self.https = self.listener(ports[1], first, scheme="https") if tls else None
        self.test = self.listener(ports[2], self.forward({Colour.GREEN: 100}, "arn"))

    def group(self, name: str, **more: Any) -> Group:
        usual = {"Protocol": "HTTP", "Port": 8000, "VpcId": self.vpc, "TargetType": "ip", "HealthCheckPath": "/"}
        [made] = self.api.create_target_group(Name=name, **{**usual, **more})["TargetGroups"]
        return Group(name, made["TargetGroupArn"], made["Port"])

    def listener(self, port: int, action: Mapping[str, Any], scheme: str = "http") -> Listener:
        more = {"Certificates": [{"CertificateArn": CERTIFICATE}]} if scheme == "https" else {}
        [made] = self.api.create_listener(
            LoadBalancerArn=self.arn, Protocol=scheme.upper(), Port=port, DefaultActions=[action], **more
        )["Listeners"]
        return Listener(made["ListenerArn"], port, scheme)

    def rule(self, listener: Listener, header: str, value: str, action: Mapping[str, Any], priority: int) -> str:
        """Its ARN. A header rule."""
        condition = {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": header, "Values": [value]}}
        [made] = self.api.create_rule(
            ListenerArn=listener.arn, Conditions=[condition], Priority=priority, Actions=[action]
        )["Rules"]
        return str(made["RuleArn"])

    def forward(self, weights: Mapping[Colour, int], shape: str = "forward", sticky: int = 0) -> dict[str, Any]:
        """An action, in one of the three shapes."""
        heaviest = self.groups[max(weights, key=lambda colour: weights[colour])].arn
        if shape == "arn":
            return {"Type": "forward", "TargetGroupArn": heaviest}
        if shape == "both":
            return {
                "Type": "forward",
                "TargetGroupArn": heaviest,
                "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": heaviest, "Weight": 1}]},
            }
        named = [{"TargetGroupArn": self.groups[colour].arn, "Weight": weights[colour]} for colour in weights]
        stickiness = {"Enabled": True, "DurationSeconds": sticky} if sticky else {"Enabled": False}
        config = {"TargetGroups": named, "TargetGroupStickinessConfig": stickiness}
        return {"Type": "forward", "ForwardConfig": config}

    def set(self, listener: Listener, action: Mapping[str, Any]) -> None:
        """Change a listener's default action behind everybody's back."""
        self.api.modify_listener(ListenerArn=listener.arn, DefaultActions=[action])

    def register(self, group: Group, address: str, port: int) -> None:
        self.api.register_targets(TargetGroupArn=group.arn, Targets=[{"Id": address, "Port": port}])

    def deregister(self, group: Group, address: str) -> None:
        self.api.deregister_targets(TargetGroupArn=group.arn, Targets=[{"Id": address}])

    # running

    def __enter__(self) -> Alb:
        try:
            self._backend.describe_target_health = self._describe
            self._write(self._targets())
            self.proxy.start()
            self._thread.start()
            self.settle()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(30)
        self._backend.__dict__.pop("describe_target_health", None)
        self.proxy.end()
        self._remove()
        shutil.rmtree(self.home, ignore_errors=True)

    def _remove(self) -> None:
        balancer = self._backend.load_balancers.get(self.arn)
        for arn in list(balancer.listeners) if balancer else []:
            self.api.delete_listener(ListenerArn=arn)
        self.api.delete_load_balancer(LoadBalancerArn=self.arn)

    def settle(self, *, healthy: bool = False) -> None:
        """Until HAProxy does what moto says now; with `healthy`, until every target is."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with self._lock:
                same = self._topology == self._rendered() and self._weights == self._weighed()
                targets, known = self._targets(), {name: self._followed.get(name) for name in self._targets()}
                there = all(
                    (group := known[arn]) is not None and all(group.at(target) is not None for target in wanted)
                    for arn, wanted in targets.items()
                )
                well = all(
                    self.health.get((arn, address)) == "healthy"
                    for arn, wanted in targets.items()
                    for address, _ in wanted
                )
            if same and there and (well or not healthy):
                return
            if self.trouble:
                raise AssertionError(f"the ALB does not follow: {self.trouble!r}") from self.trouble
            assert time.monotonic() < deadline, (targets, self.health, self.proxy.log())
            time.sleep(0.005)

    def stall(self) -> None:
        """From now on nothing that moto is told is done, until `kill`."""
        with self._lock:
            self._stalled = True

    def kill(self) -> None:
        """HAProxy at once; started anew, it does what moto says."""
        with self._lock:
            self._stalled = False
            self._write(self._targets())
            self.proxy.kill()

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, (self.health, self.proxy.log())
            time.sleep(0.005)

    # following

    @property
    def _backend(self) -> Any:
        from moto.elbv2.models import elbv2_backends

        return elbv2_backends[ACCOUNT][REGION]

    def _follow(self) -> None:
        while not self._over.wait(TICK):
            try:
                with self._lock:
                    if not self._stalled:
                        self._step()
                    self._look()
            except RuntimeError:
                continue  # moto changed a table while it was read
            except Exception as error:
                self.trouble = error
                return

    def _step(self) -> None:
        targets = self._targets()
        if self._rendered() != self._topology:
            self._write(targets)
            self.proxy.reload()
            self.reloads += 1
        if (weights := self._weighed()) != self._weights:
            self._commit(weights)
        for arn, wanted in targets.items():
            self._place(self._followed[arn], wanted)

    def _targets(self) -> dict[str, list[tuple[str, int]]]:
        groups = self._backend.target_groups
        mine = [arn for arn, group in list(groups.items()) if group.vpc_id == self.vpc]
        return {arn: [(t["Id"], int(t["Port"])) for t in list(groups[arn].targets.values())] for arn in mine}

    def _listeners(self) -> list[Any]:
        return list(self._backend.load_balancers[self.arn].listeners.values())

    def _used(self) -> set[str]:
        """Groups that some listener or rule forwards to; others are not checked."""
        actions = [a for one in self._listeners() for rule in one.rules.values() for a in rule.actions]
        return {arn for action in actions for arn, _ in _weights(action.data)}

    def _write(self, targets: Mapping[str, list[tuple[str, int]]]) -> None:
        """The files, with all that HAProxy shall know when it starts."""
        followed: dict[str, _Followed] = {}
        for arn, wanted in targets.items():
            group = followed[arn] = self._followed.get(arn) or _Followed(arn.split("/")[1])
            for slot in group.slots:
                if slot.target not in wanted or slot.state != "ready":
                    slot.target, slot.state = None, "maint"
        self._followed = followed
        self._topology, self._weights = self._rendered(), self._weighed()
        self.map.write_text(self._weights)
        self.proxy.main.write_text(self._topology.replace("@SLOTS@", "") + self._servers())

    def _servers(self) -> str:
        lines = []
        for arn, group in self._followed.items():
            lines += [f"backend {group.name}", *self._checking(arn)]
            for n, slot in enumerate(group.slots):
                at = "{}:{}".format(*slot.target) if slot.target else "127.0.0.1:1 disabled"
                lines.append(f"    server s{n} {at} check inter 250ms fastinter 100ms rise 1 fall 3 maxconn 2000")
            lines.append(f"backend {group.name}-open")
            for n, slot in enumerate(group.slots):
                at = "{}:{}".format(*slot.target) if slot.target else "127.0.0.1:1 disabled"
                lines.append(f"    server s{n} {at}")
        return "\n".join([*lines, ""])

    def _checking(self, arn: str) -> list[str]:
        group = self._backend.target_groups[arn]
        codes = str((group.matcher or {}).get("HttpCode") or "200")
        return [
            f"    option httpchk GET {group.health_check_path or '/'}",
            f"    http-check expect status {codes}",
            "    http-reuse safe",
        ]

    def _rendered(self) -> str:
        """What only a reload changes: listeners, rules and their conditions, groups and their checks."""
        groups = [arn.split("/")[1] for arn in self._targets()]
        lines = [HEAD.format(folder=self.home)]
        for arn in self._targets():
            lines += ["#", *[line.replace("    ", "# ") for line in self._checking(arn)]]
        for listener in self._listeners():
            lines += self._frontend(listener, groups)
        return "\n".join([*lines, ""])

    def _frontend(self, listener: Any, groups: list[str]) -> list[str]:
        tls = f" ssl crt {self.home}/both.pem alpn h2,http/1.1" if listener.protocol == "HTTPS" else ""
        lines = [f"frontend l{listener.port}", f"    bind 127.0.0.1:{listener.port}{tls}"]
        rules = sorted(listener._non_default_rules.values(), key=lambda rule: -int(rule.priority))
        do = [f"set-var(txn.rule) str({_short(listener.arn)})", f"set-var(txn.r) rand({MILLION})"]
        do += [f"set-var(txn.rule) str({_short(rule.arn)}) if {_conditions(rule)}" for rule in rules]
        do += [f"set-var(txn.{what}) {self._ask(what)}" for what in ("kind", "sticky")]
        do += [
            f'return status {code} content-type text/plain string "fixed" if {{ var(txn.kind) -m str {code} }}'
            for code in FIXED
        ]
        for n, name in reversed(list(enumerate(groups))):
            do += [f"set-var(txn.t) {self._ask(str(n))}"]
            do += [f"set-var(txn.tg) str({name}) if {{ var(txn.t),sub(txn.r) gt 0 }}"]
        for n, name in enumerate(groups):
            stuck = f"{{ var(txn.sticky),add(0) gt 0 }} {{ req.cook(AWSALBTG) -m str {name} }}"
            do += [f"set-var(txn.tg) str({name}) if {stuck} {{ {self._ask(f'has{n}')} -m str 1 }}"]
        do += ["set-var(txn.group) var(txn.tg)"]
        do += [
            f"set-var(txn.tg) str({name}-open) if {{ var(txn.group) -m str {name} }} {{ nbsrv({name}) eq 0 }}"
            for name in groups
        ]
        cookie = '"AWSALBTG=%[var(txn.group)]; Max-Age=%[var(txn.sticky)]; Path=/"'
        lines += [f"    http-request {one}" for one in do]
        lines += [f"    http-response add-header set-cookie {cookie} if {{ var(txn.sticky),add(0) gt 0 }}"]
        return [*lines, "    use_backend %[var(txn.tg)] if { var(txn.tg) -m found }", "    default_backend none"]

    def _ask(self, what: str) -> str:
        return f"var(txn.rule),concat(/{what}),map({self.map},{503 if what == 'kind' else 0})"

    def _weighed(self) -> str:
        """What is changed at once, without a reload: where each rule's requests go."""
        groups = list(self._targets())
        lines = []
        for listener in self._listeners():
            for rule in listener.rules.values():
                name = _short(listener.arn if rule.is_default else rule.arn)
                action = rule.actions[-1].data
                lines += [f"{name}/{key} {value}" for key, value in _entries(action, groups).items()]
        return "\n".join([*lines, ""])

    def _commit(self, weights: str) -> None:
        self.map.write_text(weights)
        version = self.proxy.say(f"prepare map {self.map}").partition("version created: ")[2].strip()
        assert version, "HAProxy does not answer"
        body = "".join(f"{line}\n" for line in weights.splitlines())
        said = self.proxy.say(f"add map @{version} {self.map} <<\n{body}")
        said += self.proxy.say(f"commit map @{version} {self.map}")
        assert not said.strip(), said
        self._weights = weights

    def _place(self, group: _Followed, wanted: list[tuple[str, int]]) -> None:
        """Targets come, are checked, get traffic, drain and leave, by HAProxy's socket."""
        now, told = time.monotonic(), []
        for target in wanted:
            if group.at(target) is None:
                free = (n for n, slot in enumerate(group.slots) if (slot.target, slot.state) == (None, "maint"))
                if (n := next(free, -1)) < 0:
                    return  # a place is being emptied
                group.slots[n] = _Slot(target, "drain")
                where = f"addr {target[0]} port {target[1]}"
                told += [f"set server {group.name}/s{n} {where}", f"set server {group.name}/s{n} state drain"]
                told += [f"set server {group.name}-open/s{n} {where}", f"set server {group.name}-open/s{n} state ready"]
        for n, slot in enumerate(group.slots):
            if slot.target is None or slot.target in wanted:
                if slot.leaves:  # registered again meanwhile
                    slot.leaves = 0.0
                continue
            if not slot.leaves:
                slot.leaves, slot.state = now + DRAINS_FOR, "leaving"
                told += [f"set server {group.name}{of}/s{n} state drain" for of in ("", "-open")]
            elif now > slot.leaves:
                # What was checked last must not count for the next target in this place.
                group.slots[n] = _Slot(None, "emptying")
                told += [f"set server {group.name}-open/s{n} state maint"]
                told += [f"set server {group.name}/s{n} addr 127.0.0.1 port 1"]
        for command in told:
            self.proxy.say(command)

    def _look(self) -> None:
        """What the checks say; who has passed the first ones gets traffic."""
        checks = _statistics(self.proxy.say("show stat -1 4 -1"))
        health = {}
        for arn, group in self._followed.items():
            for n, slot in enumerate(group.slots):
                status, check = checks.get((group.name, f"s{n}"), ("", ""))
                if slot.state == "emptying" and check.startswith("L4CON"):
                    self.proxy.say(f"set server {group.name}/s{n} state maint")
                    group.slots[n] = _Slot()
                if slot.target is None:
                    continue
                if slot.state == "drain" and check.startswith("L7OK"):
                    self.proxy.say(f"set server {group.name}/s{n} state ready")
                    slot.state = "ready"
                known = {"drain": "initial", "leaving": "draining"}
                if slot.state == "drain" and check.startswith(("L4", "L7", "L6")):
                    known["drain"] = "unhealthy"
                well = "healthy" if status.startswith("UP") or check.startswith("L7OK") else "unhealthy"
                health[arn, slot.target[0]] = known.get(slot.state, well)
        self.health = health

    def _describe(self, target_group_arn: str, targets: list[dict[str, Any]]) -> list[Any]:
        """In the place of moto's own, which finds everything healthy."""
        from moto.elbv2.exceptions import TargetGroupNotFoundError
        from moto.elbv2.models import FakeHealthStatus

        group = self._backend.target_groups.get(target_group_arn)
        if group is None:
            raise TargetGroupNotFoundError()
        if group.vpc_id != self.vpc:
            return list(type(self._backend).describe_target_health(self._backend, target_group_arn, targets))
        used = target_group_arn in self._used()
        with self._lock:
            ports = dict(self._targets()[target_group_arn])
            leaving = [address for (arn, address), health in self.health.items() if arn == target_group_arn]
            names = [t["Id"] for t in targets] if targets else [*ports, *(one for one in leaving if one not in ports)]
            found = []
            for name in names:
                state = self.health.get((target_group_arn, name), "initial" if name in ports else "unused")
                state = "draining" if name not in ports and state != "unused" else state
                state = state if used or state == "draining" else "unused"
                port = str(ports.get(name, group.port))
                found.append(FakeHealthStatus(name, port, port, state, *_REASONS[state]))
        return found


_REASONS: Mapping[str, tuple[str | None, str | None]] = {
    "healthy": (None, None),
    "initial": ("Elb.InitialHealthChecking", "Initial health checks in progress"),
    "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
    "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
    "unused": ("Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"),
}


def _short(arn: str) -> str:
    return arn.rpartition("/")[2]


def _weights(action: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Groups by ARN, of any of the three shapes."""
    config = action.get("ForwardConfig") or {}
    named = [(one["TargetGroupArn"], int(one.get("Weight", 1))) for one in config.get("TargetGroups") or ()]
    if not named and "TargetGroupArn" in action:
        return [(action["TargetGroupArn"], 1)]
    return named if len(named) > 1 else [(arn, 1) for arn, _ in named]


def _entries(action: Mapping[str, Any], groups: list[str]) -> dict[str, object]:
    if action["Type"] != "forward":
        status = action.get("FixedResponseConfig", {}).get("StatusCode", "503")
        return {"kind": status}
    weights = dict(_weights(action))
    total, so_far = sum(weights.values()), 0
    stickiness = (action.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig") or {}
    enabled = str(stickiness.get("Enabled", "")).lower() == "true"
    found: dict[str, object] = {"kind": "forward", "sticky": int(stickiness["DurationSeconds"]) if enabled else 0}
    for n, arn in enumerate(groups):
        so_far += weights.get(arn, 0)
        found[str(n)] = so_far * MILLION // total if total and weights.get(arn) else 0
        found[f"has{n}"] = 1 if arn in weights else 0
    return found


def _conditions(rule: Any) -> str:
    parts = []
    for condition in rule.conditions:
        match condition["Field"]:
            case "http-header":
                config = condition["HttpHeaderConfig"]
                patterns = " ".join(map(_pattern, config["Values"]))
                parts.append(f"{{ req.hdr({config['HttpHeaderName']}) -m reg -i {patterns} }}")
            case "host-header":
                values = condition.get("Values") or condition["HostHeaderConfig"]["Values"]
                parts.append(f"{{ req.hdr(host),field(1,:) -m reg -i {' '.join(map(_pattern, values))} }}")
            case "path-pattern":
                values = condition.get("Values") or condition["PathPatternConfig"]["Values"]
                parts.append("{{ path_beg {} }}".format(" ".join(value.rstrip("*") for value in values)))
            case other:
                raise NotImplementedError(f"a condition of {other}")
    return " ".join(parts)


def _pattern(value: str) -> str:
    """A regular expression of HAProxy's, of a text with `*` and `?`."""
    return "'^" + re.escape(value).replace(r"\*", ".*").replace(r"\?", ".") + "$'"


def _statistics(csv: str) -> dict[tuple[str, str], tuple[str, str]]:
    """By backend and server: its state and what its last check found."""
    lines = [line for line in csv.splitlines() if line]
    if not lines or not lines[0].startswith("# "):
        return {}
    names = lines[0].removeprefix("# ").split(",")
    status, check = names.index("status"), names.index("check_status")
    rows = (line.split(",") for line in lines[1:])
    return {(row[0], row[1]): (row[status], row[check].lstrip("* ")) for row in rows}
