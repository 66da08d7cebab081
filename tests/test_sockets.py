from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenroom import sockets


def test_a_short_path_stays_in_the_state_folder_and_a_long_one_does_not(tmp_path: Path) -> None:
    assert sockets.address(Path("/srv/shop/.greenroom"), "engine.sock") == "/srv/shop/.greenroom/engine.sock"
    for state in (tmp_path / ("long" * 30), Path("/srv/a folder;with %(things)s")):
        path = sockets.address(state, "engine.sock")
        assert len(path) <= sockets.LONGEST
        assert path == sockets.address(state, "engine.sock") != sockets.address(state / "x", "engine.sock")


def test_the_folder_is_made_private_and_goes_with_its_last_socket(tmp_path: Path) -> None:
    one, two = (sockets.address(tmp_path / ("long" * 30), name) for name in ("a", "b"))
    sockets.make_folder(one)
    assert os.stat(os.path.dirname(one)).st_mode & 0o777 == 0o700
    Path(two).touch()
    sockets.forget(one)
    assert os.path.exists(two)
    sockets.forget(two)
    assert not os.path.exists(os.path.dirname(two))


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="not a private folder"):
        sockets.make_folder(str(folder / "x"))
