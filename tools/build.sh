#!/usr/bin/env bash
# Configures a preset when that is needed and builds it:   tools/build.sh <preset> [target…]
# A second call with nothing changed takes a second.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
[ -f "build/$preset/build.ninja" ] || cmake --preset "$preset"
exec ninja -C "build/$preset" "$@"
