#!/usr/bin/python3
"""The same calls over every wire: same answers, same errors, same denials.

Each wire gets a node of its own and runs the same story; what it saw is held against what gRPC saw.
Codes that a wire spells its own way are held against docs/errors.md. Every operation that the node
serves is called at least once: by the story, or with an empty request.
"""
import base64
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
STATS = 'mayastor.v1.StatsRpc/'
KV = 'capstan.datastore.v1.DataStoreRpc/'
POOL_UUID = '7f9c1d9e-4a5b-4c3e-9d41-0d1c2b3a4f50'
REPLICA_UUID = '0b1b2c3d-1111-4222-8333-444455556666'
OTHER_UUID = '0b1b2c3d-1111-4222-8333-444455557777'

# Fields that differ between two runs of one node, wherever they stand.
VOLATILE = {'uptime_ms', 'started', 'instance_uuid', 'text', 'grpc_endpoint', 'timestamp', 'time',
            'tick_rate', 'ticks', 'busy', 'idle', 'pid'}

# The UUID of a device without one is made from its path, which is the node's own.
DERIVED_UUID = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}')
# The port of the NVMe target, which the node chose itself.
LISTENS = re.compile(r'listening on [0-9.]+:[0-9]+')
STALLS = re.compile(r'\b\d+ stalls\b')


AGAIN = 8     # the step of story() that makes a pool which is there
NO_POOL = 18  # the one that makes a replica in a pool which is not


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
                                     'pooluuid': 'no-such-pool'}),
        (REPLICA + 'CreateReplica', {**replica, 'name': 'big', 'uuid': OTHER_UUID, 'thin': False,
                                     'size': 1 << 40}),
        (REPLICA + 'ListReplicas', {}),
        (REPLICA + 'ListReplicas', {'poolname': 'no-such-pool'}),
        (REPLICA + 'SetReplicaEntityId', {'uuid': REPLICA_UUID, 'entity_id': 'volume-1'}),
        (REPLICA + 'SetReplicaEntityId', {'uuid': OTHER_UUID, 'entity_id': 'volume-1'}),
        (REPLICA + 'ListReplicas', {'name': 'r'}),
        (STATS + 'GetPoolIoStats', {'name': 'no-such-pool'}),
        (STATS + 'GetReplicaIoStats', {'name': 'no-such-replica'}),
        (STATS + 'GetNexusIoStats', {}),
        (STATS + 'GetNexusIoStats', {'name': 'no-such-nexus'}),
        (STATS + 'ResetIoStats', {}),
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
    ] + store_story()


def b64(data):
    """As proto3 JSON has bytes."""
    return base64.b64encode(data).decode()


