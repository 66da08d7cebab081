#!/bin/sh
# Writes requirements/*.txt anew from pyproject.toml: exact versions with hashes, for every Python >= 3.11, and no
# word about where packages come from. Versions that are locked stay unless UPGRADE=1.
set -eu
cd "$(dirname "$0")/.."
venv=${GREENROOM_VENV:-.venv}
[ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install --quiet uv
for name in $(env | sed -n 's/^\(UV_[A-Z_]*\|PIP_[A-Z_]*\)=.*/\1/p'); do
    case $name in *CERT* | *TIMEOUT*) ;; *) unset "$name" ;; esac
done
lock() {
    output=$1
    shift
    "$venv/bin/uv" pip compile "$@" --quiet --no-config --universal --python-version 3.11 \
        --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make lock" ${UPGRADE:+--upgrade} --output-file "$output"
}
echo "lock: everything (requirements/dev.txt)"
lock requirements/dev.txt pyproject.toml --extra dev
echo "lock: what running it and its demo needs (requirements/demo.txt)"
printf 'setuptools>=80\n' | lock requirements/demo.txt pyproject.toml - --extra demo --constraint requirements/dev.txt
echo "lock: the scanners that the tests run, in a place of their own (requirements/scanners.txt)"
printf 'bandit[sarif]\ndetect-secrets\nsemgrep\n' | lock requirements/scanners.txt -
grep -nE '(https?|file)://|--(index|extra-index|find-links|trusted)' requirements/*.txt &&
    { echo "lock: a lock file names a place; it must not" >&2; exit 1; }
echo "lock: done"
