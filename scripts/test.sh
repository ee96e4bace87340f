#!/usr/bin/env bash
# Every test: format, layers, style, citations, build, CTest, command line, quality gate, installed package, fuzzers,
# and (--sanitize) the unit tests under the address and undefined-behaviour sanitizers.
#   scripts/test.sh [--long] [--sanitize] [--no-fuzz] [--ci]
# --long adds the tests of label `long`, which take most of an hour on two cores; --ci shows progress without colours.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

LONG=0
SANITIZE=0
FUZZ=1
FUZZ_SECONDS=30
for argument in "$@"; do
  case $argument in
    --long) LONG=1 ;;
    --sanitize) SANITIZE=1 ;;
    --no-fuzz) FUZZ=0 ;;
    --ci) export NO_COLOR=1 ;;
    -h | --help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
    *) echo "unknown option $argument; there are --long, --sanitize, --no-fuzz and --ci"; exit 2 ;;
  esac
done
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

check_format() {
  git ls-files '*.cc' '*.h' '*.cu' '*.cuh' | xargs clang-format-14 --dry-run -Werror
  echo "$(git ls-files '*.cc' '*.h' '*.cu' '*.cuh' | wc -l) files are formatted"
}

# run_ctest FOLDER [OPTION...]: all tests, or those that ctest's options leave, and none of them skipped.
run_ctest() {
  local log=$SCRATCH/ctest.log folder=$1
  shift
  ctest --test-dir "$folder" "$@" --output-on-failure --parallel "$JOBS" --no-tests=error --progress >"$log" 2>&1 || {
    grep -v '^\[' "$log" | tail -n 200
    exit 1
  }
  # As CTest marks them: the name of a test may hold the word.
  local skipped='\*\*\*(Skipped|Not Run)|\((Skipped|Not Run)\)|did not run'
  if grep -qE "$skipped" "$log"; then
    echo "some tests were skipped:"
    grep -E "$skipped" "$log"
    exit 1
  fi
  grep -E 'tests passed|Total Test time' "$log" | tee -a "$SCRATCH/summary"
}

run_pytest() {
  CLAA_BIN=$ROOT/build/cpu/claa CLAA_MODEL=$ROOT/$MODEL \
    "$VENV/bin/python" -m pytest -q -p no:cacheprovider -n "$JOBS" --dist loadfile tests/cli | tee "$SCRATCH/pytest.log"
  tail -n 1 "$SCRATCH/pytest.log" >>"$SCRATCH/summary"
}

# The model still answers: full and claa with the model's profile reach the thresholds of suites/quick.json.
quality_gate() {
  build/cpu/claa eval -m "$MODEL" --suite quick --no-pictures -o "$SCRATCH/quick" 2>"$SCRATCH/quick.log" || {
    tail -n 5 "$SCRATCH/quick.log"
    exit 1
  }
}

# The example outside the source tree, against an installed package, as a user would build it.
check_package() {
  cmake --install build/cpu --prefix "$SCRATCH/prefix" >/dev/null
  cp -r examples/embed "$SCRATCH/embed"
  cmake -G Ninja -S "$SCRATCH/embed" -B "$SCRATCH/embed/build" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$SCRATCH/prefix" >/dev/null
  cmake --build "$SCRATCH/embed/build"
  local answer
  answer=$("$SCRATCH/embed/build/embed" "$MODEL" \
    "What is the access code of the reading room? Answer with the code only." examples/document.txt)
  echo "the example answers: $answer"
  [[ $answer = *82641* ]]
  check_own_ranker
}

# A ranker outside the project: it builds against the installed package, runs by its name and drops what it says.
check_own_ranker() {
  cp -r examples/ranker "$SCRATCH/ranker"
  cmake -G Ninja -S "$SCRATCH/ranker" -B "$SCRATCH/ranker/build" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$SCRATCH/prefix" >/dev/null
  cmake --build "$SCRATCH/ranker/build"
  head -c 6000 examples/document.txt >"$SCRATCH/excerpt.txt"
  "$SCRATCH/ranker/build/ranker" "$MODEL" "$SCRATCH/excerpt.txt" "Who is it about?" 2>&1 | tee "$SCRATCH/ranker.log"
  local kept all
  read -r kept all < <(sed -n 's/^kept \([0-9]*\) of \([0-9]*\) tokens$/\1 \2/p' "$SCRATCH/ranker.log")
  [ "$kept" -eq $((all * 3 / 10)) ]
}

