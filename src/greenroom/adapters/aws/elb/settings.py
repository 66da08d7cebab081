"""The keys of `router: {type: alb, ...}`. Needs no boto3."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from greenroom.adapters.aws.access import Access
from greenroom.adapters.listening import Section
from greenroom.units import Seconds

_ARN = r"arn:aws[a-z-]*:elasticloadbalancing:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):"
_LISTENER = re.compile(_ARN + r"listener/(?P<kind>app|net|gwy)/[^/\s]+/[0-9a-f]+/[0-9a-f]+")
_RULE = re.compile(_ARN + r"listener-rule/(?P<kind>app)/[^/\s]+/[0-9a-f]+/[0-9a-f]+/[0-9a-z]+")
_GROUP = re.compile(_ARN + r"targetgroup/(?P<name>[^/\s]+)/[0-9a-f]+")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")

LONGEST_STICKINESS = 604_800.0
MOST = 10
"""Listeners and rules that are told together; two dozen resources may be named in one request."""


def _is_listener(value: str) -> str:
    match = _LISTENER.fullmatch(value)
    if match is None:
        hint = "; this is a rule: give it in `rules`" if _RULE.fullmatch(value) else ""
        raise ValueError(f"{value!r} is no ARN of a listener, like arn:aws:elasticloadbalancing:…:listener/app/…{hint}")
    if match["kind"] != "app":
        raise ValueError(
            f"{value!r} is a listener of a Network or Gateway Load Balancer: it moves connections and no requests, and "
            "cannot be told to send them nowhere; give a listener of an Application Load Balancer, or use `route53`"
        )
    return value


def _is_rule(value: str) -> str:
    if not _RULE.fullmatch(value):
        hint = "; this is a listener: give it in `listeners`" if _LISTENER.fullmatch(value) else ""
        raise ValueError(
            f"{value!r} is no ARN of a listener's rule, like arn:aws:elasticloadbalancing:…:listener-rule/app/…{hint}"
        )
    return value


def _is_group(value: str) -> str:
    if not (_NAME.fullmatch(value) or _GROUP.fullmatch(value)):
        raise ValueError(f"{value!r} is neither a target group's name nor its ARN")
    return value


def _listed(value: Any) -> Any:
    """One is a list of one."""
    return [value] if isinstance(value, str) else value


ListenerArn = Annotated[str, AfterValidator(_is_listener)]
RuleArn = Annotated[str, AfterValidator(_is_rule)]
GroupName = Annotated[str, AfterValidator(_is_group)]


class Groups(Section):
    """Each by name or ARN."""

    blue: GroupName = Field(description="The target group in which blue's targets are registered.")
    green: GroupName = Field(description="The target group in which green's targets are registered.")

    @model_validator(mode="after")
    def _two(self) -> Groups:
        if name_of(self.blue) == name_of(self.green):
            raise ValueError(f"blue and green have the same group {name_of(self.blue)}: nothing could be switched")
        return self


class TestRoute(Section):
    """How the idle environment is reached: one of the two."""

    __test__ = False

    listener: ListenerArn | None = Field(
        default=None, description="A listener of its own; its default action belongs to Greenroom."
    )
    rule: RuleArn | None = Field(
        default=None, description="A rule for a header or a host name; its action belongs to Greenroom."
    )
    url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$",
        description="How it is asked from here. Default: of a listener, the load balancer's DNS name and the listener's "
        "port; of a rule, `router.url`.",
    )

    @model_validator(mode="after")
    def _one(self) -> TestRoute:
        if bool(self.listener) == bool(self.rule):
            raise ValueError("give either listener or rule")
        return self


class Observe(Section):
    """How an answer tells which colour gave it. The value is a colour (what the application gets as GREENROOM_COLOUR) or a
    version (GREENROOM_VERSION)."""

    header: str = Field(default="", description="A header of the answer that holds colour or version.")
    path: str = Field(default="/", pattern=r"^/[^\s#]*$", description="What is asked for.")
    json_field: str = Field(
        default="", alias="json", description="Where colour or version stands in a JSON answer, like `app.version`."
    )
    regex: str = Field(
        default="", description="Finds colour or version in the answer's text: its first group, or all that it matches."
    )
    requests: int = Field(
        default=2, ge=1, le=10, description="How often each address of the load balancer is asked at a look."
    )
    verify: bool = Field(default=True, description="Whether the certificate of an HTTPS listener must be right.")

    @field_validator("header")
    @classmethod
    def _is_header(cls, value: str) -> str:
        if value and not _HEADER.fullmatch(value):
            raise ValueError(f"{value!r} is no name of a header: write it like x-greenroom-colour")
        return value.lower()

    @field_validator("regex")
    @classmethod
    def _is_regex(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _one(self) -> Observe:
        if sum(map(bool, (self.header, self.json_field, self.regex))) != 1:
            raise ValueError("give one of header, json, regex: where colour or version stands in the answer")
        return self


class AlbSettings(Access):
    """An Application Load Balancer that exists already: Greenroom changes where its listeners or rules forward to."""

    type: Literal["alb"] = "alb"
    listeners: Annotated[tuple[ListenerArn, ...], BeforeValidator(_listed)] = Field(
        default=(),
        max_length=MOST,
        description="ARNs of the listeners whose default action forwards users to the groups: one, or several that move "
        "together (HTTP and HTTPS).",
    )
    rules: Annotated[tuple[RuleArn, ...], BeforeValidator(_listed)] = Field(
        default=(), max_length=MOST, description="ARNs of rules that forward users to the groups; needs `url`."
    )
    target_groups: Groups = Field(description="The two target groups.")
    stickiness: Seconds | None = Field(
        default=None,
        ge=1,
        le=LONGEST_STICKINESS,
        description="Keep a client on its group for so long while both colours have a share, by the load balancer's cookie. "
        "With all traffic on one colour it is switched off, so a rollback takes everybody.",
    )
    test_route: TestRoute | None = Field(default=None, description="How the idle environment is reached.")
    drain: Seconds = Field(
        default=30.0, ge=0, description="How long requests on the old colour may take after the switch."
    )
    url: str = Field(
        default="",
        description="How the public route is asked from here. Default: the load balancer's DNS name with the first "
        "listener's port; for HTTPS that name does not fit the certificate, so give the site's.",
    )
    observe: Observe | None = Field(
        default=None,
        description="How a request through the listeners tells which colour answered. Without it, what is live is taken "
        "from AWS's answer and the targets' health once `settle` has passed.",
    )
    settle: Seconds = Field(
        default=10.0,
        ge=0,
        le=50,
        description="How long the load balancer may take until it does what it was told, where requests cannot show it.",
    )

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not _URL.fullmatch(value):
            raise ValueError(f"{value!r} is no address of a site: write it like https://shop.example")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _is_complete(self) -> AlbSettings:
        if not self.public:
            raise ValueError("give `listeners` or `rules`: what shall forward users to the groups")
        if self.rules and not self.url:
            raise ValueError("`rules` needs `url`: an address for which one of the rules is meant")
        seen = [*self.public, *([self.test] if self.test else [])]
        for arn in seen:
            if seen.count(arn) > 1:
                raise ValueError(f"{arn} is given twice")
        for arn in [*seen, *(g for g in (self.target_groups.blue, self.target_groups.green) if ":" in g)]:
            self._agrees(arn)
        return self

    def _agrees(self, arn: str) -> None:
        """With `region` and `account`."""
        _, _, _, region, account, _ = arn.split(":", 5)
        if self.region and region != self.region:
            raise ValueError(f"{arn} is in {region}, but `region` is {self.region}")
        if self.account and account != self.account:
            raise ValueError(f"{arn} is in the account {account}, but `account` is {self.account}")

    @property
    def public(self) -> tuple[str, ...]:
        """All that sends users somewhere, in the order in which it is told."""
        return (*self.listeners, *self.rules)

    @property
    def test(self) -> str:
        """The ARN of the test route's listener or rule; "" without one."""
        return (self.test_route.listener or self.test_route.rule or "") if self.test_route else ""


def name_of(group: str) -> str:
    """Of a name or an ARN."""
    match = _GROUP.fullmatch(group)
    return match["name"] if match else group


def is_rule(arn: str) -> bool:
    return ":listener-rule/" in arn
