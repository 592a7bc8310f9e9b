#!/usr/bin/python3
"""Our initiator and the Linux kernel's own NVMe/TCP target, in qemu (linux-nvme-host/README.md).

Without qemu, or without the Debian packages that go into the guest and a network to fetch them, all
tests are skipped and say so.
"""
import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
from guest import prepare_guest  # noqa: E402
from node import BIN, MIB, Node, free_port, sha256, wait_until  # noqa: E402

TOOL = os.path.join(HERE, 'linux-nvme-host')
NQN = 'nqn.2014-08.org.example:linux-target'
SECONDS = 300    # of one command, on a busy machine


def setUpModule():
    prepare_guest(TOOL)


class KernelTarget(unittest.TestCase):
    def setUp(self):
        self.name = f'capstan-{os.getpid()}'
        self.ports = [free_port(), free_port()]
        self.tool('start', '--name', self.name, '--ports', ' '.join(map(str, self.ports)),
                  '--size', '64', '--backing', 'ram')
        self.addCleanup(self.tool, 'stop')
        self.node = Node()
        self.addCleanup(self.node.close)

    def tool(self, *words):
        done = subprocess.run([os.path.join(TOOL, 'target.sh'), *words], text=True, check=False,
                              capture_output=True, timeout=SECONDS,
                              env={**os.environ, 'TARGET_NAME': self.name})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def uri(self, query='', port=0):
        return f'nvmf://127.0.0.1:{self.ports[port]}/{NQN}{query}'

    def nvme(self, *words, stdin=None):
        done = subprocess.run([os.path.join(BIN, 'capstan'), '-o', 'json', 'nvme', *words],
                              check=False, capture_output=True, input=stdin, timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def test_content_of_many_sizes_with_and_without_digests(self):
        records = json.loads(self.nvme('discover', f'127.0.0.1:{self.ports[0]}'))['records']
        self.assertIn(NQN, [r['subsystem'] for r in records])
        self.assertEqual(json.loads(self.nvme('id', self.uri()))['model'], 'Linux')
        for query in ('', '?hdr_digest=1&data_digest=1', '?disable_sqflow=1&nr_io_queues=2'):
            for size in (512, 4096, 8192, 131072, 5 * MIB + 1536):
                data = os.urandom(size)
                offset = str(3 * MIB + size)
                self.nvme('write', self.uri(query), '--offset', offset, stdin=data)
                self.assertEqual(self.nvme('read', self.uri(), '--offset', offset, '--length',
                                           str(size)), data)
        self.nvme('bench', self.uri(), '--seconds', '2', '--depth', '16', '--pattern',
                  'randwrite')

    def test_a_pool_that_outlives_its_connection(self):
        self.node.start()
        self.node.cli('pool', 'create', 'far', self.uri())
        self.node.cli('replica', 'create', 'v', 'far', '--size', '32MiB', '--thin')
        image = self.node.path('image')
        with open(image, 'wb') as file:
            file.write(os.urandom(16 * MIB))
        self.node.cli('image', 'import', 'v', image)
        before = self.node.log()
        self.tool('path-down', str(self.ports[0]))
        wait_until(lambda: 'controller_lost' in self.node.log()[len(before):], 60,
                   'the node to notice')
        self.tool('path-up', str(self.ports[0]))
        self.node.cli('image', 'export', '--length', '16MiB', 'v', self.node.path('copy'))
        self.assertEqual(sha256(self.node.path('copy')), sha256(image))
        self.assertIn('controller_back', self.node.log()[len(before):])
        self.assertEqual(self.node.stop(), 0)


if __name__ == '__main__':
    unittest.main()
