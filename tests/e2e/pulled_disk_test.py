#!/usr/bin/python3
"""A disk is really pulled: a node in a Linux guest (linux-nvme-host/README.md) loses one of two.

Boots one guest, some 5 s without KVM. Without qemu, or without the Debian packages that go into the
guest and a network to fetch them, it is skipped and says so.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
from guest import prepare_guest  # noqa: E402
from node import MIB, RELEASE_BIN  # noqa: E402

TOOL = os.path.join(HERE, 'linux-nvme-host')
SCRIPT = os.path.join(HERE, 'linux-nvme-guest', 'pulled.sh')
SECONDS = 400      # of the script, on a busy machine


def setUpModule():
    prepare_guest(TOOL)


def pack(program, folder):
    """A program without its symbols, and every library that it needs, in one folder."""
    source = os.path.join(RELEASE_BIN, program)
    subprocess.run(['strip', '-o', os.path.join(folder, program), source], check=True)
    libraries = subprocess.run(['ldd', source], capture_output=True, text=True, check=True).stdout
    for path in re.findall(r'(/\S+) \(0x', libraries):
        shutil.copy(path, folder)


class PulledDisk(unittest.TestCase):
    def test_an_idle_pool_is_faulted_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            node = os.path.join(folder, 'node')
            os.mkdir(node)
            for program in ('io-engine', 'capstan'):
                pack(program, node)
            command = [os.path.join(TOOL, 'run.sh'), '--timeout', str(SECONDS), '--no-redirect',
                       '--file', node]
            for disk in ('a.img', 'b.img'):
                path = os.path.join(folder, disk)
                with open(path, 'wb') as image:
                    image.truncate(64 * MIB)
                command += ['--disk', path]
            done = subprocess.run([*command, SCRIPT], capture_output=True, text=True,
                                  timeout=SECONDS + 60, check=False)
        text = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, text)
        self.assertIn('== done', text)
        self.assertIn('ok: the node noticed by itself', text)


if __name__ == '__main__':
    unittest.main()
