"""What `init` writes: a commented `greenroom.yaml` for what the folder holds, and on request what calls it.

`detect` reads the folder, `create` writes a file and never overwrites one; the rest makes text.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from greenroom.errors import UsageError

_PYTHON = ("python3 -m venv venv", "venv/bin/pip install -r requirements.txt")
_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds. `kind`: for people. `processes`: command by name, `{port}` where it listens."""

    service: str
    kind: str
    processes: Mapping[str, str]
    prepare: tuple[str, ...] = ()
    health: str = "/"
    notes: tuple[str, ...] = field(default=())


def detect(folder: Path) -> Found:
    """The best guess, from a Procfile, requirements, `package.json`, or nothing. Reads a few small files only."""
    service = _service(folder.resolve().name)
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


def starter(found: Found, listen: str = "127.0.0.1:8080") -> str:
    """The file: it loads as it stands."""
    return _TEMPLATE.format(
        kind=found.kind,
        service=found.service,
        prepare=_prepare_text(found.prepare),
        processes="".join(_process(found, name, command) for name, command in found.processes.items()),
        notes="".join(f"# {note}\n" for note in found.notes),
        listen=listen,
        health=found.health,
    )


def github(found: Found, file: Path) -> str:
    """A workflow for GitHub Actions. `file`: where the service's file is on its machine."""
    return _GITHUB.format(service=found.service, folder=file.parent, deploy=_deploy(file, "$VERSION"))


def gitlab(found: Found, file: Path) -> str:
    """The same for GitLab."""
    return _GITLAB.format(service=found.service, folder=file.parent, deploy=_deploy(file, "$CI_COMMIT_TAG"))


def systemd(found: Found, file: Path, greenroom: str) -> str:
    """A unit that starts the service again after a reboot of the machine."""
    return _SYSTEMD.format(service=found.service, greenroom=_unit_word(greenroom), file=_unit_word(str(file)))


def cron(file: Path, greenroom: str) -> str:
    """The same for who has no systemd: a line for `crontab -e`."""
    command = f"{shlex.quote(greenroom)} --file {shlex.quote(str(file))} reconcile"
    return "@reboot " + command.replace("%", r"\%") + "\n"


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


def _deploy(file: Path, version: str) -> str:
    name = "" if file.name == "greenroom.yaml" else f" --file {shlex.quote(file.name)}"
    return f"cd {shlex.quote(str(file.parent))} && greenroom{name} deploy {version}"


def _unit_word(text: str) -> str:
    text = text.replace("%", "%%").replace("$", "$$")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if re.search(r"[\s\"\\']", text) else text


def _read(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_READ)
    except OSError:
        return ""


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


_TEMPLATE = """\
# How this service is released. Made by `greenroom init` for: {kind}. Check it with `greenroom plan VERSION`.
{notes}service: {service}

environment:                    # described once, made twice: blue and green
  type: process
  source: .                     # copied for each release, so that the version before can always start again
{prepare}  processes:
{processes}  # env: {{DATABASE_URL: "${{DATABASE_URL}}"}}   # read when you deploy; its value is kept secret

router:
  type: envoy
  listen: {listen}        # where your users come in
  test_route: {{header: x-greenroom-test}}   # requests with this header reach the new version before anybody else
  drain: 30s                    # how long requests on the old version may still take

checks:                         # asked before any traffic moves; a failure changes nothing for your users
  - {{type: http, path: {health}, status: 200}}
  # - {{type: command, run: "pytest tests/smoke --url={{idle_url}}"}}

# shift: [5% for 2m, 50% for 5m, 100%]      # without it, all traffic moves at once

# analysis:                     # without it: at most 10% errors, at most 3 times those of the version before
#   - {{metric: error_rate, max: 1%, compare: {{to: baseline, max_ratio: 1.5}}, min_requests: 100}}

watch:                          # asked while it is new, with or without users; failures roll back
  - {{url: "http://{listen}{health}", every: 1s, status: 200}}

bake: 10m                       # watched for so long; what goes wrong is rolled back by itself
keep_warm: 24h                  # after that, `greenroom rollback` is instant for so long

# notify:
#   - {{type: webhook, url: "${{WEBHOOK_URL}}", on: [succeeded, rolled_back, stuck]}}
"""

_GITHUB = """\
# Releases {service} when a version is tagged. The journal, the router and the engine live on the machine that serves; this
# job copies the files there and asks. If it is cancelled, the release goes on.
name: release
on:
  push:
    tags: ["v*"]
concurrency: release-{service}
jobs:
  release:
    runs-on: ubuntu-latest
    timeout-minutes: 120
    steps:
      - uses: actions/checkout@v4
      - name: Copy and release      # the runner needs an ssh key for that machine
        run: |
          rsync -a --delete --exclude .greenroom --exclude .git ./ "$MACHINE:{folder}/"
          ssh "$MACHINE" "{deploy}"
        env:
          MACHINE: deploy@{service}.example
          VERSION: ${{{{ github.ref_name }}}}
"""

_GITLAB = """\
# Releases {service} when a version is tagged. The journal, the router and the engine live on the machine that serves; this
# job copies the files there and asks. If it is cancelled, the release goes on.
release:
  stage: deploy
  rules:
    - if: $CI_COMMIT_TAG
  resource_group: release-{service}
  timeout: 2h
  variables:
    MACHINE: deploy@{service}.example
  script:                           # the runner needs rsync, and an ssh key for that machine
    - rsync -a --delete --exclude .greenroom --exclude .git ./ "$MACHINE:{folder}/"
    - ssh "$MACHINE" "{deploy}"
"""

_SYSTEMD = """\
# Starts {service} again after a reboot. As the user who releases:
#   ~/.config/systemd/user/greenroom-{service}.service
#   systemctl --user enable greenroom-{service}; and once: loginctl enable-linger
[Unit]
Description=Greenroom: {service}
After=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
# Stopping this unit must not stop the service; `greenroom down` does that.
KillMode=none
ExecStart={greenroom} --file {file} reconcile

[Install]
WantedBy=default.target
"""
