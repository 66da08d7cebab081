"""Where a MySQL or MariaDB is, as a URL says it: `mysql://user:password@host:3306/database?ssl-mode=VERIFY_IDENTITY`."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from greenroom.errors import UsageError

HOW = (
    "write it like mysql://user:password@host:3306/database; in a password %40 stands for @, %2F for /, %25 for %;"
    " over a socket mysql://user:password@localhost/database?socket=/run/mysqld/mysqld.sock"
)
MODES = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
KNOWN = ("charset", "socket", "ssl-ca", "ssl-cert", "ssl-key", "ssl-mode")


@dataclass(frozen=True, slots=True)
class Address:
    """`place`: for people, without the password. `parameters`: of `pymysql.connect`."""

    place: str
    parameters: Mapping[str, Any]
    secrets: tuple[str, ...] = field(repr=False)


def parsed(url: str) -> Address:
    """Raises `UsageError`, whose text holds no part of the address but names of options."""
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
    except ValueError:  # its text may hold parts of a password
        raise _wrong() from None
    options = _options(parts)
    name, socket = unquote(parts.path.removeprefix("/")), options.pop("socket", "")
    if not name or "/" in name or "@" in f"{parts.hostname}{name}" or not (parts.hostname or socket):
        raise _wrong()
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    where = f"the socket {socket}" if socket else f"{parts.hostname}:{port}"
    parameters: dict[str, Any] = {
        "user": user or None,
        "password": password.encode(),  # PyMySQL would write text as Latin-1
        "database": name,
        "host": parts.hostname or "localhost",
        "port": port,
        **({"unix_socket": socket} if socket else {}),
        **_tls(options),
    }
    place = f"database {name} at {where}{f' as {user}' if user else ''}"
    return Address(place, parameters, tuple(secret for secret in (password,) if secret))


def _wrong() -> UsageError:
    return UsageError("migrations.url is no address of a MySQL or MariaDB database", hint=HOW)


def _options(parts: SplitResult) -> dict[str, str]:
    """`charset` is read and dropped: Greenroom always speaks utf8mb4."""
    found: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        name = key.lower().replace("_", "-")
        name = {"unix-socket": "socket", "sslmode": "ssl-mode"}.get(name, name)
        if name not in KNOWN:
            raise UsageError(
                f"migrations.url has an option that Greenroom does not know for MySQL: {key}",
                hint=f"it knows {', '.join(KNOWN)}",
            )
        found[name] = value
    found.pop("charset", None)
    return found


def _tls(options: Mapping[str, str]) -> dict[str, Any]:
    """As the server's own clients have it; where nothing is said, encrypted if the server can."""
    mode = options.get("ssl-mode", "VERIFY_CA" if options.get("ssl-ca") else "PREFERRED").upper()
    if mode not in MODES:
        raise UsageError("migrations.url: ssl-mode is not one that MySQL knows", hint=f"one of {', '.join(MODES)}")
    if mode == "DISABLED":
        return {"ssl_disabled": True}
    if mode == "PREFERRED" and not options.get("ssl-cert"):
        return {}
    try:
        context = ssl.create_default_context(cafile=options.get("ssl-ca") or None)
        if options.get("ssl-cert"):
            context.load_cert_chain(options["ssl-cert"], options.get("ssl-key") or None)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"migrations.url: the files of TLS cannot be used: {error}",
            hint="ssl-ca, ssl-cert and ssl-key name files in PEM format that the user who runs Greenroom can read",
        ) from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the certificates that a server makes for itself are not strict
    context.check_hostname = mode == "VERIFY_IDENTITY"
    context.verify_mode = ssl.CERT_REQUIRED if mode.startswith("VERIFY") else ssl.CERT_NONE
    return {"ssl": context}
