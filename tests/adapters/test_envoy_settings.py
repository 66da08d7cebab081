"""What may stand in the file under `router`, and what is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.envoy.render import bootstrap, parts
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.routers.envoy import EnvoyRouter
from greenroom.domain.model import Backend, Colour, Endpoint, First, Mirror, RoutingSpec, Split
from greenroom.ports import Place

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"listen": []}, "at least 1"),
    ({"listen": "8080"}, "write host:port"),
    ({"listen": "127.0.0.1:99999"}, "write host:port"),
    ({"listen": "shop.example:80"}, "write 0.0.0.0:80 to listen everywhere"),
    ({"listen": 8080}, "Listen"),
    ({"listen": ["127.0.0.1:80", "localhost:80"]}, "listed twice"),
    ({"listen": ":80", "test_route": {"listen": ":80"}}, "IP address"),
    ({"listen": {"address": "0.0.0.0:80", "tls": {"certificate": "a.pem"}}}, "Field required"),
    ({"test_route": {}}, "at least one of header, host, listen"),
    ({"test_route": {"header": "no header"}}, "no name of a header"),
    ({"test_route": {"header": "Host"}}, "no name of a header"),
    ({"test_route": {"host": "idle.example:80"}}, "without a port"),
    ({"test_route": {"host": "*.example"}}, "no host name"),
    ({"timeouts": {"idle": 30}}, "30 has no unit"),
    ({"protocol": "http3"}, "'http1' or 'h2c'"),
    ({"trusted_hops": -1}, "greater than or equal to 0"),
    ({"sticky": "often"}, "valid boolean"),
    ({"sticki": True}, "Extra inputs"),
]


@pytest.mark.parametrize(("document", "text"), WRONG)
def test_what_is_wrong_is_said(document: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EnvoySettings.model_validate({"listen": "127.0.0.1:8080", **document})
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("document", "public", "test"),
    [
        ({"listen": "0.0.0.0:80"}, ("http://127.0.0.1:80", {}), ("http://127.0.0.1:80", {"x-greenroom-test": "1"})),
        ({"listen": "[::]:80"}, ("http://[::1]:80", {}), ("http://[::1]:80", {"x-greenroom-test": "1"})),
        (
            {"listen": ["localhost:80"], "test_route": {"host": "idle.example"}},
            ("http://127.0.0.1:80", {}),
            ("http://127.0.0.1:80", {"Host": "idle.example"}),
        ),
        (
            {"listen": "10.1.2.3:80", "test_route": {"header": "x-a", "listen": "127.0.0.1:81"}},
            ("http://10.1.2.3:80", {}),
            ("http://127.0.0.1:81", {}),
        ),
    ],
)
def test_how_it_is_reached(tmp_path: Path, document: dict[str, Any], public: Any, test: Any) -> None:
    router = EnvoyRouter(EnvoySettings.model_validate(document), Place("shop", tmp_path / "f", tmp_path / ".greenroom"))
    assert router.reach() == public
    assert router.reach(test=True) == test


def test_a_switch_touches_the_route_only_and_no_setting_the_start() -> None:
    """A change elsewhere would cost a restart, or a listener."""
    blue, green = Backend((Endpoint("127.0.0.1", 1),), "1"), Backend((Endpoint("127.0.0.1", 2),), "2")
    settings = EnvoySettings.model_validate({"listen": "127.0.0.1:8080"})
    folder = Path("/state/router/live")
    folders = (folder, folder, folder / "log")

    def made(split: Split, test: Colour | None, **more: Any) -> dict[str, str]:
        spec = RoutingSpec(split, blue, green, test, **more)
        return {name: json.dumps(part) for name, part in parts(settings, "shop", spec, *folders).items()}

    before, after = made(Split(100, 0), Colour.GREEN), made(Split(0, 100), None)
    assert [name for name in before if before[name] != after[name]] == ["route"]
    copied, first = Mirror(Colour.GREEN, 10), First("x-staff", "", Colour.GREEN)
    proving = made(Split(100, 0), Colour.GREEN, mirror=copied, first=first, shield=Colour.GREEN)
    assert [name for name in before if before[name] != proving[name]] == ["route"]
    assert "8080" not in json.dumps(bootstrap(folder))


def test_the_schema_for_editors_knows_the_short_form() -> None:
    schema = EnvoySettings.model_json_schema()
    assert {"type": "string"} in schema["properties"]["listen"]["anyOf"]
