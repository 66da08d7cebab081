"""The picture: what it shows, that it is well-formed, and that nothing is lost or wider than it may be."""

from __future__ import annotations

import math
import xml.etree.ElementTree as tree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.domain.chart import Mark, Sample, Who, questions, shown, terminal, thinned
from greenroom.domain.drawing import WIDTH, svg

GREEN, BLUE = Who("green", "1.5"), Who("blue", "1.4")
AT = 1_790_000_000.0
SPACE = "{http://www.w3.org/2000/svg}"


def bad_release() -> list[Sample]:
    """Ten seconds calm, ten at 10 %, ten with everything broken, ten back."""
    calm = [Sample(AT + t, 0, None, None, 0.0, 24.0) for t in range(10)]
    some = [Sample(AT + 10 + t, 10, 0.0, 30.0, 0.0, 25.0) for t in range(10)]
    broken = [Sample(AT + 20 + t, 100, 0.12, 250.0, None, None) for t in range(10)]
    back = [Sample(AT + 30 + t, 0, None, None, 0.0, 24.0) for t in range(10)]
    return [*calm, *some, *broken, *back]


MARKS = [
    Mark(AT + 10, "10 % to green"),
    Mark(AT + 20, "all traffic to green"),
    Mark(AT + 28, "verdict: error rate 12 % <too much>"),
    Mark(AT + 30, "all traffic back to blue"),
]


def texts(document: str) -> list[str]:
    return [element.text or "" for element in tree.fromstring(document).iter(f"{SPACE}text")]


def test_the_page_names_both_lines_units_scales_and_what_happened_when() -> None:
    document = svg(bad_release(), MARKS, GREEN, BLUE, "shop: 1.5 was taken back & 1.4 serves")
    said = texts(document)
    assert said[0] == "shop: 1.5 was taken back & 1.4 serves"
    for text in ("Errors, share of requests (%)", "p99, time to answer (ms)", "Traffic to green 1.5", "0 % on green"):
        assert text in said
    for text in ("green 1.5 · 12 %", "blue 1.4 · 0 %", "green 1.5 · 250 ms", "blue 1.4 · 24 ms"):
        assert text in said
    for text in ("20 %", "500 ms", "10 s", "time since 14:13:20 UTC"):
        assert text in said
    assert "14:13:48 verdict: error rate 12 % <too much>" in said
    assert "14:13:50 all traffic back to blue" in said
    root = tree.fromstring(document)
    assert root.get("aria-label") == root.findtext(f"{SPACE}title") == "shop: 1.5 was taken back & 1.4 serves"


def test_the_baseline_is_dashed_and_broken_where_it_was_not_seen() -> None:
    lines = [
        p
        for p in tree.fromstring(svg(bad_release(), [], GREEN, BLUE, "x")).iter(f"{SPACE}path")
        if p.get("fill") == "none"
    ]
    dashed = [line for line in lines if line.get("stroke-dasharray")]
    assert len(dashed) == 4, "two panels, two stretches each"
    assert len(lines) - len(dashed) == 2
    assert {line.get("stroke") for line in dashed} == {"#1d4ed8"}


def test_marks_that_are_close_stand_in_rows_of_their_own_and_inside_the_page() -> None:
    marks = [Mark(AT + 20 + i / 10, "something happened here") for i in range(5)]
    root = tree.fromstring(svg(bad_release(), marks, GREEN, BLUE, "x"))
    found = [t for t in root.iter(f"{SPACE}text") if "something" in (t.text or "")]
    assert len({t.get("y") for t in found}) == 5
    wide = Mark(AT + 40, "y" * 500)
    root = tree.fromstring(
        svg(bad_release(), [wide, Mark(AT - 99, "before"), Mark(AT + 99, "after")], GREEN, BLUE, "x")
    )
    assert not {"before", "after"} & {word for t in root.iter(f"{SPACE}text") for word in (t.text or "").split()}


def test_without_data_it_says_so() -> None:
    assert "Nothing was measured." in texts(svg([], MARKS, GREEN, BLUE, "x"))
    assert terminal([], MARKS, GREEN, BLUE) == []
    assert len(terminal([Sample(AT)], [], GREEN, BLUE)) == 3
    assert "share: not known" in texts(svg([Sample(AT)], [], GREEN, None, "x"))


def test_what_was_bad_for_a_moment_is_still_seen_when_there_is_too_much_to_show() -> None:
    samples = [Sample(AT + i / 10, 50, 0.5 if i == 777 else 0.0, 10.0) for i in range(10_000)]
    few = thinned(samples, 100)
    assert len(few) <= 100
    assert max(s.errors or 0 for s in few) == 0.5
    assert "50 %" in "".join(texts(svg(samples, [], GREEN, None, "x")))
    assert "█" in terminal(samples, [], GREEN, None, 80)[1]
    assert len(svg(samples, [], GREEN, None, "x")) < 60_000


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("ascii", [False, True])
def test_the_terminal_shows_the_same_in_a_few_lines(width: int, ascii: bool) -> None:
    lines = terminal(bad_release(), MARKS, GREEN, BLUE, width, ascii=ascii)
    heads, green, blue, pointers, meaning = lines
    assert all(len(line) <= width for line in lines)
    assert "errors, scale to 20 %" in heads
    assert "p99, scale to 500 ms" in heads
    assert green.startswith("green 1.5  ")
    assert green.split()[-2:] == ["250", "ms"]
    assert blue.split()[-2:] == ["24", "ms"]
    assert [c for c in pointers if c != " "] == list("12341234")
    assert meaning.startswith("1 10 % to green  2 all traffic to green  3 verd")
    if ascii:
        assert "".join(lines).isascii()


def test_colours_are_left_to_whoever_prints() -> None:
    inked: list[str] = []

    def ink(text: str, style: str) -> str:
        inked.append(style)
        return f"<{text}>"

    lines = terminal(bad_release(), MARKS, GREEN, BLUE, 80, ink=ink)
    assert inked.count("green") == inked.count("blue") == 2
    assert all(line.count("<") == line.count(">") for line in lines)


def test_numbers_are_shown_as_one_reads_them() -> None:
    told = [shown(v, u) for v, u in ((0, "%"), (0.05, "%"), (12.3, "%"), (250, "ms"), (12_345, "ms"), (None, "ms"))]
    assert told == ["0 %", "0.05 %", "12 %", "250 ms", "12.3 s", "—"]
    assert questions([Sample(AT, errors=math.inf, p99=math.nan)])[0].top == 1.0


values = st.none() | st.floats(min_value=0, max_value=1e9) | st.just(math.nan) | st.just(math.inf)
samples = st.lists(
    st.builds(
        Sample,
        st.floats(min_value=0, max_value=1e9),
        st.none() | st.floats(min_value=0, max_value=100),
        values,
        values,
        values,
        values,
    ),
    max_size=30,
).map(lambda found: sorted(found, key=lambda sample: sample.at))
words = st.text(max_size=80)


@settings(max_examples=60, deadline=None)
@given(
    samples,
    st.lists(st.builds(Mark, st.floats(min_value=0, max_value=1e9), words), max_size=12),
    words,
    st.integers(60, 200),
    st.booleans(),
)
def test_whatever_was_measured_there_is_a_picture(
    found: list[Sample], marks: list[Mark], text: str, width: int, single: bool
) -> None:
    who = Who("green", text)
    assert tree.fromstring(svg(found, marks, who, None if single else BLUE, text)).get("width") == str(WIDTH)
    lines = terminal(found, marks, who, None if single else BLUE, width)
    assert all(len(line) <= width and "\n" not in line for line in lines)
