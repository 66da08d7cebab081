from __future__ import annotations

import pytest

from greenroom.domain.template import conceal, fill, reveal, secret_names

DOCUMENT = {"env": {"URL": "postgres://${USER}:${PASS}@db/x", "N": 1}, "list": ["${PASS}", "{port}"]}


def test_variables_and_secrets_do_not_meet() -> None:
    assert (
        fill("run --port {port} ${HOME} {unknown} {}", {"port": "80", "home": "x"})
        == "run --port 80 ${HOME} {unknown} {}"
    )
    assert secret_names(DOCUMENT) == ("USER", "PASS")


def test_reveal_fills_everything_or_names_what_is_missing() -> None:
    full = reveal(DOCUMENT, {"USER": "u", "PASS": "p{port}"})
    assert full == {"env": {"URL": "postgres://u:p{port}@db/x", "N": 1}, "list": ["p{port}", "{port}"]}
    with pytest.raises(KeyError, match="PASS"):
        reveal(DOCUMENT, {"USER": "u"})


def test_conceal_takes_the_longest_first() -> None:
    secrets = {"A": "secret", "B": "secret-longer", "C": "xy"}
    assert conceal("secret-longer secret xy", secrets) == "${B} ${A} xy"