def store_story():
    """Two stores, main and other; every short operation, and every way to be refused."""
    a, b, c = b64(b'a'), b64(b'b'), b64(b'\0\xff')
    return [
        (KV + 'ListStores', {}),
        (KV + 'IsEmpty', {}),
        (KV + 'Write', {'key': a, 'value': b64(b'one')}),
        (KV + 'Write', {'key': c, 'value': b64(bytes(range(256)) * 300), 'store': 'main'}),
        (KV + 'Write', {'key': a, 'value': ''}),
        (KV + 'Write', {'key': a, 'value': b64(b'\0')}),
        (KV + 'Write', {'key': a, 'value': b64(b'one'), 'store': 'nowhere'}),
        (KV + 'Read', {'key': a}),
        (KV + 'Read', {'key': c}),
        (KV + 'Read', {'key': b64(b'nobody')}),
        (KV + 'Read', {'key': a, 'store': 'other'}),
        (KV + 'BatchWrite', {'entries': [{'key': b, 'value': a}, {'key': b, 'value': b}]}),
        (KV + 'BatchWrite', {'entries': [{'key': b64(b'd'), 'value': a}, {'key': b, 'value': ''}]}),
        (KV + 'BatchWrite', {}),
        (KV + 'BatchRead', {'keys': [b, b64(b'd'), a, b]}),
        (KV + 'BatchRead', {}),
        (KV + 'Exists', {'key': a}),
        (KV + 'Exists', {'key': b64(b'd')}),
        (KV + 'Len', {}),
        (KV + 'Len', {'store': 'nowhere'}),
        (KV + 'FileSize', {}),
        (KV + 'GetMetadata', {'key': a}),
        (KV + 'GetMetadata', {'key': b64(b'd')}),
        (KV + 'Rename', {'key': a, 'new_key': b64(b'e')}),
        (KV + 'Rename', {'key': a, 'new_key': b64(b'e')}),
        (KV + 'Rename', {'key': b, 'new_key': b}),
        (KV + 'Copy', {'key': b, 'target': 'other'}),
        (KV + 'Copy', {'key': b, 'target': 'main'}),
        (KV + 'Copy', {'key': b, 'target': 'nowhere'}),
        (KV + 'Copy', {'key': a, 'target': 'other'}),
        (KV + 'Transfer', {'key': b, 'target': 'other'}),
        (KV + 'Transfer', {'key': b, 'target': 'other'}),
        (KV + 'Read', {'key': b, 'store': 'other'}),
        (KV + 'Delete', {'key': b64(b'e')}),
        (KV + 'Delete', {'key': b64(b'e')}),
        (KV + 'ListKeys', {}),
        (KV + 'ListKeys', {'values': True, 'store': 'other'}),
        (KV + 'ListKeys', {'store': 'nowhere'}),
        (KV + 'ReadStream', {'key': c}),
        (KV + 'ReadStream', {'key': c, 'offset': 76799}),
        (KV + 'ReadStream', {'key': c, 'offset': 76801}),
        (KV + 'ReadStream', {'key': c, 'offset': 10, 'length': 5}),
        (KV + 'ReadStream', {'key': a}),
        (KV + 'Compact', {}),
        (KV + 'Compact', {'store': 'nowhere'}),
        (KV + 'Sync', {}),
        (KV + 'GetStats', {}),
        (KV + 'GetStats', {'store': 'nowhere'}),
    ]


def start_with_stores(node, *flags):
    node.start('-N', 'node-under-test', '--kv', f'main={node.path("main.kv")}',
               '--kv', f'other={node.path("other.kv")}', *flags)


def same_everywhere(value, node):
    """Without what differs between runs, and with the node's own folder and port named alike."""
    if isinstance(value, dict):
        return {k: same_everywhere(v, node) for k, v in value.items() if k not in VOLATILE}
    if isinstance(value, list):
        return [same_everywhere(v, node) for v in value]
    if isinstance(value, str):
        value = LISTENS.sub('listening on PORT', DERIVED_UUID.sub('DERIVED', value))
        value = STALLS.sub('N stalls', value)      # a busy machine
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
            start_with_stores(node)
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
                if (wire.name, step) in self.OWN_MANNERS:
                    continue
                yield step, f'{name}, step {step}, {operation}', node, wire, expected, got

    # Over HTTP a pool may be made again as it is (http-rpc section 20.4); what is different is
    # looked at before the disks. A pool in the path that is not there is a 404.
    OWN_MANNERS = {('rest', AGAIN), ('rest', AGAIN + 1), ('rest', NO_POOL)}

    def test_a_replica_in_no_pool(self):
        for name, (_, wire, outcomes) in self.seen.items():
            with self.subTest(name):
                operation, got = outcomes[NO_POOL]
                self.assertEqual(operation, REPLICA + 'CreateReplica')
                expected = 'NOT_FOUND' if wire.name == 'rest' else 'FAILED_PRECONDITION'
                self.assertIn(got.native, wire.native_codes(expected, self.matrix), got)
                self.assertIn('no-such-pool', got.message)

    def test_making_a_pool_again(self):
        for name, (_, wire, outcomes) in self.seen.items():
            with self.subTest(name):
                (again, same), (_, other) = outcomes[AGAIN:AGAIN + 2]
                self.assertEqual(again, POOL + 'CreatePool')
                self.assertEqual(same.code == 'OK', wire.name == 'rest', same)
                self.assertNotEqual(other.code, 'OK')
                if wire.name == 'rest':
                    self.assertEqual(same.answer['uuid'], POOL_UUID)
                    self.assertEqual(other.native, 'ALREADY_EXISTS')

    def test_answers_are_the_same(self):
        first = self.seen['grpc'][0]
        compared = 0
        for _, where, node, _, expected, got in self.each():
            with self.subTest(where):
                self.assertEqual(expected.code == 'OK', got.answer is not None,
                                 f'gRPC: {expected}; here: {got}')
                if expected.code == 'OK' and not got.lossy:
                    compared += 1
                    self.assertEqual(same_everywhere(expected.answer, first),
                                     same_everywhere(got.answer, node))
        self.assertGreater(compared, 120)

    def test_errors_are_the_same(self):
        first = self.seen['grpc'][0]
        errnos = [got.sys_errno for _, got in self.seen.get('drpc', (None, None, []))[2]]
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
                if not got.own_words:
                    self.assertEqual(same_everywhere(expected.message, first),
                                     same_everywhere(got.message, node))
        self.assertGreater(compared, 90)

    def test_the_story_fails_in_several_ways(self):
        codes = {got.code for _, got in self.seen['grpc'][2]}
        self.assertLessEqual({'OK', 'NOT_FOUND', 'INVALID_ARGUMENT', 'ALREADY_EXISTS'}, codes)


