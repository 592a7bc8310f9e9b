#!/usr/bin/env python3
"""A real browser, headless Chromium (Debian's package, or the program that CHROMIUM names) driven
by playwright-core (npm registry, versions as in browser/package-lock.json): the page to try calls
of a node and of a gateway, and the TypeScript client of examples/ in a page. Without Chromium, node
or npm these tests are skipped and say so."""
import os
import shutil
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
from gateway import GatewayNode  # noqa: E402
from limited import last_line, run_limited  # noqa: E402
from muxio_examples_test import typescript_client  # noqa: E402
from node import ROOT, Node  # noqa: E402

SECONDS = 300


def chromium():
    program = os.environ.get('CHROMIUM') or shutil.which('chromium')
    if not program:
        raise unittest.SkipTest('chromium is not installed; pages are not tried in a browser')
    return program


def scripts():
    """The folder with the scripts and what they need."""
    npm = shutil.which('npm')
    if not npm or not shutil.which('node'):
        raise unittest.SkipTest('node and npm are not installed; pages are not tried in a browser')
    folder = os.path.join(ROOT, 'build', 'tools', 'browser')
    shutil.copytree(os.path.join(HERE, 'browser'), folder, dirs_exist_ok=True)
    if not os.path.isdir(os.path.join(folder, 'node_modules', 'playwright-core')):
        code, said = run_limited([npm, 'ci', '--no-audit', '--no-fund'], SECONDS, cwd=folder)
        if code != 0:
            raise unittest.SkipTest(f'playwright-core cannot be installed: {last_line(said)}')
    return folder


class InABrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program, cls.folder = chromium(), scripts()

    def tried(self, script, port, *more):
        code, said = run_limited(['node', script, self.program, f'http://127.0.0.1:{port}', *more],
                                 SECONDS, cwd=self.folder)
        self.assertEqual((code, last_line(said)), (0, 'ok'), said)

    def test_the_page_to_try_calls(self):
        node = GatewayNode()
        self.addCleanup(node.close)
        node.start()
        self.tried('try_page.mjs', node.port)
        node.behind_gateway()
        self.tried('try_page.mjs', node.port)

    def test_the_muxio_client(self):
        built, why = typescript_client()
        if not built:
            self.skipTest(why)
        code, said = run_limited(['npm', 'run', 'build'], SECONDS, cwd=built)
        self.assertEqual(code, 0, said)
        node = Node()
        self.addCleanup(node.close)
        node.start('--kv', f'main={node.path("main.kv")}')
        self.tried('muxio.mjs', node.port, os.path.join(built, 'dist'))


if __name__ == '__main__':
    unittest.main()