# The library by another compiler, as a part of another project that has neither Boost nor CLI11.
check_consumer() {
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake -G Ninja -S tests/consumer -B build/consumer -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 \
    -DCMAKE_BUILD_TYPE=Debug -DCLAA_DEVELOPER=ON "${launcher[@]}" >/dev/null
  cmake --build build/consumer --parallel "$JOBS"
  local status=0
  build/consumer/consumer "$SCRATCH/no.gguf" "Is it there?" 2>"$SCRATCH/consumer.log" || status=$?
  cat "$SCRATCH/consumer.log"
  [ "$status" = 2 ] && grep -q 'no.gguf' "$SCRATCH/consumer.log"
}

fuzz() {
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake -G Ninja -S fuzz -B build/fuzz -DCMAKE_CXX_COMPILER=clang++-14 "${launcher[@]}" >/dev/null
  cmake --build build/fuzz --parallel "$JOBS"
  local target targets=(gguf safetensors tokenizer tokenizer_json template chat ranking profile records request) failed=0
  for target in "${targets[@]}"; do
    mkdir -p "build/fuzz/new_$target"
    local seeds=$ROOT/fuzz/corpus/$target
    if [ "$target" = template ]; then seeds=$ROOT/tests/data/template_corpus; fi
    (cd build/fuzz && exec ./"${target}_fuzz" -max_total_time="$FUZZ_SECONDS" -rss_limit_mb=4096 -timeout=20 \
      -print_final_stats=1 "new_$target" "$seeds" >"$SCRATCH/fuzz_$target.log" 2>&1) &
    # As many at a time as there are cores.
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n || failed=1; done
  done
  while [ "$(jobs -rp | wc -l)" -gt 0 ]; do wait -n || failed=1; done
  for target in "${targets[@]}"; do
    if ! grep -q 'stat::number_of_executed_units' "$SCRATCH/fuzz_$target.log" || grep -q 'ERROR: ' "$SCRATCH/fuzz_$target.log"; then
      tail -n 60 "$SCRATCH/fuzz_$target.log"
      failed=1
    fi
    echo "$target: $(sed -n 's/stat::number_of_executed_units: *//p' "$SCRATCH/fuzz_$target.log") inputs"
  done
  [ "$failed" = 0 ]
}

# The CUDA backend and its tests compile without a GPU, where nvcc is installed.
compile_cuda() {
  if ! command -v nvcc >/dev/null; then
    echo "nvcc is not installed: the CUDA backend is not compiled"
    return
  fi
  scripts/cuda_headers.sh
  # One architecture: every further one compiles the same source again.
  build build/cuda cuda claa_cuda -DCMAKE_CUDA_ARCHITECTURES=90 -DCLAA_BUILD_TESTS=OFF
}

sanitize() {
  build build/asan asan all
  export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=1
  # The long prompts take the same paths as the short ones, twenty times as long.
  run_ctest build/asan --label-exclude long --exclude-regex 'Golden\..*/(needle|code)'
}

step "packages" install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
step "Python environment" make_venv
step "format" check_format
step "layers" python3 tools/check_layers.py
step "style" python3 tools/check_style.py
step "citations" python3 tools/check_citations.py
step "build" build build/cpu cpu all
step "model" fetch_model
step "unit tests" run_ctest build/cpu --label-exclude long
if [ "$LONG" = 1 ]; then step "long unit tests" run_ctest build/cpu --label-regex long; fi
step "command line tests" run_pytest
step "quality gate" quality_gate
step "installed package" check_package
step "part of another project, by clang" check_consumer
step "CUDA backend" compile_cuda
if [ "$SANITIZE" = 1 ]; then step "unit tests under sanitizers" sanitize; fi
if [ "$FUZZ" = 1 ]; then step "fuzzers" fuzz; fi
printf '\nall passed in %d s: %s\n' "$SECONDS" "$(paste -sd ';' "$SCRATCH/summary" | sed 's/;/; /g')"
