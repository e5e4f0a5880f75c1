#!/usr/bin/env bash
# engine.sh COMMAND...   run COMMAND where `docker` and `docker compose` work and the base images are at hand
# engine.sh --why-not    say in one line what keeps this machine from that; say nothing when nothing does
#
# An engine that answers and has the base images, or can pull them, is just used. A Debian 12 container without an engine,
# as CI machines are, gets one for the time of COMMAND (its packages stay): a real engine and a real `docker compose` v2,
# but with STAND-IN BASE IMAGES, so that no registry is needed: Debian 12 with Debian's own Python and Redis, under the
# names of the official images. What runs on them proves the Dockerfile, the compose file and how the containers behave;
# it proves nothing of the official images.
set -euo pipefail

python_image=python:3.12-slim
redis_image=redis:7-alpine

answers() { docker info >/dev/null 2>&1; }
at_hand() { docker image inspect "$1" >/dev/null 2>&1 || docker pull --quiet "$1" >/dev/null 2>&1; }

why_not() {
    if answers; then
        docker compose version >/dev/null 2>&1 || { echo "the Docker engine here has no compose v2"; return; }
        # Stand-ins would stay in this engine under names that are not theirs, and a second engine would fight over its network.
        { at_hand $python_image && at_hand $redis_image; } || echo "the Docker engine here cannot pull the base images"
    elif ! grep -qs '^VERSION_CODENAME=bookworm$' /etc/os-release; then
        echo "no Docker engine answers, and only on Debian 12 is one set up"
    elif [ "$(id -u)" != 0 ]; then
        echo "no Docker engine answers, and only root can set one up"
    elif [ -d /run/systemd/system ]; then
        # Where services are run, the engine's package would start one for good.
        echo "no Docker engine answers; install one: apt-get install docker.io"
    elif ! unshare --mount --net true 2>/dev/null; then
        echo "no Docker engine answers, and root may not set one up in this container"
    fi
}

# Everything that is made lies in this folder, but for packages and what `stop` takes back.
start() {
    echo "engine.sh: no Docker engine answers; setting one up, with stand-ins for $python_image and $redis_image" >&2
    work=$(mktemp -d)
    ip_forward=$(sysctl -n net.ipv4.ip_forward)
    trap stop EXIT
    export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/config DEBIAN_FRONTEND=noninteractive
    unset DOCKER_CONTEXT
    apt-get -qq update
    apt-get -qq install --no-install-recommends docker.io iptables iproute2 mmdebstrap ca-certificates >"$work/apt.log" 2>&1 \
        || { cat "$work/apt.log" >&2; exit 1; }
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Component: main' | head -1)

    # We forward ourselves: when dockerd turns it on, it also has the firewall drop all that others forward.
    sysctl -qw net.ipv4.ip_forward=1
    # In a session of its own Ctrl-C does not reach it; and it ends with us, also when we are killed.
    setsid setpriv --pdeathsig TERM dockerd --ip-forward=false --host "$DOCKER_HOST" --pidfile "$work/dockerd.pid" \
        --data-root "$work/data" --exec-root "$work/run" >"$work/dockerd.log" 2>&1 </dev/null &
    daemon=$!
    for _ in $(seq 60); do
        answers && break
        sleep 0.5
    done
    answers || { tail -20 "$work/dockerd.log" >&2; exit 1; }
    fetch_plugins & local making=($!)
    make_python_image & making+=($!)
    make_redis_image & making+=($!)
    for one in "${making[@]}"; do wait "$one"; done
}

# compose v2 and buildx are packages of Debian 13 only; their binaries need no newer libc than Debian 12's.
fetch_plugins() {
    local apt=$work/apt
    mkdir -p "$apt"/{lists/partial,cache/archives/partial} "$DOCKER_CONFIG/cli-plugins"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$apt/sources.list"
    local newer=(apt-get -qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
    "${newer[@]}" update
    (cd "$apt" && "${newer[@]}" download docker-compose docker-buildx && for deb in *.deb; do dpkg-deb -x "$deb" x; done)
    cp "$apt"/x/usr/libexec/docker/cli-plugins/* "$DOCKER_CONFIG/cli-plugins/"
}

# stand_in IMAGE PACKAGES INSTRUCTIONS HOOKS...: Debian 12 with PACKAGES and what the HOOKS make of it, as IMAGE with these
# instructions of a Dockerfile, one a line.
stand_in() {
    local image=$1 packages=$2 tar=$work/${1%%:*}.tar instructions
    mapfile -t instructions <<<"$3"
    shift 3
    mmdebstrap --quiet --variant=minbase --include="$packages" --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "${@/#/--customize-hook=}" bookworm "$tar" "$mirror" 2>"$tar.log" || { cat "$tar.log" >&2; exit 1; }
    docker import "${instructions[@]/#/--change=}" --change='LABEL stand-in=1' "$tar" "$image" >/dev/null
    rm "$tar"
}

# `python` and `pip` where the official image has them. A proxy may stand between this machine and the package index:
# pip trusts in the container whom it trusts here.
make_python_image() {
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$work/pip.conf"
    stand_in $python_image python3-venv 'CMD ["python3"]' \
        'chroot "$1" python3 -m venv /usr/local' \
        "upload $work/pip.conf /etc/pip.conf" \
        'mkdir -p "$1/etc/ssl/certs"' \
        'upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt'
}

# Like the official image: starts as root, gives /data to the user redis, and runs as that user; open to its network.
make_redis_image() {
    cat >"$work/entrypoint" <<'END'
#!/bin/sh
set -e
[ "$1" = redis-server ] || exec "$@"
[ "$(id -u)" != 0 ] || { chown redis /data; set -- setpriv --reuid=redis --regid=redis --clear-groups "$@"; }
exec "$@" --protected-mode no
END
    stand_in $redis_image redis-server \
        $'ENTRYPOINT ["docker-entrypoint.sh"]\nCMD ["redis-server"]\nWORKDIR /data\nVOLUME /data\nEXPOSE 6379' \
        "upload $work/entrypoint /usr/local/bin/docker-entrypoint.sh" \
        'chmod 755 "$1/usr/local/bin/docker-entrypoint.sh"'
}

# Ends the engine, where it came to be, and takes back what it changed outside of $work.
stop() {
    if [ -n "${daemon:-}" ]; then
        docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null || true
        docker network prune --force >/dev/null || true
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" || true
        iptables-save | sed '/docker/Id' | iptables-restore
        ip link delete docker0 2>/dev/null || true
        sysctl -qw "net.ipv4.ip_forward=$ip_forward"
    fi
    rm -rf "$work"
}

if [ "${1:-}" = --why-not ]; then
    why_not
    exit
fi
reason=$(why_not)
[ -z "$reason" ] || { echo "engine.sh: $reason" >&2; exit 1; }
answers || start
"$@"
