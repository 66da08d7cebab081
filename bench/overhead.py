"""What Greenroom costs: the router in the way of requests, the engine in the time of a deploy, a command's time and memory.

The application is uvicorn with the smallest ASGI application, asked directly and through the router by turns; for proxies
that people run, also through the same proxy without Greenroom. The mixed load of `bench/switch` is asked of the tests'
own server, in the same way. On a small machine client, router and application share the processors, so ratios tell more
than rates.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from bench import proxies, startup
from bench.common import LOGS, Goal, Result, expect, main, plain, staged
from bench.load import Load, Measured, measure
from greenroom.demo.stage import Stage, free_port, get
from greenroom.demo.table import columns
from greenroom.domain.model import Colour

APP = Path(__file__).parent / "app"
BAKE = 1.0
CONNECTIONS = 32


def run(quick: bool) -> Result:
    result = Result("overhead")
    with staged("overhead", source=APP) as stage:
        secure = listen_with_tls(stage)
        expect(stage.run("deploy", "1"), 0)
        through_the_router(stage, secure, quick, result)
        under_the_mixed_load(quick, result)
        deploys(stage, 2 if quick else 5, result)
        commands(stage, 3 if quick else 15, result)
    return result


def listen_with_tls(stage: Stage) -> str:
    """A second listener, with a certificate that is made for the occasion; its address."""
    port = free_port()
    certificate, key = self_signed(stage.folder)
    listen = f"  listen: [127.0.0.1:{stage.port}, {{address: 127.0.0.1:{port}, "
    listen += f"tls: {{certificate: {certificate}, key: {key}}}}}]"
    text = stage.file.read_text()
    stage.file.write_text(text.replace(f"  listen: 127.0.0.1:{stage.port}", listen))
    return f"https://127.0.0.1:{port}/"


def self_signed(folder: Path) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].touch(mode=0o600)
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return paths


# --- the router


def through_the_router(stage: Stage, secure: str, quick: bool, result: Result) -> None:
    """Three rounds; in each, every way is asked in turn, so that a busy moment of the machine meets all of them."""
    seconds, rounds = (1.0, 2) if quick else (4.0, 3)
    direct = f"http://127.0.0.1:{get(stage.url + '/port')[1]}/"
    ways = {
        "direct, HTTP/1.1": Load(direct, CONNECTIONS, seconds),
        "router, HTTP/1.1": Load(stage.url + "/", CONNECTIONS, seconds),
        "router, HTTP/1.1 with TLS": Load(secure, CONNECTIONS, seconds),
        "router, HTTP/2 (h2c)": Load(stage.url + "/", CONNECTIONS, seconds, http2=True),
        "router, HTTP/2 with TLS": Load(secure, CONNECTIONS, seconds, http2=True),
        "direct, 500/s": Load(direct, CONNECTIONS, seconds, rate=500.0),
        "router, 500/s": Load(stage.url + "/", CONNECTIONS, seconds, rate=500.0),
    }
    with ExitStack() as stack:
        for name, url in proxies.beside(stack, urlsplit(direct).port or 80).items():
            ways[name] = Load(url + "/", CONNECTIONS, seconds)
        found: dict[str, list[Measured]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, load in ways.items():
                found[name].append(measure(load))
    body, ratios = [], {}
    for name, measured in found.items():
        pairs = zip(measured, found["direct, HTTP/1.1"], strict=True)
        ratios[name] = statistics.median(one.rate / base.rate for one, base in pairs)
        body.append(
            [
                name,
                *(plain(middle(measured, f)) for f in (_rate, _p50, _p99)),
                "" if "/s" in name else plain(ratios[name]),
            ]
        )
    memory = max(resident_memory(pid) for pid in stage.routers())
    errors = sum(one.errors for measured in found.values() for one in measured)
    result.text += columns(["way", "requests/s", "p50 ms", "p99 ms", "of direct"], body)
    result.text += f"\n\nmedian of {rounds} rounds of {plain(seconds)} s, {CONNECTIONS} connections, by bench/load.py; "
    result.text += f"errors: {errors}; memory of the router after it: {plain(memory)} MiB\n"
    added = middle(found["router, 500/s"], _p99) - middle(found["direct, 500/s"], _p99)
    result.goals += [
        Goal("throughput through the router, of direct (HTTP/1.1)", ratios["router, HTTP/1.1"], 0.4, least=True),
        Goal("memory of the router", memory, 80, "MiB"),
        Goal("failed requests", errors, 0),
    ]
    for name in proxies.installed():
        pairs = zip(found[f"Greenroom, {name}"], found[f"plain {name}"], strict=True)
        ratio = statistics.median(ours.rate / its.rate for ours, its in pairs)
        text = f"throughput through {name}, of the same {name} without Greenroom"
        result.goals.append(Goal(text, ratio, 0.85, least=True))
    result.data |= {"ratios": ratios, "router_mib": memory, "added_p99_ms_at_500": added}


def under_the_mixed_load(quick: bool, result: Result) -> None:
    """The clients of `bench/switch` as fast as the answers come; without HTTP/2, which uvicorn does not speak."""
    seconds, rounds = (2.0, 1) if quick else (4.0, 3)
    LOGS.mkdir(parents=True, exist_ok=True)
    rates: dict[str, list[float]] = {}
    failed = 0
    with ExitStack() as stack:
        port = free_port()
        stack.enter_context(proxies.process(*proxies.server(Colour.BLUE, "1", port)))
        proxies.wait_for(port)
        ways = {"direct": f"http://127.0.0.1:{port}", **proxies.beside(stack, port)}
        for _ in range(rounds):
            for name, url in ways.items():
                rate, lost = mixed(url, seconds)
                rates.setdefault(name, []).append(rate)
                failed += lost
    ratios = {n: statistics.median(a / b for a, b in zip(r, rates["direct"], strict=True)) for n, r in rates.items()}
    body = [[name, plain(statistics.median(found)), plain(ratios[name])] for name, found in rates.items()]
    result.text += "\n" + columns(["way, mixed load", "requests/s", "of direct"], body)
    result.text += (
        f"\n\nmedian of {rounds} rounds of {plain(seconds)} s, by bench/clients.py, as fast as the answers come; "
    )
    result.text += f"errors: {failed}\n"
    for name in proxies.installed():
        text = f"throughput through {name} under the mixed load, of direct"
        result.goals.append(Goal(text, ratios[f"Greenroom, {name}"], 0.75, least=True))
    result.goals.append(Goal("failed requests under the mixed load", failed, 0))
    result.data |= {"mixed_rates": rates, "mixed_ratios": ratios}


def mixed(url: str, seconds: float) -> tuple[float, int]:
    """Requests a second, and how many failed."""
    log = LOGS / "overhead-mixed.csv"
    options = ("--url", url, "--log", str(log), "--share", "0", "--without", "h2c", "--most-seconds", str(seconds))
    subprocess.run([sys.executable, "-m", "bench.clients", *options], check=True, stdout=subprocess.DEVNULL)
    rows = [line.rstrip("\n").split(",") for line in log.read_text().splitlines()]
    sent = [float(row[0]) for row in rows]
    return len(rows) / (max(sent) - min(sent)), sum(bool(row[4]) for row in rows)


def _rate(one: Measured) -> float:
    return one.rate


def _p50(one: Measured) -> float:
    return one.p50


def _p99(one: Measured) -> float:
    return one.p99


def middle(measured: list[Measured], figure: Callable[[Measured], float]) -> float:
    return statistics.median(figure(one) for one in measured)


def resident_memory(pid: int, name: str = "VmRSS") -> float:
    """MiB; 0 if it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


