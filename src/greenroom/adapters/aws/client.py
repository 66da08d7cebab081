"""The one client for AWS: time-outs, no retries, and every trouble put into the three errors of a port.

tables = Client(access)
tables.read("dynamodb", "get_item", "table greenroom", TableName="greenroom", Key={…})
tables.write("dynamodb", "update_item", "table greenroom", …)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from threading import Lock
from typing import Any

from greenroom.adapters.aws.access import Access
from greenroom.errors import Permanent, UsageError

try:
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.loaders import create_loader

    from greenroom.adapters.aws import troubles
except ImportError as missing:
    raise UsageError(
        f"what is on AWS needs boto3, which cannot be imported: {missing}",
        hint="`pip install 'greenroom[aws]'`",
    ) from missing

CONNECT_WITHIN, ANSWER_WITHIN = 2.0, 5.0
"""Seconds: together less than a lease."""


@cache
def _models(where: str | None) -> Any:
    """AWS's own descriptions of its services: to read one takes longer than to ask it, so all clients share them."""
    return create_loader(where)


class Client:
    """One account and region. Safe for threads. Never waits, never retries.

    `read` and `write` name an operation as boto3 does. `about`: what it concerns, in words for people. They raise
    `Temporary`, `Permanent` (as `troubles.Refusal` with AWS's code, where AWS refused) and, of a write, `Uncertain`.
    Before the first write, and whenever `confirm` is called, the account is the one that was asked for.
    """

    def __init__(
        self, access: Access, *, connect_within: float = CONNECT_WITHIN, answer_within: float = ANSWER_WITHIN
    ) -> None:
        self._access, self._lock = access, Lock()
        self._clients: dict[str, Any] = {}
        self._account = ""
        config = Config(
            connect_timeout=connect_within,
            read_timeout=answer_within,
            retries={"total_max_attempts": 1, "mode": "standard"},
            tcp_keepalive=True,
            user_agent_extra="greenroom",
        )
        try:
            session = botocore.session.Session(profile=access.profile or None)
            session.register_component("data_loader", _models(session.get_config_variable("data_path")))
            session.set_default_client_config(config)  # for those that fetch credentials, too
            self._session = boto3.Session(botocore_session=session, region_name=access.region or None)
        except BotoCoreError as error:
            raise troubles.told(error, "AWS", "the configuration of this machine", "", wrote=False) from error
        if not self._session.region_name:
            raise Permanent("It is not said which region of AWS.", hint="Give `region:`, or set AWS_REGION.")
        self.region: str = self._session.region_name

    def read(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        """Ask something that changes nothing."""
        return self._call(service, operation, about, parameters, wrote=False)

    def pages(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Iterator[Mapping[str, Any]]:
        """Ask something that changes nothing, page after page."""
        client = self._client(service)
        try:
            for page in client.get_paginator(operation).paginate(**parameters):
                yield troubles.genuine(page)
        except troubles.RAISED as error:
            raise self._told(error, client, operation, about, wrote=False) from error

    def write(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        """Change something."""
        self.confirm()
        return self._call(service, operation, about, parameters, wrote=True)

    def confirm(self) -> None:
        """`Permanent` if this is another account than the file names; nothing if it names none."""
        wanted = self._access.account
        if wanted and self.account != wanted:
            raise Permanent(
                f"We are in the account {self.account} of AWS, and the file wants {wanted}: nothing was done.",
                hint="Use the credentials (or `profile:`) of that account, or correct `account:`.",
            )

    @property
    def account(self) -> str:
        """Whose credentials these are: its twelve digits. Asked once."""
        if not self._account:
            said = self._call("sts", "get_caller_identity", "the credentials", {}, wrote=False)
            self._account = str(said["Account"])
        return self._account

    def _call(
        self, service: str, operation: str, about: str, parameters: Mapping[str, Any], *, wrote: bool
    ) -> Mapping[str, Any]:
        client = self._client(service)
        try:
            return troubles.genuine(getattr(client, operation)(**parameters))
        except troubles.RAISED as error:
            raise self._told(error, client, operation, about, wrote=wrote) from error

    def _client(self, service: str) -> Any:
        """Sessions are not safe for threads while they make clients; what they make is."""
        with self._lock:
            if service not in self._clients:
                try:
                    endpoint = self._access.endpoint or None
                    self._clients[service] = self._session.client(service, endpoint_url=endpoint)
                except (BotoCoreError, ValueError) as error:
                    where, what = f"AWS in {self.region}", f"the address of {service}"
                    raise troubles.told(error, where, what, "", wrote=False) from error
            return self._clients[service]

    def _told(self, error: Exception, client: Any, operation: str, about: str, *, wrote: bool) -> Exception:
        model = client.meta.service_model
        action = troubles.action(model.signing_name, client.meta.method_to_api_mapping[operation])
        return troubles.told(error, f"AWS in {self.region}", about, action, wrote=wrote)
