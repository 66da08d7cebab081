"""Whose session is whose: never a pass where nobody can tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.adapters.database.contracting import ContractSettings
from greenroom.adapters.database.contracting.sessions import Connected, live_colour, tell
from greenroom.domain.model import Colour
from tests.database.old_column import ORDER

ROLES = ContractSettings(colours={Colour.BLUE: "shop_blue", Colour.GREEN: "shop_green"})
NAMES = ContractSettings()
LIVE, OLD = Connected(1, "shop_green", "shop green 42"), Connected(2, "shop_blue", "shop blue 41")
STRANGER = Connected(3, "report", "psql")


def test_nobody_is_there() -> None:
    found = tell([], ORDER, NAMES)
    assert (found.old, found.unclear) == ((), ())


@pytest.mark.parametrize("settings", [ROLES, NAMES])
def test_the_old_is_told_from_the_live(settings: ContractSettings) -> None:
    found = tell([LIVE, OLD], ORDER, settings)
    assert (found.live, found.old, found.unclear) == ((LIVE,), (OLD,), ())


def test_by_roles_a_stranger_is_no_concern_of_ours() -> None:
    assert tell([LIVE, STRANGER], ORDER, ROLES).unclear == ()


def test_roles_that_nobody_uses_tell_nothing() -> None:
    """The application logs in with another role: then the old one may be among the strangers."""
    assert tell([STRANGER], ORDER, ROLES).unclear == (STRANGER,)


def test_without_roles_a_session_without_a_name_is_unclear() -> None:
    assert tell([LIVE, STRANGER], ORDER, NAMES).unclear == (STRANGER,)


@pytest.mark.parametrize("name", ["shop-41", "shop 41", "SHOP BLUE", "worker/blue", "blue", "shop green 41", "blue 42"])
def test_names_of_the_old(name: str) -> None:
    one = Connected(1, "shop", name)
    assert tell([one], ORDER, NAMES).old == (one,)


@pytest.mark.parametrize("name", ["shop 141", "shop 41.1", "bluebird", "", "shop"])
def test_a_part_of_a_word_is_no_mark(name: str) -> None:
    one = Connected(1, "shop", name)
    assert tell([one], ORDER, NAMES).unclear == (one,)


def test_where_the_live_colour_is_not_known_roles_tell_nothing() -> None:
    order = replace(ORDER, colours={})
    assert live_colour(order) is None
    assert tell([Connected(1, "shop_green")], order, ROLES).unclear


def test_colours_need_two_roles() -> None:
    with pytest.raises(ValueError, match="another for green"):
        ContractSettings(colours={Colour.BLUE: "shop"})
    with pytest.raises(ValueError, match="another for green"):
        ContractSettings(colours={Colour.BLUE: "shop", Colour.GREEN: "shop"})
