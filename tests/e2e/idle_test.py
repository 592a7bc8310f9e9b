#!/usr/bin/python3
"""What an idle node costs, measured on the release build: CPU below 1 %, memory at most 64 MiB."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import MIB, RELEASE_BIN, Node  # noqa: E402

MEASURE_SECONDS = 5


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as file:
        fields = file.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def switches(pid):
    """Voluntary context switches of all threads: how often something woke up."""
    total = 0
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/status', encoding='ascii') as file:
            total += sum(int(line.split()[1]) for line in file
                         if line.startswith('voluntary_ctxt_switches'))
    return total


def resident_bytes(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith('VmRSS'))


class Idle(unittest.TestCase):
    def test_idle_node(self):
        node = Node(bin_folder=RELEASE_BIN)
        self.addCleanup(node.close)
        node.start()
        # Idle is what comes after work: a pool, a replica and an image that was read back.
        node.cli('pool', 'create', 'pool0', node.disk(mebibytes=256))
        node.cli('replica', 'create', 'replica0', 'pool0', '--size', '128MiB', '--thin')
        image = node.path('image')
        with open(image, 'wb') as file:
            file.write(os.urandom(32 * MIB))
        node.cli('image', 'import', 'replica0', image)
        node.cli('image', 'export', 'replica0', node.path('copy'))

        pid = node.process.pid
        cpu, woken, start = cpu_seconds(pid), switches(pid), time.monotonic()
        time.sleep(MEASURE_SECONDS)     # the measurement itself
        elapsed = time.monotonic() - start
        percent = 100 * (cpu_seconds(pid) - cpu) / elapsed
        woken = switches(pid) - woken
        resident = resident_bytes(pid)
        print(f'idle node: {percent:.2f} % of one core, {woken} wake-ups in {elapsed:.1f} s, '
              f'{resident / MIB:.1f} MiB resident, '
              f'{len(os.listdir(f"/proc/{pid}/task"))} threads')
        self.assertLess(percent, 1.0)
        self.assertLessEqual(resident, 64 * MIB)
        self.assertEqual(node.stop(), 0)


if __name__ == '__main__':
    unittest.main()
