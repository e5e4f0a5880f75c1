#!/usr/bin/env bash
# prometheus.sh COMMAND...   run COMMAND where `prometheus` and `promtool` are found
# prometheus.sh --why-not    say in one line what keeps this machine from that; say nothing when nothing does
#
# Where they are not installed, Debian's package is fetched and unpacked into build/: installed, it would start a service.
set -euo pipefail
cd "$(dirname "$0")/../.."

unpacked=build/prometheus
found() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }

why_not() {
    if ! found && [ ! -x $unpacked/usr/bin/promtool ] && ! command -v apt-get >/dev/null; then
        echo "there is no prometheus here, and only on Debian it is fetched; put prometheus and promtool into PATH"
    fi
}

unpack() (
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    apt=(apt-get -qq -o APT::Sandbox::User=)
    cd "$work"
    "${apt[@]}" download prometheus 2>/dev/null || {
        [ "$(id -u)" != 0 ] || "${apt[@]}" update
        "${apt[@]}" download prometheus
    }
    dpkg-deb -x prometheus_*.deb unpacked
    cd "$OLDPWD"
    mkdir -p build
    rm -rf $unpacked
    mv "$work/unpacked" $unpacked
)

if [ "${1:-}" = --why-not ]; then
    why_not
    exit
fi
reason=$(why_not)
[ -z "$reason" ] || { echo "prometheus.sh: $reason" >&2; exit 1; }
if ! found; then
    [ -x $unpacked/usr/bin/promtool ] || unpack
    export PATH=$PWD/$unpacked/usr/bin:$PATH
fi
"$@"
