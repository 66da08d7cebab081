"""Who gets what: the only file that a switch touches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.envoy.wire import (
    COPIES,
    COPY_HEADER,
    DRAW_HEADER,
    FRONT,
    INNER_HEADER,
    MIRROR,
    ROUTES,
    SHIELD,
    TEST,
    Json,
    cluster_name,
    header,
    seconds,
    typed,
)
from greenroom.domain.model import Colour, RoutingSpec, Split

CALM = "The service cannot answer just now. Please try again in a moment.\n"
_NOTHING_TO_TEST = "There is no idle version to test just now.\n"
_RETRY_ON = "connect-failure,refused-stream,reset-before-request"
_SHIELD_ON = "5xx,reset,connect-failure,refused-stream"
_COPY_WITHIN = 10.0
"""Seconds within which a copy's answer has to begin."""
_DRAWN = 5
"""Letters of a user's draw: a million different ones, so that the shares are exact and nobody is known by it."""
_KEPT = 30 * 86400
"""Seconds for which a browser keeps it."""


def routes(settings: EnvoySettings, service: str, spec: RoutingSpec) -> Json:
    way = settings.test_route
    headers = [h for h in (way.header, INNER_HEADER if way.listen else None) if h]
    to_test = [{"match": _match(_present(h)), **_test_target(settings, spec)} for h in headers]
    users = {"name": "users", "domains": ["*"], "routes": [*to_test, *_users(settings, service, spec)]}
    hosts = [{"name": "test", "domains": [way.host], "routes": [{"match": _match(), **_test_target(settings, spec)}]}]
    # Without a trusted proxy before us, what a client claims about itself is replaced by what we see.
    action = "ADD_IF_ABSENT" if settings.trusted_hops else "OVERWRITE_IF_EXISTS_OR_ADD"
    return {
        "name": ROUTES,
        "virtual_hosts": [*(hosts if way.host else []), users],
        "validate_clusters": True,
        "ignore_port_in_host_matching": True,
        "request_headers_to_add": [header("x-forwarded-host", "%REQ(:AUTHORITY)%", action)],
        "request_headers_to_remove": [INNER_HEADER, "x-envoy-external-address"],
    }


def _test_target(settings: EnvoySettings, spec: RoutingSpec) -> Json:
    if spec.test is None:
        return {"direct_response": {"status": 404, "body": {"inline_string": _NOTHING_TO_TEST}}}
    # No retries here: a check shall meet what is there.
    route = {"cluster": cluster_name(spec.test, TEST), "timeout": seconds(settings.timeouts.request)}
    return {"route": route, "response_headers_to_add": _reveal(spec, spec.test)}


def copies() -> Json:
    """Where copies go: as the mark says that they were given on their way."""
    # Only up to the first byte: streams may last until the copy is given up.
    within = {"timeout": "0s", "retry_policy": {"per_try_timeout": seconds(_COPY_WITHIN), "num_retries": 0}}
    made = [
        {"match": _match(_exact(COPY_HEADER, str(c))), "route": {"cluster": cluster_name(c, MIRROR), **within}}
        for c in Colour
    ]
    return {"name": COPIES, "virtual_hosts": [{"name": COPIES, "domains": ["*"], "routes": made}]}


# --- users


@dataclass(frozen=True, slots=True)
class _Kind:
    """Requests with these headers. `mirrored`: may be copied. `shielded`: may be asked again of the other colour."""

    headers: tuple[Json, ...] = ()
    mirrored: bool = False
    shielded: bool = False


def _users(settings: EnvoySettings, service: str, spec: RoutingSpec) -> list[Json]:
    """The last one has no condition: it is where the shares are read."""
    if spec.split == Split.none():
        return [{"match": _match(), "direct_response": {"status": 503, "body": {"inline_string": CALM}}}]
    found: list[Json] = []
    if spec.first is not None:
        named, value = spec.first.header.lower(), spec.first.value
        asked = _exact(named, value) if value else _present(named)
        split = Split.all_to(spec.first.colour)
        found += [_route(settings, spec, split, kind, asked) for kind in _kinds(spec)]
    cohorts = settings.sticky and 0 < spec.split.blue < 100
    for kind in _kinds(spec):
        if cohorts:
            name = cookie_name(service)
            known = {"hash_policy": [{"cookie": {"name": name}}]}
            found.append(_route(settings, spec, spec.split, kind, _has_cookie(name), **known))
            cookie = f"{name}=%REQ({DRAW_HEADER}):{_DRAWN}%; Path=/; Max-Age={_KEPT}; HttpOnly; SameSite=Lax"
            set_cookie = [header("set-cookie", cookie, "APPEND_IF_EXISTS_OR_ADD")]
            fresh = _route(settings, spec, spec.split, kind, hash_policy=[_by_draw()])
            found.append({**fresh, "response_headers_to_add": set_cookie})
        else:
            found.append(_route(settings, spec, spec.split, kind))
    return found


