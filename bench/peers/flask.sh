#!/bin/sh
# Installs what the Flask peer runs on into the folder that is named, and says where its gunicorn is.
set -eu
folder=${1:?say where to install}
here=$(cd "$(dirname "$0")" && pwd)
command -v python3 >/dev/null || { echo 'python3 is missing: install Python 3.10 or newer' >&2; exit 1; }
if ! cmp -s "$here/flask/requirements.txt" "$folder/installed.txt"; then
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check --no-input -r "$here/flask/requirements.txt" >&2
  cp "$here/flask/requirements.txt" "$folder/installed.txt"
fi
echo "$folder/bin/gunicorn"
