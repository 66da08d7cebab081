#!/bin/sh
# Makes .venv/scanners with what requirements/scanners.txt locks: the security scanners that the tests of the gates run.
# They have a place of their own, for they need other versions of packages than Greenroom does. Where they cannot be
# installed, their tests are skipped by name.
set -eu
cd "$(dirname "$0")/.."
venv=${GREENROOM_VENV:-.venv}
lock=requirements/scanners.txt
stamp=$venv/scanners/.greenroom

wanted=$(cksum <"$lock")
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0
[ "$(cat "$venv/.scanners-tried" 2>/dev/null)" != "$wanted" ] || exit 0
echo "scanners: installing bandit, detect-secrets and semgrep into $venv/scanners (the first time: a minute or two)"
rm -rf "$venv/scanners"
if "$venv/bin/python" -m venv --without-pip "$venv/scanners" >"$venv/scanners.log" 2>&1 &&
    "$venv/bin/python" -m pip --python "$venv/scanners/bin/python" --disable-pip-version-check --no-input install \
        --require-hashes --no-deps -r "$lock" >>"$venv/scanners.log" 2>&1; then
    echo "$wanted" >"$stamp"
else
    echo "$wanted" >"$venv/.scanners-tried"
    echo "scanners: they could not be installed ($venv/scanners.log says why); their tests are skipped"
    echo "          (remove $venv/.scanners-tried to try again)"
fi
