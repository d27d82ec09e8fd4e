#!/usr/bin/env bash
# This engine beside its peers; see README.md. usage:
#   benches/peers/run.sh [--work DIR] [--reps N] [--only REGEX] [--cells 1/1,…] [-- options of train.py]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=${CARGO_TARGET_DIR:-target}
work=$target/peers
compare=() train=()
while [ $# -gt 0 ]; do
  case $1 in
    --work) work=${2:?a folder}; shift 2 ;;
    --reps | --only | --cells) compare+=("$1" "${2:?a value for $1}"); shift 2 ;;
    --) shift; train=("$@"); break ;;
    *) echo "unknown option $1" >&2; sed -n 3p "$0" >&2; exit 2 ;;
  esac
done
mkdir -p "$work"
here=benches/peers

python=$work/venv/bin/python
if [ ! -x "$python" ]; then
  "${PYTHON:-python3}" -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --requirement $here/requirements.txt
fi
"$python" -W ignore $here/train.py "$work" ${train[@]+"${train[@]}"} >&2
"$python" -W ignore $here/compile.py "$work" >&2
cargo build --release --locked --package serve-benches --bin engine-compare
"$python" -W ignore $here/compare.py "$work" --ours "$target/release/engine-compare" ${compare[@]+"${compare[@]}"}
