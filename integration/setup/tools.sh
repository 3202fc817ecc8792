#!/usr/bin/env bash
# Puts the programs that tests and benchmarks talk to into a virtual environment: tools.sh FOLDER
#
# All versions are pinned in requirements.txt beside this file. The environment is made again when that
# file or the Python beneath it changed, and left alone otherwise.
set -euo pipefail

folder=${1:?usage: tools.sh FOLDER}
here=$(cd "$(dirname "$0")" && pwd)
wanted=$(python3 -c 'import sys; print(sys.version, sys.base_prefix)' && cat "$here/requirements.txt")

if [ -f "$folder/installed" ] && [ "$(cat "$folder/installed")" = "$wanted" ] && "$folder/bin/python3" -c ''; then
  exit 0
fi
echo "setup: S3 servers and Python modules of tests are missing; they go into $folder" >&2
rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/python3" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
  -r "$here/requirements.txt" >&2
printf '%s\n' "$wanted" >"$folder/installed"
