#!/usr/bin/python3
"""grpcurl, a second independent client, against a node. Built through the Go module proxy into
build/tools; without Go or the proxy these tests are skipped and say so."""
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import ROOT, Node  # noqa: E402

PACKAGE = 'github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.1'


def grpcurl():
    """The program, or why it cannot be had."""
    program = os.path.join(ROOT, 'build', 'tools', 'grpcurl')
    if os.path.exists(program):
        return program, ''
    go = shutil.which('go') or shutil.which('/usr/local/go/bin/go')
    if not go:
        return None, 'Go is not installed; grpcurl is not tried'
    try:
        built = subprocess.run([go, 'install', PACKAGE], capture_output=True, text=True,
                               timeout=300, check=False, env={
                                   **os.environ, 'GOBIN': os.path.dirname(program),
                                   'GOFLAGS': '-modcacherw'})
    except subprocess.TimeoutExpired:
        return None, 'building grpcurl took more than five minutes'
    if built.returncode != 0:
        last = (built.stderr.strip().splitlines() or [''])[-1]
        return None, f'grpcurl could not be built: {last}'
    return program, ''


class Grpcurl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program, why = grpcurl()
        if not cls.program:
            raise unittest.SkipTest(why)
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def run_it(self, *arguments):
        return subprocess.run([self.program, '-plaintext', *arguments], capture_output=True,
                              text=True, timeout=60, check=False)

    def good(self, *arguments):
        done = self.run_it(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    @property
    def address(self):
        return f'127.0.0.1:{self.node.port}'

    def test_list_and_describe(self):
        services = self.good(self.address, 'list').split()
        self.assertIn('mayastor.v1.PoolRpc', services)
        self.assertIn('capstan.node.v1.NodeRpc', services)
        self.assertIn('mayastor.v1.PoolRpc.CreatePool',
                      self.good(self.address, 'list', 'mayastor.v1.PoolRpc').split())
        text = self.good(self.address, 'describe', 'mayastor.v1.CreatePoolRequest')
        self.assertIn('repeated string disks = 3', text)
        for service in services:
            self.good(self.address, 'describe', service)

    def test_calls(self):
        disk = self.node.disk('grpcurl.img', 100)
        made = json.loads(self.good('-d', json.dumps({'name': 'p', 'disks': [disk]}), self.address,
                                    'mayastor.v1.PoolRpc/CreatePool'))
        self.assertEqual(made['capacity'], '100663296')
        listed = json.loads(self.good(self.address, 'mayastor.v1.PoolRpc/ListPools'))
        self.assertEqual([p['uuid'] for p in listed['pools']], [made['uuid']])
        self.good('-d', '{"name": "p"}', self.address, 'mayastor.v1.PoolRpc/DestroyPool')
        again = self.run_it('-d', '{"name": "p"}', self.address, 'mayastor.v1.PoolRpc/DestroyPool')
        self.assertNotEqual(again.returncode, 0)
        self.assertIn('NotFound', again.stderr)

    def test_health(self):
        self.assertIn('SERVING', self.good(self.address, 'grpc.health.v1.Health/Check'))


if __name__ == '__main__':
    unittest.main()
