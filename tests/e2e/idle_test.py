#!/usr/bin/python3
"""What an idle node costs, measured on the release build: CPU below 1 %, memory at most 64 MiB. Two
nodes that are connected by ten shared replicas cost no more."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import MIB, RELEASE_BIN, Node, call, free_port  # noqa: E402
from usage import cpu_seconds, resident_bytes  # noqa: E402

MEASURE_SECONDS = 5
SHARES = 10
QUEUES = 2      # for I/O, of each share
CONNECTED_SECONDS = 12      # more than two keep alives


def switches(pid):
    """Voluntary context switches of all threads: how often something woke up."""
    total = 0
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/status', encoding='ascii') as file:
            total += sum(int(line.split()[1]) for line in file
                         if line.startswith('voluntary_ctxt_switches'))
    return total


class Usage:
    """What processes cost from here to the end."""
    def __init__(self, *nodes):
        self.pids = [node.process.pid for node in nodes]
        self.before = [(cpu_seconds(pid), switches(pid)) for pid in self.pids]
        self.start = time.monotonic()

    def end(self):
        """(percent of one core, wake-ups in a second) of each."""
        elapsed = time.monotonic() - self.start
        return [(100 * (cpu_seconds(pid) - cpu) / elapsed, (switches(pid) - woken) / elapsed)
                for pid, (cpu, woken) in zip(self.pids, self.before)]


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

    def test_two_idle_nodes_connected_by_replicas(self):
        target, host = Node(bin_folder=RELEASE_BIN), Node(bin_folder=RELEASE_BIN)
        for node in target, host:
            self.addCleanup(node.close)
        port = free_port()
        target.start('--nvmf-replica-port', str(port))
        target.cli('pool', 'create', 'pool0', target.disk(mebibytes=256))
        host.start()
        for number in range(SHARES):
            name = f'r{number}'
            target.cli('replica', 'create', name, 'pool0', '--size', '16MiB', '--thin',
                       '--protocol', 'nvmf')
            call(host, 'bdev_nvme_attach_controller', name=f'Nvme{number}', trtype='tcp',
                 traddr='127.0.0.1', trsvcid=str(port), num_io_queues=QUEUES,
                 subnqn=f'nqn.2019-05.io.openebs:{name}')
        # A pool on one of them, so that there was I/O.
        host.cli('pool', 'create', 'far', 'bdev:///Nvme0n1')
        pairs = call(target, 'nvmf_get_stats')['poll_groups'][0]
        self.assertEqual(pairs['current_admin_qpairs'], SHARES)
        self.assertEqual(pairs['current_io_qpairs'], SHARES * QUEUES)
        usage = Usage(target, host)
        time.sleep(CONNECTED_SECONDS)     # the measurement itself
        for name, (percent, woken) in zip(('target', 'host'), usage.end()):
            print(f'idle {name}: {percent:.2f} % of one core, {woken:.1f} wake-ups a second')
            self.assertLess(percent, 1.0)
            # Keep alives: two in ten seconds for each controller, a few wake-ups each.
            self.assertLess(woken, SHARES)
        alive = call(target, 'nvmf_get_stats')['poll_groups'][0]
        self.assertEqual(alive['current_io_qpairs'], SHARES * QUEUES)
        for node in host, target:
            self.assertEqual(node.stop(), 0)


if __name__ == '__main__':
    unittest.main()
