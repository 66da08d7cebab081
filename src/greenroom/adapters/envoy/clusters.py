"""The clusters of both colours, and where their replicas are."""

from __future__ import annotations

from pathlib import Path

from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.envoy.wire import (
    COPIES,
    EXTENSIONS,
    FRONT,
    MIB,
    MIRROR,
    SHIELD,
    TEST,
    Json,
    address,
    cluster_name,
    seconds,
    typed,
    watched,
)
from greenroom.domain.model import Backend, Colour

_MANY = 1_000_000
_LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
_UNDER_WAY, _COPY_WITHIN = 128, 30.0
"""How many copies may be under way, and for how long: a target that hangs must not gather them without end."""
_IN_SERIES, _LEFT_OUT = 5, 0.5
"""After so many failures in a row, a replica of the shielded colour gets nothing for so many seconds."""


def clusters(settings: EnvoySettings, folder: Path) -> list[Json]:
    """All of them, whatever is routed: what a switch leads to is there already."""
    return [*(made for colour in Colour for made in _of(settings, colour, folder)), _copies()]


def _of(settings: EnvoySettings, colour: Colour, folder: Path) -> list[Json]:
    users, test, mirror, front = (_cluster(settings, colour, kind, folder) for kind in ("", TEST, MIRROR, FRONT))
    # Asking is no use to those who only get copies, or who are left out by what they answer.
    times = {"timeout": "1s", "interval": "1s", "no_traffic_interval": "2s", "unhealthy_interval": "1s"}
    counts = {"unhealthy_threshold": 2, "healthy_threshold": 1}
    users["health_checks"] = [{**times, **counts, "tcp_health_check": {}}]
    front["outlier_detection"] = _outliers()
    # Else a replica that was left out twice within a second would stay so for a second more.
    front["common_lb_config"]["update_merge_window"] = "0s"
    return [users, test, mirror, front, _shield(colour)]


def _cluster(settings: EnvoySettings, colour: Colour, kind: str, folder: Path) -> Json:
    common = {"idle_timeout": seconds(settings.timeouts.keep_alive)}
    return {
        "name": cluster_name(colour, kind),
        "type": "EDS",
        "eds_cluster_config": {"service_name": str(colour), "eds_config": watched(folder, str(colour))},
        "connect_timeout": seconds(settings.timeouts.connect),
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [dict.fromkeys(_LIMITS, _MANY)]},
        # Replicas are known to be ready before they are listed: with none proven yet, all are asked, not none.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        # A replica that is no longer listed gets nothing more, however healthy.
        "ignore_health_on_host_removal": True,
        "per_connection_buffer_limit_bytes": MIB,
        "metadata": _metadata(colour, kind),
        "typed_extension_protocol_options": _protocol(settings.protocol == "http1", common),
    }


def _protocol(http1: bool, common: Json) -> Json:
    options = "upstreams.http.v3.HttpProtocolOptions"
    http: Json = {"http_protocol_options": {}} if http1 else {"http2_protocol_options": {}}
    protocol = {
        "@type": EXTENSIONS + options,
        "common_http_protocol_options": common,
        "explicit_http_config": http,
    }
    return {f"envoy.extensions.{options}": protocol}


def _copies() -> Json:
    """Whom the proxy sends copies to: itself. What is too much is dropped here, and nobody waits for it."""
    pipe = {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": f"{COPIES}.sock"}}}}]}
    return {
        "name": COPIES,
        "type": "STATIC",
        "load_assignment": {"cluster_name": COPIES, "endpoints": [pipe]},
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [{**dict.fromkeys(_LIMITS, _UNDER_WAY), "max_retries": 0}]},
        "typed_extension_protocol_options": _protocol(False, {"max_stream_duration": seconds(_COPY_WITHIN)}),
    }


def _shield(colour: Colour) -> Json:
    """The colour first, the other one when none of its replicas is left, or for what is asked again. Last, the other one
    unproven: replicas that have just been listed count as dead until they have been asked.
    """
    names = [cluster_name(colour, FRONT), cluster_name(colour.other), cluster_name(colour.other, FRONT)]
    return {
        "name": cluster_name(colour, SHIELD),
        "cluster_type": typed("envoy.clusters.aggregate", "clusters.aggregate.v3.ClusterConfig", clusters=names),
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [dict.fromkeys(_LIMITS, _MANY)]},
        "metadata": _metadata(colour, SHIELD),
    }


def _outliers() -> Json:
    """Series of failures only: who answers badly now and then is the analysis' business."""
    time = seconds(_LEFT_OUT)
    return {
        "consecutive_5xx": _IN_SERIES,
        "interval": "0.1s",
        "base_ejection_time": time,
        "max_ejection_time": time,
        "max_ejection_percent": 100,
        "enforcing_consecutive_5xx": 100,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
    }


def _metadata(colour: Colour, kind: str) -> Json:
    """For the access log. Neither a test nor a copy is a user's request."""
    ours = {"colour": str(colour), "test": kind in (TEST, MIRROR), "copy": kind == MIRROR}
    return {"filter_metadata": {"greenroom": ours}}


def endpoints(colour: Colour, backend: Backend) -> Json:
    ours = {"version": backend.version, "colour": str(colour)}
    metadata = {"filter_metadata": {"greenroom": ours}}
    hosts = [
        {"endpoint": {"address": address(e.host, e.port)}, "metadata": metadata} for e in sorted(backend.endpoints)
    ]
    return {"cluster_name": str(colour), "endpoints": [{"lb_endpoints": hosts}]}
