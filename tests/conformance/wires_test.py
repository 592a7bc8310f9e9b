#!/usr/bin/python3
"""The same calls over every wire: same answers, same errors, same denials.

Each wire gets a node of its own and runs the same story; what it saw is held against what gRPC saw.
Codes that a wire spells its own way are held against docs/errors.md. Every operation that the node
serves is called at least once: by the story, or with an empty request.
"""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import MIB, ROOT, Node, wait_until  # noqa: E402
from wires import DRIVERS, grpc_number  # noqa: E402

POOL = 'mayastor.v1.PoolRpc/'
REPLICA = 'mayastor.v1.ReplicaRpc/'
BDEV = 'mayastor.v1.BdevRpc/'
HOST = 'mayastor.v1.HostRpc/'
NODE = 'capstan.node.v1.NodeRpc/'
POOL_UUID = '7f9c1d9e-4a5b-4c3e-9d41-0d1c2b3a4f50'
REPLICA_UUID = '0b1b2c3d-1111-4222-8333-444455556666'
OTHER_UUID = '0b1b2c3d-1111-4222-8333-444455557777'

# Fields that differ between two runs of one node, wherever they stand.
VOLATILE = {'uptime_ms', 'started', 'instance_uuid', 'text', 'grpc_endpoint', 'timestamp', 'time',
            'tick_rate', 'ticks', 'busy', 'idle', 'pid'}

# The UUID of a device without one is made from its path, which is the node's own.
DERIVED_UUID = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}')


def story(node):
    """(operation, request) one after the other; a disk's path is the node's own."""
    disk = f'aio://{node.disk("story.img", 100)}'
    pool = {'name': 'p', 'uuid': POOL_UUID, 'disks': [disk]}
    replica = {'name': 'r', 'uuid': REPLICA_UUID, 'pooluuid': 'p', 'size': 8 * MIB, 'thin': True}
    return [
        (NODE + 'GetVersion', {}),
        (NODE + 'GetHealth', {}),
        (NODE + 'DescribeOperations', {'prefix': 'capstan.node'}),
        ('grpc.health.v1.Health/Check', {}),
        ('grpc.health.v1.Health/Check', {'service': 'no.such.Service'}),
        (HOST + 'GetMayastorInfo', {}),
        (POOL + 'ListPools', {}),
        (POOL + 'CreatePool', pool),
        (POOL + 'CreatePool', pool),
        (POOL + 'CreatePool', {**pool, 'uuid': OTHER_UUID}),
        (POOL + 'CreatePool', {'name': 'q', 'disks': []}),
        (POOL + 'CreatePool', {'name': 'q', 'disks': [disk]}),
        (POOL + 'CreatePool', {'name': 'q', 'disks': ['aio:///no/such/disk']}),
        (POOL + 'ImportPool', {'name': 'p', 'disks': [disk]}),
        (POOL + 'ListPools', {'name': 'p'}),
        (REPLICA + 'CreateReplica', replica),
        (REPLICA + 'CreateReplica', replica),
        (REPLICA + 'CreateReplica', {**replica, 'name': 's', 'uuid': 'no uuid'}),
        (REPLICA + 'CreateReplica', {**replica, 'name': 's', 'uuid': OTHER_UUID,
                                     'pooluuid': 'no such pool'}),
        (REPLICA + 'CreateReplica', {**replica, 'name': 'big', 'uuid': OTHER_UUID, 'thin': False,
                                     'size': 1 << 40}),
        (REPLICA + 'ListReplicas', {}),
        (REPLICA + 'ListReplicas', {'poolname': 'no such pool'}),
        (REPLICA + 'SetReplicaEntityId', {'uuid': REPLICA_UUID, 'entity_id': 'volume-1'}),
        (REPLICA + 'SetReplicaEntityId', {'uuid': OTHER_UUID, 'entity_id': 'volume-1'}),
        (REPLICA + 'ListReplicas', {'name': 'r'}),
        (BDEV + 'Create', {'uri': 'malloc:///m0?size_mb=8&blk_size=512&uuid=' + OTHER_UUID}),
        (BDEV + 'Create', {'uri': 'malloc:///m0?size_mb=8'}),
        (BDEV + 'Create', {'uri': 'nonsense:///m0'}),
        (BDEV + 'List', {'name': 'm0'}),
        (BDEV + 'List', {}),
        (BDEV + 'Destroy', {'uri': 'malloc:///m0?size_mb=8'}),
        (BDEV + 'Destroy', {'uri': 'malloc:///m0?size_mb=8'}),
        (POOL + 'ExportPool', {'name': 'p'}),
        (POOL + 'ExportPool', {'name': 'p'}),
        (POOL + 'ImportPool', {'name': 'p', 'uuid': OTHER_UUID, 'disks': [disk]}),
        (POOL + 'ImportPool', {'name': 'p', 'disks': [disk]}),
        (REPLICA + 'DestroyReplica', {'uuid': OTHER_UUID}),
        (REPLICA + 'DestroyReplica', {'uuid': REPLICA_UUID}),
        (REPLICA + 'DestroyReplica', {'uuid': REPLICA_UUID}),
        (POOL + 'DestroyPool', {'name': 'p'}),
        (POOL + 'DestroyPool', {'name': 'p'}),
    ]


