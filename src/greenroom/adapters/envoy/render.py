"""From settings and a routing spec to Envoy's configuration: pure, the same input gives the same output.

Five kinds of file, each one discovery response that Envoy watches: `cds` (four clusters), `blue` and `green` (the
endpoints), `route` (who gets what: the only one that a switch touches), `tls-N` (certificates), `lds` (listeners).
Each colour has two clusters with the same endpoints, so that test traffic is counted apart from users' traffic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.listening import Listen
from greenroom.domain.model import Backend, Colour, RoutingSpec

Json = dict[str, Any]
Part = tuple[str, list[Json]]
"""The type of a discovery response's resources, and the resources."""

_EXTENSIONS = "type.googleapis.com/envoy.extensions."
_MANY = 1_000_000
_MIB = 1 << 20
_NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}
"""No client is "internal": nobody may send Envoy's own control headers."""
_INNER_HEADER = "x-greenroom-to-test"
_CALM = "The service cannot answer just now. Please try again in a moment.\n"
_NOTHING_TO_TEST = "There is no idle version to test just now.\n"
_RETRY_ON = "connect-failure,refused-stream,reset-before-request"
_BUCKETS = [1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 75, 100, 125, 150, 200, 250, 300, 400, 500, 600, 750]
_BUCKETS += [1000, 1250, 1500, 2000, 2500, 3000, 4000, 5000, 7500, 10000, 15000, 20000, 30000, 60000, 300000]

_LATENCY = "%COMMON_DURATION(DS_RX_END:US_RX_BEG:ms)%"
"""From the request's last byte to the answer's first, so that a slow upload does not count."""

ROUTES = "routes"
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
    "version": "%METADATA(UPSTREAM_HOST:greenroom:version)%",
    "test": "%METADATA(CLUSTER:greenroom:test)%",
    "replica": "%UPSTREAM_HOST%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "request": "%REQ(X-REQUEST-ID)%",
}


def bootstrap(folder: Path) -> Json:
    """Depends on nothing but the folder: a changed setting must never need another start of the proxy."""
    return {
        "node": {"id": "router", "cluster": "greenroom"},
        "admin": {"address": {"pipe": {"path": "admin.sock", "mode": 0o600}}},
        "dynamic_resources": {"lds_config": _file(folder, "lds"), "cds_config": _file(folder, "cds")},
        "stats_flush_interval": "1s",
        "stats_config": {"histogram_bucket_settings": [{"match": {"prefix": "greenroom"}, "buckets": _BUCKETS}]},
    }


def parts(settings: EnvoySettings, spec: RoutingSpec, folder: Path, base: Path, access_log: Path) -> dict[str, Part]:
    """Every file's content, in the order in which a running proxy has to be told. `base`: of relative paths."""
    content = {"cds": ("cluster.v3.Cluster", [_cluster(settings, c, t, folder) for c in Colour for t in (False, True)])}
    for colour in Colour:
        content[colour.value] = ("endpoint.v3.ClusterLoadAssignment", [_endpoints(colour, spec.backend(colour))])
    content["route"] = ("route.v3.RouteConfiguration", [_routes(settings, spec)])
    listeners = []
    for number, listen in enumerate(settings.listeners):
        name = f"tls-{number}"
        test = number >= len(settings.listen)
        if listen.tls:
            chain, key = ({"filename": str(base / f)} for f in (listen.tls.certificate, listen.tls.key))
            secret = {"name": name, "tls_certificate": {"certificate_chain": chain, "private_key": key}}
            content[name] = ("tls.v3.Secret", [secret])
        listeners.append(_listener(settings, listen, test, name, folder, access_log))
    content["lds"] = ("listener.v3.Listener", listeners)
    return content


def type_url(kind: str) -> str:
    if kind.startswith("tls."):
        return f"{_EXTENSIONS}transport_sockets.{kind}"
    return f"type.googleapis.com/envoy.config.{kind}"


def _file(folder: Path, name: str) -> Json:
    return {"path_config_source": {"path": str(folder / f"{name}.json")}, "resource_api_version": "V3"}


def _typed(name: str, kind: str, **fields: Any) -> Json:
    return {"name": name, "typed_config": {"@type": _EXTENSIONS + kind, **fields}}


def _seconds(value: float) -> str:
    return f"{value:g}s"


