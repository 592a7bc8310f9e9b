#!/bin/sh
# The node dies (kill -9) while a host writes, and comes back: the host reconnects by itself, and
# every block whose write was acknowledged is there. "host-call kill", "host-call start".
# OVERWRITES THE NAMESPACE NSID (default 1) of NQN.
# shellcheck source=../linux-nvme-host/guest/lib.sh
. /job/lib.sh
need TRADDR TRSVCID NQN
device=

# Writes block after block, each with its number, and notes those that were acknowledged.
write_blocks() {
	block=0
	while [ ! -e /tmp/stop ]; do
		printf '%-4095d\n' "$block" >/tmp/block
		dd if=/tmp/block of="$device" bs=4k seek="$block" count=1 oflag=direct 2>/dev/null ||
			echo error >>/tmp/errors
		echo "$block" >>/tmp/acknowledged
		block=$((block + 1))
	done
}
acknowledged() { wc -l </tmp/acknowledged; }
more_than() { [ "$(acknowledged)" -gt "$1" ]; }

touch /tmp/acknowledged
check "connect" connect "$TRSVCID" -c 1 -l 600
check "namespace is there" wait_for 10 namespace_device "${NSID:-1}"
device=$(namespace_device "${NSID:-1}")
controller=$(controllers)
write_blocks &
writer=$!
check "blocks are written" wait_for 30 more_than 50
step "kill -9"
check "kill" host-call kill
check "the host notices" wait_for 30 controller_is "$controller" connecting
check "start" host-call start
check "the host is back" wait_for 60 controller_is "$controller" live
before=$(acknowledged)
check "writing goes on" wait_for 30 more_than $((before + 50))
touch /tmp/stop
wait "$writer"
check "no write failed" test ! -e /tmp/errors
step "every acknowledged block"
count=$(acknowledged)
echo "$count blocks"
blockdev --flushbufs "$device"
dd if="$device" bs=4k count="$count" iflag=direct 2>/dev/null | awk '
	$1 != NR - 1 { print "block", NR - 1, "is", $1 }
	END { print NR, "read" }' >/tmp/read
check "all are there" test "$(cat /tmp/read)" = "$count read"
check "disconnect" nvme disconnect -n "$NQN"
step "done"
