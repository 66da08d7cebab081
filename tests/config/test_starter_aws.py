"""`init --platform ecs`: a file that loads, Terraform's module with its call, and a workflow without any key."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from greenroom.cli.main import main
from greenroom.config import starter, starter_aws
from greenroom.config.loader import load

MODULE = Path(__file__).parents[2] / "infra" / "terraform" / "modules" / "greenroom"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    made = tmp_path / "Web Shop"
    made.mkdir()
    (made / "Dockerfile").write_text("FROM python:3.12\nEXPOSE 9000\n")
    return made


def init(folder: Path, *words: str) -> int:
    return main(["init", *words, "--file", str(folder / "greenroom.yaml")])


def test_the_file_loads_as_it_stands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(folder, "--platform", "ecs") == 0
    said = "".join(capsys.readouterr()).replace("\n", "")
    assert ("infra/greenroom/" in said, "variables.tf" in said) == (True, False), said
    loaded = load(folder / "greenroom.yaml", {})
    environment, router = loaded.sections.environment.settings, loaded.sections.router.settings
    assert (environment.services.blue, environment.port, environment.container) == ("web-shop-blue", 9000, "web")
    assert router.target_groups.green == "web-shop-green"
    assert router.test_route.listener not in router.listeners


def test_what_is_commented_out_loads_too(folder: Path) -> None:
    text = starter_aws.starter(starter.detect(folder, "ecs"), "eu-west-1")
    text = re.sub(r"^( *)# (env:|secrets:|observe:|- \{|shift:|gates:|notify:)", r"\1\2", text, flags=re.M)
    text = re.sub(r"^#   - ", "  - ", text, flags=re.M)
    comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    assert [line.split()[1] for line in comments] == ["How", "Correct", "the"]
    (folder / "greenroom.yaml").write_text(text)
    loaded = load(folder / "greenroom.yaml", {})
    assert (len(loaded.plan.steps), len(loaded.plan.gates), len(loaded.sections.notifiers)) == (3, 1, 1)
    assert loaded.sections.environment.settings.region == "eu-west-1"


@pytest.mark.parametrize("name", ["7-shop", "a-shop-with-quite-a-long-name", "x"])
def test_names_that_a_load_balancer_would_not_take(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    found = starter.detect(tmp_path / name, "ecs")
    call = starter_aws.infrastructure(found, "eu-central-1")[Path("infra", "main.tf")]
    made = re.search(r'^  name      = "(.*)"$', call, re.M)
    assert made is not None
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", made[1])
    assert len(made[1]) <= starter_aws.LONGEST
    (tmp_path / "greenroom.yaml").write_text(starter_aws.starter(found, "eu-central-1"))
    assert load(tmp_path / "greenroom.yaml", {}).sections.environment.settings.cluster == made[1]


def test_the_module_comes_with_it(folder: Path) -> None:
    assert init(folder, "--platform", "ecs") == 0
    written = {path.name: path.read_text() for path in (folder / "infra" / "greenroom").iterdir()}
    wanted = {path.name: path.read_text() for path in MODULE.iterdir() if path.suffix in (".tf", ".json")}
    assert written == wanted
    assert 'source = "./greenroom"' in (folder / "infra" / "main.tf").read_text()


def test_the_workflow_assumes_the_role_of_the_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    assert init(folder, "--platform", "ecs") == 0
    said = yaml.safe_load((folder / ".github" / "workflows" / "release.yml").read_text())
    assert said["permissions"] == {"id-token": "write", "contents": "read"}
    job = said["jobs"]["release"]
    [credentials] = [step["with"] for step in job["steps"] if "configure-aws" in step.get("uses", "")]
    assert credentials["role-to-assume"].endswith(":role/web-shop-ci")
    assert credentials["aws-region"] == "us-east-2"
    assert job["timeout-minutes"] * 60 < credentials["role-duration-seconds"] == 14400
    assert job["steps"][-1]["run"] == 'greenroom deploy "$VERSION"'
    assert "secrets." not in json.dumps(said)
    assert "max_session_duration = 14400" in (MODULE / "ci.tf").read_text()


def test_nothing_is_overwritten_and_what_is_missing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(folder, "--platform", "ecs") == 0
    main_tf, workflow = folder / "infra" / "main.tf", folder / ".github" / "workflows" / "release.yml"
    main_tf.write_text("# mine\n")
    assert init(folder, "--platform", "ecs") == 4
    assert main_tf.read_text() == "# mine\n"
    assert "variables.tf" not in capsys.readouterr().err, "the module is one thing"
    workflow.unlink()
    assert init(folder, "--ci", "github") == 0
    assert "configure-aws-credentials" in workflow.read_text()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--router", "nginx"), "--router nginx is for machines of your own"),
        (("--systemd",), "--systemd is for machines of your own"),
        (("--ci", "gitlab"), "a workflow for GitHub only"),
    ],
)
def test_what_does_not_go_together(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    assert init(folder, "--platform", "ecs", *words) == 2
    assert why in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["Dockerfile"]
