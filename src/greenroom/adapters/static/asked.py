"""Who is asked on AWS. Needs no boto3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Asked(Protocol):
    """`aws.client.Client`, as far as it is needed here."""

    def read(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]: ...
    def write(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]: ...
