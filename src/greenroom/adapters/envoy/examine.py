"""What is wrong with an Envoy router before anything is touched."""

from __future__ import annotations

import ssl
from pathlib import Path

from greenroom.adapters import ports_in_use
from greenroom.adapters.envoy import binary
from greenroom.adapters.envoy.files import Folder
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.listening import Tls
from greenroom.ports import Place


def problems(settings: EnvoySettings, place: Place) -> list[str]:
    """What would keep the router from working, each with its way out."""
    found, runs = [], False
    ours = str(Folder(place.state).bootstrap)
    for key, listen in settings.by_key.items():
        trouble, holders = ports_in_use.problem(listen.host, listen.port)
        mine = any(ours in holder.command for holder in holders)
        runs = runs or mine
        if trouble and not mine:
            found.append(f"{key}: {trouble}")
        if listen.tls and (trouble := _certificate_problem(listen.tls, place.file.absolute().parent)):
            found.append(f"{key}.tls: {trouble}")
    program = "" if runs else binary.problem()  # asking it for its version takes longer than all the rest
    return [program, *found] if program else found


def hazards(settings: EnvoySettings, place: Place) -> list[str]:  # noqa: ARG001
    """Facts for which users would notice a deploy that works, each with the way out."""
    if settings.drain > 0:
        return []
    return [
        "router.drain: is 0, so the old version is removed without waiting for the requests that it still answers; "
        "give it the time that a long one takes, like `drain: 30s`"
    ]


def _certificate_problem(tls: Tls, base: Path) -> str:
    def refuse() -> str:
        raise ValueError("encrypted")

    for file in (base / tls.certificate, base / tls.key):
        try:
            file.read_bytes()
        except OSError as error:
            return f"{file} cannot be read: {error.strerror}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(base / tls.certificate, base / tls.key, refuse)
    except ValueError:
        return f"{base / tls.key} is encrypted: write it without a passphrase, readable by its owner only"
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{base / tls.key} does not belong to {base / tls.certificate}: give the key it was made with"
        return f"{base / tls.certificate} and {base / tls.key} are no PEM certificate and key ({error.reason})"
    return ""
