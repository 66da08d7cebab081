"""From a definition to its adapters: the only place that makes them and hands them to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from greenroom import plugins
from greenroom.config.planning import MIRROR, PARITY
from greenroom.domain.schema import Stage
from greenroom.engine.world import Adapters, Gauge
from greenroom.errors import GreenroomError
from greenroom.ports import Check, Consuming, Environment, Migrator, Notifier, Place, Router

if TYPE_CHECKING:
    from greenroom.adapters.checks.parity import ParityCheck
    from greenroom.config.loader import Loaded, Section
    from greenroom.config.planning import Sections
    from greenroom.premises import Premises

_ASKED_WITHIN = 20.0
_OF_THE_ENVIRONMENT = ("artefact", "environment")
"""What works where the environment is; the rest works where the router is."""


def make(kind: str, section: Section, place: Place) -> Any:
    return plugins.find(kind, section.type)(section.settings, place)


def adapters(loaded: Loaded, premises: Premises) -> Adapters:
    """Everything that a release acts and looks through."""
    sections = loaded.sections
    artefact, _ = _one("artefact", sections, premises)
    environment, _ = _one("environment", sections, premises)
    router, routers = _one("router", sections, premises)
    measures = sections.router.type in plugins.known("analyser")
    place = premises.place()
    analyser = _one("analyser", sections, premises)[0] if measures else None
    checks: dict[str, Check] = {
        section.name: make("check", section, place)
        if section.type != MIRROR
        else plugins.find("check", MIRROR)(section.settings, place, analyser)
        for section in sections.checks
    }
    if len(routers) > 1:
        from greenroom.adapters.several.checks import EachWay

        mirrors = loaded.plan.mirrors
        checks = {name: check if name in mirrors else EachWay(check, routers) for name, check in checks.items()}
    migrator = migrator_of(loaded, place)
    if PARITY in loaded.plan.checks:
        checks[PARITY] = parity(environment, router, loaded)
    return Adapters(
        artefact=artefact,
        environment=environment,
        router=router,
        analyser=analyser,
        checks=checks,
        watches={section.name: make("check", section, place) for section in sections.watches},
        gates={section.name: make("gate", section, place) for section in sections.gates} | _schema(migrator, loaded),
        gauges=_gauges(loaded, place, environment),
        migrator=migrator,
        name=loaded.service,
    )


def migrator_of(loaded: Loaded, place: Place) -> Migrator | None:
    section = loaded.sections.migrator
    return None if section is None else cast("Migrator", make("migrator", section, place))


def _schema(migrator: Migrator | None, loaded: Loaded) -> dict[str, Check]:
    """By stage: what is asked of the migrator as a gate."""
    if migrator is None:
        return {}
    from greenroom.adapters.gates.schema import SchemaGate

    return {str(stage): SchemaGate(migrator, stage, loaded.service) for stage in Stage}


def _gauges(loaded: Loaded, place: Place, environment: Environment) -> Mapping[str, Gauge]:
    """By `Rule.source`: the file's sources, and the environment itself."""
    from greenroom.adapters.gauges import SourceGauge, UsageSource

    found = {}
    for number, rule in enumerate(loaded.plan.rules):
        section = loaded.sections.sources.get(number)
        if section is not None:
            found[rule.source] = SourceGauge(make("source", section, place), rule.expression)
        elif rule.source and isinstance(environment, Consuming):
            found[rule.source] = SourceGauge(UsageSource(environment), rule.expression)
    return found


def parity(environment: Environment, router: Router, loaded: Loaded) -> ParityCheck:
    """What the file of `loaded` allows to differ may."""
    from greenroom.adapters.checks.parity import ParityCheck

    return ParityCheck(environment, router, [(entry.path, entry.why) for entry in loaded.parity.allow])


def notifiers(loaded: Loaded, premises: Premises) -> tuple[Notifier, ...]:
    return tuple(make("notifier", section, premises.place()) for section in loaded.sections.notifiers)


def _places(sections: Sections, premises: Premises, kind: str) -> Mapping[str, Place]:
    """By host, where adapters of this kind work; "" alone: one place that no host is named for."""
    if kind not in _OF_THE_ENVIRONMENT:
        return {name: premises.place(name, apart=False) for name in sections.router_on or ("",)}
    apart = sections.environment_on != sections.router_on
    return {name: premises.place(name, apart=apart) for name in sections.environment_on or ("",)}


def _one(kind: str, sections: Sections, premises: Premises) -> tuple[Any, Mapping[str, Any]]:
    """The adapter that the engine knows, and those that it consists of, by host."""
    section = sections.environment if kind in _OF_THE_ENVIRONMENT else sections.router
    made = {name: make(kind, section, place) for name, place in _places(sections, premises, kind).items()}
    return made[""] if "" in made else _several(kind, made, sections), made


