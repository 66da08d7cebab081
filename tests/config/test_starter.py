"""`init` writes a file that loads as it stands, for whatever the folder holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from greenroom.config import starter, workflows
from greenroom.config.loader import load
from greenroom.errors import UsageError

FOLDERS = {
    "a Procfile": {"Procfile": "web: gunicorn shop:app -b :$PORT\nworker: python work.py\nrelease: x\n"},
    "Flask": {"requirements.txt": "Flask==3.1\ngunicorn\n", "app.py": ""},
    "FastAPI": {"requirements.txt": "fastapi[standard]\nuvicorn\n", "main.py": ""},
    "Django": {"requirements.txt": "django\n", "shop/wsgi.py": ""},
    "Python": {"pyproject.toml": '[project]\ndependencies = ["datasette>=1"]\n', "server.py": ""},
    "Node.js": {"package.json": '{"name": "shop"}', "package-lock.json": "{}"},
    "plain files": {"index.html": "", "Procfile": "\x00\xff"},
}

WEB = {
    "a Procfile": "gunicorn shop:app -b :{port}",
    "Flask": "venv/bin/gunicorn app:app --bind 127.0.0.1:{port}",
    "FastAPI": "venv/bin/uvicorn main:app --host 127.0.0.1 --port {port}",
    "Django": "venv/bin/gunicorn shop.wsgi --bind 127.0.0.1:{port}",
    "Python": "venv/bin/python server.py",
    "Node.js": "npm start",
    "plain files": "python3 -m http.server {port} --bind 127.0.0.1",
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_starter_loads_as_it_stands(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "My Shop (2)"
    for name, text in FOLDERS[kind].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    found = starter.detect(folder)
    assert (found.kind, found.service) == (kind, "my-shop-2")
    starter.create(folder / "greenroom.yaml", starter.starter(found))
    loaded = load(folder / "greenroom.yaml", {})
    processes = loaded.sections.environment.settings.processes
    assert processes["web"].command == WEB[kind]
    assert all(process.runs == "active" for name, process in processes.items() if name != "web")


@pytest.mark.parametrize(
    "procfile",
    ["api: serve ${PORT:-80} --workers ${N}\nclock: tick\n", 'WEB: "it\'s" \\ {x: [y]} # & *\n-x: y\nb: \x07\n'],
)
def test_a_strange_procfile(tmp_path: Path, procfile: str) -> None:
    (tmp_path / "Procfile").write_text(procfile)
    starter.create(tmp_path / "greenroom.yaml", starter.starter(starter.detect(tmp_path)))
    settings = load(tmp_path / "greenroom.yaml", {}).sections.environment.settings
    assert settings.processes[settings.routed].command in ("serve {port} --workers $N", '"it\'s" \\ {x: [y]} # & *')


def test_what_is_commented_out_loads_too(tmp_path: Path) -> None:
    text = starter.starter(starter.detect(tmp_path)).replace("  # - {", "  - {").replace("# env: {", "env: {")
    keys = (
        "gates:",
        "  - {type:",
        "first:",
        "shift:",
        "shield:",
        "analysis:",
        "  - {metric",
        "keep_failed:",
        "notify:",
    )
    for key in keys:
        text = text.replace(f"# {key}", key)
    assert all(line.startswith(("# How", "# The")) for line in text.splitlines() if line.startswith("#")), text
    (tmp_path / "greenroom.yaml").write_text(text)
    loaded = load(tmp_path / "greenroom.yaml", {"DATABASE_URL": "x", "WEBHOOK_URL": "http://hooks.example/x"})
    assert (len(loaded.plan.steps), len(loaded.plan.rules), len(loaded.sections.notifiers)) == (3, 2, 1)
    assert (len(loaded.plan.gates), loaded.plan.checks[2:], loaded.plan.shield) == (2, ("load",), True)
    assert (loaded.plan.first, loaded.plan.keep_failed) == (("x-staff", ""), 900.0)


@pytest.mark.parametrize("router", starter.ROUTERS)
def test_the_shield_is_offered_where_the_router_has_one(tmp_path: Path, router: str) -> None:
    assert ("shield:" in starter.starter(starter.detect(tmp_path), router=router)) == (router == "envoy")


def test_it_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "greenroom.yaml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        starter.create(path, "theirs")
    assert path.read_text() == "mine"


def test_what_calls_it(tmp_path: Path) -> None:
    found = starter.detect(tmp_path)
    file = Path("/srv/my shop/greenroom.yaml")
    for text in (workflows.github(found, file), workflows.gitlab(found, file)):
        assert isinstance(yaml.safe_load(text), dict)
        assert "cd '/srv/my shop' && greenroom deploy $" in text
    assert 'ExecStart=/bin/greenroom --file "/srv/my shop/greenroom.yaml" reconcile' in workflows.systemd(
        found, file, "/bin/greenroom"
    )
    assert workflows.cron(file, "/bin/g%") == "@reboot /bin/g\\% --file '/srv/my shop/greenroom.yaml' reconcile\n"


def test_a_runner_releases_by_itself_where_the_file_names_hosts(tmp_path: Path) -> None:
    found = starter.detect(tmp_path)
    for text in (
        workflows.github(found, Path("/srv/a.yaml"), hosts=True),
        workflows.gitlab(found, Path("/srv/a.yaml"), hosts=True),
    ):
        document = yaml.safe_load(text)
        assert "greenroom --file a.yaml deploy $" in str(document)
        assert "printf '%s\\n'" in text


def test_a_dockerfile_means_containers_unless_processes_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3.12\nEXPOSE 5000\n")
    found = starter.detect(tmp_path)
    assert (found.kind, found.port, found.built) == ("a Dockerfile", 5000, True)
    assert starter.detect(tmp_path, "process").image == ""
    assert starter.detect(tmp_path / "none", "docker").kind == "containers"
    for router in starter.ROUTERS:
        file = tmp_path / f"{router}.yaml"
        file.write_text(starter.starter(found, router=router))
        assert load(file, {}).sections.router.type == router
