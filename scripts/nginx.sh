#!/bin/sh
# nginx is what the benchmarks compare with. Where the system has none, the system's own package of it is unpacked
# beside .venv, and its program linked into .venv/bin; nothing is installed or started. Where that fails, what needs
# nginx is skipped by name.
set -eu
cd "$(dirname "$0")/.."
venv=${GREENROOM_VENV:-.venv}
PATH=$PATH:/usr/sbin:/sbin command -v nginx >/dev/null 2>&1 && exit 0
[ -x "$venv/bin/nginx" ] && exit 0
[ ! -f "$venv/.no-nginx" ] || exit 0
echo "nginx: not here; unpacking the system's package of it into $venv"
if scripts/apt_private.sh "$venv/nginx" nginx-light nginx && "$venv/nginx/usr/sbin/nginx" -v 2>/dev/null; then
    ln -sf ../nginx/usr/sbin/nginx "$venv/bin/nginx"
else
    rm -rf "$venv/nginx"
    touch "$venv/.no-nginx"
    echo "nginx: could not be had; what needs it is skipped (install it, or remove $venv/.no-nginx to try again)"
fi
