#!/usr/bin/env bash
# Makes the bundled profile of SmolLM2-135M: prompts from the unpacked data sets in DATA, every head against the oracle,
# the chosen heads into profiles/. About ten minutes on two free cores.
#   scripts/calibrate_smollm2.sh DATA [RESULTS]      RESULTS: a folder to keep; a stopped run goes on there
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
RESULTS=${2:-build/calibration}
mkdir -p "$RESULTS" profiles
python3 tools/make_calibration_prompts.py "$1" "$RESULTS/prompts.jsonl"
build/cpu/claa calibrate -m "$MODEL" --prompts "$RESULTS/prompts.jsonl" --data "$RESULTS" --layer 10,14,18 \
  -o profiles/SmolLM2-135M-Instruct.Q4_1.json
