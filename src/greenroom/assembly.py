"""From a definition to its adapters: the only place that makes them and hands them to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from greenroom import plugins
from greenroom.config.planning import PARITY
from greenroom.engine.world import Adapters
from greenroom.errors import GreenroomError
from greenroom.ports import Analyser, Artefact, Check, Environment, Notifier, Place, Router

if TYPE_CHECKING:
    from greenroom.adapters.checks.parity import ParityCheck
    from greenroom.config.loader import Loaded, Section
    from greenroom.config.planning import Sections
    from greenroom.premises import Premises

_ASKED_WITHIN = 20.0


def make(kind: str, section: Section, place: Place) -> Any:
    return plugins.find(kind, section.type)(section.settings, place)


def adapters(loaded: Loaded, premises: Premises) -> Adapters:
    """Everything that a release acts and looks through."""
    sections = loaded.sections
    router, routers = _router(sections, premises)
    environment = _environment(sections, premises)
    place = premises.place()
    checks: dict[str, Check] = {section.name: make("check", section, place) for section in sections.checks}
    if len(routers) > 1:
        from greenroom.adapters.several.checks import EachWay

        checks = {name: EachWay(check, routers) for name, check in checks.items()}
    if PARITY in loaded.plan.checks:
        checks[PARITY] = parity(environment, router, loaded)
    return Adapters(
        artefact=_artefact(sections, premises),
        environment=environment,
        router=router,
        analyser=_analyser(sections, premises),
        checks=checks,
        watches={section.name: make("check", section, place) for section in sections.watches},
    )


def parity(environment: Environment, router: Router, loaded: Loaded) -> ParityCheck:
    """What the file of `loaded` allows to differ may."""
    from greenroom.adapters.checks.parity import ParityCheck

    return ParityCheck(environment, router, [(entry.path, entry.why) for entry in loaded.parity.allow])


def notifiers(loaded: Loaded, premises: Premises) -> tuple[Notifier, ...]:
    return tuple(make("notifier", section, premises.place()) for section in loaded.sections.notifiers)


def _places(
    sections: Sections, premises: Premises, names: tuple[str, ...], *, environment: bool
) -> Mapping[str, Place]:
    apart = environment and sections.environment_on != sections.router_on
    return {name: premises.place(name, apart=apart) for name in names or ("",)}


def _artefact(sections: Sections, premises: Premises) -> Artefact:
    places = _places(sections, premises, sections.environment_on, environment=True)
    made: dict[str, Artefact] = {name: make("artefact", sections.environment, at) for name, at in places.items()}
    if "" in made:
        return made[""]
    from greenroom.adapters.several.artefact import SeveralArtefacts

    return SeveralArtefacts(made)


def _environment(sections: Sections, premises: Premises) -> Environment:
    places = _places(sections, premises, sections.environment_on, environment=True)
    made: dict[str, Environment] = {name: make("environment", sections.environment, at) for name, at in places.items()}
    if "" in made:
        return made[""]
    from greenroom.adapters.several.environment import SeveralEnvironments

    return SeveralEnvironments(made)


def _router(sections: Sections, premises: Premises) -> tuple[Router, Mapping[str, Router]]:
    """The one that the engine knows, and those that it consists of."""
    places = _places(sections, premises, sections.router_on, environment=False)
    made: dict[str, Router] = {name: make("router", sections.router, at) for name, at in places.items()}
    if "" in made:
        return made[""], made
    from greenroom.adapters.several.router import SeveralRouters

    return SeveralRouters(made, own=sections.environment_on == sections.router_on), made


def _analyser(sections: Sections, premises: Premises) -> Analyser | None:
    if sections.router.type not in plugins.known("analyser"):
        return None
    places = _places(sections, premises, sections.router_on, environment=False)
    made: dict[str, Analyser] = {name: make("analyser", sections.router, at) for name, at in places.items()}
    if "" in made:
        return made[""]
    from greenroom.adapters.several.analyser import SeveralAnalysers

    return SeveralAnalysers(made)


def prepare(loaded: Loaded, premises: Premises) -> Mapping[str, list[str]]:
    """By host ("": this machine): what people have to add to their proxy's own files. Nothing for other routers."""
    sections = loaded.sections
    found = plugins.find("router", sections.router.type)
    if not hasattr(found, "prepare"):
        return {}
    places = _places(sections, premises, sections.router_on, environment=False)
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
    for kind, section, names in (
        ("environment", sections.environment, sections.environment_on),
        ("router", sections.router, sections.router_on),
    ):
        examine = getattr(plugins.find(kind, section.type), what, None)
        if examine is not None:
            for name, place in _places(sections, premises, names, environment=kind == "environment").items():
                calls[f"{kind}/{name}"] = partial(_told, kind, name, partial(examine, section.settings, place))
    return _placed(loaded, [problem for told in _side_by_side(calls).values() for problem in told])


def _told(kind: str, name: str, examine: Callable[[], list[str]]) -> list[str]:
    """What one class says of one place; a host that cannot be asked is a problem too."""
    try:
        told = examine()
    except GreenroomError as error:
        return [f"hosts.{name}: {error.message}{'; ' + error.hint if error.hint else ''}" if name else error.message]
    there = f" (on {name})" if name else ""
    return [(text if text.startswith(f"{kind}.") else f"{kind}: {text}") + there for text in told]


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
