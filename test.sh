#!/usr/bin/env bash
# Builds everything and runs every test. The last line is "N passed, N failed, N skipped"; the exit
# code is 1 when something failed.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

usage() {
  cat <<'TEXT'
./test.sh [options]    builds the project under sanitizers and runs all of its tests

  --quick    unit tests only
  --help     this text

It installs missing Debian packages, then: unit tests and simulation under ASan and UBSan, house
rules (tools/tidy, clang-format, coroutine checks of clang-tidy), end-to-end and conformance tests
against running nodes, idle cost and allocations of the release build, the runtime under TSan, a
few seconds of every fuzz target. The first run takes about half an hour on two cores, later ones
take less. Logs: build/test-logs.
FUZZ_SECONDS=n sets how long each fuzz target runs (default 5).
TEXT
}

quick=false
case ${1:-} in
  '') ;;
  --quick) quick=true ;;
  -h | --help) usage; exit 0 ;;
  *) echo "test.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
esac

logs=build/test-logs
rm -rf "$logs"
mkdir -p "$logs"
passed=0 failed=0 skipped=0
report=()

record() {  # name passed failed skipped
  passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
  report+=("$(printf '%-28s %5d passed %4d failed %4d skipped' "$1" "$2" "$3" "$4")")
}

# Runs a command whose last line is "N passed, N failed[, N skipped]" and adds that up. A command
# that ends without saying so has failed, whatever its exit code.
counted() {  # name command…
  local name=$1 log=$logs/${1// /-}.log line
  shift
  echo "==> $name"
  "$@" 2>&1 | tee "$log"
  local code=${PIPESTATUS[0]}
  line=$(tail -n 1 "$log")
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
    local bad=${BASH_REMATCH[2]}
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    record "$name" "${BASH_REMATCH[1]}" "$bad" "${BASH_REMATCH[4]:-0}"
  else
    record "$name" 0 1 0
  fi
}

# Runs a command that either works or does not; it counts only when it does not.
needed() {  # name command…
  local name=$1
  shift
  echo "==> $name"
  "$@" && return 0
  record "$name" 0 1 0
  return 1
}

finish() {
  echo
  printf '%s\n' "${report[@]}"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ]
  exit
}

unit_tests() {
  local results=build/asan/results
  rm -rf "$results"
  mkdir -p "$results"
  UBSAN_OPTIONS=print_stacktrace=1 \
    ctest --test-dir build/asan -j2 --timeout 1500 --output-on-failure \
    --output-junit "$PWD/$results.junit"
  tools/ctest-report "$results.junit" "$results"
}

code_format() {
  local good=0 bad=0 file folder folders=()
  for folder in src sim fuzz tests bench; do
    [ -d "$folder" ] && folders+=("$folder")
  done
  while IFS= read -r -d '' file; do
    if clang-format-19 --dry-run -Werror "$file" >/dev/null 2>&1; then
      good=$((good + 1))
    else
      bad=$((bad + 1))
      echo "$file: not formatted; run: clang-format-19 -i $file"
    fi
  done < <(find "${folders[@]}" \( -name '*.cc' -o -name '*.h' \) -print0 | sort -z)
  echo "$good passed, $bad failed"
}

# Where threads meet: messages between cores, starting and stopping them; stores that several cores
# read and write; a gRPC server on one core and its clients on another; NVMe queues that are served
# on other cores than their devices.
thread_tests() {
  local log good bad=0 sum=0 test
  for test in core_test "storage_kv_test --gtest_filter=StoreThreads.*" \
    "client_test --gtest_filter=Multicore.*" \
    "storage_nvme_test --gtest_filter=NvmeAway.*"; do
    log=$logs/tsan-${test%% *}.log
    # shellcheck disable=SC2086  # a name and its arguments
    if build/tsan/$test >"$log" 2>&1; then
      good=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) tests?\.$/\1/p' "$log")
    else
      good=
    fi
    if [ -z "$good" ]; then
      tail -n 60 "$log"
      bad=$((bad + 1))
    fi
    sum=$((sum + ${good:-0}))
  done
  echo "$sum passed, $bad failed"
}

# A GoogleTest program that only builds without sanitizers have.
allocation_tests() {
  local log=$logs/allocations.log good
  if build/release/rpc_allocation_test >"$log" 2>&1; then
    good=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) tests?\.$/\1/p' "$log")
  fi
  if [ -n "${good:-}" ]; then echo "$good passed, 0 failed"; return; fi
  tail -n 60 "$log"
  echo "0 passed, 1 failed"
}

fuzz_smoke() {
  local good=0 bad=0 target name log seeds
  for target in build/fuzz/bin/*_fuzz; do
    [ -x "$target" ] || continue
    name=$(basename "$target")
    log=$logs/fuzz-$name.log
    # New inputs go to a scratch corpus; the seeds in the tree stay as they are.
    mkdir -p "build/fuzz/corpus/$name"
    seeds=(fuzz/corpus/"${name%_fuzz}")
    [ -d "${seeds[0]}" ] || seeds=()
    if "$target" -max_total_time="${FUZZ_SECONDS:-5}" -timeout=10 -rss_limit_mb=2048 \
      -artifact_prefix="$logs/$name-" "build/fuzz/corpus/$name" "${seeds[@]}" \
      >"$log" 2>&1; then
      good=$((good + 1))
      echo "$name: $(grep -E '^Done|stat::number' "$log" | tail -n 1)"
    else
      bad=$((bad + 1))
      tail -n 40 "$log"
      echo "FAILED $name: the input lies in $logs"
    fi
  done
  if [ $((good + bad)) -eq 0 ]; then
    echo "no fuzz target was built"
    bad=1
  fi
  echo "$good passed, $bad failed"
}

needed "packages" tools/install-deps.sh --tests || finish
needed "build asan" tools/build.sh asan || finish
counted "unit and simulation" unit_tests
if $quick; then finish; fi

counted "tests of the tools" tools/run-python-tests tools/*_test.py
counted "house rules" tools/tidy
counted "format" code_format
counted "coroutine checks" tools/lint-coroutines

if needed "build release" tools/build.sh release all rpc_allocation_test; then
  counted "allocations of a call" allocation_tests
  export CAPSTAN_BIN=$PWD/build/asan/bin CAPSTAN_RELEASE_BIN=$PWD/build/release/bin
  counted "end to end" tools/run-python-tests tests/e2e/*_test.py
  counted "conformance" tools/run-python-tests tests/conformance/*_test.py
  counted "released clients" tools/run-python-tests tests/interop/*_test.py
fi
if needed "build tsan" tools/build.sh tsan \
  core_test storage_kv_test client_test storage_nvme_test; then
  counted "threads under TSan" thread_tests
fi
if needed "build fuzz" tools/build.sh fuzz fuzz_targets; then
  counted "fuzz smoke" fuzz_smoke
fi
finish
