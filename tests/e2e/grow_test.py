#!/usr/bin/python3
"""Sizes change on a running node: a pool takes what its file has grown by, replicas grow and
shrink, and all of that is there after kill -9. The independent checker and capstan-pool judge the
disk."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import MIB, Node, check_pool, sha256  # noqa: E402
from official import Client  # noqa: E402

POOL = 'mayastor.v1.PoolRpc/'
REPLICA = 'mayastor.v1.ReplicaRpc/'


class Growth(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)

    def start(self):
        self.node.start()
        self.client = Client(f'127.0.0.1:{self.node.port}')

    def grow(self):
        return self.client.call(POOL + 'GrowPool', {'name': 'p'})

    def resize(self, uuid, mebibytes):
        return self.client.call(REPLICA + 'ResizeReplica',
                                {'uuid': uuid, 'requested_size': mebibytes * MIB})

    def offline(self, *arguments):
        """`capstan pool` goes on as capstan-pool, which needs no node."""
        return subprocess.run([os.path.join(self.node.bin, 'capstan'), 'pool', *arguments],
                              capture_output=True, text=True, check=False)

    def test_sizes_survive_a_kill(self):
        disk = self.node.disk('disk.img', 64)
        content = self.node.path('content.img')
        with open(content, 'wb') as file:
            file.write(os.urandom(8 * MIB))
        self.start()
        self.node.cli('pool', 'create', 'p', f'aio://{disk}')
        self.node.cli('replica', 'create', 'thin', 'p', '--size', '8MiB', '--thin')
        self.node.cli('replica', 'create', 'thick', 'p', '--size', '8MiB')
        uuids = {name: replica['uuid'] for name, replica in self.node.replicas().items()}
        for name in uuids:
            self.node.cli('image', 'import', name, content)
        self.assertEqual(self.grow().current_pool.capacity, 60 * MIB)
        os.truncate(disk, 203 * MIB)
        grown = self.grow()
        self.assertEqual(grown.previous_pool.capacity, 60 * MIB)
        self.assertEqual(grown.current_pool.capacity, 196 * MIB)
        self.assertEqual(self.resize(uuids['thick'], 160).usage.num_allocated_clusters, 40)
        self.assertEqual(self.resize(uuids['thin'], 41).size, 44 * MIB)
        self.assertEqual(self.resize(uuids['thick'], 12).usage.allocated_bytes, 12 * MIB)
        self.client.close()     # a kept one would wait before it connects again
        self.node.kill()
        self.assertEqual(check_pool(disk), '')
        checked = self.offline('check', disk)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

        self.start()
        pool = self.client.call(POOL + 'ListPools').pools[0]
        self.assertEqual((pool.capacity, pool.used), (196 * MIB, 20 * MIB))
        busy = self.offline('check', disk)
        self.assertEqual(busy.returncode, 1, 'a node has it open')
        self.assertEqual(self.resize(uuids['thick'], 8).size, 8 * MIB)
        self.assertEqual(self.resize(uuids['thin'], 8).size, 8 * MIB)
        for name in uuids:
            copy = self.node.path('copy.img')
            self.node.cli('image', 'export', name, copy)
            self.assertEqual(sha256(copy), sha256(content), name)
            os.unlink(copy)
        self.assertEqual(self.node.stop(), 0)
        self.assertEqual(check_pool(disk), '')
        self.assertIn('unloaded cleanly', self.offline('check', disk).stdout)

    def test_by_command(self):
        disk = self.node.disk('disk.img', 64)
        self.start()
        self.node.cli('pool', 'create', 'p', disk)
        self.node.cli('replica', 'create', 'r', 'p', '--size', '8MiB')
        self.assertIn('already uses all', self.node.cli('pool', 'grow', 'p').stdout)
        os.truncate(disk, 128 * MIB)
        self.assertIn('grew from 60', self.node.cli('pool', 'grow', 'p').stdout)
        self.assertIn('r has 20', self.node.cli('replica', 'resize', 'r', '18MiB').stdout)
        self.assertEqual(self.node.json('replica', 'resize', 'r', '8MiB')['size'], 8 * MIB)
        wrong = self.node.cli('replica', 'resize', 'r', '5 apples', check=False)
        self.assertEqual(wrong.returncode, 2)
        self.assertIn('Bad size', wrong.stderr)
        missing = self.node.cli('replica', 'resize', 'nobody', '8MiB', check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("replica 'nobody' not found", missing.stderr)
        self.assertEqual(self.node.stop(), 0)
        self.assertEqual(self.offline('check').returncode, 2, 'a disk is needed')
        self.assertIn('"name"', self.offline('dump', disk).stdout)


if __name__ == '__main__':
    unittest.main()
