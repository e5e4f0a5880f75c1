# How `.ci/run` runs its suites: each within a bound, so that all end in a table, also where one hangs.

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
ulimit -c 0  # what is ended with SIGABRT leaves no core behind

# suite NAME COMMAND...: run it, and remember how it went.
suite() {
    within "${MOST:-4200}" "$@"
}

# slow NAME COMMAND...: the same, as long as there is time left for it.
slow() {
    if [ "$SECONDS" -lt 3600 ]; then
        within "${MOST:-1200}" "$@"
    else
        skipped "$1" "out of time"
    fi
}

# within SECONDS NAME COMMAND...: run it for so long at most.
within() {
    local most=$1 name=$2 start=$SECONDS outcome=passed
    shift 2
    printf '\n== %s: %s\n' "$name" "$*"
    { python3 .ci/within.py "$most" "$@"; } </dev/null > >(tee "$logs/$name") 2>&1 || {
        outcome="FAILED with status $?"
        echo "$name" >>"$logs/.failed"
    }
    timeout 5 tail --pid=$! --follow /dev/null  # until all is shown; not as long as what is left behind might speak
    printf '%-16s %-24s %5.1f min\n' "$name" "$outcome" "$(minutes $((SECONDS - start)))" >>"$logs/.table"
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
