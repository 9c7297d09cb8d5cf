#!/bin/sh
# Installs Keylime's verifier code into the folder that is named, and says where the Python is that has it.
set -eu
folder=${1:?say where to install}
here=$(cd "$(dirname "$0")" && pwd)
command -v python3 >/dev/null || { echo 'python3 is missing: install Python 3.10 or newer' >&2; exit 1; }
if ! cmp -s "$here/keylime/requirements.txt" "$folder/installed.txt"; then
  rm -rf "$folder"
  python3 -m venv "$folder"
  # All that its verification of quotes imports is listed; the rest of what it depends on is its servers'.
  "$folder/bin/pip" install --quiet --disable-pip-version-check --no-input --no-deps -r "$here/keylime/requirements.txt" >&2
  cp "$here/keylime/requirements.txt" "$folder/installed.txt"
fi
echo "$folder/bin/python"
