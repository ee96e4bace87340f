#!/usr/bin/env bash
# Fetches the pinned headers that the CUDA build needs beside the toolkit: cudnn-frontend into build/cudnn_frontend, and
# CUTLASS into build/cutlass.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# fetch FOLDER PACKAGE SHA256 PATH: the folder PATH of the package's wheel as FOLDER/include.
fetch() {
  local folder=$1 package=$2 sha256=$3 path=$4 scratch
  if [ -f "$folder/$sha256" ]; then
    echo "$folder is there"
    return
  fi
  make_venv
  scratch=$(mktemp -d)
  # The headers are the same for every Python; one wheel is named so that its SHA-256 is known.
  "$VENV/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$scratch" --only-binary=:all: \
    --platform manylinux_2_28_x86_64 --python-version 3.11 "$package"
  echo "$sha256  $(echo "$scratch"/*.whl)" | sha256sum --check --quiet
  rm -rf "$folder"
  mkdir -p "$folder"
  python3 -m zipfile -e "$scratch"/*.whl "$scratch/wheel"
  mv "$scratch/wheel/$path" "$folder/include"
  rm -rf "$scratch"
  touch "$folder/$sha256"
  echo "$folder: $package"
}

fetch build/cudnn_frontend nvidia-cudnn-frontend==1.32.0 \
  c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0 include
fetch build/cutlass nvidia-cutlass==4.2.0.0 \
  f9599ada45c7bcb6bf53f7d3f0a7d154183e53451c01bfa59eecd37dd4a693f6 cutlass_library/source/include
