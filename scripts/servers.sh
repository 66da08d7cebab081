#!/bin/sh
# The real servers that the tests and benchmarks talk to: Docker, nginx, HAProxy, sshd, a registry, PostgreSQL, MariaDB, Redis, memcached,
# Prometheus, wrk. As root
# (or where sudo asks nothing) the system's own packages are installed, and none of them is started: the tests start
# their own, in temporary folders. Otherwise nginx and HAProxy are unpacked beside .venv. What cannot be had is said
# here, and its tests are skipped by name.
set -eu
cd "$(dirname "$0")/.."
venv=${GREENROOM_VENV:-.venv}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
tried=$venv/.servers-tried

# command:package
wanted="nginx:nginx-light haproxy:haproxy sshd:openssh-server ssh:openssh-client dockerd:docker.io
iptables:iptables busybox:busybox-static docker-registry:docker-registry pg_ctlcluster:postgresql ip:iproute2 flock:util-linux
mariadbd:mariadb-server prometheus:prometheus redis-server:redis-server memcached:memcached wrk:wrk"

missing() {
    for pair in $wanted; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "$venv/bin/${pair%%:*}" ] || echo "${pair#*:}"
    done
}

packages=$(missing)
[ -n "$packages" ] || exit 0
[ "$(cat "$tried" 2>/dev/null)" != "$packages" ] || exit 0
echo "servers: not here:" $packages

as_root=""
if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=none; fi
fi

if [ "$as_root" != none ] && command -v apt-get >/dev/null 2>&1; then
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then # a package that starts its server would take ports that others use
        printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
        $as_root chmod 755 $policy
        trap '$as_root rm -f $policy' EXIT
    fi
    log=$venv/servers.log
    install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >>"$log" 2>&1; }
    : >"$log"
    $as_root apt-get update >>"$log" 2>&1 || true
    # shellcheck disable=SC2086
    install $packages || for package in $packages; do
        install "$package" || echo "servers: $package could not be installed ($log says why)"
    done
else
    for pair in nginx:nginx-light haproxy:haproxy; do
        program=${pair%%:*}
        if ! command -v "$program" >/dev/null 2>&1 && [ ! -x "$venv/bin/$program" ]; then
            echo "servers: unpacking the system's package of $program into $venv"
            if scripts/apt_private.sh "$venv/$program" "${pair#*:}" "$program" &&
                "$venv/$program/usr/sbin/$program" -v >/dev/null 2>&1; then
                ln -sf "../$program/usr/sbin/$program" "$venv/bin/$program"
            else
                rm -rf "${venv:?}/$program"
            fi
        fi
    done
fi

left=$(missing)
echo "$left" >"$tried"
[ -z "$left" ] || echo "servers: without" $left "— their tests are skipped (install them, or remove $tried to try again)"
