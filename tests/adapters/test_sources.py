"""The sources of the analysis: a real Prometheus, JSON addresses, commands. FT-50: no data is neither zero nor an error."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.gauges import SourceGauge
from greenroom.adapters.sources.command import CommandSettings, CommandSource
from greenroom.adapters.sources.http import HttpSettings, HttpSource
from greenroom.adapters.sources.prometheus import PrometheusSettings, PrometheusSource, query_of
from greenroom.domain.model import Colour
from greenroom.errors import Permanent, Temporary
from greenroom.ports import About, Place
from tests.rigs.chat import Dripping
from tests.rigs.prometheus import RATE, running

pytestmark = pytest.mark.real

PLACE = Place("shop", Path("greenroom.yaml").absolute(), Path(".greenroom").absolute())
GREEN = About("shop", Colour.GREEN, "1.5", "r-0007", 30.0)
BLUE = About("shop", Colour.BLUE, "1.4", "r-0006", 30.0)
SECRET = "T0PS3CRET"


# --- Prometheus -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("prometheus")) as url:
        yield url


def asked(url: str, **settings: Any) -> PrometheusSource:
    return PrometheusSource(PrometheusSettings.model_validate({"url": url, **settings}), PLACE)


@pytest.mark.xdist_group("prometheus")
class TestPrometheus:
    def test_metrics_by_name_are_each_colours_own(self, prometheus: str) -> None:
        source = asked(prometheus)

        def value(about: About, metric: str) -> float | None:
            return source.value(replace(about, metric=metric))

        assert value(GREEN, "error_rate") == pytest.approx(0.1, abs=0.001)
        assert value(BLUE, "error_rate") == 0.0, "no series of errors is no error, not no data"
        assert value(replace(GREEN, window=1.0), "request_rate") == pytest.approx(RATE, rel=0.3)
        assert value(replace(GREEN, window=3600.0), "request_rate") is None, "it is not known for an hour yet"
        green, blue = value(GREEN, "p99"), value(BLUE, "p99")
        assert green is not None
        assert blue is not None
        assert 25 < blue * 10 < 260
        assert 25 < green <= 250
        assert green > 5 * blue
        assert value(GREEN, "memory") == 5e7
        assert value(replace(GREEN, window=1.0), "cpu") == pytest.approx(0.5, rel=0.3)

    def test_ft_50_what_is_not_there_or_not_a_number_is_no_data(self, prometheus: str) -> None:
        source = asked(prometheus)
        for query in ('nothing{colour="{colour}"}', "missing", "1/0", "0/0", "scalar(missing)", "vector(0)/0"):
            assert source.value(replace(GREEN, query=query)) is None
        other = asked(prometheus, labels={"colour": "{colour}", "version": "{version}"})
        assert other.value(replace(GREEN, metric="error_rate")) is None
        assert asked(prometheus, requests="missing").value(replace(GREEN, metric="request_rate")) is None

    def test_a_query_is_filled_in(self, prometheus: str) -> None:
        query = 'sum(rate(http_requests_total{colour="{colour}",code="503"}[{window}])) * 0 + 7'
        assert asked(prometheus).value(replace(GREEN, query=query)) == 7
        assert asked(prometheus).value(replace(BLUE, query=query)) is None
        assert asked(prometheus).value(replace(GREEN, query="scalar(vector(3))")) == 3

    def test_what_is_filled_in_cannot_be_more_than_text(self, prometheus: str) -> None:
        query = 'count(http_requests_total{instance_name="{version}",colour="green",code="200"})'
        assert asked(prometheus).value(replace(GREEN, version='a"b', query=query)) == 1
        evil = 'x"} or vector(1) or x{a="'
        assert asked(prometheus).value(replace(GREEN, version=evil, query=query)) is None
        labels = {"instance_name": "{version}", "colour": "{colour}"}
        assert asked(prometheus, labels=labels).value(replace(GREEN, version='a"b', metric="error_rate")) is not None
        for version in ("a\\", "a\nb", "'"):
            assert asked(prometheus, labels=labels).value(replace(GREEN, version=version, metric="error_rate")) is None

    def test_several_series_are_an_error_with_the_way_out(self, prometheus: str) -> None:
        with pytest.raises(Permanent, match="gives 3 series") as error:
            asked(prometheus).value(replace(GREEN, query="http_requests_total"))
        assert "`sum(…)`" in error.value.hint
        with pytest.raises(Permanent, match="gives a matrix"):
            asked(prometheus).value(replace(GREEN, query="http_requests_total[1m]"))

    def test_a_query_that_is_wrong_says_what_prometheus_says(self, prometheus: str) -> None:
        with pytest.raises(Permanent, match=r"does not understand the question.*parse error") as error:
            asked(prometheus).value(replace(GREEN, query="sum("))
        assert "sum(" in error.value.hint
        with pytest.raises(Permanent, match="has no metric 'beauty'"):
            asked(prometheus).value(replace(GREEN, metric="beauty"))

    def test_the_analysis_reads_both_versions(self, prometheus: str) -> None:
        gauge = SourceGauge(asked(prometheus), "candidate < 0.05 or candidate <= 2 * baseline")
        about = (replace(GREEN, metric="error_rate"), replace(BLUE, metric="error_rate"))
        reading = gauge.read(*about)
        assert reading.candidate == pytest.approx(0.1, abs=0.001)
        assert (reading.baseline, reading.holds, reading.problem) == (0.0, False, "")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "Field required"),
        ({"url": "prometheus:9090"}, "begins with http"),
        ({"labels": {"job": "shop"}}, "tells the colours not apart"),
        ({"labels": {"job": "{color}"}}, r"\{color\} is not known here; there is \{colour\}"),
        ({"labels": {"a-b": "{colour}"}}, "no name of a label"),
        ({"requests": "sum(x)"}, "no name of a metric"),
        ({"status": "a b"}, "no name of a label"),
        ({"timeout": "5m"}, "less than or equal to 30"),
        ({"colour": "x"}, "Extra inputs"),
    ],
)
def test_wrong_settings_of_prometheus_are_refused(settings: dict[str, Any], why: str) -> None:
    good = {"url": "http://prometheus.example:9090"} if settings else {}
    with pytest.raises(ValidationError, match=why):
        PrometheusSettings.model_validate({**good, **settings})


def test_names_of_your_own() -> None:
    settings = PrometheusSettings.model_validate(
        {"url": "http://p.example", "requests": "hits", "status": "st", "labels": {"pod": "shop-{release}"}}
    )
    query = query_of(settings, replace(GREEN, metric="error_rate", window=12.4))
    assert query == (
        '(sum(rate(hits{pod="shop-r-0007",st=~"5.."}[12s])) or vector(0)) / sum(rate(hits{pod="shop-r-0007"}[12s]))'
    )


# --- JSON -------------------------------------------------------------------------------------------------------------


class Teller:
    """Answers with `status` and `body`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"{}"
        self.got: list[tuple[str, dict[str, str]]] = []
        teller = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                teller.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                self.send_response(teller.status)
                if teller.status != 204:
                    self.send_header("Content-Length", str(len(teller.body)))
                self.end_headers()
                if teller.status != 204:
                    self.wfile.write(teller.body)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def teller() -> Iterator[Teller]:
    teller = Teller()
    yield teller
    teller.stop()