class EveryOperation(unittest.TestCase):
    """With an empty request: whatever it answers, it answers the same everywhere."""

    # The first ends the node; the others are for JSON-RPC clients of a node that waits for them.
    NOT_HERE = {'spdk_kill_instance', 'bdev_set_options', 'nvmf_set_config', 'nvmf_set_crdt'}

    def test_over_every_wire(self):
        node = Node()
        self.addCleanup(node.close)
        start_with_stores(node)
        wires = [driver(node) for driver in DRIVERS]
        for wire in wires:
            self.addCleanup(wire.close)
        matrix = error_matrix()
        called, streamed = 0, set()
        for name, operation in sorted(wires[0].operations.items()):
            if operation.jsonrpc in self.NOT_HERE:
                continue
            with self.subTest(name):
                called += 1
                if operation.kind in ('unary', 'large'):
                    # Pieces of any size need not have a JSON form; everything else has every name.
                    able = [wire for wire in wires if wire.can_call(name, {})]
                    serving = [wire for wire in able if wire.serves(operation)]
                    if operation.kind == 'unary':
                        self.assertEqual(serving, able)
                    got = {wire.name: wire.call(name, {}) for wire in serving}
                    self.compare(operation, got, matrix)
                else:
                    streamed |= self.compare_streams(operation, wires, matrix)
        self.assertGreater(called, 60)
        self.assertEqual(streamed, {wire.name for wire in wires if wire.has_streams})

    def compare_streams(self, operation, wires, matrix):
        """Where one request gets one reply these are refused; elsewhere they work alike."""
        got = {}
        for wire in wires:
            if not wire.can_call(operation.full_name, {}):
                continue
            if operation.kind == 'endless':
                got[wire.name] = wire.endless(operation.full_name, {}, 0, lambda: None)
            else:
                got[wire.name] = wire.call(operation.full_name, [])
            if not wire.has_streams:
                self.assertIn(got[wire.name].native,
                              wire.native_codes('UNIMPLEMENTED', matrix) | {-32601}, wire.name)
        compared = set()
        for wire in wires:
            outcome = got.get(wire.name)
            if not wire.has_streams or outcome is None or outcome.own_words or outcome.lossy:
                continue
            self.assertEqual((outcome.code, outcome.answer, outcome.message),
                             (got['grpc'].code, got['grpc'].answer, got['grpc'].message), wire.name)
            compared.add(wire.name)
        self.assertLessEqual({'grpc', 'muxio'}, compared)
        return compared

    def compare(self, operation, got, matrix):
        code = got['grpc'].code
        if code == 'OK':
            for outcome in got.values():
                self.assertIsNotNone(outcome.answer, outcome)
            return
        self.assertEqual(got['drpc'].native, grpc_number(code), got['drpc'])
        self.assertEqual(got['drpc'].message, got['grpc'].message)
        self.assertEqual((got['muxio'].native, got['muxio'].message), (code, got['grpc'].message))
        if 'rest' in got and not got['rest'].own_words:
            self.assertEqual((got['rest'].native, got['rest'].message),
                             (code, got['grpc'].message))
        if 'jsonrpc' not in got:
            return
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


