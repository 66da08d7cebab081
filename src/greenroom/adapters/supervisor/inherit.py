"""What a service's processes inherit of the environment of whoever started Greenroom first."""

from __future__ import annotations

import os
import re

_PASSED_ON = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|TZ|TMPDIR|LC_.*|XDG_RUNTIME_DIR|LD_LIBRARY_PATH|PYTHONPATH"
    r"|SSL_CERT_.*|REQUESTS_CA_BUNDLE|DOCKER_(HOST|CONFIG|CERT_PATH|TLS_VERIFY)|(HTTP|HTTPS|ALL|NO)_PROXY|(PIP|UV|NPM_CONFIG)_.*",
    re.IGNORECASE,
)


def inherited() -> dict[str, str]:
    """Where things are, the language, proxies. The rest must stand in the file, or a process would run with what
    somebody's shell happened to hold on the day of the first release."""
    return {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
