"""What `init` writes: a commented `greenroom.yaml` for what the folder holds.

`detect` reads the folder, `create` writes a file and never overwrites one; the rest makes text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from greenroom.errors import UsageError

_PYTHON = ("python3 -m venv venv", "venv/bin/pip install -r requirements.txt")
_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds. `kind`: for people. `processes`: command by name, `{port}` where it listens.

    `image`: what containers are made of; "" for processes. `port`: where the application listens in its container.
    """

    service: str
    kind: str
    processes: Mapping[str, str]
    prepare: tuple[str, ...] = ()
    health: str = "/"
    notes: tuple[str, ...] = field(default=())
    image: str = ""
    port: int = 8000
    built: bool = False


PLATFORMS = ("process", "docker", "ecs")
ROUTERS = ("envoy", "nginx", "haproxy")


def detect(folder: Path, platform: str = "") -> Found:
    """The best guess, from a Dockerfile, a Procfile, requirements, `package.json`, or nothing. Reads a few small files.

    `platform` "": the one that it finds.
    """
    service = _service(folder.resolve().name)
    dockerfile = _read(folder / "Dockerfile")
    if platform in ("docker", "ecs") or (dockerfile and not platform):
        return _container(service, dockerfile)
    procfile = _procfile(_read(folder / "Procfile"))
    if procfile:
        return Found(
            service, "a Procfile", procfile, _prepare(folder), notes=("The commands are those of the Procfile.",)
        )
    requirements = _requirements(folder)
    if requirements:
        return _python(folder, service, requirements)
    package = _package(folder / "package.json")
    if package is not None:
        return Found(
            service,
            "Node.js",
            {"web": "npm start"},
            ("npm ci" if (folder / "package-lock.json").exists() else "npm install",),
            notes=("The application must listen on the port that the variable PORT names.",),
        )
    return Found(service, "plain files", {"web": "python3 -m http.server {port} --bind 127.0.0.1"})


def starter(found: Found, listen: str = "", router: str = "envoy") -> str:
    """The file: it loads as it stands."""
    listen = listen or ("127.0.0.1:80" if router == "nginx" else "127.0.0.1:8080")
    processes = "".join(_process(found, name, command) for name, command in found.processes.items())
    environment = (
        _DOCKER.format(image=found.image, build="" if found.built else "# ", port=found.port, health=found.health)
        if found.image
        else _PROCESSES.format(prepare=_prepare_text(found.prepare), processes=processes)
    )
    return _TEMPLATE.format(
        kind=found.kind,
        service=found.service,
        environment=environment,
        router=_ROUTER[router].format(listen=listen, service=found.service),
        notes="".join(f"# {note}\n" for note in found.notes),
        shield=_SHIELD if router == "envoy" else "",
        listen=listen,
        health=found.health,
    )


def create(path: Path, text: str) -> None:
    """Write a new file, with its folders. `UsageError` if there is one already, which then stays as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path}: is there already, and stays as it is", hint="move it away first") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None


def _read(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_READ)
    except OSError:
        return ""


def _container(service: str, dockerfile: str) -> Found:
    exposed = re.search(r"^\s*EXPOSE\s+(\d+)", dockerfile, re.MULTILINE | re.IGNORECASE)
    kind = "a Dockerfile" if dockerfile else "containers"
    image, port = f"{service}:{{version}}", int(exposed[1]) if exposed else 8000
    return Found(service, kind, {}, image=image, port=port, built=bool(dockerfile))


def _service(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return plain or "shop"


def _procfile(text: str) -> dict[str, str]:
    """`web: gunicorn …` by line. `$PORT` is what Greenroom writes `{port}`; other variables are left to the shell."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_-]{0,39}):\s*(\S.*)", line.strip(), re.ASCII)
        if match and match[1].lower() != "release" and line.isprintable():
            command = re.sub(r"\$\{PORT(:-\d+)?\}|\$PORT\b", "{port}", match[2].strip())
            found[match[1].lower()] = re.sub(r"\$\{(\w+)\}", r"$\1", command)
    return found


def _requirements(folder: Path) -> frozenset[str]:
    """Names of the packages that are asked for, small."""
    lines = _read(folder / "requirements.txt").splitlines()
    names = [match[0].lower() for line in lines if (match := re.match(r"[A-Za-z0-9._-]+", line.strip()))]
    listed = re.findall(r"[\"']([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*[<>=~!;\"']", _read(folder / "pyproject.toml"))
    return frozenset([*names, *(name.lower() for name in listed)] if names or listed else [])


def _prepare(folder: Path) -> tuple[str, ...]:
    if (folder / "requirements.txt").exists():
        return _PYTHON
    if (folder / "pyproject.toml").exists():
        return (_PYTHON[0], "venv/bin/pip install .")
    return ("npm ci",) if (folder / "package-lock.json").exists() else ()


