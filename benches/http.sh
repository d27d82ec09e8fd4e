#!/usr/bin/env bash
# serve-server against a bare hyper server, three interleaved rounds of wrk; see docs/BENCHMARKS.md.
#   cargo build --release --bin serve-server --bin serve-ctl --bin bare-hyper && benches/http.sh
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARGO_TARGET_DIR:-target}/release
seconds=${SECONDS_EACH:-5}
work=$(mktemp -d)
started=()
finish() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

mkdir "$work/models"
"$bin/serve-ctl" --registry "$work/models" import benches/data/lightgbm-100x31.txt --name bench --promote >/dev/null
"$bin/serve-server" --registry "$work/models" --port 0 >"$work/serve.out" 2>"$work/serve.err" &
started+=($!)
"$bin/bare-hyper" >"$work/bare.out" &
started+=($!)

address() {
  for _ in $(seq 100); do
    grep -o 'http://[0-9.:]*' "$1" && return
    sleep 0.05
  done
  echo "no address in $1" >&2
  cat "$work/serve.err" >&2
  return 1
}
serve=$(address "$work/serve.out")
bare=$(address "$work/bare.out")

round() {
  local out
  out=$(wrk -t1 -c32 -d"${seconds}s" --latency -s benches/post.lua "$2")
  if grep -q 'Non-2xx' <<<"$out"; then echo "$out" >&2; return 1; fi
  awk -v who="$1" '/Requests\/sec/ {rate=$2} $1=="50%" {p50=$2} $1=="99%" {p99=$2} END {print who, rate, "p50", p50, "p99", p99}' <<<"$out" | tee -a "$work/rounds"
}
for _ in 1 2 3; do
  round serve "$serve"
  round bare "$bare"
done
median() { awk -v who="$1" '$1==who {print $2}' "$work/rounds" | sort -n | sed -n 2p; }
awk -v s="$(median serve)" -v b="$(median bare)" \
  'BEGIN {printf "median: serve %.0f/s, bare %.0f/s, serve answers %.2f of bare\n", s, b, s / b}'
