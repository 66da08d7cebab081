"""Whether the code still names what goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.adapters.database.contracting import code
from greenroom.adapters.database.contracting.code import search, spellings
from tests.database.old_column import written


@pytest.mark.parametrize(
    "text",
    [
        "SELECT old_preference FROM users",
        'users."old_preference"',
        "USERS.OLD_PREFERENCE = 1",
        "user.oldPreference()",
        "user.getOldPreference()",
        "class OldPreference:",
        "{'old_preference': 1}",
    ],
)
def test_every_spelling_of_a_mapper_is_a_name(text: str) -> None:
    assert spellings(["old_preference"]).search(text.encode())


@pytest.mark.parametrize(
    "text", ["old_preference_id", "very_old_preference", "old preference", "oldpreferences", "OldPreferences", "older"]
)
def test_a_part_of_another_word_is_none(text: str) -> None:
    assert not spellings(["old_preference"]).search(text.encode())


def test_hits_are_named_by_file_and_line(tmp_path: Path) -> None:
    written(tmp_path, {"app.py": "x = 1\nq = 'SELECT old FROM users'\n", "a/b.py": "new", "docs/a.md": "old"})
    found = search(str(tmp_path), ["old"], ["docs/**"])
    assert found.hits == ("app.py:2: q = 'SELECT old FROM users'",)
    assert (found.files, found.unseen) == (2, "")


def test_other_peoples_code_and_what_is_no_text_is_left_out(tmp_path: Path) -> None:
    files = {"node_modules/x/a.js": "old", "env/pyvenv.cfg": "home", "env/lib/a.py": "old", "app.py": "new"}
    written(tmp_path, files)
    (tmp_path / "image.png").write_bytes(b"\0old")
    assert search(str(tmp_path), ["old"]).hits == ()


def test_a_hit_is_allowed_by_its_place_or_by_the_rule() -> None:
    hit = "app.py:2: q = 'SELECT old'"
    assert code.allowed(hit, {"app.py:2": "a comment"})
    assert code.allowed(hit, {"code": "all of them are comments"})
    assert not code.allowed(hit, {"app.py:1": "another line", "code": ""})


@pytest.mark.parametrize("artefact", ["", "sha256:0123", "relative/folder", "/nowhere/at/all"])
def test_what_is_no_folder_here_proves_nothing(artefact: str) -> None:
    found = search(artefact, ["old"])
    assert found.unseen
    assert not found.hits


def test_what_is_not_read_to_its_end_proves_nothing(tmp_path: Path) -> None:
    assert "holds no text" in search(str(tmp_path), ["old"]).unseen
    written(tmp_path, {f"{i}.py": "new" for i in range(5)})
    assert not search(str(tmp_path), ["old"]).unseen
    assert "too much" in search(str(tmp_path), ["old"], longest=-1).unseen
    (tmp_path / "big.js").write_text("x" * (code.LARGEST + 1))
    assert "big.js" in search(str(tmp_path), ["old"]).unseen
    assert not search(str(tmp_path), ["old"], ["*.js"]).unseen


def test_hits_are_bounded(tmp_path: Path) -> None:
    written(tmp_path, {"app.py": "old\n" * 1000})
    assert len(search(str(tmp_path), ["old"]).hits) == code.MOST_HITS + 1
