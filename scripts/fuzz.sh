#!/usr/bin/env bash
# Runs every fuzz target of this module, two at a time:
#
#   scripts/fuzz.sh 60s
#
# Making inputs smaller that reach new code is cut short: by default Go spends up to
# a minute on each, in which nothing new is tried.
#
# An input that fails is left in the testdata of the target's package: mend what it
# shows, and commit both.
set -euo pipefail
cd "$(dirname "$0")/.."

# targets lists "directory name" of each.
targets() {
  git grep --untracked -o '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' ':!examples' ':!bench' |
    sed -E 's|^(.*)/[^/]*:func (.*)$|\1 \2|'
}

# fuzz runs one target.
fuzz() {
  local out
  if out=$(go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 100x -parallel 1 "./$1" 2>&1); then
    echo "ok    $1 $2: $(grep -o 'execs: [0-9]*' <<<"$out" | tail -n 1)"
    return
  fi
  # When the time is up while an input runs, go test may call that a failure.
  if grep -q 'context deadline exceeded' <<<"$out" && ! grep -q 'Failing input' <<<"$out"; then
    echo "ok    $1 $2: $(grep -o 'execs: [0-9]*' <<<"$out" | tail -n 1)"
    return
  fi
  echo "FAIL  $1 $2"
  echo "$out"
  return 1
}

export FUZZTIME=${1:?usage: scripts/fuzz.sh TIME}
export -f fuzz
targets | xargs -P 2 -L 1 bash -c 'fuzz "$@"' fuzz