def _python(folder: Path, service: str, names: frozenset[str]) -> Found:
    module = next(
        (name for name in ("app", "main", "wsgi", "asgi", "server") if (folder / f"{name}.py").exists()), "app"
    )
    bind = "127.0.0.1:{port}"
    if "django" in names:
        project = next((path.parent.name for path in sorted(folder.glob("*/wsgi.py"))), "project")
        server, kind = f"gunicorn {project}.wsgi --bind {bind}", "Django"
    elif names & {"fastapi", "starlette"}:
        server, kind = f"uvicorn {module}:app --host 127.0.0.1 --port {{port}}", "FastAPI"
    elif "flask" in names or "gunicorn" in names:
        server, kind = f"gunicorn {module}:app --bind {bind}", "Flask" if "flask" in names else "gunicorn"
    elif "uvicorn" in names:
        server, kind = f"uvicorn {module}:app --host 127.0.0.1 --port {{port}}", "uvicorn"
    else:
        return Found(service, "Python", {"web": f"venv/bin/python {module}.py"}, _prepare(folder), notes=_LISTEN)
    program = server.split()[0]
    missing = () if program in names else (f"`{program}` must be among the requirements.",)
    return Found(service, kind, {"web": f"venv/bin/{server}"}, _prepare(folder), notes=missing)


def _package(path: Path) -> object:
    try:
        return json.loads(_read(path))
    except ValueError:
        return None


_LISTEN = ("The application must listen on the port that the variable PORT names.",)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _prepare_text(commands: tuple[str, ...]) -> str:
    if not commands:
        return "  # prepare: [make]             # commands that make the copy ready, once per release\n"
    lines = "".join(f"    - {_quoted(command)}\n" for command in commands)
    return f"  prepare:                      # makes the copy ready, once per release\n{lines}"


def _process(found: Found, name: str, command: str) -> str:
    routed = "web" if "web" in found.processes else next(iter(found.processes))
    if name == routed:
        return (
            f"    {name}:\n"
            f"      command: {_quoted(command)}\n"
            f"      health: {{path: {found.health}, timeout: 30s}}\n"
            "      # replicas: 2\n"
        )
    return (
        f"    {name}:\n      command: {_quoted(command)}\n      runs: active              # only where the traffic is\n"
    )


_PROCESSES = """\
  type: process
  source: .                     # copied for each release, so that the version before can always start again
{prepare}  processes:
{processes}"""

_DOCKER = """\
  type: docker
  image: {image}          # pinned to its digest when a release begins
  {build}build: {{context: .}}         # made here; without it, the image is pulled
  processes:
    web:
      port: {port}                # where it listens in its container
      health: {{path: {health}, timeout: 30s}}
      # replicas: 2
"""

_ROUTER = {
    "envoy": """\
  type: envoy
  listen: {listen}        # where your users come in
""",
    "nginx": """\
  type: nginx
  url: http://{listen}        # where your users reach this service through your nginx
  # before: 127.0.0.1:8000      # where the traffic goes now, and until the first release
""",
    "haproxy": """\
  type: haproxy
  listen: {listen}        # where your users come in
""",
}

_SHIELD = """\
# shield: on                    # what fails on the new version is asked again of the old one, where it is safe
"""

_TEMPLATE = """\
# How this service is released. Made by `greenroom init` for: {kind}. Check it with `greenroom plan VERSION`.
{notes}service: {service}

environment:                    # described once, made twice: blue and green
{environment}  # env: {{DATABASE_URL: "${{DATABASE_URL}}"}}   # read when you deploy; its value is kept secret

router:
{router}  test_route: {{header: x-greenroom-test}}   # requests with this header reach the new version before anybody else
  drain: 30s                    # how long requests on the old version may still take

# gates:                        # may it go on? Scanners, people, hours: before the build, before the traffic, under it
#   - {{type: sarif, name: secrets, preset: gitleaks}}
#   - {{type: approval, approvers: ["group:ops"], four_eyes: true, anywhere: true}}

checks:                         # asked before any traffic moves; a failure changes nothing for your users
  - {{type: http, path: {health}, status: 200}}
  # - {{type: command, run: "pytest tests/smoke --url={{idle_url}}"}}
  # - {{type: load, rate: 50/s, duration: 20s, max_p99: 500ms, max_error_rate: 0.1%}}

# first: {{header: x-staff}}      # who sends this header meets the new version before all others
# shift: [5% for 2m, 50% for 5m, 100%]      # without it, all traffic moves at once
{shield}
# analysis:                     # without it: at most 10% errors, at most 3 times those of the version before
#   - {{metric: error_rate, max: 1%, compare: {{to: baseline, max_ratio: 1.5}}, min_requests: 100}}
#   - {{metric: p99, compare: {{max_ratio: 2, confidence: 99.9%}}, warm_up: 10s}}

watch:                          # asked while it is new, with or without users; failures roll back
  - {{url: "http://{listen}{health}", every: 1s, status: 200}}

bake: 10m                       # watched for so long; what goes wrong is rolled back by itself
keep_warm: 24h                  # after that, `greenroom rollback` is instant for so long
# keep_failed: 15m              # what was rolled back stays for so long, without traffic, to look at

# notify:
#   - {{type: webhook, url: "${{WEBHOOK_URL}}", on: [succeeded, rolled_back, stuck]}}   # or slack, email, apprise
"""