def _cluster(settings: EnvoySettings, colour: Colour, test: bool, folder: Path) -> Json:
    http: Json = {"http_protocol_options": {}} if settings.protocol == "http1" else {"http2_protocol_options": {}}
    kind = "upstreams.http.v3.HttpProtocolOptions"
    options = {
        "@type": _EXTENSIONS + kind,
        "common_http_protocol_options": {"idle_timeout": _seconds(settings.timeouts.keep_alive)},
        "explicit_http_config": http,
    }
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    cluster: Json = {
        "name": f"{colour}_test" if test else str(colour),
        "type": "EDS",
        "eds_cluster_config": {"service_name": str(colour), "eds_config": _file(folder, str(colour))},
        "connect_timeout": _seconds(settings.timeouts.connect),
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, _MANY)]},
        # Replicas are known to be ready before they are listed: with none proven yet, all are asked, not none.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        # A replica that is no longer listed gets nothing more, however healthy.
        "ignore_health_on_host_removal": True,
        "per_connection_buffer_limit_bytes": _MIB,
        "metadata": {"filter_metadata": {"greenroom": {"colour": str(colour), "test": test}}},
        "typed_extension_protocol_options": {f"envoy.extensions.{kind}": options},
    }
    if not test:
        times = {"timeout": "1s", "interval": "1s", "no_traffic_interval": "2s", "unhealthy_interval": "1s"}
        counts = {"unhealthy_threshold": 2, "healthy_threshold": 1}
        cluster["health_checks"] = [{**times, **counts, "tcp_health_check": {}}]
    return cluster


def _endpoints(colour: Colour, backend: Backend) -> Json:
    metadata = {"filter_metadata": {"greenroom": {"version": backend.version}}}
    hosts = [
        {"endpoint": {"address": _address(e.host, e.port)}, "metadata": metadata} for e in sorted(backend.endpoints)
    ]
    return {"cluster_name": str(colour), "endpoints": [{"lb_endpoints": hosts}]}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1" if host == "localhost" else host, "port_value": port}}


def _listening_address(settings: EnvoySettings, listen: Listen) -> Json:
    """`[::]` means IPv4 as well, unless that is listed on its own."""
    address = _address(listen.host, listen.port)
    if listen.host == "::" and not any(
        (other.host, other.port) == ("0.0.0.0", listen.port) for other in settings.listeners
    ):
        address["socket_address"]["ipv4_compat"] = True
    return address


def _routes(settings: EnvoySettings, spec: RoutingSpec) -> Json:
    way = settings.test_route
    headers = [h for h in (way.header, _INNER_HEADER if way.listen else None) if h]
    to_test = [{"match": _match(h), **_test_target(settings, spec)} for h in headers]
    users = {"name": "users", "domains": ["*"], "routes": [*to_test, {"match": _match(), **_split(settings, spec)}]}
    hosts = [{"name": "test", "domains": [way.host], "routes": [{"match": _match(), **_test_target(settings, spec)}]}]
    # Without a trusted proxy before us, what a client claims about itself is replaced by what we see.
    action = "ADD_IF_ABSENT" if settings.trusted_hops else "OVERWRITE_IF_EXISTS_OR_ADD"
    return {
        "name": ROUTES,
        "virtual_hosts": [*(hosts if way.host else []), users],
        "validate_clusters": True,
        "ignore_port_in_host_matching": True,
        "request_headers_to_add": [_header("x-forwarded-host", "%REQ(:AUTHORITY)%", action)],
        "request_headers_to_remove": [_INNER_HEADER, "x-envoy-external-address"],
    }


def _match(header: str | None = None) -> Json:
    match: Json = {"prefix": "/"}
    if header:
        match["headers"] = [{"name": header, "present_match": True}]
    return match


