#!/usr/bin/env bash
# The runs behind docs/accuracy.md: profiles from the first examples of the unpacked data sets in DATA, evaluations on the
# later ones. Days on two cores; on four H100s about ten minutes, with SHARDS parts of each evaluation and PROCESSES at a time.
# A stopped run continues where it was.
#   scripts/accuracy.sh DATA [RESULTS]      EXAMPLES=2 LONGBENCH_EXAMPLES=1 CALIBRATE_EACH=1 for a try
#   CLAA=build/cuda/claa DEVICE=cuda GPUS=4 PROCESSES=48 SHARDS=16 scripts/accuracy.sh DATA      (docs/scale-out.md)
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
command -v gnuplot >/dev/null || { echo "gnuplot, which draws the reports' pictures, is not installed: apt-get install gnuplot-nox"; exit 2; }
DATA=$1
RESULTS=${2:-build/accuracy}
EXAMPLES=${EXAMPLES:-10}
LONGBENCH_EXAMPLES=${LONGBENCH_EXAMPLES:-0}  # all
SHARDS=${SHARDS:-1}
PROGRAM=${CLAA:-build/cpu/claa}
PROFILES=build/accuracy  # where sweeps/accuracy.json looks for them
QUEUE=$RESULTS/queue
PUBLISHED=(--profile none --methods full,oracle,claa,fastkv,gemfilter,snapkv,specprefill,streaming,uniform)
mkdir -p "$RESULTS/logs" "$PROFILES"

# later LOG COMMAND...: one line of the queue
later() {
  local log=$RESULTS/logs/$1
  shift
  printf '%q ' "$@" >>"$QUEUE"
  printf '>%q 2>&1 || { tail -n 3 %q; exit 255; }\n' "$log" "$log" >>"$QUEUE"
}

# What the queue holds, PROCESSES at a time; the first failure ends it.
work() {
  printf '%d commands, their output in %s\n' "$(wc -l <"$QUEUE")" "$RESULTS/logs"
  xargs -d '\n' -P "${PROCESSES:-1}" --process-slot-var=SLOT -I{} \
    bash -c 'if [ -n "${GPUS:-}" ]; then export CUDA_VISIBLE_DEVICES=$((SLOT % GPUS)); fi; {}' <"$QUEUE"
}

# calibrate NAME PROMPTS OPTION...
calibrate() {
  local name=$1 prompts=$2
  shift 2
  later "calibrate_$name" "$PROGRAM" calibrate -m "$MODEL" --prompts "$prompts" --data "$PROFILES/$name.data" \
    --device "${DEVICE:-cpu}" --no-pictures -o "$PROFILES/$name.json" "$@"
}

profiles() {
  local all=$PROFILES/prompts.jsonl
  python3 tools/make_calibration_prompts.py "$DATA" "$all" --each "${CALIBRATE_EACH:-5}"
  python3 tools/make_calibration_prompts.py "$DATA" "$PROFILES/balanced.jsonl" --each "${CALIBRATE_EACH:-5}" --balanced
  grep '"group": "needles"' "$all" >"$PROFILES/needles_only.jsonl"
  grep -v '"group": "needles"' "$all" >"$PROFILES/without_needles.jsonl"
  calibrate early_10_05 "$all" --layer 18 --early 10:0.5
  calibrate early_8_06 "$all" --layer 18 --early 8:0.6
  calibrate layer_10 "$all" --layer 10
  calibrate layer_14 "$all" --layer 14
  calibrate window_32 "$all" --layer 18 --window 32 --early 10:0.6
  calibrate balanced "$PROFILES/balanced.jsonl" --layer 18 --early 10:0.6
  calibrate without_needles "$PROFILES/without_needles.jsonl" --layer 18
  calibrate needles_only "$PROFILES/needles_only.jsonl" --layer 18
}

# evaluate NAME RATES OPTION...: in SHARDS parts; on what no profile was made from
evaluate() {
  local name=$1 rates=$2 part
  shift 2
  for part in $(seq "$SHARDS"); do
    later "$name.$part" "$PROGRAM" eval -m "$MODEL" --device "${DEVICE:-cpu}" --keep "$rates" --no-pictures \
      --shard "$part/$SHARDS" -o "$RESULTS/shards/$name/$part" "$@"
  done
  EVALUATIONS+=("$name")
}

