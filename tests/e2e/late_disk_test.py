#!/usr/bin/python3
"""Disks that are not there when the node starts: another node that does not answer, and a file that
is missing. The node serves what it has, says what it has not, and takes it in when it comes.
"""
import json
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import Node, wait_until  # noqa: E402


class LateDisk(unittest.TestCase):
    def setUp(self):
        self.far, self.node = Node(), Node()
        for one in (self.far, self.node):
            self.addCleanup(one.close)
            one.start()

    def trouble(self, pool):
        shown = self.node.cli('-o', 'json', 'node', 'health', check=False)  # 1: not healthy
        parts = json.loads(shown.stdout)['parts']
        return [p['detail'] for p in parts if p['name'] == f'pool {pool}' and not p['healthy']]

    def wait_for(self, pool):
        return wait_until(lambda: self.node.pools().get(pool), 120, f'pool {pool} to appear')

    def test_what_is_late_comes_by_itself(self):
        self.far.cli('pool', 'create', 'below', self.far.disk())
        self.far.cli('replica', 'create', 'volume', 'below', '--size', '64MiB')
        uri = self.far.cli('replica', 'share', 'volume').stdout.strip()
        self.node.cli('pool', 'create', 'far', uri)
        self.node.cli('pool', 'create', 'near', self.node.disk())
        missing = self.node.disk('missing.img')
        self.node.cli('pool', 'create', 'missing', missing)
        self.node.cli('replica', 'create', 'r', 'far', '--size', '8MiB', '--thin')

        self.node.kill()
        os.rename(missing, missing + '.away')
        self.far.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.far.process.send_signal, signal.SIGCONT)
        self.node.start()
        self.assertEqual(set(self.node.pools()), {'near'})
        self.assertIn('No such file', ''.join(self.trouble('missing')))
        self.assertEqual(len(self.trouble('far')), 1)
        refused = self.node.cli('replica', 'create', 'r2', 'missing', '--size', '8MiB', check=False)
        self.assertIn('No such file', refused.stderr, 'it says why the pool is not found')
        self.node.cli('replica', 'create', 'near1', 'near', '--size', '8MiB')

        os.rename(missing + '.away', missing)
        self.wait_for('missing')
        self.far.process.send_signal(signal.SIGCONT)
        self.wait_for('far')
        self.assertIn('r', self.node.replicas())
        self.assertEqual(self.trouble('far') + self.trouble('missing'), [])
        self.assertEqual(self.node.stop(), 0)

    def test_a_disk_that_has_another_name_now(self):
        disk = self.node.disk('sdb.img')
        self.node.cli('pool', 'create', 'p', disk)
        self.node.kill()
        os.rename(disk, self.node.path('sdc.img'))
        self.node.disk('sdb.img')  # another one has its name
        self.node.start()
        self.assertEqual(self.node.pools(), {})
        wrong = self.node.cli('pool', 'import', 'p', self.node.disk('sdd.img'), check=False)
        self.assertIn('is it the right disk?', wrong.stderr)
        formats = self.node.cli('pool', 'create', 'p', self.node.path('sdd.img'), check=False)
        self.assertIn('import it if this is the same disk', formats.stderr)
        self.node.cli('pool', 'import', 'p', self.node.path('sdc.img'))
        self.node.kill()
        self.node.start()
        self.assertIn('sdc.img', self.node.pools()['p']['disks'][0])


if __name__ == '__main__':
    unittest.main()
