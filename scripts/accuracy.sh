#!/usr/bin/env bash
# The runs behind docs/accuracy.md: profiles from the first examples of the unpacked data sets in DATA, evaluations on the
# later ones. On an H100 with several of these processes at a time about 20 minutes, on two cores days.
#   scripts/accuracy.sh DATA [RESULTS]      CLAA=build/cuda/claa DEVICE=cuda for a GPU; EXAMPLES=1 LONGBENCH_EXAMPLES=1 for a try
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
DATA=$1
RESULTS=${2:-build/accuracy}
EXAMPLES=${EXAMPLES:-10}
LONGBENCH_EXAMPLES=${LONGBENCH_EXAMPLES:-0}  # all
PROGRAM=${CLAA:-build/cpu/claa}
PROFILES=build/accuracy  # where sweeps/accuracy.json looks for them
mkdir -p "$RESULTS" "$PROFILES"

# calibrate NAME PROMPTS OPTION...
calibrate() {
  local name=$1 prompts=$2
  shift 2
  "$PROGRAM" calibrate -m "$MODEL" --prompts "$prompts" --data "$PROFILES/$name.data" --device "${DEVICE:-cpu}" --no-pictures \
    -o "$PROFILES/$name.json" "$@"
}

profiles() {
  local all=$PROFILES/prompts.jsonl
  python3 tools/make_calibration_prompts.py "$DATA" "$all" --each "${CALIBRATE_EACH:-5}"
  python3 tools/make_calibration_prompts.py "$DATA" "$PROFILES/balanced.jsonl" --each "${CALIBRATE_EACH:-5}" --balanced
  grep '"group": "needles"' "$all" >"$PROFILES/needles_only.jsonl"
  grep -v '"group": "needles"' "$all" >"$PROFILES/without_needles.jsonl"
  calibrate early_10_05 "$all" --layer 18 --early 10:0.5
  calibrate early_8_06 "$all" --layer 18 --early 8:0.6
  calibrate layer_14 "$all" --layer 14
  calibrate window_32 "$all" --layer 18 --window 32 --early 10:0.6
  calibrate balanced "$PROFILES/balanced.jsonl" --layer 18 --early 10:0.6
  calibrate without_needles "$PROFILES/without_needles.jsonl" --layer 18
  calibrate needles_only "$PROFILES/needles_only.jsonl" --layer 18
}

# evaluate NAME RATES OPTION...: on what no profile was made from
evaluate() {
  local name=$1 rates=$2
  shift 2
  "$PROGRAM" eval -m "$MODEL" --device "${DEVICE:-cpu}" --keep "$rates" -o "$RESULTS/$name" "$@"
}

# ask NAME OPTION...: the published methods and what the profiles make of claa
ask() {
  local name=$1
  shift
  evaluate "${name}_published" 0.1,0.2,0.4 "$@" --profile none \
    --methods full,oracle,claa,fastkv,gemfilter,snapkv,specprefill,streaming,uniform
  evaluate "${name}_profiles" 0.1,0.2,0.4 "$@" --sweep sweeps/accuracy.json
  "$PROGRAM" eval merge "$RESULTS/${name}_published" "$RESULTS/${name}_profiles" -o "$RESULTS/$name"
}

RULER=$RESULTS/data/ruler  # without the length that does not fit
mkdir -p "$RULER"
cp -r "$DATA"/ruler_generated/{2048,4096} "$RULER"
step "profiles" profiles
step "RULER" ask ruler --task ruler_files --data "$RULER" --skip 5 --examples "$EXAMPLES"
step "BABILong" ask babilong --task babilong --data "$DATA/babilong" --skip 5 --examples "$EXAMPLES"
step "LongBench" ask longbench --task longbench --data "$DATA/longbench_mini" --examples "$LONGBENCH_EXAMPLES"
step "chart" python3 tools/accuracy_chart.py "$RESULTS/ruler/summary.json" "$RESULTS/pareto.svg"
step "gate" python3 tools/gate_roc.py "$RESULTS/ruler/results.jsonl" "profile 0.2"
for sweep in aggregator control_2x2x2 first_layer kv_budget last_layers pooling selection_layer window; do
  step "ablation: $sweep" evaluate "ablation_$sweep" 0.2 --task ruler_files --data "$RULER" --skip 5 --examples "$EXAMPLES" \
    --profile none --sweep "sweeps/$sweep.json"
done
