"""From a file to a `Loaded`: everything that a command needs to know, checked before anything is touched.

Every problem is told at once, each as `greenroom.yaml:12: router.listen: what is wrong; the way out`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from greenroom import plugins
from greenroom.config import explain, grounds, naming, proving
from greenroom.config.analysis import LATENCY
from greenroom.config.nodes import Keys, dotted
from greenroom.config.planning import NOT_ROUTED, PARITY, Ground, Section, Sections, plan_of
from greenroom.config.schema import NOT_BUILT, File, Parity
from greenroom.config.source import Source, read, service_of, show_path, state_of
from greenroom.domain.plan import Plan
from greenroom.domain.template import conceal, reveal, secret_names
from greenroom.errors import UsageError
from greenroom.ports import Capability

_AT_MOST = 20
_SHARED = {
    "environment": ("type", "hosts"),
    "router": ("type", "hosts"),
    "gate": ("type", "when", "on_failure"),
}
"""Keys of a section that are Greenroom's own, not its adapter's."""
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A definition that is good. `document`: as written, `${NAME}` unfilled. `secrets`: the values of all of those."""

    service: str
    path: Path
    state: Path
    document: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    plan: Plan
    sections: Sections
    parity: Parity


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """The file, with `${NAME}` from `environ`. `UsageError` with everything that is wrong with it."""
    source = read(path)
    names = secret_names(source.document)
    return _Loading(source, {name: environ[name] for name in names if name in environ}).loaded()


def load_ground(source: Source, environ: Mapping[str, str]) -> Ground:
    """Only where the service lives, for commands that need no more: the rest of the file may be broken."""
    names = secret_names([source.document.get(key) for key in ("hosts", "journal")])
    loading = _Loading(source, {name: environ[name] for name in names if name in environ})
    loading.missing = {name: "" for name in names if name not in environ}
    for key in ("hosts", "journal"):
        loading.variables(source.document.get(key), (key,))
    ground = grounds.ground(loading)
    if loading.problems or ground is None:
        raise loading.refusal()
    return ground


def from_document(document: Mapping[str, Any], secrets: Mapping[str, str], path: Path) -> Loaded:
    """A definition that was pinned when its release began; `path` is where its file was.

    What `greenroom adopt` took over stands in it too, as `adopt`: that is no key of the file.
    """
    written = {key: value for key, value in document.items() if key != "adopt"}
    return _Loading(Source(path, written), dict(secrets)).loaded()


