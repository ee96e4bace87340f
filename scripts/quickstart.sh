#!/usr/bin/env bash
# From a bare Debian 12 to an answer: installs what is missing, builds, fetches a small model, and asks it a question
# about a document of 7,000 tokens, first with full prefill, then with CLAA and the model's profile at 20 % of the tokens.
#   scripts/quickstart.sh [--build-only] [--model smollm2|gemma]
# --model gemma asks Gemma 3 270M, which has no profile and no chat template: it goes on with a text, by the published
# settings. Its weights are under Google's terms.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

DOCUMENT=examples/document.txt
QUESTION="What is the access code of the reading room? Answer with the code only."
FACT=82641
# The profile that comes with the program: the few query heads that find what answers need, and an early drop.
CLAA=(--quality fast)

BUILD_ONLY=0
while [ $# -gt 0 ]; do
  case $1 in
    --build-only) BUILD_ONLY=1 ;;
    --model)
      case ${2:-} in
        smollm2) ;;
        gemma)
          choose_gemma
          QUESTION="The access code of the reading room is"
          CLAA=(--method claa --keep 0.2)
          ;;
        *) echo "unknown model '${2:-}'; there are smollm2 and gemma"; exit 2 ;;
      esac
      shift
      ;;
    -h | --help) sed -n '2,6s/^# //p' "$0"; exit 0 ;;
    *) echo "unknown option $1; there are --build-only and --model"; exit 2 ;;
  esac
  shift
done

# ask NAME OPTION...: streams the answer; leaves answer and summary line in the scratch folder.
ask() {
  local name=$1
  shift
  echo "claa run $* -n 24"
  build/cpu/claa run -m "$MODEL" -f "$DOCUMENT" -n 24 "$@" "$QUESTION" 2>"$SCRATCH/$name.summary" |
    tee "$SCRATCH/$name.answer" || { cat "$SCRATCH/$name.summary"; exit 1; }
  cat "$SCRATCH/$name.summary"
}

table() {
  python3 - "$SCRATCH" "$FACT" full claa <<'PYTHON'
import pathlib, re, sys
scratch, fact, names = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
rows = [("method", "tokens kept", "TTFT", "answer", "planted fact in it")]
for name in names:
    answer = " ".join((scratch / f"{name}.answer").read_text(errors="replace").split())
    summary = (scratch / f"{name}.summary").read_text(errors="replace")
    kept = re.search(r"kept ([\d,]+)/([\d,]+) tokens", summary)
    ttft = re.search(r"TTFT ([\d.]+ m?s)", summary)
    rows.append((name, f"{kept[1]} of {kept[2]}", ttft[1], answer, "yes" if fact in answer else "no"))
widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
for i, row in enumerate(rows):
    print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    if i == 0:
        print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
PYTHON
}

step "packages" install_packages "${BUILD_PACKAGES[@]}"
step "Python environment" make_venv
# The answer needs only the program; the tests need everything.
step "build" build build/cpu cpu "$([ "$BUILD_ONLY" = 1 ] && echo all || echo claa_cli)"
step "model" fetch_model
if [ "$BUILD_ONLY" = 1 ]; then
  printf '\nbuilt build/cpu/claa in %d s\n' "$SECONDS"
  exit 0
fi

SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
TOKENS=$(build/cpu/claa tokenize -m "$MODEL" -f "$DOCUMENT" --count | sed -E ':a; s/([0-9])([0-9]{3})($|,)/\1,\2\3/; ta')
printf '\nDocument: %s, %s tokens\nQuestion: %s\n' "$DOCUMENT" "$TOKENS" "$QUESTION"
step "full prefill" ask full --method full
step "CLAA, 20 % of the tokens" ask claa "${CLAA[@]}"
printf '\n'
table
printf '\nThe planted fact is "%s". Everything took %d s.\n' "$FACT" "$SECONDS"
