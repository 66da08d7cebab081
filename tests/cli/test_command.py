"""The command itself, as a process: bad input gets one clear error, exit 2 and nothing touched; `status` is light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom.cli.main import main
from greenroom.cli.quick import state_folder

GOOD = """\
service: shop
environment:
  type: process
  processes:
    web: {command: "sleep 1000", health: {path: /}}
router: {type: envoy, listen: "127.0.0.1:18080"}
"""


def greenroom(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "greenroom", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "80"},
    )


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    done = greenroom(tmp_path, "deploy", "1", "--json")
    assert done.returncode == 2
    assert done.stderr.startswith("error: greenroom.yaml: no such file")
    assert json.loads(done.stdout)["exit"] == 2
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_has_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    (tmp_path / "greenroom.yaml").write_text(GOOD + "baek: 5m\n")
    done = greenroom(tmp_path, "plan", "1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: greenroom.yaml:7: baek")
    assert "`bake`" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["greenroom.yaml"]


def test_a_corrupt_journal_is_refused_and_status_still_answers(tmp_path: Path) -> None:
    (tmp_path / "greenroom.yaml").write_text(GOOD)
    (tmp_path / ".greenroom").mkdir()
    (tmp_path / ".greenroom" / "journal.db").write_bytes(b"this is no journal " * 200)
    refused = greenroom(tmp_path, "rollback")
    assert refused.returncode == 6
    assert "is damaged" in refused.stderr
    assert "The traffic is not affected" in refused.stderr
    done = greenroom(tmp_path, "status", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["journal"], document["route"]) == (6, "unreadable", "unknown")
    assert any("is damaged" in problem for problem in document["problems"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve",), "error: `serve` is not built yet"),
        (("deplyo", "2"), "error: there is no verb `deplyo`; did you mean `deploy`?"),
        (("deploy",), "error: missing argument 'VERSION'"),
        (("status", "--color"), "error: no such option"),
    ],
)
def test_a_wrong_command_line(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(said)


def test_a_steering_verb_where_nothing_was_released_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "greenroom.yaml").write_text(GOOD)
    done = greenroom(tmp_path, "rollback")
    assert done.returncode == 4
    assert done.stderr.startswith("error: nothing was ever released here")
    status = greenroom(tmp_path, "status")
    assert (status.returncode, status.stdout.splitlines()[0]) == (0, "shop: nothing is live yet")
    assert [path.name for path in tmp_path.iterdir()] == ["greenroom.yaml"]


def test_init_writes_a_file_that_loads_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "greenroom.yaml"
    assert main(["init", "--ci", "github", "--json", "--file", str(file)]) == 0
    assert len(json.loads(capsys.readouterr().out)["written"]) == 2
    before = file.read_text()
    assert main(["init", "--file", str(file)]) == 4
    assert "there already" in capsys.readouterr().err
    assert file.read_text() == before
    file.write_text("service: shop\nrouter: {type: nginx, url: http://shop.example}\n")
    assert main(["init", "--file", str(file)]) == 4
    assert f"`greenroom init --router nginx --file {file}` says what to add" in capsys.readouterr().err
    file.write_text("service: [")
    assert main(["init", "--file", str(file)]) == 4
    assert "there already" in capsys.readouterr().err
    file.write_text("service: bookshop\n")
    assert main(["init", "--systemd", "--file", str(file)]) == 0
    assert "Found" not in capsys.readouterr().out
    assert "Greenroom: bookshop" in (tmp_path / "greenroom-bookshop.service").read_text()


def test_the_quick_way_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = (
        "pydantic",
        "yaml",
        "rich",
        "click",
        "sqlite3",
        "asyncio",
        "httpx2",
        "greenroom.domain",
        "greenroom.wiring",
    )
    code = f"""
import sys
from greenroom.cli.main import main
from greenroom.cli import quick
question = quick.read(["--file", "x/greenroom.yaml", "status", "--json"])
assert question is not None and question.json and str(question.file) == "x/greenroom.yaml"
assert quick.answer(question) is None
assert main(["--version"]) == 0
print([name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_GREENROOM_COMPLETE" in capsys.readouterr().out


def test_the_state_folder_is_found_by_one_line(tmp_path: Path) -> None:
    file = tmp_path / "greenroom.yaml"
    assert state_folder(file) == tmp_path / ".greenroom"
    for line, found in (
        ("state_dir: var/state  # ours", tmp_path / "var" / "state"),
        ('state_dir: "/srv/state"', Path("/srv/state")),
        ("state_dir: *anchor", None),
        ("state_dir: a\nstate_dir: b", None),
        ("x:\n  state_dir: a", tmp_path / ".greenroom"),
    ):
        file.write_text(f"service: shop\n{line}\n")
        assert state_folder(file) == found
