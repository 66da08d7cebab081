"""`environment:` of `type: ecs`, as it is written in the file. Artefact and environment read it both. Needs no boto3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from greenroom.adapters.aws.access import Access
from greenroom.adapters.settings import Env, Section, Text, read_definition
from greenroom.domain.model import Colour, Document
from greenroom.domain.template import secret_names
from greenroom.units import Seconds

_SERVICE = re.compile(r"[A-Za-z0-9_-]{1,255}")
_CONTAINER = re.compile(r"[A-Za-z0-9_-]{1,255}")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@{}-]*")
_SECRET_ARN = re.compile(r"arn:aws[a-z-]*:(secretsmanager|ssm):[a-z0-9-]+:\d{12}:\S+")


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text[:80]!r} is no {what}")
        return text

    return AfterValidator(check)


def _open(variables: dict[str, str]) -> dict[str, str]:
    for name, text in variables.items():
        if found := secret_names(text):
            raise ValueError(
                f"{name} holds ${{{found[0]}}}, which everybody could read who may read the task definition; put the "
                f"value into Secrets Manager or Parameter Store, and its ARN into `secrets`"
            )
        if "{colour}" in text:
            raise ValueError(f"{name} holds {{colour}}: a task definition is made once, for both colours")
    return variables


def _by_arn(secrets: dict[str, str]) -> dict[str, str]:
    for name, text in secrets.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{name!r} cannot be the name of a variable")
        if not secret_names(text) and not _SECRET_ARN.fullmatch(text):
            raise ValueError(
                f"{name}: write where the value is: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, or "
                f"arn:aws:ssm:REGION:ACCOUNT:parameter/NAME"
            )
    return secrets


def _words(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


ServiceName = Annotated[str, _matching(_SERVICE, "name of an ECS service: letters, digits, - and _")]
ContainerName = Annotated[str, _matching(_CONTAINER, "name of a container: letters, digits, - and _")]
Image = Annotated[str, _matching(_IMAGE, "image: write it like `registry/shop:{version}`")]
OpenEnv = Annotated[Env, AfterValidator(_open)]
ByArn = Annotated[dict[str, Text], AfterValidator(_by_arn)]
Words = Annotated[tuple[Text, ...], BeforeValidator(_words)]


class Pair(Section):
    """One ECS service for each colour: made by the infrastructure, never by Greenroom."""

    blue: ServiceName = Field(description="The ECS service that is blue.")
    green: ServiceName = Field(description="The ECS service that is green.")

    @model_validator(mode="after")
    def _two(self) -> Pair:
        if self.blue == self.green:
            raise ValueError(f"blue and green are the same service, {self.blue}; each needs one of its own")
        return self

    def of(self, colour: Colour) -> str:
        return self.blue if colour is Colour.BLUE else self.green


class ContainerSettings(Section):
    """A container beside that of `container`: an agent, a proxy."""

    image: Image = Field(description="As it is to run; not pinned by Greenroom.")
    command: Words = Field(default=(), description="Instead of the image's.")
    essential: bool = Field(default=True, description="The task ends with it.")
    env: OpenEnv = Field(default={}, description="Its variables.")
    secrets: ByArn = Field(default={}, description="Variables whose values ECS fetches, by ARN.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Where it listens.")
    cpu: int | None = Field(default=None, ge=2, description="Of the task's CPU units, for this container.")
    memory: int | None = Field(default=None, ge=6, description="MiB at most, for this container.")


class TaskSettings(Section):
    """A task definition, where there is none that could be taken as the pattern."""

    family: str = Field(
        default="", max_length=255, pattern=r"^[A-Za-z0-9_-]*$", description="Its name. Default: that of the service."
    )
    cpu: int = Field(default=256, ge=128, le=196608, description="CPU units: 1024 are one vCPU.")
    memory: int = Field(default=512, ge=128, description="MiB.")
    launch: Literal["fargate", "ec2"] = Field(default="fargate", description="What it must be able to run on.")
    architecture: Literal["x86_64", "arm64"] = Field(default="x86_64", description="What the image is built for.")
    network: Literal["awsvpc", "bridge", "host"] = Field(default="awsvpc", description="On Fargate, awsvpc.")
    role: str = Field(default="", description="The role that the application works as, by ARN or name.")
    execution_role: str = Field(
        default="", description="The role that fetches the image and the secrets, and writes the log."
    )
    command: Words = Field(default=(), description="Instead of the image's.")
    stop_timeout: Seconds = Field(default=30.0, ge=0, le=120, description="Between SIGTERM and SIGKILL.")
    log_group: str = Field(
        default="", description="The group in CloudWatch Logs that the output goes to; it must be there."
    )
    containers: dict[ContainerName, ContainerSettings] = Field(
        default={}, description="Those beside `container`, by name."
    )

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        if names := secret_names(
            {k: v for k, v in value.items() if k != "containers"} if isinstance(value, dict) else ()
        ):
            raise ValueError(f"${{{names[0]}}} is not filled in here; write it out, it is no secret")
        return value

    @model_validator(mode="after")
    def _placed(self) -> TaskSettings:
        if self.launch == "fargate" and self.network != "awsvpc":
            raise ValueError(f"on Fargate the network is awsvpc, not {self.network}")
        return self


class WorkerSettings(Section):
    services: Pair = Field(description="Its two ECS services.")
    task_definition: str = Field(
        default="", description="Family or ARN whose newest revision is the pattern. Default: as `environment` says."
    )
    container: ContainerName = Field(default="worker", description="The container whose image is replaced.")
    command: Words = Field(default=(), description="Instead of the pattern's, or the image's.")
    desired: int = Field(default=1, ge=1, le=1000, description="How many tasks, on the active colour.")


class EcsSettings(Access):
    UNFILLED: ClassVar[frozenset[str]] = frozenset({"env", "task"})
    """Here a `${NAME}` is refused, not filled in: it would stand in the task definition."""

    cluster: str = Field(
        min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_:/-]+$", description="The ECS cluster, by name or ARN."
    )
    services: Pair = Field(description="The two ECS services, each behind a target group of its own.")
    image: Image = Field(
        description="What runs, like `ACCOUNT.dkr.ecr.REGION.amazonaws.com/shop:{version}`; of ECR, pinned to its digest "
        "when the release begins."
    )
    task_definition: str = Field(
        default="",
        max_length=300,
        pattern=r"^[A-Za-z0-9_:/-]*$",
        description="Family or ARN; its newest revision is the pattern, in which the image of `container` is replaced.",
    )
    task: TaskSettings | None = Field(default=None, description="Or: what the task definition is made of.")
    container: ContainerName = Field(default="web", description="The container that gets the traffic.")
    port: int = Field(default=8080, ge=1, le=65535, description="Where it listens; given as `PORT`.")
    env: OpenEnv = Field(default={}, description="Variables, beside those of the pattern. Nothing secret.")
    secrets: ByArn = Field(
        default={}, description="Variables whose values ECS fetches when a task starts: the ARN of each."
    )
    desired: int | Literal["active"] = Field(
        default="active",
        description="How many tasks a release gets; `active`: as many as the active colour runs. While the active colour "
        "is scaled automatically, never fewer than that.",
    )
    idle: int = Field(
        default=0, ge=0, le=1000, description="How many tasks the idle colour keeps outside of a release."
    )
    workers: dict[ContainerName, WorkerSettings] = Field(
        default={},
        description="Processes that run only where the traffic is, by name: each an ECS service more for each colour.",
    )
    ready_timeout: Seconds = Field(
        default=600.0, gt=0, description="How long a start may take until its tasks are healthy."
    )

    @model_validator(mode="after")
    def _agree(self) -> EcsSettings:
        if bool(self.task_definition) == (self.task is not None):
            raise ValueError("needs `task_definition` (a pattern) or `task` (what it is made of): one of them")
        if isinstance(self.desired, int) and self.desired < max(1, self.idle):
            raise ValueError(f"`desired` is {self.desired}, less than " + ("1" if self.desired < 1 else "`idle`"))
        names = [name for colour in Colour for name in self.names(colour)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the ECS service {twice[0]} stands twice")
        if self.container in self.workers:
            raise ValueError(f"workers.{self.container} has the name of `container`")
        if len(names) > 10:
            raise ValueError("at most four workers: ECS tells of ten services at once")
        return self

    @property
    def routed(self) -> str:
        """The process that gets the traffic."""
        return self.container

    @property
    def least(self) -> int:
        return self.desired if isinstance(self.desired, int) else 1

    def names(self, colour: Colour) -> tuple[str, ...]:
        """Of this colour's services, the routed one first."""
        return (self.services.of(colour), *(worker.services.of(colour) for worker in self.workers.values()))


def of_definition(definition: Document, secrets: Mapping[str, str]) -> EcsSettings:
    """The settings that a release was made with. `Permanent` if this Greenroom cannot read them any more."""
    return read_definition(EcsSettings, definition, secrets)
