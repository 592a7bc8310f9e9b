#!/usr/bin/python3
"""run.sh: one command gives a node with a pool and a replica, Ctrl-C ends it, and it goes on."""
import os
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import RELEASE_BIN, ROOT, Node, wait_until  # noqa: E402

BUILT = os.path.join(ROOT, 'build', 'release', 'bin')


@unittest.skipUnless(os.path.realpath(RELEASE_BIN) == os.path.realpath(BUILT)
                     and os.path.exists(os.path.join(BUILT, 'io-engine')),
                     'run.sh would build the release first; it is tested where that is built')
class RunSh(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix='capstan-run-')
        self.addCleanup(self.folder.cleanup)
        self.pid_file = os.path.join(self.folder.name, 'io-engine.pid')
        # Only for its client; the node is started by run.sh.
        self.node = Node(folder=self.folder.name, bin_folder=BUILT)

    def launch(self, port=None):
        out = open(os.path.join(self.folder.name, 'output'), 'w+', encoding='utf-8')
        process = subprocess.Popen(
            ['./run.sh', '--data', self.folder.name, '--port', str(port or self.node.port)],
            cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)

        def clean_up():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            out.close()
        self.addCleanup(clean_up)

        def text():
            with open(out.name, encoding='utf-8') as file:
                return file.read()
        return process, text

    def ready(self, process, text):
        def said():
            self.assertIsNone(process.poll(), text())
            return 'Ctrl-C stops it.' in text()
        wait_until(said, 600, 'run.sh to be ready')

    def interrupt(self, process, text):
        # As a terminal does it: the whole group hears of Ctrl-C.
        os.killpg(process.pid, signal.SIGINT)
        try:
            self.assertEqual(process.wait(120), 0, text())
        except subprocess.TimeoutExpired:
            self.fail('it does not end: ' + text())
        self.assertIn('the node ended with exit code 0', text())

    def test_start_stop_and_go_on(self):
        process, text = self.launch()
        self.ready(process, text)
        self.assertEqual(set(self.node.pools()), {'pool0'})
        replica = self.node.replicas()['replica0']
        self.assertTrue(replica['thin'])
        with open(self.pid_file, encoding='ascii') as file:
            pid = int(file.read())
        self.assertIn(f'process {pid}', text())

        # A second one on the same data is refused and leaves the first one's pid file alone.
        second, said = self.launch(port=self.node.port + 1)
        self.assertEqual(second.wait(600), 1, said())
        self.assertIn('a node runs on this state directory already', said())
        with open(self.pid_file, encoding='ascii') as file:
            self.assertEqual(int(file.read()), pid)
        self.assertEqual(set(self.node.pools()), {'pool0'})

        self.interrupt(process, text)
        self.assertFalse(os.path.exists(self.pid_file), 'no process, no pid')

        process, text = self.launch()
        self.ready(process, text)
        self.assertEqual(self.node.replicas()['replica0']['uuid'], replica['uuid'])
        self.interrupt(process, text)

    def test_wrong_options(self):
        for arguments, says in ((['--port', '0'], 'not between 1 and 65535'),
                                (['--port', 'x'], "not 'x'"), (['--data'], 'needs a value'),
                                (['--frob'], "unknown option '--frob'")):
            done = subprocess.run(['./run.sh', *arguments], cwd=ROOT, capture_output=True,
                                  text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(says, done.stderr)


if __name__ == '__main__':
    unittest.main()
