"""Route 53 as moto keeps it, made honest where moto is not, with name servers that follow its zones.

Honest: a batch is done whole or not at all; what it takes away must be exactly what is there, what it makes must not be
there; a change is PENDING until the name servers have it. `Door` is a user's browser: it asks for the name, remembers the
answer for its TTL, and sends each request to what the address belongs to.
"""

from __future__ import annotations

import copy
import http.client
import itertools
import random
import re
import socket
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
from botocore.config import Config

from tests.rigs.aws_front import ACCOUNT, REGION, Fault

_NS = "https://route53.amazonaws.com/doc/2013-04-01/"
_ROUTES = (
    ("GET", r"/2013-04-01/hostedzone/([^/]+)/rrset/?", "ListResourceRecordSets"),
    ("POST", r"/2013-04-01/hostedzone/([^/]+)/rrset/?", "ChangeResourceRecordSets"),
    ("GET", r"/2013-04-01/hostedzone/([^/]+)", "GetHostedZone"),
    ("GET", r"/2013-04-01/hostedzonesbyname", "ListHostedZonesByName"),
    ("GET", r"/2013-04-01/change/([^/]+)", "GetChange"),
    ("GET", r"/2013-04-01/healthcheck/([^/]+)", "GetHealthCheck"),
)
_CODES = {
    "throttle": (400, "Throttling", "Rate exceeded"),
    "prior": (400, "PriorRequestNotComplete", "Route 53 was still processing a prior request."),
    "denied": (403, "AccessDenied", "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: "),
    "error": (500, "InternalFailure", "oh"),
}  # fmt: skip
RecordSet = dict[str, Any]