def _several(kind: str, made: Mapping[str, Any], sections: Sections) -> Any:
    """Several as one."""
    match kind:
        case "artefact":
            from greenroom.adapters.several.artefact import SeveralArtefacts

            return SeveralArtefacts(made)
        case "environment":
            from greenroom.adapters.several.environment import SeveralEnvironments

            return SeveralEnvironments(made)
        case "router":
            from greenroom.adapters.several.router import SeveralRouters

            return SeveralRouters(made, own=sections.environment_on == sections.router_on)
        case "analyser":
            from greenroom.adapters.several.analyser import SeveralAnalysers

            return SeveralAnalysers(made)
    raise ValueError(f"there is no {kind} on several hosts")


def prepare(loaded: Loaded, premises: Premises) -> Mapping[str, list[str]]:
    """By host ("": this machine): what people have to add to their proxy's own files. Nothing for other routers."""
    sections = loaded.sections
    found = plugins.find("router", sections.router.type)
    if not hasattr(found, "prepare"):
        return {}
    places = _places(sections, premises, "router")
    return {name: found.prepare(sections.router.settings, place) for name, place in places.items()}


# --- before anything is touched -----------------------------------------------------------------------------------


def problems(loaded: Loaded, premises: Premises) -> list[str]:
    """What is wrong with the hosts, else with the file's parts where they are to work."""
    return _unfit(loaded, premises) or _examined(loaded, premises, "problems")


def _unfit(loaded: Loaded, premises: Premises) -> list[str]:
    """Hosts that cannot be reached, or lack what Greenroom needs there."""
    if premises.here:
        return []
    from greenroom.adapters.hosts.examine import problems as lacking

    def told(name: str) -> list[str]:
        return [f"hosts.{name}: {text}" for text in lacking(premises.host(name), premises.state_on(name))]

    found = _side_by_side({name: partial(told, name) for name in loaded.sections.ground.hosts})
    return _placed(loaded, [problem for texts in found.values() for problem in texts])


def _placed(loaded: Loaded, problems: list[str]) -> list[str]:
    """With file and line, each once."""
    from greenroom.config.source import placed, read

    source = read(loaded.path) if problems else None
    return list(dict.fromkeys(placed(source, problem) for problem in problems)) if source else []


def hazards(loaded: Loaded, premises: Premises) -> list[str]:
    """Facts for which users would notice a deploy."""
    return _examined(loaded, premises, "hazards")


def _examined(loaded: Loaded, premises: Premises, what: str) -> list[str]:
    sections = loaded.sections
    calls: dict[str, Callable[[], list[str]]] = {}
    for kind, section in (("environment", sections.environment), ("router", sections.router)):
        examine = getattr(plugins.find(kind, section.type), what, None)
        if examine is not None:
            for name, place in _places(sections, premises, kind).items():
                calls[f"{kind}/{name}"] = partial(_told, kind, name, partial(examine, section.settings, place))
    listed = [("check", f"checks[{index}]", section) for index, section in enumerate(sections.checks)]
    listed += [("check", f"watch[{index}]", section) for index, section in enumerate(sections.watches)]
    listed += [("gate", f"gates[{index}]", section) for index, section in enumerate(sections.gates)]
    listed += [("source", f"analysis[{index}].source", section) for index, section in sections.sources.items()]
    listed += [("notifier", f"notify[{index}]", section) for index, section in enumerate(sections.notifiers)]
    for kind, key, section in listed:
        examine = getattr(plugins.find(kind, section.type), what, None)
        if examine is not None:
            calls[f"{key}/"] = partial(_told, key, "", partial(examine, section.settings, premises.place()))
    if what == "problems" and (migrator := migrator_of(loaded, premises.place())) is not None:
        calls["migrations/"] = partial(_told, "migrations", "", migrator.problems)
    return _placed(loaded, [problem for told in _side_by_side(calls).values() for problem in told])


def _told(kind: str, name: str, examine: Callable[[], list[str]]) -> list[str]:
    """What one class says of one place; a host that cannot be asked is a problem too."""
    try:
        told = examine()
    except GreenroomError as error:
        return [f"hosts.{name}: {error.message}{'; ' + error.hint if error.hint else ''}" if name else error.message]
    there = f" (on {name})" if name else ""
    own = (f"{kind}.", f"{kind}:", f"{kind}/")
    return [(text if text.startswith(own) else f"{kind}: {text}") + there for text in told]


def _side_by_side(calls: Mapping[str, Callable[[], list[str]]]) -> Mapping[str, list[str]]:
    from greenroom.engine.fanout import Threads

    fan = Threads(max(1, min(32, len(calls))))
    try:
        for name, call in calls.items():
            fan.begin(name, call, 0)
        answers = fan.collect(list(calls), _ASKED_WITHIN)
    finally:
        fan.close()
    late = {
        name: [f"{name.split('/')[0]}: no answer within {_ASKED_WITHIN:g} s"] for name in calls.keys() - answers.keys()
    }
    found: dict[str, list[str]] = {}
    for name in calls:
        if name in late:
            found[name] = late[name]
            continue
        result = answers[name]
        if result.error is not None:
            raise result.error
        found[name] = result.value
    return found
