"""What calls Greenroom: workflows of CI systems, and what wakes a service after a reboot. Text only."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from greenroom.config.starter import Found


def github(found: Found, file: Path, *, hosts: bool = False) -> str:
    """A workflow for GitHub Actions. `file`: where the service's file is on its machine.

    `hosts`: the file names hosts, so that the runner itself releases.
    """
    if hosts:
        return _GITHUB_HOSTS.format(service=found.service, deploy=deploy(file, "$VERSION"))
    return _GITHUB.format(service=found.service, folder=file.parent, deploy=_deploy(file, "$VERSION"))


def gitlab(found: Found, file: Path, *, hosts: bool = False) -> str:
    """The same for GitLab."""
    if hosts:
        return _GITLAB_HOSTS.format(service=found.service, deploy=deploy(file, "$CI_COMMIT_TAG"))
    return _GITLAB.format(service=found.service, folder=file.parent, deploy=_deploy(file, "$CI_COMMIT_TAG"))


def systemd(found: Found, file: Path, greenroom: str) -> str:
    """A unit that starts the service again after a reboot of the machine."""
    return _SYSTEMD.format(service=found.service, greenroom=_unit_word(greenroom), file=_unit_word(str(file)))


def cron(file: Path, greenroom: str) -> str:
    """The same for who has no systemd: a line for `crontab -e`."""
    command = f"{shlex.quote(greenroom)} --file {shlex.quote(str(file))} reconcile"
    return "@reboot " + command.replace("%", r"\%") + "\n"


def _deploy(file: Path, version: str) -> str:
    return f"cd {shlex.quote(str(file.parent))} && {deploy(file, version)}"


def deploy(file: Path, version: str) -> str:
    """The command, where the file is in the folder that it is given in."""
    name = "" if file.name == "greenroom.yaml" else f" --file {shlex.quote(file.name)}"
    return f"greenroom{name} deploy {version}"


def _unit_word(text: str) -> str:
    text = text.replace("%", "%%").replace("$", "$$")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if re.search(r"[\s\"\\']", text) else text


_GITHUB = """\
# Releases {service} when a version is tagged. The journal, the router and the engine live on the machine that serves; this
# job copies the files there and asks. If it is cancelled, the release goes on.
name: release
on:
  push:
    tags: ["v*"]
concurrency: release-{service}
jobs:
  release:
    runs-on: ubuntu-latest
    timeout-minutes: 120
    steps:
      - uses: actions/checkout@v4
      - name: Copy and release      # the runner needs an ssh key for that machine
        run: |
          rsync -a --delete --exclude .greenroom --exclude .git ./ "$MACHINE:{folder}/"
          ssh "$MACHINE" "{deploy}"
        env:
          MACHINE: deploy@{service}.example
          VERSION: ${{{{ github.ref_name }}}}
"""

_GITLAB = """\
# Releases {service} when a version is tagged. The journal, the router and the engine live on the machine that serves; this
# job copies the files there and asks. If it is cancelled, the release goes on.
release:
  stage: deploy
  rules:
    - if: $CI_COMMIT_TAG
  resource_group: release-{service}
  timeout: 2h
  variables:
    MACHINE: deploy@{service}.example
  script:                           # the runner needs rsync, and an ssh key for that machine
    - rsync -a --delete --exclude .greenroom --exclude .git ./ "$MACHINE:{folder}/"
    - ssh "$MACHINE" "{deploy}"
"""

_GITHUB_HOSTS = """\
# Releases {service} when a version is tagged. Record, lock and traffic are on the hosts of greenroom.yaml, not on this
# runner: if this job is cancelled the traffic flows on, and the next job goes on with the release.
name: release
on:
  push:
    tags: ["v*"]
concurrency: release-{service}
jobs:
  release:
    runs-on: ubuntu-latest
    timeout-minutes: 120
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {{python-version: "3.12"}}
      - run: pip install 'greenroom[docker]'
      - name: Release
        run: |
          install -d -m 700 ~/.ssh
          printf '%s\\n' "$KNOWN_HOSTS" > ~/.ssh/known_hosts
          eval "$(ssh-agent -s)"
          printf '%s\\n' "$SSH_KEY" | ssh-add -
          {deploy}
        env:
          KNOWN_HOSTS: ${{{{ secrets.KNOWN_HOSTS }}}}      # the hosts' keys, as the hosts themselves show them
          SSH_KEY: ${{{{ secrets.SSH_KEY }}}}
          VERSION: ${{{{ github.ref_name }}}}
"""

_GITLAB_HOSTS = """\
# Releases {service} when a version is tagged. Record, lock and traffic are on the hosts of greenroom.yaml, not on this
# runner: if this job is cancelled the traffic flows on, and the next job goes on with the release.
release:
  stage: deploy
  image: python:3.12
  rules:
    - if: $CI_COMMIT_TAG
  resource_group: release-{service}
  timeout: 2h
  script:                           # KNOWN_HOSTS and SSH_KEY are variables of the project; the key is a masked one
    - pip install 'greenroom[docker]'
    - install -d -m 700 ~/.ssh
    - printf '%s\\n' "$KNOWN_HOSTS" > ~/.ssh/known_hosts
    - eval "$(ssh-agent -s)"
    - printf '%s\\n' "$SSH_KEY" | ssh-add -
    - {deploy}
"""

_SYSTEMD = """\
# Starts {service} again after a reboot. As the user who releases:
#   ~/.config/systemd/user/greenroom-{service}.service
#   systemctl --user enable greenroom-{service}; and once: loginctl enable-linger
[Unit]
Description=Greenroom: {service}
After=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
# Stopping this unit must not stop the service; `greenroom down` does that.
KillMode=none
ExecStart={greenroom} --file {file} reconcile

[Install]
WantedBy=default.target
"""
