#!/bin/sh
# Installs vegeta into the folder that is named, and says where it is.
set -eu
folder=${1:?say where to install}
version=v12.13.0
command -v go >/dev/null || { echo 'go is missing: install Go 1.22 or newer' >&2; exit 1; }
if ! [ -x "$folder/$version/vegeta" ]; then
  GOBIN="$folder/$version" GOFLAGS=-mod=mod go install "github.com/tsenart/vegeta/v12@$version" >&2
fi
echo "$folder/$version/vegeta"
