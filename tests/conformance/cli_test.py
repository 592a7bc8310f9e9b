#!/usr/bin/python3
"""`capstan rpc` over every wire: the same call has the same answer as with Google's gRPC client.

Over HTTP that is the whole way of a typed client: a request becomes a path, a query and a body, and
what the node says becomes a message or a code again.
"""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import BIN, MIB, Node  # noqa: E402
from wires import GrpcWire  # noqa: E402

POOL = 'mayastor.v1.PoolRpc/'
REPLICA = 'mayastor.v1.ReplicaRpc/'
NODE = 'capstan.node.v1.NodeRpc/'
KV = 'capstan.datastore.v1.DataStoreRpc/'
UUID = '0e5bf0e4-1a3b-4b3c-9d2e-000000000001'
CHANGING = {'uptime_ms'}    # differs between two looks


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start('--kv', 'main=' + cls.node.path('main.kv'),
                       '--muxio-socket', cls.node.path('muxio.sock'),
                       '--http-listen', 'unix:' + cls.node.path('http.sock'))
        cls.grpc = GrpcWire(cls.node)
        cls.addClassCleanup(cls.grpc.close)
        cls.endpoints = {
            'http': f'http://127.0.0.1:{cls.node.port}',
            'http+unix': 'http+unix:' + cls.node.path('http.sock'),
            'grpc': f'grpc://127.0.0.1:{cls.node.port}',
            'ws': f'ws://127.0.0.1:{cls.node.port}',
            'muxio': 'muxio:' + cls.node.path('muxio.sock'),
            'jsonrpc': 'unix+jsonrpc:' + cls.node.path('rpc.sock'),
            'drpc': 'drpc:' + cls.node.path('drpc.sock'),
        }

    def rpc(self, wire, operation, *requests, code=0):
        done = subprocess.run([os.path.join(BIN, 'capstan'), '--endpoint', self.endpoints[wire],
                               'rpc', 'call', operation, *map(json.dumps, requests)],
                              capture_output=True, text=True, timeout=120, check=False,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, code, f'{wire} {operation}: {done.stderr}')
        return done

    def code_of(self, wire, operation, request):
        """(code, message) of a call that is refused."""
        said = self.rpc(wire, operation, request, code=1).stderr
        self.assertTrue(said.startswith('error: '), said)
        code, _, message = said.removeprefix('error: ').strip().partition(': ')
        return code, message

    def test_every_unary_operation_is_answered_over_http_as_over_grpc(self):
        """With an empty request each is answered or refused; over HTTP some cannot be said so."""
        same, unsaid = 0, 0
        for name, operation in sorted(self.grpc.operations.items()):
            if operation.kind != 'unary' or operation.access in ('write', 'admin'):
                continue
            expected = self.grpc.call(name, {})
            done = subprocess.run([os.path.join(BIN, 'capstan'), '--endpoint',
                                   self.endpoints['http'], 'rpc', name],
                                  capture_output=True, text=True, timeout=120, check=False,
                                  stdin=subprocess.DEVNULL)
            with self.subTest(name):
                if 'cannot be asked for so over HTTP' in done.stderr:
                    self.assertIn('needs ', done.stderr)
                    unsaid += 1
                elif expected.code == 'OK':
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(self.comparable(json.loads(done.stdout)).keys(),
                                     self.comparable(expected.answer).keys())
                    same += 1
                else:
                    self.assertEqual(done.stderr.strip(),
                                     f'error: {expected.code}: {expected.message}')
                    same += 1
        self.assertGreater(same, 40)
        self.assertGreater(unsaid, 3)

    @staticmethod
    def comparable(answer):
        return {name: value for name, value in answer.items() if name not in CHANGING
                and value and value != '0'}

    def test_a_life_of_a_replica_over_each_wire(self):
        for index, wire in enumerate(self.endpoints):
            with self.subTest(wire):
                pool, uuid = f'p{index}', UUID[:-1] + str(index)
                disk = self.node.disk(f'{pool}.img', 64)
                made = self.rpc(wire, 'CreatePool', {'name': pool, 'disks': [disk]})
                self.assertEqual(json.loads(made.stdout)['name'], pool)
                again = self.code_of(wire, 'PoolRpc/CreatePool', {'name': pool, 'disks': ['/no']})
                # PUT /pools/NAME looks at the pool that is there before anything else.
                expected = 'ALREADY_EXISTS' if wire.startswith('http') else self.grpc.call(
                    POOL + 'CreatePool', {'name': pool, 'disks': ['/no']}).code
                self.assertEqual(again[0], expected)
                replica = {'name': 'r', 'uuid': uuid, 'pooluuid': pool, 'size': 8 * MIB,
                           'thin': True}
                made = json.loads(self.rpc(wire, REPLICA + 'CreateReplica', replica).stdout)
                self.assertEqual((made['uuid'], made['size']), (uuid, 8 * MIB))
                listed = json.loads(self.rpc(wire, 'ListReplicas',
                                             {'poolname': pool}).stdout)['replicas']
                self.assertEqual([r['uuid'] for r in listed], [uuid])
                self.rpc(wire, 'DestroyReplica', {'uuid': uuid, 'pool_name': pool})
                expected = self.grpc.call(REPLICA + 'DestroyReplica', {'uuid': uuid})
                self.assertEqual(self.code_of(wire, 'DestroyReplica', {'uuid': uuid}),
                                 (expected.code, expected.message))
                self.rpc(wire, 'DestroyPool', {'name': pool})

    def test_values_of_a_store(self):
        for index, wire in enumerate(self.endpoints):
            with self.subTest(wire):
                key, value = f'6b2f{index:02x}ff', '00ff' * 10
                self.rpc(wire, KV + 'Write', {'store': 'main', 'key': key, 'value': value})
                read = json.loads(self.rpc(wire, KV + 'Read', {'store': 'main', 'key': key}).stdout)
                self.assertEqual(read, {'value': value})
                absent = json.loads(self.rpc(wire, KV + 'Read',
                                             {'store': 'main', 'key': 'ee'}).stdout)
                self.assertEqual(absent, {})
                missing = self.code_of(wire, KV + 'GetMetadata', {'store': 'main', 'key': 'ee'})
                self.assertEqual(missing[0], 'NOT_FOUND')

    def test_the_example_in_cpp(self):
        address = ('127.0.0.1', str(self.node.port))
        for wire, where in {'http': address, 'grpc': address, 'muxio': address,
                            'jsonrpc': (self.node.path('rpc.sock'),),
                            'drpc': (self.node.path('drpc.sock'),)}.items():
            with self.subTest(wire):
                done = subprocess.run([os.path.join(BIN, 'any_wire'), wire, *where], text=True,
                                      capture_output=True, timeout=120, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ''))
                self.assertIn('refused: ', done.stdout)

    def test_streams(self):
        for wire in ('http', 'grpc', 'ws'):
            with self.subTest(wire):
                parts = [{'store': 'main', 'key': '73', 'data': '0102'}, {'data': '03'}]
                stored = json.loads(self.rpc(wire, KV + 'WriteStream', *parts).stdout)
                self.assertGreater(stored['tail_offset'], 0)
                read = self.rpc(wire, KV + 'ReadStream', {'store': 'main', 'key': '73'})
                lines = [json.loads(line) for line in read.stdout.splitlines()]
                self.assertEqual(''.join(line['data'] for line in lines), '010203')
                missing = self.code_of(wire, KV + 'ReadStream', {'store': 'main', 'key': 'ee'})
                self.assertEqual(missing[0], 'NOT_FOUND')
        for wire in ('jsonrpc', 'drpc'):
            refused = self.code_of(wire, KV + 'WriteStream', {'store': 'main', 'key': '73'})
            self.assertEqual(refused[0], 'UNIMPLEMENTED')


if __name__ == '__main__':
    unittest.main()
