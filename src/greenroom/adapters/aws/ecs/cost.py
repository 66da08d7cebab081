"""What a warm colour costs, about: in a sentence for people, before they ask for it."""

from __future__ import annotations

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs.definitions import Definitions
from greenroom.adapters.aws.ecs.fargate import PRICED, estimate
from greenroom.adapters.aws.ecs.services import Service, services
from greenroom.adapters.aws.ecs.settings import EcsSettings
from greenroom.domain.model import Colour, Role
from greenroom.ports import Place


def warm(settings: EcsSettings, place: Place, seconds: float) -> str:
    """For keeping what is live now for so long beside its successor; "" where no price is known (machines of EC2, too)."""
    if seconds <= 0:
        return ""
    client = Client(settings)
    found = services(client, settings.cluster, [settings.services.of(colour) for colour in Colour])
    live = next((s for s in found.values() if s.mark.holds is Role.ACTIVE and s.mark.service == place.service), None)
    if live is None or not live.desired or not _on_fargate(live):
        return ""
    raw = Definitions(client).of(live.primary.definition).raw
    cpu, memory = str(raw.get("cpu", "")), str(raw.get("memory", ""))
    if not (cpu.isdigit() and memory.isdigit()):
        return ""
    arm = (raw.get("runtimePlatform") or {}).get("cpuArchitecture") == "ARM64"
    dollars = estimate(int(cpu), int(memory), live.desired, seconds / 3600, client.region, arm=arm)
    if dollars is None:
        return ""
    each = f"{int(cpu) / 1024:g} vCPU and {int(memory) / 1024:g} GB"
    return (
        f"about {dollars:.2f} US$ on Fargate: {live.desired} tasks of {each} for {seconds / 3600:g} h, by list prices of "
        f"{PRICED}; an estimate, not a bill"
    )


def _on_fargate(service: Service) -> bool:
    providers = [str(s.get("capacityProvider", "")) for s in service.raw.get("capacityProviderStrategy") or ()]
    return service.raw.get("launchType") == "FARGATE" or any(name.startswith("FARGATE") for name in providers)
