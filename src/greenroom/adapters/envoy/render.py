"""From settings and a routing spec to Envoy's configuration: pure, the same input gives the same output.

Five kinds of file, each one discovery response that Envoy watches: `cds` (the clusters), `blue` and `green` (the
endpoints), `route` (who gets what: the only one that a switch touches), `tls-N` (certificates), `lds` (listeners).
Each colour has several clusters with the same endpoints, so that tests and copies are counted apart from users' traffic.
"""

from __future__ import annotations

from pathlib import Path

from greenroom.adapters.envoy.clusters import clusters, endpoints
from greenroom.adapters.envoy.routes import CALM, copies, routes
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.envoy.wire import (
    COPIES,
    COPY_HEADER,
    DRAW_HEADER,
    INNER_HEADER,
    MIB,
    ROUTES,
    Json,
    Part,
    address,
    header,
    seconds,
    typed,
    watched,
)
from greenroom.adapters.listening import Listen
from greenroom.domain.model import Colour, RoutingSpec

_NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}
"""No client is "internal": nobody may send Envoy's own control headers."""
_BUCKETS = [1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 75, 100, 125, 150, 200, 250, 300, 400, 500, 600, 750]
_BUCKETS += [1000, 1250, 1500, 2000, 2500, 3000, 4000, 5000, 7500, 10000, 15000, 20000, 30000, 60000, 300000]
_LATENCY = "%COMMON_DURATION(DS_RX_END:US_RX_BEG:ms)%"
"""From the request's last byte to the answer's first, so that a slow upload does not count."""

LOG_FIELDS = {
    "time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%PATH(NQ)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "colour": "%METADATA(CLUSTER:greenroom:colour)%",
    "answered_by": "%METADATA(UPSTREAM_HOST:greenroom:colour)%",
    "version": "%METADATA(UPSTREAM_HOST:greenroom:version)%",
    "test": "%METADATA(CLUSTER:greenroom:test)%",
    "copy": "%METADATA(CLUSTER:greenroom:copy)%",
    "replica": "%UPSTREAM_HOST%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "request": "%REQ(X-REQUEST-ID)%",
}


def bootstrap(folder: Path) -> Json:
    """Depends on nothing but the folder: a changed setting must never need another start of the proxy."""
    return {
        "node": {"id": "router", "cluster": "greenroom"},
        "admin": {"address": {"pipe": {"path": "admin.sock", "mode": 0o600}}},
        "dynamic_resources": {"lds_config": watched(folder, "lds"), "cds_config": watched(folder, "cds")},
        "stats_flush_interval": "1s",
        "stats_config": {"histogram_bucket_settings": [{"match": {"prefix": "greenroom"}, "buckets": _BUCKETS}]},
    }


def parts(
    settings: EnvoySettings, service: str, spec: RoutingSpec, folder: Path, base: Path, access_log: Path
) -> dict[str, Part]:
    """Every file's content, in the order in which a running proxy has to be told. `base`: of relative paths."""
    content: dict[str, Part] = {"cds": ("cluster.v3.Cluster", clusters(settings, folder))}
    for colour in Colour:
        content[colour.value] = ("endpoint.v3.ClusterLoadAssignment", [endpoints(colour, spec.backend(colour))])
    content["route"] = ("route.v3.RouteConfiguration", [routes(settings, service, spec)])
    listeners = []
    for number, listen in enumerate(settings.listeners):
        name = f"tls-{number}"
        kind = "users" if number < len(settings.listen) else "test"
        if listen.tls:
            chain, key = ({"filename": str(base / f)} for f in (listen.tls.certificate, listen.tls.key))
            secret = {"name": name, "tls_certificate": {"certificate_chain": chain, "private_key": key}}
            content[name] = ("tls.v3.Secret", [secret])
        listeners.append(_listener(settings, listen, kind, name, folder, access_log))
    listeners.append(_copies(settings, folder, access_log))
    content["lds"] = ("listener.v3.Listener", listeners)
    return content


def _listening(settings: EnvoySettings, listen: Listen) -> Json:
    """`[::]` means IPv4 as well, unless that is listed on its own."""
    made = address(listen.host, listen.port)
    if listen.host == "::" and not any(
        (other.host, other.port) == ("0.0.0.0", listen.port) for other in settings.listeners
    ):
        made["socket_address"]["ipv4_compat"] = True
    return made


