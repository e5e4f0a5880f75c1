#!/usr/bin/env bash
# A browser for the tests: one that is there, or as root on Debian one that is installed. `--why-not` only says what keeps it from that.
set -euo pipefail

there() { command -v chromium >/dev/null || [ -n "${INFERQ_CHROMIUM:-}" ]; }

why_not() {
    there && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || echo "no chromium here, and only root on Debian installs one; or name one in INFERQ_CHROMIUM"
}

reason=$(why_not)
if [ "${1:-}" = --why-not ]; then
    printf '%s' "$reason"
elif [ -n "$reason" ]; then
    echo "chromium.sh: $reason" >&2
    exit 1
elif ! there; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
fi