def _kinds(spec: RoutingSpec) -> Iterable[_Kind]:
    """From the narrowest to all the rest."""
    shield = spec.shield is not None
    if spec.mirror is not None:
        plain = {"name": "upgrade", "present_match": False}
        yield _Kind((_method("GET|HEAD"), plain), mirrored=True, shielded=shield)
    if shield:
        yield _Kind((_method("GET|HEAD|OPTIONS"),), shielded=True)
        yield _Kind((_present("idempotency-key"),), shielded=True)
    yield _Kind()


def _route(s: EnvoySettings, spec: RoutingSpec, split: Split, kind: _Kind, *asked: Json, **action: object) -> Json:
    # The order is what makes a cohort grow with its share: green's users are those with the highest numbers.
    clusters = [_weighted(s, spec, split, colour, kind) for colour in Colour]
    weighted: Json = {"clusters": clusters}
    if "hash_policy" in action:
        weighted["use_hash_policy"] = True
    route: Json = {
        "weighted_clusters": weighted,
        "retry_policy": _retry(kind),
        "timeout": seconds(s.timeouts.request),
        **action,
    }
    if kind.mirrored and spec.mirror is not None:
        route["request_mirror_policies"] = [_mirror(spec.mirror.colour, spec.mirror.percent)]
    return {"match": _match(*asked, *kind.headers), "route": route}


def _weighted(s: EnvoySettings, spec: RoutingSpec, split: Split, colour: Colour, kind: _Kind) -> Json:
    shielded = spec.shield is colour
    name = cluster_name(colour, (SHIELD if kind.shielded else FRONT) if shielded else "")
    made: Json = {"name": name, "weight": split.of(colour)}
    if shielded and kind.shielded:
        # Here and not in the route, where it would be the other colour's as well.
        again = (("x-envoy-retry-on", _SHIELD_ON), ("x-envoy-max-retries", "1"))
        made["request_headers_to_add"] = [header(name, value) for name, value in again]
    if s.reveal:
        made["response_headers_to_add"] = _reveal(spec, colour)
    return made


def _retry(kind: _Kind) -> Json:
    hosts = "retry.host.previous_hosts.v3.PreviousHostsPredicate"
    policy: Json = {
        "retry_on": _RETRY_ON,
        "num_retries": 2,
        "retry_host_predicate": [typed("envoy.retry_host_predicates.previous_hosts", hosts)],
        "host_selection_retry_max_attempts": 5,
    }
    if kind.shielded:
        priorities = "retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
        # At once: it goes to somebody else.
        policy["retry_back_off"] = {"base_interval": "0.001s", "max_interval": "0.001s"}
        policy["retry_priority"] = typed("envoy.retry_priorities.previous_priorities", priorities, update_frequency=1)
    return policy


def _mirror(colour: Colour, percent: int) -> Json:
    share = {"numerator": percent, "denominator": "HUNDRED"}
    return {
        "cluster": COPIES,
        "runtime_fraction": {"default_value": share},
        "disable_shadow_host_suffix_append": True,
        "trace_sampled": False,
        "request_headers_mutations": [{"append": header(COPY_HEADER, str(colour))}],
    }


# --- cohorts


def cookie_name(service: str) -> str:
    return f"greenroom-{service}"


def _has_cookie(name: str) -> Json:
    pattern = rf"(?:.*;\s*)?{re.escape(name)}=[0-9a-f]{{{_DRAWN}}}(?:\s*;.*)?"
    return {"name": "cookie", "string_match": {"safe_regex": {"regex": pattern}}}


def _by_draw() -> Json:
    """The same number as the cookie will give, which holds the same letters."""
    letters = {"pattern": {"regex": rf"^(.{{{_DRAWN}}}).*$"}, "substitution": r"\1"}
    return {"header": {"header_name": DRAW_HEADER, "regex_rewrite": letters}}


# --- small


def _match(*headers: Json) -> Json:
    return {"prefix": "/", "headers": list(headers)} if headers else {"prefix": "/"}


def _present(name: str) -> Json:
    return {"name": name, "present_match": True}


def _exact(name: str, value: str) -> Json:
    return {"name": name, "string_match": {"exact": value}}


def _method(pattern: str) -> Json:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": pattern}}}


def _reveal(spec: RoutingSpec, colour: Colour) -> list[Json]:
    version = "".join(c if c.isprintable() else "?" for c in spec.backend(colour).version).replace("%", "%%")
    return [header("x-greenroom-colour", str(colour)), header("x-greenroom-version", version)]
