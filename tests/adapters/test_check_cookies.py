"""The cookies of a visit, as a browser keeps them; and what is kept out of what people read."""

from __future__ import annotations

import pytest

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.checks.cookies import Jar, is_name
from greenroom.adapters.checks.hidden import Hidden


def jar(*lines: str, sites: tuple[str, ...] = (), path: str = "/shop/login") -> Jar:
    made = Jar(*sites)
    made.take(lines, path)
    return made


@pytest.mark.parametrize(
    ("lines", "path", "header"),
    [
        (["a=1"], "/shop/cart", "a=1"),
        (["a=1"], "/shop", "a=1"),
        (["a=1"], "/shopping", ""),
        (["a=1"], "/", ""),
        (["a=1; Path=/"], "/", "a=1"),
        (["a=1; path=nonsense"], "/shop/x", "a=1"),
        (["a=1; Path=/", "a=2; Path=/"], "/", "a=2"),
        (["a=1; Path=/", "a=2; Path=/shop"], "/shop/x", "a=2; a=1"),
        (["a=1; Path=/", "a=; Path=/; Max-Age=0"], "/", ""),
        (["a=1; Path=/", "a=; Path=/; Max-Age=-1; Expires=Thu, 01 Jan 2099 00:00:00 GMT"], "/", ""),
        (["a=1; Path=/; Expires=Thu, 01-Jan-1970 00:00:00 GMT"], "/", ""),
        (["a=1; Path=/; Expires=whenever; Max-Age=soon"], "/", "a=1"),
        (["a=b=c; Path=/", "; Path=/", "nonsense", "=x"], "/", "a=b=c"),
        (['a="quoted"; Path=/'], "/?q=1", 'a="quoted"'),
        (["a=1; Path=/; Secure; HttpOnly; SameSite=Strict"], "/", "a=1"),
        (["__Host-a=1; Path=/; Secure"], "/", "__Host-a=1"),
        (["__Host-a=1; Path=/"], "/", ""),
        (["__Host-a=1; Path=/; Secure; Domain=shop.example"], "/", ""),
        (["__Secure-a=1; Path=/"], "/", ""),
        (["greenroom-shop=7; Path=/", "greenroom_shop=7; Path=/"], "/", ""),  # the router's own
        (["a=1; Path=/; SameSite=None"], "/", ""),
        (["a=1; Path=/; SameSite=None; Secure"], "/", "a=1"),
    ],
)
def test_what_is_sent(lines: list[str], path: str, header: str) -> None:
    assert jar(*lines).header(path) == header


@pytest.mark.parametrize(
    ("domain", "sites", "kept"),
    [
        ("shop.example", ("shop.example",), True),
        (".Shop.Example", ("www.shop.example",), True),
        ("www.shop.example", ("shop.example",), False),
        ("other.example", ("shop.example",), False),
        ("xshop.example", ("shop.example",), False),
        ("idle.shop.example", ("shop.example", "idle.shop.example"), True),  # made of the name that we asked by
        ("shop.example", ("127.0.0.1",), True),
        ("shop.example", ("localhost", "[::1]"), True),
        ("shop.example", (), True),
    ],
)
def test_domains(domain: str, sites: tuple[str, ...], kept: bool) -> None:
    made = jar(f"a=1; Path=/; Domain={domain}", sites=tuple(site.strip("[]") for site in sites))
    assert bool(made.kept) is kept
    assert bool(made.refused) is not kept


def test_a_refusal_is_forgotten_when_the_cookie_is_set_well() -> None:
    made = jar("a=1; Path=/; SameSite=None", "a=2; Path=/")
    assert (made.refused, made.value("a"), made.taken) == ({}, "2", ["a"])


def test_what_is_a_name() -> None:
    assert [is_name(host) for host in ("shop.example", "localhost", "", "127.0.0.1", "::1")] == [True, *[False] * 4]


# --- hidden


def test_values_are_hidden_in_all_their_spellings() -> None:
    hidden = Hidden({"PASSWORD": "hunter22", "PIN": "123"})
    hidden.add("{token}", 'a/b "c" ü&d')
    for text in ('a/b "c" ü&d', "a%2Fb%20%22c%22%20%C3%BC%26d", "a%2Fb+%22c%22+%C3%BC%26d", 'a/b \\"c\\" \\u00fc&d'):
        assert hidden.conceal(f"<{text}>") == "<{token}>"
    assert hidden.conceal("a/b &quot;c&quot; ü&amp;d") == "{token}"
    assert hidden.conceal("hunter22 123") == "${PASSWORD} 123"


def test_short_values_are_hidden_as_whole_words_only() -> None:
    hidden = Hidden()
    hidden.add("{id}", "41")
    assert hidden.conceal("order 41 of 412, v41: 41%") == "order {id} of 412, v41: {id}%"


def test_lines_of_a_long_value_are_hidden_one_by_one() -> None:
    hidden = Hidden()
    hidden.add("{key}", "first line of it\nsecond line of it")
    assert hidden.conceal("second line of it") == "{key}"


@pytest.mark.parametrize("limit", range(14, 60))
def test_no_beginning_of_a_value_survives_being_cut_off(limit: int) -> None:
    hidden = Hidden()
    hidden.add("{v}", "0123 456\t89abcdef")
    said = hidden.conceal(short("the token is 0123 456\t89abcdef" + "!" * 200, limit))
    assert "0123" not in said
    assert said.startswith("the token is {v}" if limit > 17 else "the token is")
