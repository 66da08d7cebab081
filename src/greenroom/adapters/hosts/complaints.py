"""What ssh says when it cannot connect, as errors with the way out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from greenroom.errors import Permanent, PortError, Temporary

_CHANGED = re.compile(r"Offending (\S+) key in (.+):(\d+)")
_UNKNOWN = re.compile(r"No (.*?) ?host key is known for (\S+) and you have requested strict checking")
_SHOWN = re.compile(r"Server host key: (\S+ \S+)")
_OFFERED = re.compile(r"Offering public key: (\S+)(.*)")
_AS = re.compile(r"Authenticating to (\S+) as '(.*)'")
_NAME = re.compile(r"Could not resolve hostname (\S+): (.*)")
_CONFIGURATION = re.compile(r"(Bad owner or permissions on .*|.*[Bb]ad configuration option.*|.*line \d+: .*)")
_HOW = "its owner sees the right one there with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`"


def translate(said: Sequence[str], where: str, known_hosts: str) -> PortError:
    """Of all that ssh said before it gave up. `where`: the host's name and target. The last host spoken to decides."""
    last = max((n for n, line in enumerate(said) if _AS.search(line)), default=0)
    text = "\n".join(said)
    if "Host key verification failed" in text or "REVOKED HOST KEY" in text:
        return _host_key(text, where, known_hosts)
    if re.search(r"Permission denied( \(|,)|Too many authentication failures", text):
        return _not_let_in(said[last:], where)
    if found := _first(_NAME, said):
        return Temporary(
            f"{where}: {found[1]} has no address: {found[2]}", hint="look at the name in `ssh:` or `jump:`"
        )
    if "administratively prohibited" in text:
        return Permanent(
            f"{where}: the jump host forwards no connections",
            hint="its sshd_config has to say `AllowTcpForwarding yes` for this user",
        )
    if found := _first(_CONFIGURATION, plain(said)):
        return Permanent(f"{where}: the SSH client's configuration is wrong: {found[0]}", hint="correct it, then again")
    return Temporary(
        f"{where} cannot be reached: {telling(said)}", hint="is it up, and is the port right? Try `ssh` by hand"
    )


def _host_key(text: str, where: str, known_hosts: str) -> PortError:
    shown = _SHOWN.findall(text)
    seen = f" It showed {shown[-1]}." if shown else ""
    if found := _CHANGED.search(text):
        kind, file, line = found.groups()
        return Permanent(
            f"{where}: its host key is not the known one, so this may be another machine.{seen}",
            hint=f"line {line} of {file} holds the {kind} key that was known. Only if that machine was really made "
            f"anew, replace the line by its new key: {_HOW}",
        )
    if found := _UNKNOWN.search(text):
        return Permanent(
            f"{where}: its host key is not known here.{seen}",
            hint=f"{_HOW}; if it is the same, add the key for {found[2]} to {known_hosts}",
        )
    return Permanent(f"{where}: its host key was revoked.{seen}", hint="ask who runs the machine for its new key")


def _not_let_in(said: Sequence[str], where: str) -> PortError:
    found = _first(_AS, said)
    user = f"`{found[2]}` at {found[1]}" if found else "us"
    offered = [f"{name} ({rest.split()[1] if len(rest.split()) > 1 else rest.strip()})" for name, rest in _offers(said)]
    keys = f"; it was offered {', '.join(offered)}" if offered else "; there was no key to offer"
    text = "\n".join(said)
    if "UNPROTECTED PRIVATE KEY FILE" in text:
        hint = "others can read the key's file, so ssh does not use it: `chmod 600` it"
    elif "Server accepts key: " in text:
        hint = "the key is the right one but has a passphrase, which nobody is asked for: `ssh-add` it to the agent"
    elif "Too many authentication failures" in text:
        hint = "the agent has too many keys; name the right one in `key:`"
    elif offered:
        hint = "add one of these keys to that user's ~/.ssh/authorized_keys on the machine, or name another in `key:`"
    else:
        hint = "name a key in `key:`, or load it into the agent; one with a passphrase works by the agent only"
    return Permanent(f"{where} does not let {user} in{keys}", hint=hint)


def _offers(said: Iterable[str]) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for line in said if (found := _OFFERED.search(line))]


def _first(pattern: re.Pattern[str], said: Iterable[str]) -> re.Match[str] | None:
    return next((found for line in said if (found := pattern.search(line))), None)


def plain(said: Iterable[str]) -> list[str]:
    """Without what is for who looks for faults in ssh."""
    return [
        line
        for line in said
        if line and not re.match(r"debug\d: |OpenSSH_|Authenticated to |Transferred: |Bytes per second: ", line)
    ]


def telling(said: Sequence[str]) -> str:
    """The line that says most."""
    lines = plain(said)
    deep = [
        line
        for line in lines
        if not re.search(
            r"UNKNOWN port|^Connection closed by|stdio forwarding failed|^kex_exchange_identification", line
        )
    ]
    return (deep or lines or ["no reason was given"])[-1].removeprefix("ssh: ")