class Streams(unittest.TestCase):
    """Values of any size and watchers, on the wires that have streams."""

    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        start_with_stores(self.node)
        self.wires = [driver(self.node) for driver in DRIVERS]
        for wire in self.wires:
            self.addCleanup(wire.close)

    def test_a_value_in_pieces(self):
        value = os.urandom(3 * MIB + 1)
        pieces = [{'key': b64(b'large'), 'data': b64(value[:MIB])},
                  *({'data': b64(value[at:at + MIB])} for at in range(MIB, len(value), MIB))]
        for wire in self.wires:
            with self.subTest(wire.name):
                stored = wire.call(KV + 'WriteStream', pieces)
                if not wire.has_streams:
                    self.assertIn(stored.native, wire.native_codes('UNIMPLEMENTED', error_matrix())
                                  | {-32601}, stored)
                    continue
                self.assertIsNotNone(stored.answer, stored)
                if wire.can_call(KV + 'WriteStream', []):
                    empty = wire.call(KV + 'WriteStream', [])
                    self.assertEqual((empty.code, empty.message),
                                     ('INVALID_ARGUMENT', 'Payload cannot be empty.'))  # no store
                large = wire.call(KV + 'WriteStream', [{'key': b64(b'k'),
                                                        'data': b64(bytes(MIB + 1))}])
                self.assertEqual(large.code, 'INVALID_ARGUMENT')
        for wire in self.wires:
            with self.subTest(wire.name):
                read = wire.call(KV + 'ReadStream', {'key': b64(b'large')})
                self.assertEqual(len(read.answer['messages']), 4, read)
                self.assertEqual(b''.join(base64.b64decode(m['data'])
                                          for m in read.answer['messages']), value)

    def test_watchers(self):
        writer = self.wires[0]
        name = KV + 'Watch'

        def change():
            wait_until(lambda: self.watching() == 1, 30, 'the watcher to be there')
            writer.call(KV + 'Write', {'key': b64(b'a'), 'value': b64(b'123')})
            writer.call(KV + 'Delete', {'key': b64(b'a')})
        for wire in self.wires:
            with self.subTest(wire.name):
                seen = wire.endless(name, {}, 2, change)
                if not wire.has_streams:
                    self.assertIn(seen.native, wire.native_codes('UNIMPLEMENTED', error_matrix()))
                    continue
                changes = seen.answer['messages']
                self.assertEqual([(c['key'], c['removed'], c['size_bytes']) for c in changes],
                                 [(b64(b'a'), False, '3'), (b64(b'a'), True, '0')])
                wait_until(lambda: self.watching() == 0, 30, 'the watcher to leave')

    def watching(self):
        text = self.wires[0].call(NODE + 'GetMetrics', {}).answer['text']
        return sum(float(line.rsplit(' ', 1)[1]) for line in text.splitlines()
                   if line.startswith('capstan_calls_in_flight{') and KV + 'Watch' in line)


class Limits(unittest.TestCase):
    """Requests larger than a wire takes: refused, and nobody else notices."""

    def test_too_large(self):
        node = Node()
        self.addCleanup(node.close)
        node.start()
        for driver in DRIVERS:
            wire = driver(node)
            self.addCleanup(wire.close)
            with self.subTest(wire.name):
                self.assertTrue(wire.refuses_too_large(NODE + 'DescribeOperations',
                                                       {'prefix': 'x' * wire.TOO_LARGE}))
                self.assertIsNotNone(wire.call(POOL + 'ListPools', {}).answer)


if __name__ == '__main__':
    unittest.main()