def same_everywhere(value, node):
    """Without what differs between runs, and with the node's own folder and port named alike."""
    if isinstance(value, dict):
        return {k: same_everywhere(v, node) for k, v in value.items() if k not in VOLATILE}
    if isinstance(value, list):
        return [same_everywhere(v, node) for v in value]
    if isinstance(value, str):
        value = DERIVED_UUID.sub('DERIVED', value)
        return value.replace(node.folder, 'FOLDER').replace(str(node.port), 'PORT')
    return value


def error_matrix():
    """docs/errors.md: {wire: {canonical code: set of native codes}}."""
    matrix = {}
    with open(os.path.join(ROOT, 'docs', 'errors.md'), encoding='utf-8') as page:
        for line in page:
            cells = [c.strip(' `') for c in line.strip().strip('|').split('|')]
            if re.fullmatch(r'E[A-Z0-9]+', cells[0]) and len(cells) == 5:
                _, code, _, jsonrpc, _ = cells
                matrix.setdefault(code, set()).add(int(jsonrpc))
            elif re.fullmatch(r'[A-Z_]+', cells[0]) and len(cells) == 4:
                code, _, jsonrpc, _ = cells
                matrix.setdefault(code, set()).add(int(jsonrpc))
    return matrix


class Story(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.seen = {}
        for driver in DRIVERS:
            node = Node()
            cls.addClassCleanup(node.close)
            node.start('-N', 'node-under-test')
            wire = driver(node)
            cls.addClassCleanup(wire.close)
            outcomes = [(name, wire.call(name, fields)) for name, fields in story(node)]
            cls.seen[driver.name] = (node, wire, outcomes)
        cls.matrix = error_matrix()

    def each(self):
        _, _, reference = self.seen['grpc']
        for name, (node, wire, outcomes) in self.seen.items():
            if name == 'grpc':
                continue
            for step, ((operation, expected), (_, got)) in enumerate(zip(reference, outcomes)):
                yield step, f'{name}, step {step}, {operation}', node, wire, expected, got

    def test_answers_are_the_same(self):
        first = self.seen['grpc'][0]
        compared = 0
        for _, where, node, _, expected, got in self.each():
            with self.subTest(where):
                self.assertEqual(expected.code == 'OK', got.answer is not None,
                                 f'gRPC: {expected}; here: {got}')
                if expected.code == 'OK':
                    compared += 1
                    self.assertEqual(same_everywhere(expected.answer, first),
                                     same_everywhere(got.answer, node))
        self.assertGreater(compared, 20)

    def test_errors_are_the_same(self):
        first = self.seen['grpc'][0]
        errnos = [got.sys_errno for _, got in self.seen['drpc'][2]]
        compared = 0
        for step, where, node, wire, expected, got in self.each():
            if expected.code == 'OK':
                continue
            with self.subTest(where):
                compared += 1
                codes = wire.native_codes(expected.code, self.matrix)
                if wire.name == 'jsonrpc' and errnos[step] > 0:
                    codes = {-errnos[step]}
                self.assertIn(got.native, codes, f'gRPC: {expected}; here: {got}')
                self.assertEqual(same_everywhere(expected.message, first),
                                 same_everywhere(got.message, node))
        self.assertGreater(compared, 10)

    def test_the_story_fails_in_several_ways(self):
        codes = {got.code for _, got in self.seen['grpc'][2]}
        self.assertLessEqual({'OK', 'NOT_FOUND', 'INVALID_ARGUMENT', 'ALREADY_EXISTS'}, codes)


class EveryOperation(unittest.TestCase):
    """With an empty request: whatever it answers, it answers the same everywhere."""

    # The first ends the node; the other is only for JSON-RPC clients of a node that waits for them.
    NOT_HERE = {'spdk_kill_instance', 'bdev_set_options'}

    def test_over_every_wire(self):
        node = Node()
        self.addCleanup(node.close)
        node.start('-N', 'node-under-test')
        wires = [driver(node) for driver in DRIVERS]
        for wire in wires:
            self.addCleanup(wire.close)
        matrix = error_matrix()
        called = 0
        for name, operation in sorted(wires[0].operations.items()):
            if operation.kind != 'unary' or operation.jsonrpc in self.NOT_HERE:
                continue
            for wire in wires:
                self.assertTrue(wire.serves(operation), f'{name} has no name on {wire.name}')
            with self.subTest(name):
                called += 1
                got = {wire.name: wire.call(name, {}) for wire in wires}
                self.compare(operation, got, matrix)
        self.assertGreater(called, 30)

    def compare(self, operation, got, matrix):
        code = got['grpc'].code
        if code == 'OK':
            for outcome in got.values():
                self.assertIsNotNone(outcome.answer, outcome)
            return
        self.assertEqual(got['drpc'].native, grpc_number(code), got['drpc'])
        self.assertEqual(got['drpc'].message, got['grpc'].message)
        # The catalogue of SPDK insists on codes of its own (jsonrpc section B).
        if not operation.full_name.startswith('spdk.'):
            errno = got['drpc'].sys_errno
            self.assertIn(got['jsonrpc'].native, {-errno} if errno > 0 else matrix[code])
        else:
            self.assertLess(got['jsonrpc'].native, 0, got['jsonrpc'])


class Denial(unittest.TestCase):
    def test_the_same_rule_denies_on_every_wire(self):
        node = Node()
        self.addCleanup(node.close)
        node.start('--access', 'any=read+monitor')
        matrix = error_matrix()
        for driver in DRIVERS:
            wire = driver(node)
            self.addCleanup(wire.close)
            with self.subTest(wire.name):
                self.assertIsNotNone(wire.call(POOL + 'ListPools', {}).answer)
                denied = wire.call(POOL + 'DestroyPool', {'name': 'p'})
                self.assertIn(denied.native,
                              wire.native_codes('PERMISSION_DENIED', matrix), denied)

    def test_peer_credentials_decide_on_unix_sockets(self):
        node = Node()
        self.addCleanup(node.close)
        node.start('--access', f'uid:{os.getuid()}=read', '--access', 'any=all')
        for driver in DRIVERS:
            wire = driver(node)
            self.addCleanup(wire.close)
            with self.subTest(wire.name):
                outcome = wire.call(BDEV + 'Create', {'uri': f'malloc:///{wire.name}?size_mb=8'})
                self.assertEqual(outcome.answer is None, wire.is_unix, outcome)
                self.assertIsNotNone(wire.call(POOL + 'ListPools', {}).answer)


class Waiting(unittest.TestCase):
    """Calls that take a while, and clients that do not wait for them."""

    SLOW = 'spdk.Bdev/GetBdevs'

    def in_flight(self, wire):
        text = wire.call(NODE + 'GetMetrics', {}).answer['text']
        return sum(float(line.rsplit(' ', 1)[1]) for line in text.splitlines()
                   if line.startswith('capstan_calls_in_flight{') and self.SLOW in line)

    def test_a_wait_that_ends_without_its_object_is_the_same_error(self):
        node = Node()
        self.addCleanup(node.close)
        node.start()
        for driver in DRIVERS:
            wire = driver(node)
            self.addCleanup(wire.close)
            with self.subTest(wire.name):
                late = wire.call(self.SLOW, {'name': 'absent', 'timeout': 50})
                self.assertIn(late.native, wire.native_codes('DEADLINE_EXCEEDED', error_matrix()))

    def test_a_client_that_leaves_takes_nothing_with_it(self):
        node = Node()
        self.addCleanup(node.close)
        node.start()
        observer = DRIVERS[0](node)
        self.addCleanup(observer.close)
        for driver in DRIVERS:
            wire = driver(node)
            self.addCleanup(wire.close)
            with self.subTest(wire.name):
                call = wire.start(self.SLOW, {'name': 'absent', 'timeout': 1000})
                wait_until(lambda: self.in_flight(observer) == 1, 30, 'the call to run')
                call.close()
                self.assertIsNotNone(wire.call(POOL + 'ListPools', {}).answer)
                wait_until(lambda: self.in_flight(observer) == 0, 30, 'the call to end')


class Limits(unittest.TestCase):
    """Requests of 70 MiB, more than any wire takes: refused, and nobody else notices."""

    def test_too_large(self):
        node = Node()
        self.addCleanup(node.close)
        node.start()
        for driver in DRIVERS:
            wire = driver(node)
            self.addCleanup(wire.close)
            with self.subTest(wire.name):
                self.assertTrue(wire.refuses_too_large(NODE + 'DescribeOperations',
                                                       {'prefix': 'x' * (70 * MIB)}))
                self.assertIsNotNone(wire.call(POOL + 'ListPools', {}).answer)


if __name__ == '__main__':
    unittest.main()
