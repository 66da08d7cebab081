"""Terraform with the AWS provider of this machine, and moto for the account that it works in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.aws_front import Front

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra" / "terraform"
_PROVIDER = "hashicorp/aws/*/*/terraform-provider-aws*"
_IMPLIED = (
    Path.home() / ".terraform.d" / "plugins",
    Path.home() / ".local" / "share" / "terraform" / "plugins",
    Path("/usr/local/share/terraform/plugins"),
    Path("/usr/share/terraform/plugins"),
)


def plugins() -> Path | None:
    """The folder that has the AWS provider: `TF_PLUGIN_DIR`, where Terraform itself looks, or one below /opt."""
    named = os.environ.get("TF_PLUGIN_DIR", "")
    places = [Path(named)] if named else [*_IMPLIED, *sorted(Path("/opt").glob("*"))]
    return next((place for place in places if any(place.glob(f"*/{_PROVIDER}"))), None)


def need_terraform() -> str:
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("terraform is not installed")
    return found


def need_provider() -> Path:
    need_terraform()
    found = plugins()
    if found is None:
        pytest.skip("terraform's AWS provider is not on this machine")
    return found


@dataclass
class Terraform:
    """Commands in a folder. Nothing of whoever runs the tests is used, and nothing is fetched."""

    folder: Path
    url: str = "http://127.0.0.1:9"
    values: Mapping[str, Any] = field(default_factory=dict)

    def run(self, *words: str, expect: Sequence[int] = (0,), within: float = 400) -> str:
        """What it printed. Fails the test on another exit code."""
        program = need_terraform()
        done = subprocess.run(
            [program, *words],
            cwd=self.folder,
            env=self._env(),
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode in expect, f"terraform {' '.join(words)} ended with {done.returncode}:\n{said[-6000:]}"
        return said

    def init(self) -> None:
        self.run("init", "-input=false", "-no-color", f"-plugin-dir={need_provider()}")

    def apply(self, **more: Any) -> None:
        self._say(more)
        self.run("apply", "-auto-approve", "-input=false", "-no-color")

    def plan(self, **more: Any) -> str:
        """What it would do, in its own words; "" for nothing."""
        self._say(more)
        said = self.run("plan", "-input=false", "-no-color", "-detailed-exitcode", expect=(0, 2))
        return "" if "No changes." in said else said.partition("perform the following actions:")[2]

    def output(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("output", "-json"))
        return {name: entry["value"] for name, entry in found.items()}

    def _say(self, more: Mapping[str, Any]) -> None:
        (self.folder / "terraform.tfvars.json").write_text(json.dumps({**self.values, **more}))

    def _env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        nobody = self.folder / "nobody"
        nobody.touch()
        return kept | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(nobody),
            "AWS_SHARED_CREDENTIALS_FILE": str(nobody),
            "AWS_ENDPOINT_URL": self.url,
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(nobody),
            "TF_IN_AUTOMATION": "1",
        }


def copied(to: Path) -> Path:
    """`infra/terraform` elsewhere, so that nothing is written into the repository."""
    shutil.copytree(INFRA, to, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    return to


class Complete(Front):
    """A front that answers what the provider asks beside what moto knows.

    In an account of its own: all of moto's servers in a process have the same memory.
    """

    account = "210987654321"

    def _forwarded(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        request.headers["x-moto-account-id"] = self.account
        target = request.headers.get("X-Amz-Target", "")
        if target == "AnyScaleFrontendService.ListTagsForResource":
            return 200, b'{"Tags": {}}'
        status, said = super()._forwarded(request, body)
        if target.endswith(".DescribeServices") and status == 200:
            document = json.loads(said)
            for service in document["services"]:
                service.setdefault("availabilityZoneRebalancing", "DISABLED")
            said = json.dumps(document).encode()
        return status, said


def complete(upstream: tuple[str, int]) -> Iterator[Complete]:
    front = Complete(upstream, None)
    try:
        yield front
    finally:
        front.close()
