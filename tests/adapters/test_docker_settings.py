"""The settings of `type: docker`, and what they come to in the words of Docker's API. Nothing runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.docker.containers import Container, moment
from greenroom.adapters.docker.facts import facts
from greenroom.adapters.docker.output import stamped
from greenroom.adapters.docker.roster import Cast
from greenroom.adapters.docker.settings import PORTS, DockerSettings, first_port, of_definition
from greenroom.adapters.slots import slots
from greenroom.domain.model import Colour, EnvironmentSpec, Role
from greenroom.errors import Permanent
from greenroom.ports import Line, Place


def settings(**more: Any) -> DockerSettings:
    return DockerSettings.model_validate({"image": "shop:{version}", **more})


def cast(tmp_path: Path, values: dict[str, str] | None = None, **more: Any) -> Cast:
    definition = {"environment": {"type": "docker", "image": "shop:{version}", **more}}
    spec = EnvironmentSpec("r-7", "1.2; rm", "shop@sha256:ab", Role.ACTIVE, definition)
    place = Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")
    found = of_definition(definition, values or {})
    return Cast(place, Colour.GREEN, spec, found, values or {}, "/state/secrets/r-7-green")


def body(made: Cast, process: str = "web", port: int = 21000) -> dict[str, Any]:
    slot = next(s for s in slots(made.settings.processes, Role.ACTIVE) if s.process == process)
    return made.body(slot, port)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"image": "Shop Image"}, "is no image"),
        ({"image": "shop", "platform": "arm"}, "is no platform"),
        ({"image": "shop", "networks": ["host"]}, "address of its own"),
        ({"image": "shop", "volumes": ["data"]}, "is no volume"),
        ({"image": "shop", "volumes": ["data:lib"]}, "whole path inside the container"),
        ({"image": "shop", "tmpfs": ["/tmp:size=a lot"]}, "no option of a tmpfs"),
        ({"image": "shop", "memory": 512}, "has no unit"),
        ({"image": "shop", "publish": "localhost"}, "is no address"),
        ({"image": "shop", "secrets": {"../x": "y"}}, "cannot be the name of a file"),
        ({"image": "shop", "env": {"PORT": "1"}}, "given by Greenroom"),
        ({"image": "shop", "processes": {}}, "at least 1"),
        ({"image": "shop", "processes": {"Web": {}}}, "cannot name a process"),
        ({"image": "shop", "processes": {"web": {"command": "run ${TOKEN}"}}}, "everybody could read"),
        ({"image": "shop", "processes": {"web": {"fixed_ports": ["80:80"], "replicas": 2}}}, "cannot share"),
        ({"image": "shop", "processes": {"web": {"fixed_ports": ["eighty"]}}}, "port in the container"),
        ({"image": "shop", "processes": {"web": {"stop": {"signal": "SIGSTOPP"}}}}, "there is no signal"),
        ({"image": "shop", "source": "."}, "Extra inputs"),
    ],
)
def test_a_mistake_is_said_with_the_way_out(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        DockerSettings.model_validate(wrong)


def test_an_image_is_enough() -> None:
    found = settings()
    assert (found.routed, found.processes["web"].port, found.pull) == ("web", 8080, "missing")


def test_a_process_says_it_better_than_all(tmp_path: Path) -> None:
    made = cast(
        tmp_path,
        memory="64MiB",
        user="app",
        cap_drop=["ALL"],
        processes={"web": {"memory": "1GiB", "cap_add": ["cap_chown"]}, "worker": {"runs": "active"}},
    )
    web, worker = body(made), body(made, "worker", 0)
    assert (web["HostConfig"]["Memory"], worker["HostConfig"]["Memory"]) == (2**30, 64 * 2**20)
    assert web["User"] == worker["User"] == "app"
    assert web["HostConfig"]["CapAdd"] == ["CHOWN"]
    assert "CapAdd" not in worker["HostConfig"]


def test_everything_of_the_file_reaches_docker(tmp_path: Path) -> None:
    made = cast(
        tmp_path,
        {"TOKEN": "swordfish", "KEY": "pike"},
        env={"GREETING": "hi from {colour}", "TOKEN": "${TOKEN}"},
        secrets={"key": "${KEY}"},
        volumes=["data:/data", {"source": "./conf", "target": "/etc/shop", "read_only": True}],
        networks=["front", "back"],
        tmpfs=["/tmp:size=1m"],
        log={"driver": "json-file", "options": {"max-size": "10m"}},
        no_new_privileges=True,
        processes={
            "web": {
                "command": "serve --version {version} --port {port}",
                "port": 8000,
                "stop": {"signal": "QUIT", "timeout": "1500ms"},
            }
        },
    )
    found = body(made)
    host = found["HostConfig"]
    assert found["Cmd"] == ["serve", "--version", "1.2; rm", "--port", "8000"], "no shell reads a version"
    assert "GREETING=hi from green" in found["Env"]
    assert "TOKEN=swordfish" in found["Env"]
    assert {"PORT=8000", "GREENROOM_COLOUR=green", "GREENROOM_VERSION=1.2; rm"} < set(found["Env"])
    assert host["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "21000"}]}
    assert (found["StopSignal"], found["StopTimeout"]) == ("SIGQUIT", 2)
    assert found["NetworkingConfig"] == {"EndpointsConfig": {"front": {}}}
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert [(m["Type"], m["Source"], m["Target"], m["ReadOnly"]) for m in host["Mounts"]] == [
        ("volume", "data", "/data", False),
        ("bind", str(tmp_path / "conf"), "/etc/shop", True),
        ("bind", "/state/secrets/r-7-green/key", "/run/secrets/key", True),
    ]
    assert host["RestartPolicy"] == {"Name": "unless-stopped"}
    assert "pike" not in str(found)
    labels = made.labels(slots(made.settings.processes, Role.ACTIVE)[0], found, 7)
    assert "swordfish" not in str(labels)
    assert (labels["greenroom.epoch"], labels["greenroom.release"]) == ("7", "r-7")


def test_a_shell_gets_a_version_as_one_word(tmp_path: Path) -> None:
    made = cast(tmp_path, processes={"web": {"command": "echo {version} && serve"}})
    assert body(made)["Cmd"] == ["/bin/sh", "-c", "echo '1.2; rm' && serve"]
    made = cast(tmp_path, processes={"web": {"command": ["serve", "a b && c", "{version}"]}})
    assert body(made)["Cmd"] == ["serve", "a b && c", "1.2; rm"]


def test_a_value_that_is_not_kept_is_said_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match=r"\$\{TOKEN\} is not kept for r-7"):
        body(cast(tmp_path, env={"TOKEN": "${TOKEN}"}))


def test_ports_begin_elsewhere_for_each_service() -> None:
    starts = {first_port(settings(), name) for name in ("shop", "blog", "wiki", "mail")}
    assert len(starts) > 1
    assert all(start in PORTS for start in starts)
    assert first_port(settings(ports=9000), "shop") == 9000


def test_facts_speak_the_same_words_of_both_colours(tmp_path: Path) -> None:
    asked = {"env": {"WHO": "{colour}", "PIN": "${PIN}"}, "processes": {"web": {"command": "serve {port} {colour}"}}}
    made = cast(tmp_path, {"PIN": "1234"}, **asked).levelled()
    other = Cast(made.place, Colour.BLUE, made.spec, made.settings, made.values, made.folder, level=True)
    found = [facts(b, b["HostConfig"]) for b in (body(made), body(other, port=22000))]
    assert found[0] == found[1]
    assert found[0]["command"] == "serve {port} {colour}"
    assert found[0]["env.PIN"].startswith("sha256:")
    assert "1234" not in str(found)


def test_what_docker_says_of_a_container_is_understood() -> None:
    def container(**state: Any) -> Container:
        usual = {"Status": "exited", "Running": False, "ExitCode": 0, "StartedAt": "", "FinishedAt": ""}
        config = {"Memory": 64 * 2**20, "RestartPolicy": {"Name": state.pop("policy", "unless-stopped")}}
        raw = {"Id": "x", "Name": "/x", "State": {**usual, **state}, "HostConfig": config, "Config": {}}
        return Container({**raw, "RestartCount": state.get("count", 0)})

    times = {"StartedAt": "2026-01-01T00:00:00.5Z", "FinishedAt": "2026-01-01T00:00:01.5Z"}
    assert container(ExitCode=143).ended == "was ended by signal 15"
    assert container(OOMKilled=True, ExitCode=137).ended == "was killed: it needed more memory than its 64 MiB"
    assert container(**times, ExitCode=1, policy="no").hopeless == "ended with exit status 1"
    assert container(**times, ExitCode=1).hopeless == ""
    assert "6 restarts" in container(**times, ExitCode=1, Restarting=True, count=6).hopeless
    assert container(**times, ExitCode=1, Restarting=True, count=2).hopeless == ""
    long = {**times, "FinishedAt": "2026-01-01T00:01:00Z"}
    assert container(**long, ExitCode=1, Restarting=True, count=9).hopeless == "", "it ran well in between"
    error = (
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
    )
    broken = container(Status="created", Error=f'{error}exec: "./x": no such file: unknown')
    assert broken.hopeless == 'cannot be started: exec: "./x": no such file'


def test_lines_have_the_time_at_which_they_were_written() -> None:
    written = b"2026-01-02T03:04:05.5Z one\n2026-01-02T03:04:06Z two \xff\nno stamp\n"
    at = moment("2026-01-02T03:04:05.5Z")
    assert at == pytest.approx(moment("2026-01-02T03:04:05Z") + 0.5)
    assert [(x.text, x.at - at) for x in stamped("web-1", written, 2, at - 1)] == [
        ("two \ufffd", 0.5),
        ("no stamp", -at),
    ]
    assert stamped("web-1", written, 9, at) == [Line("web-1", "two \ufffd", at + 0.5), Line("web-1", "no stamp")]
    assert stamped("web-1", written, 0, 0) == []
