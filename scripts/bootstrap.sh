#!/bin/sh
# Makes .venv with exactly what requirements/SET.txt locks, and greenroom itself in it, editable.
#
#     scripts/bootstrap.sh [demo|dev]
#
# Needs a Python of 3.11 or newer, and nothing else: where the system's Python lacks `ensurepip` (bare Debian),
# pip is taken from the system's own package of it, without installing anything outside .venv. Run again, it does
# nothing until a lock file or pyproject.toml changes.
#
#     PYTHON           the Python to use (default: the first suitable one found)
#     GREENROOM_VENV   where to put it (default: .venv)
set -eu
cd "$(dirname "$0")/.."
set_name=${1:-dev}
venv=${GREENROOM_VENV:-.venv}
lock=requirements/$set_name.txt
MIN='import sys; sys.exit(sys.version_info < (3, 11))'

say() { echo "bootstrap: $*"; }
fail() {
    echo "bootstrap: $1" >&2
    shift
    for line in "$@"; do echo "           $line" >&2; done
    exit 1
}

[ -f "$lock" ] || fail "there is no set '$set_name'; known: demo, dev"

# One at a time: two `make` in two terminals would trip over each other.
if command -v flock >/dev/null 2>&1 && [ -z "${GREENROOM_BOOTSTRAP_LOCKED:-}" ]; then
    mkdir -p "$(dirname "$venv")"
    GREENROOM_BOOTSTRAP_LOCKED=1 exec flock "$venv.lock" "$0" "$@"
fi

# An activated .venv is never what a new one is made with.
PATH=$(echo "$PATH" | tr : '\n' | grep -vxF "$(cd "$(dirname "$venv")" && pwd)/$(basename "$venv")/bin" | paste -sd : -)

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" && "$PYTHON" -c "$MIN" >/dev/null 2>&1
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
        path=$(command -v "$candidate" 2>/dev/null) || continue
        "$path" -c "$MIN" >/dev/null 2>&1 && { echo "$path"; return 0; }
    done
    return 1
}

# The stamp: the same inputs, the same Python, the same place.
wanted() {
    {
        echo "$PWD $venv $("$venv/bin/python" -c 'import sys; print(sys.version)' 2>/dev/null)"
        cat "$1" pyproject.toml
    } | cksum
}
stamp() { echo "$venv/.greenroom-$1"; }
current() { [ -x "$venv/bin/greenroom" ] && [ "$(cat "$(stamp "$1")" 2>/dev/null)" = "$(wanted "requirements/$1.txt")" ]; }

if current "$set_name" || { [ "$set_name" = demo ] && current dev; }; then
    exit 0
fi

pip_works() { "$venv/bin/python" -m pip --version >/dev/null 2>&1; }

# Debian keeps pip's wheel in a package of its own.
add_pip() {
    set -- /usr/share/python-wheels/pip-*.whl
    if [ ! -f "$1" ]; then
        say "taking pip from the system's package python3-pip-whl, for $venv only"
        scripts/apt_private.sh "$venv/pip-wheel" python3-pip-whl &&
            set -- "$venv"/pip-wheel/usr/share/python-wheels/pip-*.whl
    fi
    [ -f "$1" ] && "$venv/bin/python" "$1/pip" install --quiet --no-index --no-deps "$1" && pip_works && return 0
    "$python" -m pip --python "$venv/bin/python" install --quiet pip 2>/dev/null && pip_works
}

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c "$MIN" 2>/dev/null || ! pip_works; then
    python=$(find_python) || fail "${PYTHON:-this machine} is no Python of 3.11 or newer, or has none" \
        "Install one (Debian, Ubuntu: apt-get install python3), or name one: PYTHON=/path/to/python3 make ..."
    say "making $venv with $("$python" --version) ($python)"
    [ ! -e "$venv" ] || [ -f "$venv/pyvenv.cfg" ] || fail "$venv is there and is no virtual environment" \
        "Move it away, or say where else to put it: GREENROOM_VENV=/path"
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
        rm -rf "$venv"
        "$python" -m venv --without-pip "$venv" || fail "$python cannot make a virtual environment" \
            "Debian, Ubuntu: apt-get install python3-venv, then run this again."
        add_pip || fail "$python has no pip to put into $venv, and none could be had" \
            "Debian, Ubuntu: apt-get install python3-venv, then run this again." \
            "Elsewhere: install pip for $python, or name a Python that has it: PYTHON=/path/to/python3"
    fi
fi

say "installing $(grep -c '^[A-Za-z0-9]' "$lock") locked packages of $lock (the first time: a minute or two)"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
pip install -qq --require-hashes --no-deps -r "$lock" || fail "the packages of $lock could not be installed" \
    "pip's own words stand above. Is the package index reachable, and its certificate known?"
say "installing greenroom itself (editable)"
pip install -qq --no-deps --no-build-isolation --editable .
rm -rf src/*.egg-info # what an earlier build left there would be found first, with other entry points
"$venv/bin/python" -m compileall -q src || true # as an installed package is: commands start faster
wanted "$lock" >"$(stamp "$set_name")"
say "ready: $venv/bin/greenroom"
