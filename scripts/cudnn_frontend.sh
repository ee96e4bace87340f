#!/usr/bin/env bash
# Fetches the pinned headers of cudnn-frontend, which the CUDA build needs, into build/cudnn_frontend.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PACKAGE=nvidia-cudnn-frontend==1.32.0
SHA256=c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0
FOLDER=build/cudnn_frontend

if [ -f "$FOLDER/$SHA256" ]; then
  echo "$FOLDER is there"
  exit 0
fi
make_venv
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The headers are the same for every Python; one wheel is named so that its SHA-256 is known.
"$VENV/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$scratch" --only-binary=:all: \
  --platform manylinux_2_28_x86_64 --python-version 3.11 "$PACKAGE"
echo "$SHA256  $(echo "$scratch"/*.whl)" | sha256sum --check --quiet
rm -rf "$FOLDER"
mkdir -p "$FOLDER"
python3 -m zipfile -e "$scratch"/*.whl "$scratch/wheel"
mv "$scratch/wheel/include" "$FOLDER/include"
touch "$FOLDER/$SHA256"
echo "$FOLDER: $PACKAGE"
