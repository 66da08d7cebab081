"""What is the own of the environment `process`: health, ports, output, secrets, stopping."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from greenroom.adapters.process.commands import words
from greenroom.adapters.process.output import rotate
from greenroom.adapters.process.problems import problems
from greenroom.adapters.process.settings import EnvironmentSettings, of_definition
from greenroom.domain.model import Colour, Endpoint, Health, Role
from greenroom.errors import Permanent
from greenroom.testing.contracts.environment import ready
from tests.process_kit import KEY, Kit, kit

BLUE, GREEN, IDLE, ACTIVE = Colour.BLUE, Colour.GREEN, Role.IDLE, Role.ACTIVE


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Kit]:
    with kit(tmp_path) as found:
        yield found


def get(endpoint: Endpoint, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://{endpoint}{path}", timeout=30) as answer:
        return str(answer.read().decode())


@pytest.mark.real
def test_ft_9_a_request_in_flight_is_answered_before_the_end(made: Kit) -> None:
    environment = made.open()
    environment.apply(BLUE, made.spec("1", IDLE, web={"replicas": 1}), KEY)
    endpoint = ready(made, environment, BLUE, IDLE).endpoints[0]
    answers: list[str] = []
    client = threading.Thread(target=lambda: answers.append(get(endpoint, "/slow")))
    client.start()
    begun = made.artefact("1") / "slow.begun"
    made.wait(begun.exists, "the request is being answered")
    environment.remove(BLUE, KEY)
    client.join()
    assert [answer.split()[0] for answer in answers] == ["1"]
    made.wait(lambda: not environment.observe(BLUE).present, "it has ended")


@pytest.mark.real
def test_ft_15_a_slow_first_boot_is_starting_and_not_failed(made: Kit) -> None:
    gate, environment = made.folder / "gate", made.open()
    slow = f"while [ ! -e {gate} ]; do sleep 0.05; done; exec {' '.join(made.web)}"
    environment.apply(BLUE, made.spec("1", IDLE, web={"command": slow, "replicas": 1}), KEY)
    made.wait(lambda: len(environment.observe(BLUE).members) == 1, "it was started")
    for _ in range(3):
        status = environment.observe(BLUE)
        assert [member.health for member in status.members] == [Health.STARTING]
        assert (status.failed, status.ready) == ("", False)
    gate.touch()
    ready(made, environment, BLUE, IDLE)
    gate.unlink()
    environment.apply(GREEN, made.spec("2", IDLE, web={"command": slow, "health": {"timeout": "1ms"}}), KEY)
    made.wait(lambda: any(m.health is Health.UNHEALTHY for m in environment.observe(GREEN).members), "it is late")
    assert environment.observe(GREEN).failed == "", "late is not failed: the engine decides how long to wait"


@pytest.mark.real
def test_ft_16_what_cannot_start_is_said_with_the_end_of_its_output(made: Kit) -> None:
    environment = made.open()
    (made.artefact("1") / "shop").write_text("no program")
    environment.apply(BLUE, made.spec("1", IDLE, web={"command": "./shop {port}"}), KEY)
    made.wait(lambda: environment.observe(BLUE).failed != "", "it failed")
    assert "not executable" in environment.observe(BLUE).failed

    script = made.artefact("2") / "shop"
    script.write_text("#!/bin/sh\necho 'database is missing'; echo ${TOKEN}; exit 4\n")
    script.chmod(0o755)
    made.vault.pin("r-2", {"T": "swordfish"})
    web = {"command": "./shop", "replicas": 1}
    environment.apply(GREEN, made.spec("2", IDLE, web=web, env={"TOKEN": "${T}"}), KEY)
    made.wait(lambda: "exit status was 4" in environment.observe(GREEN).detail, "it is said how it ended")
    status = environment.observe(GREEN)
    assert "database is missing" in status.detail
    assert "swordfish" not in status.detail
    assert "${T}" in status.detail
    made.wait(lambda: "(the same 3 times)" in environment.observe(GREEN).detail, "it is said once, and how often")
    assert environment.observe(GREEN).detail.count("database is missing") == 1
    assert "$PORT" not in environment.observe(GREEN).detail, "it ended: that is the reason, and not where it listens"
    assert not status.failed, "it may be well at the next try"
    assert {member.health for member in status.members} == {Health.UNHEALTHY}


@pytest.mark.real
def test_ft_16_a_stranger_that_answers_on_the_port_is_not_our_replica(made: Kit) -> None:
    environment, idle = made.open(), "sleep 600"
    environment.apply(BLUE, made.spec("1", IDLE, web={"command": idle, "replicas": 1, "health": {}}), KEY)
    made.wait(lambda: "nothing listens" in environment.observe(BLUE).detail, "it runs, and does not listen")
    assert "no `{port}`: does it listen on $PORT?" in environment.observe(BLUE).detail
    port = environment.observe(BLUE).endpoints[0].port
    with socket.create_server(("127.0.0.1", port)):
        status = made.open().observe(BLUE)
        assert not status.ready
        assert f"is taken by {Path(f'/proc/{os.getpid()}/comm').read_text().strip()}" in status.detail


@pytest.mark.real
def test_ft_54_a_warm_version_starts_again_with_its_own_secret(made: Kit) -> None:
    environment, env = made.open(), {"SECRET": "${KEY}", "BOOT": "0"}
    for colour, version, value in ((BLUE, "1", "old"), (GREEN, "2", "new")):
        made.vault.pin(f"r-{version}", {"KEY": value})
        environment.apply(colour, made.spec(version, IDLE, env=env, web={"replicas": 1}), KEY)
    for colour, answer in ((BLUE, "1 old"), (GREEN, "2 new")):
        assert get(ready(made, environment, colour, IDLE).endpoints[0]) == answer
    before = made.replicas(BLUE)
    for replica in before:
        os.kill(int(replica.split(":")[0]), signal.SIGKILL)
    made.wait(lambda: bool(made.replicas(BLUE) - before), "it was started again")
    assert get(ready(made, environment, BLUE, IDLE).endpoints[0]) == "1 old"
    made.reboot()
    environment.apply(BLUE, made.spec("1", IDLE, env=env, web={"replicas": 1}), KEY)
    assert get(ready(made, environment, BLUE, IDLE).endpoints[0]) == "1 old"
    gone = made.spec("1", IDLE, env=env)
    made.vault.forget("r-1")
    with pytest.raises(Permanent, match=r"r-1"):
        environment.apply(BLUE, gone, KEY)


@pytest.mark.real
@pytest.mark.parametrize(
    ("health", "says"),
    [({"path": "/redirect"}, "/redirect answers 302 to /login"), ({"path": "/hang"}, "did not answer within")],
)
def test_a_health_check_that_redirects_or_hangs_is_not_healthy_and_holds_nobody_up(
    made: Kit, health: dict[str, str], says: str
) -> None:
    environment = made.open()
    environment.apply(BLUE, made.spec("1", IDLE, web={"health": health, "replicas": 1}), KEY)
    made.wait(lambda: says in environment.observe(BLUE).detail, "it is said why")
    assert not environment.observe(BLUE).ready


@pytest.mark.real
def test_one_late_answer_of_a_healthy_process_is_no_verdict_silence_is(made: Kit) -> None:
    environment = made.open()
    environment.apply(BLUE, made.spec("1", IDLE, web={"health": {"path": "/"}, "replicas": 1}), KEY)
    ready(made, environment, BLUE, IDLE)
    pid = made.supervisor.observe()["blue-web-1"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        status = environment.observe(BLUE)
        assert "did not answer within" in status.members[0].detail
        assert status.ready
        made.wait(lambda: not environment.observe(BLUE).ready, "it stays silent")
    finally:
        os.kill(pid, signal.SIGCONT)
    ready(made, environment, BLUE, IDLE)


@pytest.mark.real
def test_a_role_is_what_the_workers_do_and_not_what_is_written(made: Kit) -> None:
    """Killed between writing down and acting: the status makes the engine apply again."""
    environment, record = made.open(), made.state / "processes" / "blue.json"
    environment.apply(BLUE, made.spec("1", IDLE), KEY)
    ready(made, environment, BLUE, IDLE)
    record.write_text(json.dumps({**json.loads(record.read_text()), "role": "active"}))
    assert environment.observe(BLUE).role is IDLE
    made.wait(lambda: environment.observe(BLUE).serving, "it serves all the same")
    environment.apply(BLUE, made.spec("1", ACTIVE), KEY)
    ready(made, environment, BLUE, ACTIVE)
    record.write_text(json.dumps({**json.loads(record.read_text()), "role": "idle"}))
    assert environment.observe(BLUE).role is ACTIVE
    environment.apply(BLUE, made.spec("1", IDLE), KEY)
    ready(made, environment, BLUE, IDLE)


@pytest.mark.real
def test_a_process_with_a_user_of_its_own_gets_to_its_artefact_and_not_to_our_secrets() -> None:
    name = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, kit(Path(folder)) as made:
        made.folder.chmod(0o755)
        made.state.mkdir(mode=0o700)
        environment, spec = made.open(), made.spec("1", IDLE)
        artefact = made.state / "artefacts" / "r-1" / "1"
        artefact.mkdir(parents=True)
        script = "#!/bin/sh\ncat $0 > /dev/null && echo reads it as $(id -u)\nls ../../../supervisor\nexec sleep 600\n"
        (artefact / "shop").write_text(script)
        (artefact / "shop").chmod(0o755)
        definition = made.definition(web={"command": "./shop", "user": name, "replicas": 1, "health": {}})
        environment.apply(BLUE, replace(spec, artefact=str(artefact), definition=definition), KEY)
        made.wait(lambda: f"reads it as {pwd.getpwnam(name).pw_uid}" in environment.observe(BLUE).detail, "it runs")
        if os.geteuid() == 0:
            made.wait(lambda: "Permission denied" in environment.observe(BLUE).detail, "it cannot see our files")


@pytest.mark.real
def test_what_a_process_is_given(made: Kit) -> None:
    environment = made.open()
    show = "env > seen; echo {version} {colour} {release} {port} > filled; sleep 600"
    env = {"URL": "http://127.0.0.1:{port}/{colour}", "NUMBER": 3}
    (made.artefact("1 $(id)") / "below").mkdir()
    spec = made.spec("1 $(id)", IDLE, web={"command": show, "replicas": 1, "directory": "below"}, env=env)
    os.environ["NOT_PASSED_ON"] = "x"
    try:
        environment.apply(BLUE, spec, KEY)
    finally:
        del os.environ["NOT_PASSED_ON"]
    below = made.artefact("1 $(id)") / "below"
    made.wait(lambda: (below / "filled").exists() and (below / "filled").read_text() != "", "it was started")
    port = environment.observe(BLUE).endpoints[0].port
    assert (below / "filled").read_text() == f"1 $(id) blue r-1 $(id) {port}\n", "no shell reads a version"
    seen = dict(line.split("=", 1) for line in (below / "seen").read_text().splitlines() if "=" in line)
    assert seen["PORT"] == str(port)
    assert seen["URL"] == f"http://127.0.0.1:{port}/blue"
    assert (seen["NUMBER"], seen["GREENROOM_SERVICE"], seen["GREENROOM_COLOUR"]) == ("3", "shop", "blue")
    assert (seen["GREENROOM_VERSION"], seen["GREENROOM_RELEASE"]) == ("1 $(id)", "r-1 $(id)")
    assert "NOT_PASSED_ON" not in seen


def test_output_is_rotated_under_the_writer(tmp_path: Path) -> None:
    log = tmp_path / "web-1.log"
    with open(log, "ab", buffering=0) as writer:
        for number in range(6):
            writer.write(b"%d" % number * 100)
            rotate(log, limit=50, kept=3)
            assert log.read_bytes() == b""
        writer.write(b"end")
        rotate(log, limit=50, kept=3)
    assert {path.name: path.read_bytes()[:1] for path in tmp_path.iterdir()} == {
        "web-1.log": b"e", "web-1.log.1": b"5", "web-1.log.2": b"4", "web-1.log.3": b"3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python -m shop --bind 127.0.0.1:{port}", ("python", "-m", "shop", "--bind", "127.0.0.1:{port}")),
        ("gunicorn 'a b'", ("gunicorn", "a b")),
        ("A=1 shop", ("/bin/sh", "-c", "A=1 shop")),
        ("a | b", ("/bin/sh", "-c", "a | b")),
        ("shop $PORT", ("/bin/sh", "-c", "shop $PORT")),
        ("an 'open quote", ("/bin/sh", "-c", "an 'open quote")),
    ],
)
def test_how_a_command_is_executed(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == expected


def test_problems_are_seen_before_anything_is_touched(made: Kit) -> None:
    source = made.folder
    (source / "plain").write_text("x")
    (source / "venv" / "bin").mkdir(parents=True)
    (source / "venv" / "pyvenv.cfg").touch()
    (source / "venv" / "bin" / "shop").symlink_to(sys.executable)

    def found(command: str, **more: object) -> list[str]:
        return problems(of_definition(made.definition(web={"command": command, **more}), {}), made.place)

    assert found("python3 -m shop") == []
    assert "PATH" in found("no-such-command-anywhere")[0]
    assert found("python3 -m shop {prot}") == [
        "environment.processes.web.command: `{prot}` is not filled in; did you mean `{port}`?"
    ]
    assert found("awk '{print}' {port}; jq {items}") == found("python3 -m shop {port} {part}") == []
    assert "does not exist" in found("./shop")[0]
    assert "not executable" in found("./plain")[0]
    assert "virtual environment" in found("venv/bin/shop")[0]
    assert "no user" in found("python3", user="no-such-user")[0]
    prepared = made.definition(web={"command": "venv/bin/shop"}, prepare=["python3 -m venv venv"])
    assert problems(of_definition(prepared, {}), made.place) == []
    elsewhere = of_definition(made.definition(source="not-there"), {})
    assert "not-there is not a folder; create it" in problems(elsewhere, made.place)[0]
    assert not made.state.exists()


@pytest.mark.parametrize(
    "section",
    [
        {"processes": {}},
        {"processes": {"web": {"command": "a", "replicas": 0}}},
        {"processes": {"web": {"command": "a ${TOKEN}"}}},
        {"processes": {"web": {"command": "a", "stop": {"signal": "SIGNOTHING"}}}},
        {"processes": {"web": {"command": "a", "stop": {"timeout": 10}}}},
        {"processes": {"web": {"command": "a", "health": {"path": "health"}}}},
        {"processes": {"web": {"command": "a", "health": {"path": "/", "command": "b"}}}},
        {"processes": {"web": {"command": "a", "directory": "../x"}}},
        {"processes": {"web": {"command": "a"}}, "env": {"PORT": "1"}},
        {"processes": {"Web!": {"command": "a"}}},
    ],
)
def test_bad_settings_are_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EnvironmentSettings.model_validate(section)