def _header(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Json:
    return {"header": {"key": name, "value": value}, "append_action": action}


def _reveal(spec: RoutingSpec, colour: Colour) -> list[Json]:
    version = "".join(c if c.isprintable() else "?" for c in spec.backend(colour).version).replace("%", "%%")
    return [_header("x-greenroom-colour", str(colour)), _header("x-greenroom-version", version)]


def _target(settings: EnvoySettings) -> Json:
    return {"timeout": _seconds(settings.timeouts.request)}


def _test_target(settings: EnvoySettings, spec: RoutingSpec) -> Json:
    if spec.test is None:
        return {"direct_response": {"status": 404, "body": {"inline_string": _NOTHING_TO_TEST}}}
    # No retries here: a check shall meet what is there.
    route = {"cluster": f"{spec.test}_test", **_target(settings)}
    return {"route": route, "response_headers_to_add": _reveal(spec, spec.test)}


def _split(settings: EnvoySettings, spec: RoutingSpec) -> Json:
    if not spec.split.blue and not spec.split.green:
        return {"direct_response": {"status": 503, "body": {"inline_string": _CALM}}}
    clusters: list[Json] = [{"name": str(colour), "weight": spec.split.of(colour)} for colour in Colour]
    if settings.reveal:
        for colour, cluster in zip(Colour, clusters, strict=True):
            cluster["response_headers_to_add"] = _reveal(spec, colour)
    kind = "retry.host.previous_hosts.v3.PreviousHostsPredicate"
    retry = {
        "retry_on": _RETRY_ON,
        "num_retries": 2,
        "retry_host_predicate": [_typed("envoy.retry_host_predicates.previous_hosts", kind)],
        "host_selection_retry_max_attempts": 5,
    }
    target = _target(settings)
    return {"route": {"weighted_clusters": {"clusters": clusters}, "retry_policy": retry, **target}}


def _listener(s: EnvoySettings, listen: Listen, test: bool, name: str, folder: Path, access_log: Path) -> Json:
    connection = _typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        **_http(s, test, folder, access_log),
    )
    chain: Json = {"filters": [connection]}
    if listen.tls:
        secret = {"name": name, "sds_config": _file(folder, name)}
        common = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificate_sds_secret_configs": [secret]}
        kind = "transport_sockets.tls.v3.DownstreamTlsContext"
        chain["transport_socket"] = _typed("envoy.transport_sockets.tls", kind, common_tls_context=common)
    return {
        "name": f"{'test' if test else 'users'}-{listen.address}",
        "address": _listening_address(s, listen),
        # Sharing the port by SO_REUSEPORT would let two routers own it without an error.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": _MIB,
        "filter_chains": [chain],
    }


def _http(s: EnvoySettings, test: bool, folder: Path, access_log: Path) -> Json:
    windows = {"initial_stream_window_size": 256 * 1024, "initial_connection_window_size": _MIB}
    status = {"comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "greenroom.calm"}}}
    calm = {"filter": {"status_code_filter": status}, "body": {"inline_string": _CALM}}
    kind = "http.early_header_mutation.header_mutation.v3.HeaderMutation"
    mutation = {"append": _header(_INNER_HEADER, "1")} if test else {"remove": _INNER_HEADER}
    return {
        "stat_prefix": "test" if test else "users",
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTES, "config_source": _file(folder, "route")},
        "use_remote_address": True,
        "xff_num_trusted_hops": s.trusted_hops,
        "internal_address_config": {"cidr_ranges": [_NOBODY]},
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "http2_protocol_options": {"max_concurrent_streams": 256, **windows},
        "request_headers_timeout": "30s",
        "stream_idle_timeout": _seconds(s.timeouts.idle),
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "local_reply_config": {"mappers": [calm]},
        "early_header_mutation_extensions": [_typed("mark", kind, mutations=[mutation])],
        "access_log": [_log_file(access_log), _counters()],
        "http_filters": [
            # The clusters' counters of statuses are not what is judged: `_counters` are.
            _typed(
                "envoy.filters.http.router",
                "filters.http.router.v3.Router",
                suppress_envoy_headers=True,
                dynamic_stats=False,
            )
        ],
    }


def _log_file(path: Path) -> Json:
    kind = "access_loggers.file.v3.FileAccessLog"
    return _typed("envoy.access_loggers.file", kind, path=str(path), log_format={"json_format": LOG_FIELDS})


def _counters() -> Json:
    """Each request counted once, when it ends, as its user saw it: after retries, with Envoy's own answers and with
    answers that broke off, which the clusters' own counters miss. Latency ends with the first byte, so that long
    downloads and event streams do not look slow.
    """
    cluster = {"name": "cluster", "value_format": "%UPSTREAM_CLUSTER%"}
    code = {"name": "code", "value_format": "%RESPONSE_CODE%"}
    flags = {"name": "flags", "value_format": "%RESPONSE_FLAGS%"}
    return _typed(
        "envoy.access_loggers.stats",
        "access_loggers.stats.v3.Config",
        stats_scope={"prefix": "greenroom"},
        counters=[{"stat": {"name": "requests", "tags": [cluster, code, flags]}, "value_fixed": 1}],
        histograms=[{"stat": {"name": "ms", "tags": [cluster]}, "unit": "Milliseconds", "value_format": _LATENCY}],
    )