# --- a deploy


def deploys(stage: Stage, times: int, result: Result) -> None:
    """Greenroom's own part: the whole command, less the bake, less the time that the application takes to start."""
    starts = [application_start(stage) for _ in range(times)]
    totals = [expect(stage.run("deploy", str(version)), 0).seconds for version in range(2, times + 2)]
    start, total = statistics.median(starts), statistics.median(totals)
    own = total - start - BAKE
    result.text += f"\na deploy: {plain(total)} s, of which the application's start {plain(start)} s, the bake "
    result.text += f"{plain(BAKE)} s, Greenroom's own part {plain(own)} s (medians of {times})\n"
    result.goals.append(Goal("Greenroom's own part of a deploy", own, 1.0, "s"))
    result.data |= {"deploy_s": totals, "start_s": starts}


def application_start(stage: Stage) -> float:
    """From the start of the process to its first answer, without Greenroom."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(port)]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "--log-level", "warning", "--no-access-log"], cwd=stage.shop, env={**os.environ, "PORT": str(port)}
    )
    try:
        while time.monotonic() < began + 60:
            try:
                get(f"http://127.0.0.1:{port}/")
                return time.monotonic() - began
            except OSError:
                time.sleep(0.005)
        raise SystemExit("the application does not start")
    finally:
        process.terminate()
        process.wait()


# --- a command


def commands(stage: Stage, times: int, result: Result) -> None:
    base = startup.median(["-c", "pass"], times)
    status = startup.median(["-m", "greenroom", "status", "--file", str(stage.file)], times)
    peaks = {
        "status": peak_memory(stage, "status"),
        "deploy": peak_memory(stage, "deploy", "99"),
        "history": peak_memory(stage, "history"),
    }
    result.text += f"\n`greenroom status` {plain(status * 1000)} ms, `python -c pass` {plain(base * 1000)} ms "
    result.text += f"(medians of {times})\npeak memory: "
    result.text += ", ".join(f"{name} {plain(peak)} MiB" for name, peak in peaks.items())
    result.goals += [
        Goal("`greenroom status` against `python -c pass`", status / base, 8, "×"),
        Goal("peak memory of a command", max(peaks.values()), 60, "MiB"),
    ]
    result.data |= {"status_s": status, "pass_s": base, "peak_mib": peaks}


def peak_memory(stage: Stage, *words: str) -> float:
    """MiB, the kernel's own high-water mark, read until the command has ended."""
    command, peak = stage.start(*words), 0.0
    while command.running():
        peak = max(peak, resident_memory(command.pid, "VmHWM"))
        time.sleep(0.001)
    expect(command.wait(), 0)
    return peak


if __name__ == "__main__":
    sys.exit(main(run))