class Refused(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Cloud:
    """`held`: name servers are brought nothing. `allowed`: so many calls more are let through, None: any number."""

    def __init__(self, upstream: tuple[str, int], servers: int = 2) -> None:
        self.upstream, self.held = upstream, False
        self.allowed: int | None = None
        self.calls: list[str] = []
        self.faults: list[Fault] = []
        self.pending: dict[str, str] = {}
        self.known: set[str] = set()
        self._lock, self._over, self._numbers = threading.RLock(), threading.Event(), itertools.count(1)
        plain = Config(retries={"total_max_attempts": 1})
        url = f"http://{upstream[0]}:{upstream[1]}"
        self.witness = boto3.client("route53", region_name=REGION, endpoint_url=url, config=plain)
        self.addresses: dict[str, str] = {}
        """Of load balancers, by DNS name."""
        self.servers = [NameServer(self) for _ in range(servers)]
        self._front = _serve(self._handle)
        self.url = f"http://127.0.0.1:{self._front.server_port}"

    def close(self) -> None:
        self._over.set()
        self._front.shutdown()
        self._front.server_close()
        for server in self.servers:
            server.close()

    # making

    def zone(self, name: str, private: bool = False) -> str:
        """Its id."""
        more: dict[str, Any] = {"HostedZoneConfig": {"PrivateZone": True}} if private else {}
        if private:
            more["VPC"] = {"VPCRegion": REGION, "VPCId": "vpc-1"}
        said = self.witness.create_hosted_zone(Name=name, CallerReference=str(time.time_ns()), **more)
        self.bring()
        return str(said["HostedZone"]["Id"]).removeprefix("/hostedzone/")

    def set(self, zone: str, *changes: tuple[str, RecordSet]) -> None:
        """Somebody else changes records, or people made some."""
        with self._lock:
            self._change(zone, [{"Action": action, "ResourceRecordSet": one} for action, one in changes])
            if not self.held:
                self.bring()

    def sets(self, zone: str) -> list[RecordSet]:
        """As the witness sees them, without the zone's own."""
        found = self.witness.list_resource_record_sets(HostedZoneId=zone, MaxItems="300")["ResourceRecordSets"]
        return [one for one in found if one["Type"] not in ("NS", "SOA")]

    def weights(self, zone: str, name: str, kind: str = "A") -> dict[str, int]:
        here = [s for s in self.sets(zone) if (s["Name"], s["Type"]) == (name + ".", kind)]
        return {one["SetIdentifier"]: one["Weight"] for one in here}

    def bring(self, server: NameServer | None = None) -> None:
        """What was changed comes to the name servers, or to one of them."""
        with self._lock:
            now = {zone: copy.deepcopy(one.rrsets) for zone, one in _backend().zones.items()}
            for each in self.servers if server is None else [server]:
                each.zones = now
            if server is None:
                self.pending.clear()

    # answering

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        path = request.path.partition("?")[0]
        matches = ((re.fullmatch(pattern, path), name) for verb, pattern, name in _ROUTES if verb == request.command)
        match, operation = next(((m, name) for m, name in matches if m), (None, "GetCallerIdentity"))
        with self._lock:
            if self.allowed is not None:
                self.allowed -= 1
                if self.allowed < 0:
                    request.close_connection = True
                    return
            self.calls.append(operation)
            fault = next((fault for fault in self.faults if fault.strikes(operation)), None)
        kind = fault.kind if fault else ""
        if fault and kind == "meanwhile":
            fault.meanwhile()
        with self._lock:
            said: tuple[int, bytes] | None = None
            if kind in _CODES:
                status, code, text = _CODES[kind]
                more = f"route53:{operation} on resource: arn:aws:route53:::{match[1] if match else '*'}"
                said = status, _error(code, text + (more if kind == "denied" else ""))
            elif kind != "reset":
                said = self._answer(request, operation, match[1] if match and match.groups() else "", body)
            if kind == "error-after":
                said = 500, _error("InternalFailure", "oh")
        if said is None or kind in ("reset", "reset-after"):
            request.close_connection = True
            return
        _say(request, *said)

    def _answer(self, request: BaseHTTPRequestHandler, operation: str, what: str, body: bytes) -> tuple[int, bytes]:
        try:
            if operation == "ChangeResourceRecordSets":
                return 200, self._changed(what, _parsed(body))
            if operation == "GetChange":
                if what not in self.known:
                    raise Refused("NoSuchChange", f"Could not find resource with ID: {what}", 404)
                return 200, _info("GetChangeResponse", what, "PENDING" if what in self.pending else "INSYNC")
        except Refused as error:
            return error.status, _error(error.code, error.message)
        connection = http.client.HTTPConnection(*self.upstream, timeout=20)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
            connection.request(request.command, request.path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _changed(self, zone: str, changes: list[RecordSet]) -> bytes:
        self._change(zone, changes)
        identifier = f"C{next(self._numbers):013d}"
        self.known.add(identifier)
        if self.held:
            self.pending[identifier] = zone
        else:
            self.bring()
        return _info("ChangeResourceRecordSetsResponse", identifier, "PENDING")

    def _change(self, zone: str, changes: list[RecordSet]) -> None:
        """All or nothing."""
        from moto.route53.models import RecordSet as Kept

        if zone not in _backend().zones:
            raise Refused("NoSuchHostedZone", f"No hosted zone found with ID: {zone}", 404)
        found = {_key(one): one for one in map(_shape, _backend().zones[zone].rrsets)}
        for change in changes:
            one, action = _plain(change["ResourceRecordSet"]), change["Action"]
            what = f"resource record set [name='{one['Name']}', type='{one['Type']}', '{one.get('SetIdentifier')}']"
            if action == "DELETE":
                if _key(one) not in found:
                    raise Refused("InvalidChangeBatch", f"[Tried to delete {what} but it was not found]")
                if found[_key(one)] != one:
                    raise Refused(
                        "InvalidChangeBatch",
                        f"[Tried to delete {what} but the values provided do not match the current values]",
                    )
                del found[_key(one)]
                continue
            if action == "CREATE" and _key(one) in found:
                raise Refused("InvalidChangeBatch", f"[Tried to create {what} but it already exists]")
            found[_key(one)] = one
        _consistent(found.values())
        _backend().zones[zone].rrsets = [
            Kept({**one, "ResourceRecords": list(one.get("ResourceRecords", ()))}) for one in found.values()
        ]


def _consistent(found: Any) -> None:
    """What Route 53 refuses, whatever the order of changes."""
    groups: dict[tuple[str, str], list[RecordSet]] = {}
    for one in found:
        groups.setdefault((one["Name"], one["Type"]), []).append(one)
        if not 0 <= one.get("Weight", 0) <= 255:
            raise Refused("InvalidInput", "weight")
        for value in one.get("ResourceRecords", ()) if one["Type"] == "TXT" else ():
            assert all(len(part) <= 255 for part in re.findall(r'"([^"]*)"', value)), value
            assert len(value) <= 4000
    for (name, kind), group in groups.items():
        if len(group) > 1 and any("SetIdentifier" not in one for one in group):
            text = f"[RRSet with DNS name {name}, type {kind} cannot be created: a simple one exists]"
            raise Refused("InvalidChangeBatch", text)
        if len({one["TTL"] for one in group if "TTL" in one}) > 1:
            raise Refused("InvalidChangeBatch", f"[The TTLs of {name} differ]")
        if kind == "CNAME" and any(n == name and k != "CNAME" for n, k in groups):
            raise Refused("InvalidChangeBatch", f"[RRSet of type CNAME with DNS name {name} is not permitted]")


class NameServer:
    """Answers from what it was brought. `silent`: it does not."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.silent = cloud, False
        self.zones: dict[str, list[Any]] = {}
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._random = random.Random(7)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"end", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if data == b"end":
                return
            self.asked += 1
            if not self.silent:
                self._socket.sendto(self.answer(dns.message.from_wire(data)).to_wire(), client)

    def answer(self, question: dns.message.Message) -> dns.message.Message:
        [asked] = question.question
        name, kind = asked.name.to_text().lower(), dns.rdatatype.to_text(asked.rdtype)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.AA
        kept = [_shape(one) for zone in self.zones.values() for one in zone]
        any_one = "\\052." + name.partition(".")[2]
        here = [one for one in kept if one["Name"] == name] or [one for one in kept if one["Name"] == any_one]
        if not here:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        fitting = [one for one in here if one["Type"] == kind]
        if fitting:
            one = self._chosen(fitting)
            alias = one.get("AliasTarget")
            values = [self.cloud.addresses[alias["DNSName"].rstrip(".")]] if alias else one["ResourceRecords"]
            answer.answer.append(dns.rrset.from_text(name, one.get("TTL", 60), "IN", kind, *values))
        return answer

    def _chosen(self, sets: list[RecordSet]) -> RecordSet:
        """By weight; where all are 0, all the same."""
        weights = [one.get("Weight", 1) for one in sets]
        return self._random.choices(sets, weights if any(weights) else [1] * len(sets))[0]


class Door:
    """A browser: `url` answers what the name leads to. `where(address)`: host and port of what has this address."""

    def __init__(
        self, where: Callable[[str], tuple[str, int] | None], name: str, server: NameServer | None, *, fixed: str = ""
    ) -> None:
        self._where, self._name, self._server, self._fixed = where, name, server, fixed
        self._kept: tuple[float, str] | None = None
        self._connections = threading.local()
        self._front = _serve(self._handle)
        self.url = f"http://127.0.0.1:{self._front.server_port}"

    def close(self) -> None:
        self._front.shutdown()
        self._front.server_close()

    def resolve(self) -> str:
        """The address, for as long as its TTL lets it; "" for none."""
        if self._fixed or self._server is None:
            return self._fixed
        if self._kept is not None and time.monotonic() < self._kept[0]:
            return self._kept[1]
        asked = time.monotonic()
        question = dns.message.make_query(self._name, "A")
        found = dns.query.udp(question, "127.0.0.1", timeout=5, port=self._server.port).answer
        if not found:
            return ""
        self._kept = asked + found[0].ttl, str(next(iter(found[0])))
        return self._kept[1]

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        address = self.resolve()
        there = self._where(address) if address else None
        if there is None:
            _say(request, 503, b"nobody")
            return
        kept = self._connections.__dict__
        connection = kept.setdefault(str(there), http.client.HTTPConnection(*there, timeout=10))
        connection.request(request.command, request.path, body, {"x-from": "door"})
        response = connection.getresponse()
        _say(request, response.status, response.read(), dict(response.getheaders()))


def _serve(handle: Callable[[BaseHTTPRequestHandler], None]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            handle(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def _say(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    request.send_response_only(status)
    given = headers or {"content-type": "text/xml", "x-amzn-requestid": "request-1"}
    for name, value in given.items():
        if name.lower() not in ("content-length", "connection", "transfer-encoding"):
            request.send_header(name, value)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def _error(code: str, message: str) -> bytes:
    text = message.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<ErrorResponse xmlns="{_NS}"><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>'
        "<RequestId>request-1</RequestId></ErrorResponse>"
    ).encode()


def _info(answer: str, identifier: str, status: str) -> bytes:
    return (
        f'<{answer} xmlns="{_NS}"><ChangeInfo><Id>/change/{identifier}</Id><Status>{status}</Status>'
        f"<SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt></ChangeInfo></{answer}>"
    ).encode()


def _backend() -> Any:
    from moto.route53.models import route53_backends

    return route53_backends[ACCOUNT]["aws"]


def _parsed(body: bytes) -> list[RecordSet]:
    """A batch as boto3 sends it."""

    def text(node: ET.Element, name: str) -> str | None:
        return node.findtext(f"{{{_NS}}}{name}")

    found = []
    for change in ET.fromstring(body).iter(f"{{{_NS}}}Change"):
        raw = change.find(f"{{{_NS}}}ResourceRecordSet")
        assert raw is not None
        one: RecordSet = {key: text(raw, key) for key in ("Name", "Type", "SetIdentifier", "HealthCheckId")}
        one |= {key: int(value) for key in ("Weight", "TTL") if (value := text(raw, key)) is not None}
        values = [text(each, "Value") for each in raw.iter(f"{{{_NS}}}ResourceRecord")]
        if values:
            one["ResourceRecords"] = values
        alias = raw.find(f"{{{_NS}}}AliasTarget")
        if alias is not None:
            one["AliasTarget"] = {key: text(alias, key) for key in ("HostedZoneId", "DNSName")}
            one["AliasTarget"]["EvaluateTargetHealth"] = text(alias, "EvaluateTargetHealth") == "true"
        found.append({"Action": text(change, "Action"), "ResourceRecordSet": one})
    return found


def _plain(one: RecordSet) -> RecordSet:
    """In one shape: boto3's, with bare values, and nothing that is not there."""
    values = [v["Value"] if isinstance(v, dict) else v for v in one.get("ResourceRecords") or ()]
    name = one["Name"].rstrip(".").lower().replace("*", "\\052", 1) + "."  # as Route 53 lists it
    found = {**one, "Name": name, "ResourceRecords": values}
    return {key: value for key, value in found.items() if value not in (None, [], "")}


def _shape(kept: Any) -> RecordSet:
    """Of what moto keeps."""
    return _plain(
        {
            "Name": kept.name,
            "Type": kept.type,
            "SetIdentifier": kept.set_identifier,
            "Weight": kept.weight,
            "TTL": None if kept.ttl is None else int(kept.ttl),
            "ResourceRecords": kept.records,
            "HealthCheckId": kept.health_check_id,
            "AliasTarget": kept.alias_target,
            "Region": kept.region,
        }
    )


def _key(one: RecordSet) -> tuple[str, str, str]:
    return one["Name"], one["Type"], one.get("SetIdentifier") or ""
