#!/bin/sh
# Unpacks packages of this Debian or Ubuntu into a folder, without rights and without installing them:
# apt fetches and verifies them with a state folder of its own, which is thrown away.
#
#     scripts/apt_private.sh FOLDER PACKAGE...
set -eu
target=$1
shift
command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/packages"
private() {
    apt-get -qq -o Dir::State="$work/state" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::http::Timeout=20 "$@"
}
(private update && cd "$work/packages" && private download "$@") >"$work/log" 2>&1 || {
    sed 's/^/           apt: /' "$work/log" >&2
    exit 1
}
mkdir -p "$target"
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$target"; done
