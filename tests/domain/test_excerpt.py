"""What repeats itself in a program's output is said once."""

from __future__ import annotations

from greenroom.domain.excerpt import condensed, kinds

TRACE = ["starting", "Traceback (most recent call last):", '  File "app.py", line 8', "ValueError: no port"]


def test_an_endless_restart_is_told_once_whatever_is_cut_off_before_it() -> None:
    once = [*TRACE, "(the same 4 times)"]
    assert condensed(TRACE * 4) == once
    assert condensed([*TRACE[2:], *TRACE * 4]) == once


def test_lines_that_differ_in_their_numbers_only_are_alike_and_the_last_is_shown() -> None:
    asked = [f'[21:38:{second:02}] "GET /healthz" 404' for second in range(20)]
    assert condensed(["starting", *asked]) == ["starting", '[21:38:19] "GET /healthz" 404', "(the same 20 times)"]
    assert condensed(["starting", *asked, "bye"])[-1] == "bye"
    failed = asked[19].replace("404", "500")
    assert condensed([*asked, failed, *asked]) == [asked[-1], "(the same 20 times)", failed, *condensed(asked)]


def test_what_does_not_repeat_itself_stays_as_it_is() -> None:
    for lines in ([], ["a"], ["a", "a"], TRACE, ["a", "b", "a", "c"], [*TRACE, "other"]):
        assert condensed(lines) == lines


def test_two_ends_of_one_output_are_of_the_same_kinds() -> None:
    asked = [f"GET /healthz 404 in {n} ms" for n in range(40)]
    assert kinds(condensed(asked[:7])) == kinds(condensed(asked)) == kinds(asked)
    assert not kinds(["bye"]) <= kinds(asked)
