"""What boto3's errors mean, said once: did it not happen, will it never, or may it have?"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from greenroom.errors import Permanent, PortError, Temporary, Uncertain

RAISED = (boto.BotoCoreError, boto.ClientError, ResponseParserError)
"""All that boto3 raises when something is asked."""

_THROTTLED = {
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "NotAuthorized",
    "UnauthorizedAccess",
    "UnauthorizedOperation",
}
_UNKNOWN_TO_AWS = {
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_SKEWED = {"RequestTimeTooSkewed"}
_NOT_DONE = {"ServiceUnavailable", "ServiceUnavailableException"}
"""5xx that are said before anything is done."""

_NEVER_SENT = (
    boto.ConnectTimeoutError,
    boto.EndpointConnectionError,
    boto.ProxyConnectionError,
    boto.SSLError,
)
_LATER = (boto.CredentialRetrievalError, boto.MetadataRetrievalError)
_NOBODY = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.ProfileNotFound,
    boto.ConfigParseError,
)
_SENT = (boto.HTTPClientError, ResponseParserError, boto.IncompleteReadError)

_SAID = re.compile(r"(?:User: (?P<who>\S+) is )?not authorized to perform:? (?P<action>[\w-]+:\w+)")
_ON = re.compile(r"on resource: (?P<what>[^\s,]+)")
_BECAUSE = re.compile(r"because (?P<why>.+)$")

THROTTLED_FOR = 2.0
"""Seconds to leave AWS alone, where it does not say how long."""


class Refusal(Permanent):
    """AWS has said no. `code`: its word for why; `answer`: all that it said."""

    def __init__(self, message: str, *, code: str, answer: Mapping[str, Any], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code, self.answer = code, answer


def genuine(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """boto3 takes a page of some proxy for an answer that says nothing; all of AWS's have a number."""
    if "RequestId" not in answer["ResponseMetadata"]:
        raise ResponseParserError("what answers there is not AWS")
    return answer


def action(signing_name: str, operation: str) -> str:
    """As policies name it."""
    prefix = {"monitoring": "cloudwatch"}.get(signing_name, signing_name)
    return f"{prefix}:{operation}"


def told(error: Exception, where: str, about: str, action: str, *, wrote: bool) -> PortError:
    """`action`: what was asked, as policies name it; `about`: on what. `wrote`: it was to change something."""
    doing = " on ".join(part for part in (action, about) if part)
    match error:
        case boto.ClientError():
            return _answered(error, where, about, action, wrote=wrote)
        case _ if isinstance(error, _NEVER_SENT):
            return Temporary(
                f"{where} cannot be reached for {doing}: {_line(error)}.",
                hint="See that this machine reaches it, and that there is a region of this name.",
            )
        case _ if isinstance(error, _LATER):
            return Temporary(f"The credentials for {where} cannot be fetched: {_line(error)}.", hint=_WHO)
        case _ if isinstance(error, _NOBODY):
            return Permanent(f"There are no credentials for {where}: {_line(error)}.", hint=_WHO)
        case _ if isinstance(error, _SENT) and wrote:
            return Uncertain(f"{where} did not answer {doing}: {_line(error)}.", hint="It may have been done.")
        case _ if isinstance(error, _SENT):
            return Temporary(f"{where} did not answer {doing}: {_line(error)}.")
        case _:
            return Permanent(f"{where} cannot be asked for {doing}: {_line(error)}.")


_WHO = "`aws sts get-caller-identity` shows who you are; set AWS_PROFILE, `profile:`, or give this machine a role."


def _answered(error: boto.ClientError, where: str, about: str, action: str, *, wrote: bool) -> PortError:
    said = error.response.get("Error", {})
    code, text = str(said.get("Code", "")), str(said.get("Message") or "").strip().rstrip(".")
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    doing = " on ".join(part for part in (action, about) if part)
    if code in _THROTTLED or status == 429:
        return Temporary(
            f"{where} throttles {doing} ({code}).",
            retry_after=_pause(error.response),
            hint="Others in this account ask too much of it; it is tried again.",
        )
    if status >= 500:
        if wrote and code not in _NOT_DONE:
            return Uncertain(f"{where} failed at {doing}: {code} {text}.", hint="It may have been done.")
        return Temporary(f"{where} failed at {doing}: {code} {text}.", retry_after=_pause(error.response))

    def refusal(message: str, hint: str) -> Refusal:
        return Refusal(message, code=code, answer=error.response, hint=hint)

    if code in _DENIED:
        return refusal(*_denied(text, where, about, action))
    if code in _EXPIRED:
        return refusal(f"The credentials for {where} have expired.", f"Sign in again. {_WHO}")
    if code in _SKEWED or "Signature expired" in text or "Signature not yet current" in text:
        return refusal(f"{where} refuses us: this machine's clock is wrong: {text}.", "Set the clock (NTP).")
    if code in _UNKNOWN_TO_AWS:
        return refusal(f"{where} does not know who we are ({code}): {text}.", _WHO)
    return refusal(f"{where} refuses {doing}: {code}: {text}.", "")


def _denied(text: str, where: str, about: str, action: str) -> tuple[str, str]:
    """Which action on which resource: AWS's own words where it has some, else ours."""
    found, on, because = _SAID.search(text), _ON.search(text), _BECAUSE.search(text)
    action = found["action"] if found else action
    what = on["what"] if on else about or "what it concerns"
    who = (found["who"] if found else "") or "who we are there"
    why = f" ({because['why']})" if because else ""
    return f"{where} denies {action} on {what} to {who}{why}.", f"Allow {action} on {what} in its policy."


def _pause(answer: Mapping[str, Any]) -> float:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    with contextlib.suppress(ValueError):
        return min(60.0, max(0.1, float(headers.get("retry-after", ""))))
    return THROTTLED_FOR


def _line(error: Exception) -> str:
    """On one line; botocore's texts hold addresses and names, no secrets."""
    return " ".join(str(error).split()).rstrip(".")
