#!/usr/bin/env bash
# Makes the bundled profile of SmolLM2-135M: prompts from the unpacked data sets in DATA, every head against the oracle,
# the chosen heads into profiles/. Half a minute on an H100, four minutes on two cores of a Zen 5 EPYC (bf16).
#   scripts/calibrate_smollm2.sh DATA [RESULTS]      RESULTS: a folder to keep; a stopped run continues there
#   CLAA=build/cuda/claa DEVICE=cuda scripts/calibrate_smollm2.sh DATA      on a GPU
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# -ge 1 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
RESULTS=${2:-build/calibration}
mkdir -p "$RESULTS" profiles
python3 tools/make_calibration_prompts.py "$1" "$RESULTS/prompts.jsonl"
"${CLAA:-build/cpu/claa}" calibrate -m "$MODEL" --prompts "$RESULTS/prompts.jsonl" --data "$RESULTS" --device "${DEVICE:-cpu}" \
  --layer 18 --early 10:0.6 -o "profiles/$(basename "$MODEL" .gguf).json"
