#!/usr/bin/env bash
# Makes the numbers and figures of docs/diagnosis.md: prompts from the unpacked data sets in DATA, every ranking against
# the oracle on SmolLM2-135M, tables and pictures into docs. About ten minutes on two cores.
#   scripts/diagnose_docs.sh DATA [RESULTS]      RESULTS: a folder to keep; a stopped run continues there
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
RESULTS=${2:-build/diagnosis}
mkdir -p "$RESULTS"
python3 tools/make_diagnosis_prompts.py "$1" "$RESULTS/prompts.jsonl"
build/cpu/claa diagnose -m "$MODEL" --prompts "$RESULTS/prompts.jsonl" -o "$RESULTS" --max-tokens 48
python3 tools/make_diagnosis_doc.py "$RESULTS"
