"""What `init --platform ecs` writes: the service's file, what Terraform is to apply, the workflow."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from greenroom.config.starter import Found
from greenroom.errors import UsageError

REGION, ACCOUNT = "eu-central-1", "123456789012"
"""What the files say until somebody corrects it; the region also if the environment names none."""

LONGEST = 20
"""Of a service's name: load balancers and target groups are named after it."""


def starter(found: Found, region: str) -> str:
    """The service's file: it loads as it stands."""
    return _YAML.format(**_words(found, region))


def infrastructure(found: Found, region: str) -> dict[Path, str]:
    """By path, beside the service's file: what Terraform is to apply, and the module that it calls."""
    module = files("greenroom").joinpath("terraform")
    parts = [part for part in module.iterdir() if part.name.endswith((".tf", ".json"))]
    if not parts:
        raise UsageError("this installation of Greenroom lacks its Terraform module", hint="install it anew")
    copied = {Path("infra", "greenroom", part.name): part.read_text(encoding="utf-8") for part in parts}
    return {Path("infra", "main.tf"): _MAIN.format(**_words(found, region)), **dict(sorted(copied.items()))}


def workflow(found: Found, region: str, deploy: str) -> str:
    """For GitHub Actions: build, push and release, with a role of the account and no key. `deploy`: the command."""
    return _GITHUB.format(deploy=deploy, **_words(found, region))


def _words(found: Found, region: str) -> dict[str, str | int]:
    name = found.service[:LONGEST].strip("-")
    name = name if name[:1].isalpha() else f"s-{name}"[:LONGEST].strip("-")
    return {
        "service": found.service,
        "name": name,
        "kind": found.kind,
        "region": region,
        "account": ACCOUNT,
        "port": found.port,
        "health": found.health,
    }


_YAML = """\
# How this service is released. Made by `greenroom init` for: {kind}, on Amazon ECS.
# Correct region and account, apply infra/ (`terraform -chdir=infra apply`), and put what it says in place of the ARNs.
service: {service}

environment:                    # described once, made twice: the services and their load balancer are made by infra/
  type: ecs
  region: {region}
  account: "{account}"       # nothing is done in another account
  cluster: {name}
  services: {{blue: {name}-blue, green: {name}-green}}
  task_definition: {name}         # its newest revision is the pattern; each release gets a copy with its own image
  container: web
  port: {port}
  image: {account}.dkr.ecr.{region}.amazonaws.com/{name}:{{version}}    # pinned to its digest when a release begins
  desired: 2                    # tasks that a release starts with
  # env: {{LOG_LEVEL: info}}
  # secrets: {{DATABASE_URL: "arn:aws:secretsmanager:{region}:{account}:secret:{name}/database"}}   # never the value itself

router:
  type: alb
  region: {region}
  account: "{account}"
  # the output `listeners` of infra/; what is switched, all together
  listeners:
    - arn:aws:elasticloadbalancing:{region}:{account}:listener/app/{name}/0123456789abcdef/0123456789abcdef
  target_groups: {{blue: {name}-blue, green: {name}-green}}
  test_route:                   # reaches the new version before anybody else: the output `test_listener`
    listener: arn:aws:elasticloadbalancing:{region}:{account}:listener/app/{name}/0123456789abcdef/fedcba9876543210
  url: http://{name}.example      # how your users reach it: the output `url`, or your own name
  # observe: {{header: x-app-version}}      # where your application says GREENROOM_VERSION: a switch is seen, not believed
  drain: 30s                    # how long requests on the old version may still take

journal: {{type: dynamodb, table: greenroom, region: {region}, account: "{account}"}}   # record and lock live in the account

checks:                         # asked before any traffic moves; a failure changes nothing for your users
  - {{type: http, path: {health}, status: 200}}
  # - {{type: command, run: "pytest tests/smoke --url={{idle_url}}"}}

# shift: [5% for 2m, 50% for 5m, 100%]      # without it, all traffic moves at once

# gates:                        # may it go on?
#   - {{type: alarm, name: alarms, when: bake, names: [{name}-blue-5xx, {name}-green-5xx], region: {region}}}

watch:                          # asked while it is new, with or without users; failures roll back
  - {{url: "http://{name}.example{health}", every: 5s, status: 200}}

bake: 10m                       # watched for so long; what goes wrong is rolled back by itself
keep_warm: 1h                   # after that, `greenroom rollback` is instant for so long; both colours cost meanwhile

# notify:
#   - {{type: ssm, region: {region}, parameter: /greenroom/{name}/live}}      # who is live, for other tools
"""

_MAIN = """\
# What {service} runs on. Made by `greenroom init`; yours from here on. No `terraform apply` moves a release: what Greenroom
# writes, the module leaves alone.

terraform {{
  required_version = ">= 1.9"

  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = ">= 5.60"
    }}
  }}

  # backend "s3" {{}}   # keep the state where your team finds it
}}

provider "aws" {{
  region              = "{region}"
  allowed_account_ids = ["{account}"] # nothing is done in another account

  ignore_tags {{
    key_prefixes = ["greenroom:"]
  }}
}}

# The network that every account has. Better: your own, with private subnets and a NAT gateway.
data "aws_vpc" "default" {{
  default = true
}}

data "aws_subnets" "default" {{
  filter {{
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }}
}}

resource "aws_ecr_repository" "images" {{
  name                 = "{name}"
  image_tag_mutability = "IMMUTABLE" # a version is one image, for ever
}}

module "service" {{
  source = "./greenroom"

  name      = "{name}"
  platform  = "ecs"
  vpc_id    = data.aws_vpc.default.id
  subnets   = data.aws_subnets.default.ids
  public_ip = true

  # certificate_arn = "arn:aws:acm:…"  # HTTPS
  test_from = ["203.0.113.0/24"] # where Greenroom runs: the addresses of your CI

  health = {{ path = "{health}" }}

  container = {{
    image = "${{aws_ecr_repository.images.repository_url}}:none" # what runs comes with the first release
    port  = {port}
  }}

  scaling = {{ min = 2, max = 6, cpu = 60 }}
  ci      = {{ repository = "example/{name}" }} # on GitHub; its tags v* may release
}}

output "service" {{
  description = "What goes into greenroom.yaml."
  value       = module.service
}}
"""

_GITHUB = """\
# Builds {service} and releases it when a version is tagged. Record, lock and traffic are in the account, not on this
# runner: if this job is cancelled the traffic flows on, and the next job goes on with the release.
name: release
on:
  push:
    tags: ["v*"]
concurrency: release-{service}
permissions:
  id-token: write                 # to assume the role: no key is kept anywhere
  contents: read
jobs:
  release:
    runs-on: ubuntu-latest
    timeout-minutes: 230          # less than the role's session
    env:
      VERSION: ${{{{ github.ref_name }}}}
      IMAGE: {account}.dkr.ecr.{region}.amazonaws.com/{name}
    steps:
      - uses: actions/checkout@v4
      - uses: aws-actions/configure-aws-credentials@v4
        with:
          role-to-assume: arn:aws:iam::{account}:role/{name}-ci
          role-duration-seconds: 14400
          aws-region: {region}
      - uses: aws-actions/amazon-ecr-login@v2
      - name: Build and push, unless this version was pushed before
        run: |
          docker manifest inspect "$IMAGE:$VERSION" > /dev/null ||
            {{ docker build --tag "$IMAGE:$VERSION" . && docker push "$IMAGE:$VERSION"; }}
      - uses: actions/setup-python@v5
        with: {{python-version: "3.12"}}
      - run: pip install 'greenroom[aws]'
      - name: Release
        run: {deploy}
"""
