#!/usr/bin/env bash
# Installs the peers at pinned versions into a scratch folder (build/peers unless another is given) and prints the
# comparison tables of docs/benchmarks.md. Needs network once, about ten minutes to build, and a machine without other work.
#   scripts/bench_peers.sh [FOLDER] [OPTION OF bench/peers/compare.py...]
set -euo pipefail
. "$(dirname "$0")/common.sh"
PEERS=${1:-build/peers}
shift || true
LLAMA_PACKAGE=llama-cpp-python==0.3.36  # its source package carries llama.cpp
OPENVINO_PACKAGE=openvino-genai==2026.4.1.0
mkdir -p "$PEERS"
PEERS=$(cd "$PEERS" && pwd)

install_openvino() {
  [ -x "$PEERS/venv/bin/python" ] || python3 -m venv "$PEERS/venv"
  "$PEERS/venv/bin/pip" install --quiet --disable-pip-version-check "$OPENVINO_PACKAGE" numpy scikit-build-core
}

build_llama() {
  local source=$PEERS/llama
  if [ ! -d "$source" ]; then
    "$PEERS/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-build-isolation \
      --no-binary llama-cpp-python --dest "$PEERS" "$LLAMA_PACKAGE"
    mkdir -p "$source.new"
    tar xzf "$PEERS"/llama_cpp_python-*.tar.gz -C "$source.new" --strip-components=1
    mv "$source.new" "$source"
  fi
  cmake -S "$source/vendor/llama.cpp" -B "$PEERS/llama-build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF >"$PEERS/llama-configure.log"
  cmake --build "$PEERS/llama-build" --parallel "$JOBS" --target llama-bench llama-quantize
}

requantize() {
  local type
  for type in Q4_0 Q8_0 BF16; do
    [ -f "$PEERS/$type.gguf" ] ||
      "$PEERS/llama-build/bin/llama-quantize" --allow-requantize "$MODEL" "$PEERS/$type.gguf" "$type" >"$PEERS/quantize.log" 2>&1
  done
}

compare() {
  python3 bench/peers/compare.py --model "$MODEL" --llama-bench "$PEERS/llama-build/bin/llama-bench" \
    --llama-models "$PEERS"/{Q4_0,Q8_0,BF16}.gguf --openvino-python "$PEERS/venv/bin/python" --threads "$JOBS" \
    --dtypes auto int8 "$@"
}

step "packages" install_packages "${BUILD_PACKAGES[@]}"
step "Python environment" make_venv
step "model" fetch_model
step "claa" build build/cpu cpu claa
step "OpenVINO GenAI" install_openvino
step "llama.cpp" build_llama
step "its models" requantize
lscpu | grep -E "Model name|^CPU\(s\)"
compare "$@"
