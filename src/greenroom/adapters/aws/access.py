"""Which account and region: the keys that every section on AWS has. Needs no boto3."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_ACCOUNT_DIGITS = 12


def _account(value: Any) -> Any:
    """YAML takes it for a number; one that begins with 0 would be another number then."""
    if isinstance(value, int) and len(str(value)) != _ACCOUNT_DIGITS:
        raise ValueError("an account has twelve digits; write it in quotes")
    return str(value) if isinstance(value, int) else value


class Access(BaseModel):
    """No keys: who we are comes from boto3's own chain (environment, profile, single sign-on, the machine's role)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str = Field(default="", description="Like `eu-central-1`. Default: the environment's, or the profile's.")
    account: Annotated[str, BeforeValidator(_account)] = Field(
        default="",
        pattern=r"^([0-9]{12})?$",
        description="Twelve digits, in quotes: nothing is done in another account than this.",
    )
    profile: str = Field(default="", description="Of `~/.aws/config`. Default: `AWS_PROFILE`, or none.")
    endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^/@\s]+/?)?$",
        description="Asked in the place of AWS's own address: a VPC endpoint, or a stand-in for tests.",
    )