RULER=$RESULTS/data/ruler  # without the length that does not fit
ruler() { evaluate "$1" "$2" --task ruler_files --data "$RULER" --skip 5 --examples "$EXAMPLES" "${@:3}"; }
babilong() { evaluate "$1" "$2" --task babilong --data "$DATA/babilong" --skip 5 --examples "$EXAMPLES" "${@:3}"; }
longbench() { evaluate "$1" "$2" --task longbench --data "$DATA/longbench_mini" --examples "$LONGBENCH_EXAMPLES" "${@:3}"; }
# Lengths of the model's context that leave room for the answer; every depth.
niah() { evaluate "$1" "$2" --task niah --lengths 1000,2000,4000,6000,7500 --examples 10 "${@:3}"; }
agreement() {
  evaluate "$1" "$2" --task agreement --haystack "$DATA/wikitext2_raw_test/wiki.test.raw" --lengths 2048,4096 \
    --examples $((2 * EXAMPLES)) "${@:3}"
}

# Our own generator at the mean lengths, in this model's tokens, of the official examples asked above.
own_ruler() {
  local lengths="cwe:2664,5425 fwe:2126,4395 niah_multikey_1:1900,3973 niah_multikey_2:2610,5265 niah_multikey_3:2707,5564
    niah_multiquery:1839,3972 niah_multivalue:1829,3781 niah_single_1:2111,4262 niah_single_2:1458,4087 niah_single_3:1892,3588
    qa_1:1854,3396 qa_2:3502 vt:2176,4301" entry
  for entry in $lengths; do
    local task=${entry%%:*} data=()
    case $task in
      qa_1) data=(--data "$DATA/xquad_en/xquad.en.json") ;;
      qa_2) data=(--data "$DATA/hotpotqa_dev100/hotpot_dev_distractor_first100.json") ;;
    esac
    SHARDS=1 evaluate "own_$task" 0.2 --task "$task" --lengths "${entry#*:}" --examples $((2 * EXAMPLES)) --methods full "${data[@]}"
  done
}

published() {
  local task sweep
  for task in longbench ruler babilong niah agreement; do "$task" "${task}_published" 0.1,0.2,0.4 "${PUBLISHED[@]}"; done
  for sweep in aggregator control_2x2x2 defaults first_layer kv_budget last_layers pooling selection_layer window; do
    ruler "ablation_$sweep" 0.2 --profile none --sweep "sweeps/$sweep.json"
  done
  own_ruler
}

profiled() {
  local task
  for task in longbench ruler babilong; do "$task" "${task}_profiles" 0.1,0.2,0.4 --sweep sweeps/accuracy.json; done
  for task in niah agreement; do "$task" "${task}_profiles" 0.1,0.2,0.4 --sweep sweeps/quality.json; done
}

# Parts to evaluations; what was asked the same, and so for our own generator's tasks, into one.
merge() {
  local name task
  for name in "${EVALUATIONS[@]}"; do "$PROGRAM" eval merge "$RESULTS/shards/$name"/* -o "$RESULTS/$name"; done
  for task in longbench ruler babilong niah agreement; do
    "$PROGRAM" eval merge "$RESULTS/${task}_published" "$RESULTS/${task}_profiles" -o "$RESULTS/$task"
  done
}

EVALUATIONS=()
mkdir -p "$RULER"
cp -r "$DATA"/ruler_generated/{2048,4096} "$RULER"
: >"$QUEUE"
profiles
published
step "profiles and published settings" work
: >"$QUEUE"
profiled
step "what the profiles make of it" work
step "tables" merge
step "chart" python3 tools/accuracy_chart.py "$RESULTS/pareto.svg" "$RESULTS/ruler/summary.json"
step "chart of BABILong" python3 tools/accuracy_chart.py "$RESULTS/pareto_babilong.svg" "$RESULTS/babilong/summary.json"
step "gate" python3 tools/gate_roc.py "$RESULTS/ruler/results.jsonl" "profile 0.2"
step "defaults" python3 tools/best_of_halves.py "$RESULTS"/ablation_*/results.jsonl --published "$RESULTS/ruler/results.jsonl"
step "own generator" python3 tools/same_scores.py "$RESULTS/ruler/results.jsonl" "$RESULTS"/own_*/results.jsonl
step "tables of docs/accuracy.md" python3 tools/accuracy_tables.py "$RESULTS"
