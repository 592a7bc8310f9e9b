#!/usr/bin/env bash
# Builds the node and runs it with a pool and a replica on a sparse file and a key/value store.
# Ctrl-C stops it cleanly; the next ./run.sh goes on with the same pool and store.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'TEXT'
./run.sh [options]     builds the node, starts it with a pool, a replica and a key/value store, and
                       waits for Ctrl-C

  --build-only    only build; the programs are in build/release/bin
  --data DIR      where the disk file and the node's state live (default ./run)
  --port PORT     gRPC port on 127.0.0.1 (default 10124)
  --help          this text

The first time it installs missing Debian packages (tools/install-deps.sh) and builds everything:
about ten minutes on two cores. Later starts take seconds.
TEXT
}

build_only=false
data=run
port=10124
while [ $# -gt 0 ]; do
  case $1 in
    --build-only) build_only=true ;;
    --data | --port)
      [ $# -ge 2 ] || { echo "run.sh: $1 needs a value" >&2; exit 2; }
      [ "$1" = --data ] && data=$2 || port=$2
      shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "run.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
case $port in
  '' | *[!0-9]*) echo "run.sh: --port needs a number, not '$port'" >&2; exit 2 ;;
esac
if [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
  echo "run.sh: --port $port is not between 1 and 65535" >&2
  exit 2
fi

# Before the build: nobody should wait for it only to hear this.
if ! $build_only && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
  echo "run.sh: port $port on 127.0.0.1 is taken by another program (a node that still runs?)." >&2
  echo "run.sh: stop it, or choose another one:  ./run.sh --port $((port + 1))" >&2
  exit 1
fi

echo "==> [1/3] packages"
tools/install-deps.sh
echo "==> [2/3] build (preset release; about ten minutes the first time on two cores, then seconds)"
tools/build.sh release io-engine capstan capstan-gateway capstan-kv capstan-pool capstan-nvme
bin=$PWD/build/release/bin
if $build_only; then
  echo "==> built: io-engine, capstan and capstan-{gateway,kv,pool,nvme} in $bin"
  exit 0
fi

echo "==> [3/3] the node"
mkdir -p "$data"
data=$(cd "$data" && pwd)
disk=$data/disk0.img
if [ ! -e "$disk" ]; then
  echo "making the sparse disk file $disk (1 GiB, takes no space yet)"
  truncate -s 1G "$disk"
fi

capstan=("$bin/capstan" --bind "127.0.0.1:$port")
"$bin/io-engine" --grpc-ip 127.0.0.1 --grpc-port "$port" --state-dir "$data/state" \
  -r "$data/rpc.sock" --kv "main=$data/main.kv" --gateway-socket "$data/gateway.sock" &
node=$!
# Others may kill the process that this file names: it names a node that runs, and only as long.
pid_file=$data/io-engine.pid
stop() {
  trap '' INT TERM
  echo
  echo "==> stopping the node (its pools are unloaded cleanly)"
  kill -TERM "$node" 2>/dev/null || true
}
trap stop INT TERM

for attempt in $(seq 100); do
  "${capstan[@]}" node version >/dev/null 2>&1 && break
  if ! kill -0 "$node" 2>/dev/null; then
    wait "$node" && code=0 || code=$?
    echo "run.sh: the node ended while starting (exit code $code); its message stands above" >&2
    exit 1
  fi
  if [ "$attempt" = 100 ]; then
    echo "run.sh: the node does not answer on port $port" >&2
    kill -TERM "$node"
    wait "$node" || true
    exit 1
  fi
  sleep 0.1
done
echo "$node" >"$pid_file"
trap 'rm -f "$pid_file"' EXIT

prepare() {
  local found
  found=$("${capstan[@]}" -q pool list pool0) || return 1
  if [ -z "$found" ]; then
    # On a disk that holds pool0 already this imports it.
    "${capstan[@]}" pool create pool0 "$disk" || return 1
  fi
  found=$("${capstan[@]}" -q replica list replica0) || return 1
  if [ -z "$found" ]; then
    "${capstan[@]}" replica create replica0 pool0 --size 512MiB --thin || return 1
  fi
}
if ! prepare; then
  echo "run.sh: could not prepare pool0 and replica0; see the message above" >&2
  kill -TERM "$node"
  wait "$node" || true
  exit 1
fi

# With echo, not with cat: Ctrl-C would end a child process and with it this script.
echo "
The node is running (process $node).
  gRPC    127.0.0.1:$port   Mayastor v1 (pools to hosts), capstan.node.v1, reflection, health
  Muxio   ws://127.0.0.1:$port/ws   the same operations, and the DataStore's clients
  JSON    $data/rpc.sock   the same operations, and SPDK's methods
  disk    $disk   (pool0 with the thin replica0)
  store   $data/main.kv   (capstan kv)
  state   $data/state

Try, in another terminal:
  $bin/capstan --bind 127.0.0.1:$port pool list
  $bin/capstan --bind 127.0.0.1:$port replica list
  $bin/capstan --bind 127.0.0.1:$port image import replica0 some-disk.img
  $bin/capstan --bind 127.0.0.1:$port image export replica0 copy.img
  $bin/capstan --bind 127.0.0.1:$port kv write hello world
  grpcurl -plaintext 127.0.0.1:$port list
  grpcurl -plaintext 127.0.0.1:$port mayastor.v1.PoolRpc/ListPools

Ctrl-C stops it."

# Not one long `wait`: when a signal interrupts it at the moment the node ends, bash 5.2 may wait
# for ever or tell -1. This way it is asked only after the end.
while kill -0 "$node" 2>/dev/null; do sleep 0.5 || true; done
code=0
wait "$node" || code=$?
echo "==> the node ended with exit code $code"
exit "$code"
