#!/usr/bin/env python3
"""The metrics page before Prometheus's own judge, promtool (Debian's package prometheus): named by
PROMTOOL, found in the PATH, or taken from the package into build/tools, without installing it.
Where none of these works this test is skipped and says so."""
import glob
import os
import shutil
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import ROOT, Node, free_port  # noqa: E402

# What promtool says of names that others have given or that are older than the advice.
STYLE = ('no help text', 'counter metrics should have "_total" suffix',
         'non-counter metrics should not have', 'use base unit', 'metric names should not contain')


def fetched():
    """The path of a promtool of our own, or None."""
    folder = os.path.join(ROOT, 'build', 'tools', 'promtool')
    program = os.path.join(folder, 'usr', 'bin', 'promtool')
    if os.path.exists(program):
        return program
    os.makedirs(folder, exist_ok=True)
    try:
        subprocess.run(['apt-get', 'download', 'prometheus'], cwd=folder, check=True,
                       capture_output=True, timeout=300)
        package = glob.glob(os.path.join(folder, 'prometheus_*.deb'))[0]
        subprocess.run(['dpkg', '-x', package, folder], check=True, capture_output=True,
                       timeout=300)
        os.unlink(package)
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
    return program


class Promtool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.promtool = os.environ.get('PROMTOOL') or shutil.which('promtool') or fetched()
        if not cls.promtool:
            raise unittest.SkipTest('promtool is not installed, and apt-get download prometheus '
                                    'does not work here')
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.port = free_port()
        cls.node.start('--metrics-addr', f'127.0.0.1:{cls.port}',
                       '--kv', f'main={cls.node.path("main.kv")}')

    def judged(self, text):
        """(exit status, what it complains about beyond style)"""
        done = subprocess.run([self.promtool, 'check', 'metrics'], input=text, text=True,
                              capture_output=True, timeout=60, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        return done.returncode, [line for line in lines if line.strip() and
                                 not any(style in line for style in STYLE)]

    def test_the_judge_refuses_what_is_wrong(self):
        for wrong in ('a{b="c} 1\n', 'x one\n'):
            self.assertEqual(self.judged(wrong)[0], 1, wrong)

    def test_the_page_of_a_node_in_use(self):
        base = f'http://127.0.0.1:{self.node.port}'
        for path in ('/version', '/pools', '/nope', '/pools/a%20b', '/v0/pools', '/node/usage'):
            try:
                urllib.request.urlopen(base + path, timeout=30).read()
            except urllib.error.HTTPError as refused:
                refused.close()
        with urllib.request.urlopen(f'http://127.0.0.1:{self.port}/metrics', timeout=30) as got:
            self.assertTrue(got.headers['content-type'].startswith('text/plain; version=0.0.4'))
            text = got.read().decode()
        self.assertIn('capstan_requests_refused_total{', text)
        self.assertIn('storage_rpc_responses_total{endpoint="/v0/pools"', text)
        status, complaints = self.judged(text)
        self.assertEqual(complaints, [])
        self.assertIn(status, (0, 3), 'promtool: 3 is advice on style')


if __name__ == '__main__':
    unittest.main()
