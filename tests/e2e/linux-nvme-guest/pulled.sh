#!/bin/sh
# A disk is taken out of the machine under a pool that nobody uses: the node hears of it from the
# kernel and says so, the pool on the other disk goes on, and the disk can be let go. The node runs
# in the guest: its programs and their libraries are in /job/files/node.
# OVERWRITES /dev/vda and /dev/vdb.
# shellcheck source=../linux-nvme-host/guest/lib.sh
. /job/lib.sh
files=/job/files/node

run() {
	program=$1
	shift
	"$files/ld-linux-x86-64.so.2" --library-path "$files" "$files/$program" "$@"
}
capstan() { run capstan "$@"; }
state() { capstan pool list -o json | tr -d ' \n' | grep -qE "\"name\":\"$1\"[^}]*$2"; }
told() { grep -qi "$1" "$2"; }

mkdir -p /tmp/node
run io-engine --grpc-ip 127.0.0.1 --rpc-socket /tmp/node/rpc.sock --state-dir /tmp/node/state \
	>/tmp/node/log 2>&1 &
wait_for 60 capstan node version || {
	cat /tmp/node/log >&2
	fail "the node does not start"
}
echo "ok: the node runs"
check "pool p" capstan pool create p /dev/vda
check "pool q" capstan pool create q /dev/vdb
capstan watch pools >/tmp/watch 2>&1 &
wait_for 20 test -s /tmp/watch || fail "nothing is watched: $(cat /tmp/watch)"
wait_for 10 state p ONLINE || fail "no state: $(capstan pool list -o json)"

step "the disk goes"
echo 1 >/sys/block/vda/device/../remove
wait_for 10 told disk_gone /tmp/node/log || {
	tail -n 20 /tmp/node/log >&2
	fail "the node did not notice"
}
echo "ok: the node noticed by itself"
check "whoever watches is told" wait_for 10 told faulted /tmp/watch
check "the pool is faulted" wait_for 5 state p FAULTED
check "the other one is not" state q ONLINE
check_fails "no replica of it" 'refuses changes' capstan replica create r p --size 4MiB --thin
check "a replica of the other one" capstan replica create r q --size 4MiB --thin
check "it can be exported" capstan pool export p
check_fails "its disk is gone" 'No such|not found|NOT_FOUND' capstan pool import p /dev/vda
echo "== done"