class _Loading:
    def __init__(self, source: Source, secrets: Mapping[str, str]) -> None:
        self.source = source
        self.secrets = secrets
        self.missing = {name: "" for name in secret_names(source.document) if name not in secrets}
        self.problems: list[tuple[int, str]] = []

    def loaded(self) -> Loaded:
        self.variables(self.source.document, ())
        service, state = self.named()
        file = self.file()
        sections = self.sections()
        if file and sections:
            self.agree(file, sections)
        if self.problems or not file or not sections:
            raise self.refusal()
        path, document = self.source.path, self.source.document
        plan = plan_of(file, sections)
        return Loaded(service, path, state, document, self.secrets, plan, sections, file.parity)

    def refusal(self) -> UsageError:
        lines = list(dict.fromkeys(text for _, text in sorted(self.problems, key=lambda problem: problem[0])))
        if len(lines) > _AT_MOST:
            lines = [*lines[:_AT_MOST], f"{show_path(self.source.path)}: and {len(lines) - _AT_MOST} more problems"]
        return UsageError("\n".join(lines))

    def wrong(self, keys: Keys, text: str) -> None:
        """Nothing is said of a value that a missing variable would have filled."""
        if not self.missing.keys() & set(secret_names(explain.value_at(self.source.document, keys))):
            self.problems.append((self.source.line(keys), f"{self.source.place(keys)}: {text}"))

    def variables(self, value: Any, keys: Keys) -> None:
        """Say where the variables stand that are not set."""
        if isinstance(value, Mapping):
            for key, item in value.items():
                self.variables(item, (*keys, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.variables(item, (*keys, index))
        else:
            for name in secret_names(value):
                if name in self.missing:
                    text = f"${{{name}}} is not set in the environment; `export {name}=…` before the command"
                    self.problems.append((self.source.line(keys), f"{self.source.place(keys)}: {text}"))

    def named(self) -> tuple[str, Path]:
        service, state = "", self.source.path
        try:
            service = service_of(self.source)
        except UsageError as error:
            self.problems.append((self.source.line(("service",)), error.message))
        try:
            state = state_of(self.source)
        except UsageError as error:
            self.problems.append((self.source.line(("state_dir",)), error.message))
        return service, state

    def file(self) -> File | None:
        """The keys of the first level. A key without a value counts as left out."""
        written = {key: value for key, value in self.source.document.items() if value is not None}
        written.setdefault("service", "")  # told already, by `named`
        for key in sorted(NOT_BUILT["key"] & written.keys()):
            self.wrong((key,), "is not built yet; take it out of the file for now")
            del written[key]
        return self.validated(File, reveal(written, {**self.missing, **self.secrets}), written, ())

    def validated(self, model: type[_Model], value: Any, raw: Any, keys: Keys) -> _Model | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for below, text in explain.problems(error, model, raw, self.secrets):
                self.wrong((*keys, *below), text)
        except Exception as error:  # a plug-in's own validator may do anything
            self.wrong(
                keys, f"its settings cannot be read: {type(error).__name__}: {conceal(str(error), self.secrets)}"
            )
        return None

    def sections(self) -> Sections | None:
        document = self.source.document
        ground = grounds.ground(self)
        environment = self.section("environment", document.get("environment"), ("environment",), "process")
        router = self.section("router", document.get("router") or {}, ("router",), "envoy")
        checks = self.entries("check", "checks")
        watches = self.entries("check", "watch")
        notifiers = self.entries("notifier", "notify")
        gates = proving.gates(self)
        sources = proving.sources(self)
        written = document.get("migrations")
        migrator = self.section("migrator", written, ("migrations",), "sql") if written is not None else None
        if environment is None or router is None or ground is None:
            return None
        environment_on = grounds.places(self, "environment", environment, ground)
        router_on = grounds.places(self, "router", router, ground)
        placed = (ground, environment, router, environment_on, router_on)
        return Sections(*placed, checks, watches, notifiers, gates, sources, migrator)

    def entries(self, kind: str, key: str) -> tuple[Section, ...]:
        """A list of sections; each gets a name of its own."""
        found: list[Section] = []
        taken: dict[str, Keys] = {PARITY: ("parity",)} if key == "checks" else {}
        written = self.source.document.get(key)
        for index, raw in enumerate(written if isinstance(written, list) else ()):
            keys = (key, index)
            section = self.section(kind, raw, keys, "http" if key == "watch" else "", watch=key == "watch")
            if section is None:
                continue
            name = self.name(raw, section.type, key, keys, taken)
            taken[name] = keys
            settings = section.settings
            if "name" in type(settings).model_fields:
                settings = settings.model_copy(update={"name": name})
            found.append(Section(section.type, name, settings))
        return tuple(found)

    def section(self, kind: str, raw: Any, keys: Keys, default: str, *, watch: bool = False) -> Section | None:
        if not isinstance(raw, Mapping):
            return None  # told already, by `file`
        name = raw.get("type", default)
        if not name:
            self.wrong((*keys, "type"), f"is missing; known: {', '.join(plugins.known(kind))}")
            return None
        found = self.adapter(kind, name, (*keys, "type"))
        model = getattr(found, "WatchSettings" if watch else "Settings", None) if found else None
        if model is None:
            if found:
                only = f"`{name}` can only watch: write it under `watch:`"
                plain = only if hasattr(found, "WatchSettings") else f"`{name}` has no settings"
                self.wrong((*keys, "type"), f"`{name}` cannot watch" if watch else plain)
            return None
        shared = _SHARED.get(kind, ("type",))
        rest = {key: value for key, value in raw.items() if key not in shared}
        unfilled: frozenset[str] = getattr(model, "UNFILLED", frozenset())
        values = {**self.missing, **self.secrets}
        filled = {key: value if key in unfilled else reveal(value, values) for key, value in rest.items()}
        settings = self.validated(model, filled, rest, keys)
        return None if settings is None else Section(name, "", settings)

    def adapter(self, kind: str, name: Any, keys: Keys) -> type[Any] | None:
        if not isinstance(name, str):
            self.wrong(keys, f"should be one of {', '.join(plugins.known(kind))}")
        elif name in plugins.known(kind):
            try:
                return plugins.find(kind, name)
            except UsageError as error:
                self.wrong(keys, error.message + (f"; {error.hint}" if error.hint else ""))
        elif name in NOT_BUILT.get(kind, ()):
            self.wrong(keys, f"`{name}` is not built yet; there is: {', '.join(plugins.known(kind))}")
        else:
            self.wrong(keys, plugins.unknown(kind, name[:60]))
        return None

    def name(self, raw: Mapping[str, Any], type: str, key: str, keys: Keys, taken: Mapping[str, Keys]) -> str:
        """As written, or made from what is asked; from the file as written, so that it holds no secret."""
        written = raw.get("name")
        if isinstance(written, str) and written:
            if len(written) > 80 or not written.isprintable():
                self.wrong((*keys, "name"), "a name is one line of at most 80 characters")
            if written in taken:
                other = dotted(taken[written])
                self.wrong((*keys, "name"), f"`{written[:80]}` is the name of {other} already; give it another")
            return written
        return naming.unique(naming.made(raw, type, key), taken)

    def agree(self, file: File, sections: Sections) -> None:
        """What concerns several sections."""
        able = self.capabilities(sections.router.type)
        router = f"the router `{sections.router.type}`"
        proving.agree(self, file, sections, able, router)
        if able is not None and len(file.shift) > 1 and Capability.WEIGHTS not in able:
            self.wrong(("shift",), f"{router} can only switch all traffic at once; leave `shift` out")
        if able is not None and file.analysis and Capability.MEASUREMENTS not in able:
            self.wrong(("analysis",), f"{router} counts no requests, so nothing can be analysed; leave it out")
        for index, rule in enumerate(file.analysis or ()):
            if able is not None and rule.metric in LATENCY and Capability.LATENCY not in able:
                self.wrong(("analysis", index, "metric"), f"{router} does not measure latency")
        for name in sections.environment_on if sections.environment_on != sections.router_on else ():
            if not getattr(sections.ground.hosts[name].settings, "address", ""):
                text = "is needed: the router is on another machine; write the address at which it reaches this one"
                self.wrong(("hosts", name, "address"), text)
        if getattr(sections.environment.settings, "routed", "") is None:
            self.wrong(("environment", "processes"), NOT_ROUTED)

    def capabilities(self, type: str) -> frozenset[Capability] | None:
        """Of the router and of the analyser that reads it; None if they do not say."""
        able = getattr(plugins.find("router", type), "capabilities", None)
        if able is None:
            return None
        analyser = plugins.find("analyser", type) if type in plugins.known("analyser") else None
        return frozenset(able) | frozenset(getattr(analyser, "capabilities", ()))


__all__: Sequence[str] = ("Ground", "Loaded", "Section", "Sections", "from_document", "load", "load_ground")
