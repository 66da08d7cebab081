"""Debian's Prometheus on loopback, which scrapes an exporter of ours: two colours, known rates, errors and times."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from greenroom.testing.processes import free_ports

PATIENCE = 60.0
_CONFIGURATION = """\
global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
RATE, SLOW = 100.0, {"green": 0.2, "blue": 0.02}
"""Requests a second of each colour; seconds that almost all of its answers take."""
ERRORS = {"green": 0.1, "blue": 0.0}


class Exporter:
    """Counters that grow with time. Blue never had an error: there is no series of them."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def text(self) -> str:
        lines, passed = [], time.monotonic() - self.begun
        for colour, share in ERRORS.items():
            every = RATE * passed
            label = f'colour="{colour}",instance_name="a\\"b"'
            lines.append(f'http_requests_total{{{label},code="200"}} {every * (1 - share)}')
            if share:
                lines.append(f'http_requests_total{{{label},code="503"}} {every * share}')
            for bound in ("0.01", "0.025", "0.25", "+Inf"):
                within = every if bound == "+Inf" or float(bound) >= SLOW[colour] else 0.0
                lines.append(f'http_request_duration_seconds_bucket{{{label},le="{bound}"}} {within}')
            for replica in "12":
                lines.append(f'process_cpu_seconds_total{{colour="{colour}",replica="{replica}"}} {passed / 2}')
                lines.append(f'process_resident_memory_bytes{{colour="{colour}",replica="{replica}"}} 5e7')
            lines.append(f'nothing{{colour="{colour}"}} NaN')
        return "\n".join(lines) + "\n"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its address, once it has scraped often enough to know rates."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    exporter, [port] = Exporter(), free_ports(1)
    file = folder / "prometheus.yml"
    file.write_text(_CONFIGURATION.format(port=exporter.port))
    listening = f"--web.listen-address=127.0.0.1:{port}"
    data = f"--storage.tsdb.path={folder / 'data'}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", listening, data], stdout=log, stderr=log, cwd=folder
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(
            url,
            'sum(rate(http_requests_total{code="503"}[2s])) and on() http_requests_total{code="503"} offset 2s',
            process,
        )
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        exporter.stop()


def _await(url: str, query: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, "prometheus has ended"
        try:
            asked = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
            with opener.open(asked, timeout=5) as answer:
                if json.load(answer)["data"]["result"]:
                    return
        except (OSError, urllib.error.URLError, ValueError):
            pass
        time.sleep(0.1)
    raise AssertionError("prometheus does not know what it was to scrape")
