#!/bin/sh
# A thin replica gives back what the host discards: "host-call allocated" answers its bytes, of
# which CLUSTER is the unit. OVERWRITES THE NAMESPACE NSID (default 1) of NQN.
# shellcheck source=../linux-nvme-host/guest/lib.sh
. /job/lib.sh
need TRADDR TRSVCID NQN CLUSTER

allocated() { host-call allocated; }

check "connect" connect "$TRSVCID"
check "namespace is there" wait_for 10 namespace_device "${NSID:-1}"
device=$(namespace_device "${NSID:-1}")
check "nothing is allocated" test "$(allocated)" -le "$CLUSTER"
step "write 32 MiB"
dd if=/dev/urandom of=/tmp/data bs=1M count=32 2>/dev/null
check "write" dd if=/tmp/data of="$device" bs=1M oflag=direct
check "it is allocated" test "$(allocated)" -ge $((32 * 1048576))
step "discard the first half"
check "blkdiscard" blkdiscard -o 0 -l $((16 * 1048576)) "$device"
check "that half is given back" test "$(allocated)" -le $((16 * 1048576 + CLUSTER))
half() { dd if="$device" bs=1M skip="$1" count=16 iflag=direct; }
zeros() { half 0 | cmp -n 16777216 - /dev/zero; }
dd if=/tmp/data of=/tmp/second bs=1M skip=16 2>/dev/null
kept() { half 16 | cmp - /tmp/second; }
check "and reads as zeros" zeros
check "the other half is there" kept
step "a file system that gives back what is deleted"
check "mkfs" mkfs.ext4 -q -E nodiscard "$device"
mkdir -p /mnt/t
check "mount" mount -t ext4 "$device" /mnt/t
check "fill" cp /tmp/data /mnt/t/data
sync
full=$(allocated)
check "delete" rm /mnt/t/data
sync
check "fstrim" fstrim /mnt/t
check "less is allocated" test "$(allocated)" -lt "$full"
check "umount" umount /mnt/t
check "disconnect" nvme disconnect -n "$NQN"
step "done"
