"""What may differ between the colours, and what may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.domain.model import Colour
from greenroom.domain.parity import Allowance, Kind, compare, sentence
from greenroom.ports import Facts
from tests.effective import alike

WEB = alike(image="shop", memory="512m", env__MODE="fast")


def test_what_is_equal_on_both_is_fine() -> None:
    found = compare({"web": WEB, "upstream": alike(keepalive="16")}, {"web": WEB, "upstream": alike(keepalive="16")})
    assert (found.compared, found.found, found.wrong, found.alone) == (4, (), (), None)


def test_nobody_can_say_why_it_differs() -> None:
    blue = Facts({"memory": "512m", "user": "app"})
    green = Facts({"memory": "1g", "user": "app"})
    [found] = compare({"web": blue}, {"web": green}).found
    assert (found.path, found.kind, found.blue, found.green) == ("web.memory", Kind.DIFFERENT, "512m", "1g")
    assert sentence(found) == "web.memory: blue 512m, green 1g"


@pytest.mark.parametrize("here", [True, False])
def test_what_only_one_colour_has_differs(here: bool) -> None:
    more, less = {"web": Facts({"cap": "", "user": "app"})}, {"web": Facts({"user": "app"})}
    [found] = compare(more, less).found if here else compare(less, more).found
    assert (found.kind, {found.blue, found.green}) == (Kind.DIFFERENT, {"", None})
    assert sentence(found) == f"web.cap: blue {'empty' if here else 'without'}, green {'without' if here else 'empty'}"


def test_what_the_release_asked_for_is_a_change() -> None:
    found = compare({"web": WEB}, {"web": alike(image="shop", memory="1g", env__NEW="1")})
    assert {x.path: x.kind for x in found.found} == {
        "web.memory": Kind.CHANGED,
        "web.env.MODE": Kind.CHANGED,
        "web.env.NEW": Kind.CHANGED,
    }
    assert found.wrong == ()
    assert sentence(found.found[0]).endswith("; changed by this release")


def test_what_was_asked_alike_and_became_different_is_no_change() -> None:
    blue = Facts({"image": "sha256:1"}, {"tag": "1"})
    green = Facts({"image": "sha256:2"}, {"tag": "1"})
    assert [x.kind for x in compare({"web": blue}, {"web": green}).found] == [Kind.DIFFERENT]


def test_a_colour_that_was_changed_by_hand_is_told_apart_from_the_other() -> None:
    """`docker update --memory 2g` on blue; also where both were, and where the release changes the same."""
    by_hand = Facts({"memory": "2g"}, {"memory": "512m"})
    [found] = compare({"web": by_hand}, {"web": alike(memory="512m")}).found
    assert (found.kind, dict(found.asked)) == (Kind.STRAYED, {Colour.BLUE: "512m"})
    assert sentence(found) == "web.memory: blue 2g (asked for 512m), green 512m"
    [found] = compare({"web": by_hand}, {"web": by_hand}).found
    assert (found.kind, set(found.asked)) == (Kind.STRAYED, set(Colour))
    [found] = compare({"web": by_hand}, {"web": alike(memory="1g")}).found
    assert found.kind is Kind.STRAYED
    [found] = compare({"web": alike(memory="2g")}, {"web": by_hand}).found
    assert (found.kind, dict(found.asked)) == (Kind.STRAYED, {Colour.GREEN: "512m"}), "equal now, and yet by hand"


def test_the_file_may_allow_it_with_a_reason() -> None:
    blue, green = {"web": Facts({"env.FEATURE_A": "on", "env.MODE": "x"})}, {"web": Facts({"env.MODE": "y"})}
    found = compare(blue, green, [Allowance("web.env.FEATURE_*", "a trial")])
    assert [(x.path, x.kind, x.why) for x in found.found] == [
        ("web.env.MODE", Kind.DIFFERENT, ""),
        ("web.env.FEATURE_A", Kind.ALLOWED, "a trial"),
    ]
    assert [x.path for x in found.wrong] == ["web.env.MODE"]
    assert sentence(found.found[1]) == "web.env.FEATURE_A: blue on, green without; allowed: a trial"
    strayed = Facts({"memory": "2g"}, {"memory": "1g"})
    assert not compare({"web": strayed}, {"web": strayed}, [Allowance("*.memory", "sized by hand")]).wrong


def test_a_change_needs_no_permission_and_is_called_one() -> None:
    [found] = compare({"web": alike(a="1")}, {"web": alike(a="2")}, [Allowance("web.a", "why not")]).found
    assert (found.kind, found.why) == (Kind.CHANGED, "")


def test_a_permission_for_what_is_not_there_is_named() -> None:
    allow = [
        Allowance("web.memory", "equal today"),
        Allowance("web.env.OLD_*", "gone"),
        Allowance("job.a", "only there"),
    ]
    found = compare({"web": WEB, "job": alike(a="1")}, {"web": WEB}, allow)
    assert found.unused == ("web.env.OLD_*",)


def test_of_several_hosts_a_path_means_all_or_one() -> None:
    blue = {"app1/web": Facts({"a": "1"}), "app2/web": Facts({"a": "1"})}
    green = {"app1/web": Facts({"a": "2"}), "app2/web": Facts({"a": "2"})}
    assert not compare(blue, green, [Allowance("web.a", "on both")]).wrong
    found = compare(blue, green, [Allowance("app1/web.*", "on one"), Allowance("app3/web.a", "nowhere")])
    assert [x.path for x in found.wrong] == ["app2/web.a"]
    assert found.unused == ("app3/web.a",)


def test_a_process_of_one_colour_is_set_apart() -> None:
    """A worker runs only where the traffic is; a release may bring a process or take one away."""
    blue = {"web": WEB, "worker": alike(memory="1g"), "old": alike(a="1")}
    green = {"web": WEB, "worker": Facts({}, {"memory": "1g"}), "new": alike(a="1")}
    found = compare(blue, green)
    assert found.apart == {"new": Colour.GREEN, "old": Colour.BLUE, "worker": Colour.BLUE}
    assert (found.found, found.compared, found.alone) == ((), 3, None)


def test_with_one_colour_alone_there_is_nothing_to_compare() -> None:
    assert compare({"web": WEB}, {}).alone is Colour.BLUE
    assert compare({"web": Facts({}, {"a": "1"})}, {"web": WEB}).alone is Colour.GREEN
    nothing = compare({}, {}, [Allowance("web.a", "x")])
    assert (nothing.nothing, nothing.alone, nothing.unused) == (True, None, ())


def test_a_value_moves_no_cursor() -> None:
    [found] = compare({"web": Facts({"env.A": "x\x1b[2J\ny"})}, {"web": Facts({"env.A": "z" * 5000})}).found
    assert found.blue == "x·[2J·y"
    assert found.green is not None
    assert len(found.green) == 1000


values = st.sampled_from(["1", "2", "3"])
facts = st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3)
stated = st.builds(Facts, facts, facts)
colours = st.dictionaries(st.sampled_from(["web", "job"]), stated, max_size=2)


@given(colours, colours)
def test_the_colours_have_no_rank(blue: dict[str, Facts], green: dict[str, Facts]) -> None:
    here, there = compare(blue, green), compare(green, blue)
    assert {(x.path, x.kind) for x in here.found} == {(x.path, x.kind) for x in there.found}
    assert set(here.apart) == set(there.apart)


@given(colours)
def test_a_colour_is_like_itself_but_for_what_was_done_by_hand(blue: dict[str, Facts]) -> None:
    assert all(x.kind is Kind.STRAYED for x in compare(blue, blue).found)


@given(colours, colours)
def test_whatever_differs_is_told_and_whatever_is_allowed_passes(
    blue: dict[str, Facts], green: dict[str, Facts]
) -> None:
    found = compare(blue, green)
    if found.alone is None:
        for process in blue.keys() & green.keys() - found.apart.keys():
            here, there = blue[process].effective, green[process].effective
            differs = {f"{process}.{path}" for path in {**here, **there} if here.get(path) != there.get(path)}
            if here and there:
                assert differs <= {x.path for x in found.found}
    assert compare(blue, green, [Allowance("*", "all of it")]).wrong == ()
