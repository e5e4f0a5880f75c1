# How `.ci/run` runs its suites: each within a bound, so that all end in a table, also where one hangs.

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
ulimit -c 0  # what is ended with SIGABRT leaves no core behind

# Seconds. A run is killed after 90 minutes, and its table with it: a slow suite that is begun in the last moment ends
# after 80, and whatever hangs after 85. `check` and `test` are begun in any case, so what they may take is less than that.
begun_by=3600 over_by=5100 most=1200

# slow NAME COMMAND...: run it, as long as there is time left for it.
slow() {
    if [ "$SECONDS" -lt "$begun_by" ]; then
        within "$most" "$@"
    else
        skipped "$1" "out of time"
    fi
}

# within SECONDS NAME COMMAND...: run it for so long at most, and remember how it went.
within() {
    local left=$((over_by - SECONDS)) most=$1 name=$2 start=$SECONDS outcome=passed
    shift 2
    most=$((most < left ? most : left > 1 ? left : 1))
    printf '\n== %s: %s\n' "$name" "$*"
    { python3 .ci/within.py "$most" "$@"; } </dev/null > >(tee "$logs/$name") 2>&1 || {
        outcome="FAILED with status $?"
        echo "$name" >>"$logs/.failed"
    }
    timeout 5 tail --pid=$! --sleep-interval=0.1 --follow /dev/null  # until all is shown; not as long as what is left behind might speak
    printf '%-16s %-24s %5.1f min\n' "$name" "$outcome" "$(minutes $((SECONDS - start)))" >>"$logs/.table"
}

# able NAME SCRIPT COMMAND...: a slow suite, unless the script says why this machine cannot run it.
able() {
    local why_not
    why_not=$(timeout 120 "$2" --why-not)
    if [ -z "$why_not" ]; then
        slow "$1" "${@:3}"
    else
        skipped "$1" "$why_not"
    fi
}

# beside SUITES: what this function runs goes on beside what follows, up to `meet`, which shows what it has printed.
others=()
beside() {
    local worker=gw$((5 - ${#others[@]}))  # its ports are none of the others', nor of four processes of pytest; see tests/stack.py
    PYTEST_XDIST_WORKER=$worker "$1" >"$logs/.$worker" 2>&1 &
    others+=($!)
}

meet() {
    wait "${others[@]}"
    cat "$logs"/.gw*
    rm "$logs"/.gw*
    others=()
}

# skipped NAME WHY: a suite that cannot run on this machine.
skipped() {
    printf '%-16s not run: %s\n' "$1" "$2" >>"$logs/.table"
}

minutes() {
    printf '%d.%d' $(($1 / 60)) $(($1 % 60 * 10 / 60))
}

# summary: the table, and why each suite has failed that did. Status 0: none did.
summary() {
    printf '\n== summary\n'
    cat "$logs/.table"
    touch "$logs/.failed"
    mapfile -t failed <"$logs/.failed"
    for name in ${failed[@]+"${failed[@]}"}; do
        printf '\n== why %s failed\n' "$name"
        python3 .ci/why.py "$logs/$name" 40
    done
    if [ "${#failed[@]}" -gt 1 ]; then  # of a long output only the end may be at hand
        printf '\n== in short\n'
        for name in "${failed[@]}"; do
            python3 .ci/why.py "$logs/$name" 4 | sed "s/^/$name: /"
        done
    fi
    return "$((${#failed[@]} > 0))"
}