def _listener(s: EnvoySettings, listen: Listen, kind: str, name: str, folder: Path, access_log: Path) -> Json:
    chain: Json = {"filters": [_connections(s, kind, folder, access_log)]}
    if listen.tls:
        secret = {"name": name, "sds_config": watched(folder, name)}
        common = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificate_sds_secret_configs": [secret]}
        context = "transport_sockets.tls.v3.DownstreamTlsContext"
        chain["transport_socket"] = typed("envoy.transport_sockets.tls", context, common_tls_context=common)
    return {
        "name": f"{kind}-{listen.address}",
        "address": _listening(s, listen),
        # Sharing the port by SO_REUSEPORT would let two routers own it without an error.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": MIB,
        "filter_chains": [chain],
    }


def _copies(s: EnvoySettings, folder: Path, access_log: Path) -> Json:
    """What is told of a copy was found out when the request itself came in."""
    within = {"use_remote_address": False, "skip_xff_append": True, "route_config": copies(), "rds": None}
    return {
        "name": COPIES,
        "address": {"pipe": {"path": f"{COPIES}.sock", "mode": 0o600}},
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": MIB,
        "filter_chains": [{"filters": [_connections(s, COPIES, folder, access_log, **within)]}],
    }


def _connections(s: EnvoySettings, kind: str, folder: Path, access_log: Path, **more: object) -> Json:
    return typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        **{name: value for name, value in {**_http(s, kind, folder, access_log), **more}.items() if value is not None},
    )


def _http(s: EnvoySettings, kind: str, folder: Path, access_log: Path) -> Json:
    windows = {"initial_stream_window_size": 256 * 1024, "initial_connection_window_size": MIB}
    status = {"comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "greenroom.calm"}}}
    calm = {"filter": {"status_code_filter": status}, "body": {"inline_string": CALM}}
    mutation = "http.early_header_mutation.header_mutation.v3.HeaderMutation"
    mutations: list[Json] = [{"append": header(INNER_HEADER, "1")} if kind == "test" else {"remove": INNER_HEADER}]
    if kind != COPIES:
        mutations.append({"remove": COPY_HEADER})
    if s.sticky and kind == "users":
        mutations.append({"append": header(DRAW_HEADER, "%UNIQUE_ID%")})
    return {
        "stat_prefix": kind,
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTES, "config_source": watched(folder, "route")},
        "use_remote_address": True,
        "xff_num_trusted_hops": s.trusted_hops,
        "internal_address_config": {"cidr_ranges": [_NOBODY]},
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "http2_protocol_options": {"max_concurrent_streams": 256, **windows},
        "request_headers_timeout": "30s",
        "stream_idle_timeout": seconds(s.timeouts.idle),
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "local_reply_config": {"mappers": [calm]},
        "early_header_mutation_extensions": [typed("mark", mutation, mutations=mutations)],
        "access_log": [_log_file(access_log), _counters()],
        "http_filters": [
            # The clusters' counters of statuses are not what is judged: `_counters` are.
            typed(
                "envoy.filters.http.router",
                "filters.http.router.v3.Router",
                suppress_envoy_headers=True,
                dynamic_stats=False,
            )
        ],
    }


def _log_file(path: Path) -> Json:
    kind = "access_loggers.file.v3.FileAccessLog"
    return typed("envoy.access_loggers.file", kind, path=str(path), log_format={"json_format": LOG_FIELDS})


def _counters() -> Json:
    """Each request counted once, when it ends, as its user saw it: after retries, with Envoy's own answers and with
    answers that broke off, which the clusters' own counters miss. `by`: the colour that answered, which of a shielded
    request is the other one. Latency ends with the first byte, so that long downloads and event streams do not look slow.
    """
    cluster = {"name": "cluster", "value_format": "%UPSTREAM_CLUSTER%"}
    by = {"name": "by", "value_format": "%METADATA(UPSTREAM_HOST:greenroom:colour)%"}
    code = {"name": "code", "value_format": "%RESPONSE_CODE%"}
    flags = {"name": "flags", "value_format": "%RESPONSE_FLAGS%"}
    return typed(
        "envoy.access_loggers.stats",
        "access_loggers.stats.v3.Config",
        stats_scope={"prefix": "greenroom"},
        counters=[{"stat": {"name": "requests", "tags": [cluster, by, code, flags]}, "value_fixed": 1}],
        histograms=[{"stat": {"name": "ms", "tags": [cluster, by]}, "unit": "Milliseconds", "value_format": _LATENCY}],
    )