def http(teller: Teller, path: str = "/", **settings: Any) -> HttpSource:
    return HttpSource(HttpSettings.model_validate({"url": teller.url + path, **settings}), PLACE)


def test_a_number_is_found_by_its_path(teller: Teller) -> None:
    teller.body = json.dumps({"data": {"p99": 12.5, "rows": [{"n": "3"}], "a.b": 4}, "value": 1}).encode()
    for path, value in (("data.p99", 12.5), ("data.rows[0].n", 3), ('data["a.b"]', 4), ("value", 1)):
        assert http(teller, value=path).value(GREEN) == value
    assert http(teller).value(GREEN) == 1
    teller.body = b"17"
    assert http(teller, value="$").value(GREEN) == 17


def test_the_address_is_filled_in_and_quoted(teller: Teller) -> None:
    teller.body = b'{"value": 1}'
    source = http(teller, "/{service}/{colour}?v={version}&w={window}&m={metric}&q={query}", headers={"X-Key": SECRET})
    source.value(replace(GREEN, version="1/5 &x=y", metric="p99", query="a b"))
    [(path, headers)] = teller.got
    assert path == "/shop/green?v=1%2F5%20%26x%3Dy&w=30s&m=p99&q=a%20b"
    assert headers["x-key"] == SECRET
    assert SECRET not in f"{source!r} {vars(source)!r}"


@pytest.mark.parametrize(
    "body", [b'{"value": null}', b'{"value": ""}', b'{"value": "NaN"}', b'{"value": NaN}', b'{"value": 1e999}']
)
def test_ft_50_null_and_not_a_number_are_no_data(teller: Teller, body: bytes) -> None:
    teller.body = body
    assert http(teller).value(GREEN) is None


def test_204_is_no_data(teller: Teller) -> None:
    teller.status = 204
    assert http(teller).value(GREEN) is None


@pytest.mark.parametrize(
    ("status", "body", "kind", "why"),
    [
        (200, b'{"value": true}', Permanent, "value is true, which is no number"),
        (200, b'{"value": [1]}', Permanent, r"value is \[1\], which is no number"),
        (200, b'{"value": "many"}', Permanent, "value is 'many', which is no number"),
        (200, b'{"other": 1}', Permanent, "has no value"),
        (200, b"[1]", Permanent, "has no value"),
        (200, b"<html>", Permanent, "is not JSON"),
        (200, b'{"value": "' + b"x" * 1_100_000 + b'"}', Permanent, "more than 1 MB"),
        (500, b"", Temporary, "answered 500"),
        (429, b"", Temporary, "answered 429"),
        (404, b"", Permanent, "answered 404"),
        (401, b"", Permanent, "we may not ask it"),
        (302, b"", Permanent, "somewhere else"),
    ],
)
def test_what_is_no_number_is_said(teller: Teller, status: int, body: bytes, kind: type[Exception], why: str) -> None:
    teller.status, teller.body = status, body
    with pytest.raises(kind, match=why):
        http(teller).value(GREEN)


