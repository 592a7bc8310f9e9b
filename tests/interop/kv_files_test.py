#!/usr/bin/python3
"""Files both ways between our store and simd-r-drive's own command line (crates registry): each
opens what the other wrote, and given the same commands both write the same bytes and say the same.
The program is installed into build/tools; without cargo or a registry this is skipped and says why.
"""
import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
from muxio_clients_test import cargo_install  # noqa: E402
from node import Node  # noqa: E402

VERSION = '0.16.3-alpha'
COLOUR = re.compile(rb'\x1b\[[0-9;]*m')
LOG_LINE = re.compile(rb'^\d{4}-\d\d-\d\dT.*\n', re.M)
ADDRESS = re.compile(rb'MEMORY ADDRESS: .*\n')


def without_log(output):
    """What the program says: upstream logs to standard output and shows an address."""
    return ADDRESS.sub(b'', LOG_LINE.sub(b'', COLOUR.sub(b'', output)))


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.upstream, why = cargo_install('simd-r-drive', VERSION)
        if not cls.upstream:
            raise unittest.SkipTest(why)

    def setUp(self):
        self.node = Node()               # for its folder and programs; started where a test says so
        self.addCleanup(self.node.close)
        self.path = self.node.path('store.bin')

    def run_one(self, command, data):
        return subprocess.run(command, input=data, capture_output=True, timeout=120, check=False,
                              cwd=self.node.folder)

    def theirs(self, *arguments, data=None, path=None):
        return self.run_one([self.upstream, path or self.path, *arguments], data)

    def ours(self, *arguments, data=None, path=None):
        return self.run_one([os.path.join(self.node.bin, 'capstan-kv'), path or self.path,
                             *arguments], data)

    def same(self, *arguments, data=None):
        """The same command on two files: both end alike, say the same and leave the same bytes."""
        theirs = self.theirs(*arguments, data=data, path='theirs.bin')
        ours = self.ours(*arguments, data=data, path='ours.bin')
        said = without_log(theirs.stdout).replace(b'theirs', b'ours')
        self.assertEqual((ours.returncode, without_log(ours.stdout)), (theirs.returncode, said),
                         theirs.stderr + ours.stderr)
        with open(self.node.path('theirs.bin'), 'rb') as file:
            expected = file.read()
        with open(self.node.path('ours.bin'), 'rb') as file:
            self.assertEqual(file.read(), expected, arguments)

    def test_the_same_commands_leave_the_same_bytes(self):
        large = os.urandom(3_000_001)
        self.same('write', 'a', 'one')
        self.same('write', 'b', data=large)
        self.same('write', 'ä', 'ü' * 1000)
        self.same('read', 'b')
        self.same('read', 'nobody')
        self.same('read', 'a', '-b', '4k')
        self.same('write', 'a', 'two')
        self.same('rename', 'a', 'c')
        self.same('rename', 'nobody', 'd')
        self.same('metadata', 'c')
        self.same('metadata', 'nobody')
        self.same('delete', 'b')
        self.same('copy', 'c', 'copies.bin')
        self.same('copy', 'nobody', 'copies.bin')
        self.same('write', 'x', data=b'')
        self.same('compact')
        self.same('info')                # upstream counts deleted keys, so only once none is left
        self.same('read', 'c')

    def test_upstream_reads_what_we_wrote(self):
        large = os.urandom(5_000_000)
        for i in range(200):
            self.assertEqual(self.ours('write', f'key{i}', f'value{i}').returncode, 0)
        self.ours('write', 'large', data=large)
        self.ours('rename', 'key7', 'seven')
        self.ours('delete', 'key8')
        for i in (0, 1, 9, 199):
            self.assertTrue(self.theirs('read', f'key{i}').stdout.endswith(f'value{i}'.encode()))
        self.assertTrue(self.theirs('read', 'seven').stdout.endswith(b'value7'))
        self.assertTrue(self.theirs('read', 'large').stdout.endswith(large))
        for gone in ('key7', 'key8'):
            self.assertEqual(self.theirs('read', gone).returncode, 1)
        self.assertIn(b'VALID', self.theirs('metadata', 'large').stdout)
        self.ours('compact')
        self.assertTrue(self.theirs('read', 'key199').stdout.endswith(b'value199'))
        self.assertTrue(self.theirs('read', 'large').stdout.endswith(large))

    def test_a_node_opens_what_upstream_wrote_and_gives_it_back(self):
        large = os.urandom(2_000_000)
        for i in range(20):
            self.assertEqual(self.theirs('write', f'key{i}', f'value{i}').returncode, 0)
        self.theirs('write', 'large', data=large)
        self.theirs('delete', 'key3')
        self.node.start('--kv', f'main={self.path}')

        def kv(*arguments):
            return self.run_one(self.node.cli_command('kv', *arguments), None)
        self.assertEqual(kv('read', 'key19').stdout, b'value19')
        self.assertEqual(kv('read', 'large').stdout, large)
        self.assertEqual(kv('exists', 'key3').stdout, b'no\n')
        self.assertEqual(int(self.node.json('kv', 'info')['stores'][0]['keys']), 20)
        self.assertEqual(kv('write', 'key19', 'newer').returncode, 0)
        self.assertEqual(self.node.stop(), 0, self.node.log())
        self.assertTrue(self.theirs('read', 'key19').stdout.endswith(b'newer'))
        self.theirs('compact')
        self.assertEqual(self.ours('read', 'large').stdout, large)
        self.assertEqual(len(self.ours('keys').stdout.splitlines()), 20)


if __name__ == '__main__':
    unittest.main()