def test_what_answers_no_query_is_no_prometheus(teller: Teller) -> None:
    for status, body, why in ((200, b"{}", "does not answer as Prometheus does"), (404, b"no", "answered 404")):
        teller.status, teller.body = status, body
        with pytest.raises(Permanent, match=why):
            asked(teller.url).value(replace(GREEN, query="up"))
    teller.status, teller.body = 503, b'{"status":"error","error":"query timed out"}'
    with pytest.raises(Temporary, match="query timed out"):
        asked(teller.url).value(replace(GREEN, query="up"))


def test_who_is_not_there_or_drips_for_ever_is_temporary(teller: Teller) -> None:
    teller.stop()
    with pytest.raises(Temporary, match="cannot be asked: nobody answers"):
        http(teller, f"/{SECRET}").value(GREEN)
    with Dripping() as server:
        settings = HttpSettings.model_validate({"url": f"http://127.0.0.1:{server.port}/{SECRET}", "timeout": "500ms"})
        with pytest.raises(
            Temporary, match=r"no complete answer .* within 500ms|no complete answer .* within 0\.5s"
        ) as error:
            HttpSource(settings, PLACE).value(GREEN)
    assert SECRET not in error.value.message


@pytest.mark.parametrize(
    "settings",
    [{"url": "shop.example"}, {"url": "http://x.example/{color}"}, {"url": "http://x.example", "value": "a..b"}],
)
def test_wrong_settings_of_http_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpSettings.model_validate(settings)


# --- commands ---------------------------------------------------------------------------------------------------------


class Pinned:
    """A vault with one value for each release."""

    def values(self, release: str) -> dict[str, str]:
        return {"TOKEN": SECRET}

    def pin(self, release: str, values: object) -> None: ...

    def forget(self, release: str) -> None: ...


def command(run: str, tmp_path: Path, timeout: str = "20s") -> CommandSource:
    place = Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom", vault=Pinned())
    return CommandSource(CommandSettings.model_validate({"run": run, "timeout": timeout}), place)


def test_a_command_prints_a_number(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("12.5\n")
    assert command("cat n", tmp_path).value(GREEN) == 12.5
    assert command('test {colour} = green && test "$GREENROOM_WINDOW" = 30s && echo 1e3', tmp_path).value(GREEN) == 1000
    assert command('test "${TOKEN}" = ' + SECRET + " && echo 4", tmp_path).value(GREEN) == 4
    assert command("awk 'BEGIN {print 2}'", tmp_path).value(GREEN) == 2


@pytest.mark.parametrize("run", ["true", "echo", "echo NaN", "echo null", "echo inf"])
def test_ft_50_a_command_that_prints_nothing_says_no_data(tmp_path: Path, run: str) -> None:
    assert command(run, tmp_path).value(GREEN) is None


def test_a_command_that_fails_or_prints_words_is_said(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="printed is 'two', which is no number"):
        command("echo two", tmp_path).value(GREEN)
    with pytest.raises(Temporary, match=r"exit code 3: \$\{TOKEN\} no such thing") as error:
        command('echo 7; echo "${TOKEN} no such thing" >&2; exit 3', tmp_path).value(GREEN)
    assert SECRET not in error.value.message
    with pytest.raises(Temporary, match="signal 9"):
        command("kill -9 $$", tmp_path).value(GREEN)
    with pytest.raises(Permanent, match="a shell would act upon") as refused:
        command("echo {version}", tmp_path).value(replace(GREEN, version="1; rm -rf x"))
    assert "$GREENROOM_VERSION" in refused.value.hint


def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with pytest.raises(Temporary, match="had not ended within 500ms"):
        command(f"sleep 1000 & echo $! > {file}; wait", tmp_path, "500ms").value(GREEN)
    pid, deadline = int(file.read_text()), time.monotonic() + 20
    while time.monotonic() < deadline and _alive(pid):
        time.sleep(0.02)
    assert not _alive(pid)


def test_a_command_that_prints_without_end_fills_no_memory(tmp_path: Path) -> None:
    with pytest.raises(Temporary, match="had not ended"):
        command("yes", tmp_path, "300ms").value(GREEN)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("settings", [{"run": " "}, {"run": "echo {color}"}, {"run": "x", "timeout": "1m"}, {}])
def test_wrong_settings_of_commands_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CommandSettings.model_validate(settings)


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    source = command("echo 1", tmp_path)
    source.value(GREEN)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        source.value(GREEN)
    assert len(os.listdir("/proc/self/fd")) <= before
