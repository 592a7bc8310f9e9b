#!/usr/bin/python3
"""The official gRPC client against a node: what every served call answers, right and wrong.

The expected status codes are those of io-engine-behaviour (the sections are named at each test).
"""
import contextlib
import hashlib
import os
import queue
import subprocess
import sys
import threading
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
import grpc  # noqa: E402
from node import MIB, Node  # noqa: E402
from official import Client  # noqa: E402

POOL = 'mayastor.v1.PoolRpc/'
REPLICA = 'mayastor.v1.ReplicaRpc/'
BDEV = 'mayastor.v1.BdevRpc/'
ALLOWED = 'nqn.2014-08.org.example:host'
HOST = 'mayastor.v1.HostRpc/'
NODE = 'capstan.node.v1.NodeRpc/'
IMAGE = 'capstan.node.v1.ImageRpc/'
Code = grpc.StatusCode


class Watcher:
    """An open event stream, read beside the test."""

    def __init__(self, stream):
        self.stream = stream
        self.events = queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        try:
            for event in self.stream:
                self.events.put(event)
        except grpc.RpcError:
            pass    # cancelled below, or the node ended

    def first_event(self, happen):
        """A stream has no way to say that it is open, so things happen until one is seen."""
        for _ in range(200):
            happen()
            try:
                return self.events.get(timeout=0.1)
            except queue.Empty:
                pass
        raise AssertionError('no event was seen')


@contextlib.contextmanager
def watching(client, *categories):
    path = NODE + 'MonitorEvents'
    stream = client.rpc(path, 'unary_stream')(
        client.request(path, {'categories': list(categories)}), timeout=120)
    watcher = Watcher(stream)
    yield watcher
    stream.cancel()
    watcher.reader.join(30)


class Case(unittest.TestCase):
    """One node for the whole class; every test cleans up what it made."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start('-N', 'node-under-test')
        cls.client = Client(f'127.0.0.1:{cls.node.port}')
        cls.addClassCleanup(cls.client.close)

    def tearDown(self):
        for pool in self.client.call(POOL + 'ListPools').pools:
            self.client.call(POOL + 'DestroyPool', {'name': pool.name})
        for device in self.client.call(BDEV + 'List').bdevs:
            self.client.call(BDEV + 'Destroy', {'uri': device.uri})

    def call(self, *arguments, **options):
        return self.client.call(*arguments, **options)

    def refuse(self, code, full_name, fields=None, says=None):
        error = self.client.refusal(full_name, fields)
        self.assertEqual(error.code(), code, f'{full_name} {fields}: {error.details()}')
        self.assertTrue(error.details(), 'an error says something')
        if says:
            self.assertIn(says, error.details())
        return error

    def pool(self, name='p', mebibytes=100, **more):
        disk = self.node.disk(f'{self.id()}-{name}.img', mebibytes)
        return self.call(POOL + 'CreatePool', {'name': name, 'disks': [f'aio://{disk}'], **more})

    def replica(self, name, size, pool='p', **more):
        return self.call(REPLICA + 'CreateReplica', {
            'name': name, 'uuid': str(uuid.uuid4()), 'pooluuid': pool, 'size': size, **more})


class Reflection(Case):
    def test_both_versions_list_the_services(self):
        served = {'mayastor.v1.PoolRpc', 'mayastor.v1.ReplicaRpc', 'mayastor.v1.BdevRpc',
                  'mayastor.v1.HostRpc', 'capstan.node.v1.NodeRpc', 'capstan.node.v1.ImageRpc',
                  'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection',
                  'grpc.reflection.v1alpha.ServerReflection'}
        for version in ('v1', 'v1alpha'):
            self.assertLessEqual(served, self.client.services(version), version)

    def test_every_listed_service_is_described(self):
        for name in self.client.services():
            self.assertTrue(self.client.service(name).methods, name)

    def test_an_unknown_symbol_is_an_error_inside_the_answer(self):
        for version in ('v1', 'v1alpha'):
            answer = self.client.reflect(version, file_containing_symbol='no.such.Thing')
            self.assertEqual(answer.error_response.error_code, Code.NOT_FOUND.value[0])

    def test_symbols_of_all_kinds(self):
        for symbol in ('mayastor.v1.Pool', 'mayastor.v1.PoolRpc.ListPools',
                       'mayastor.v1.PoolState'):
            answer = self.client.reflect(file_containing_symbol=symbol)
            self.assertTrue(answer.file_descriptor_response.file_descriptor_proto, symbol)

    def test_health(self):
        for service in ('', 'mayastor.v1.PoolRpc'):
            self.assertEqual(self.client.health(service).status, 1)
        with self.assertRaises(grpc.RpcError) as caught:
            self.client.health('no.such.Service')
        self.assertEqual(caught.exception.code(), Code.NOT_FOUND)

    def test_unknown_service_and_method(self):
        for path in ('/no.such.Service/Call', '/mayastor.v1.PoolRpc/NoSuchCall'):
            call = self.client.channel.unary_unary(path)
            with self.assertRaises(grpc.RpcError) as caught:
                call(b'', timeout=30)
            self.assertEqual(caught.exception.code(), Code.UNIMPLEMENTED)
            self.assertIn(path.split('/')[1 if 'no.such' in path else 2],
                          caught.exception.details())

    def test_a_request_that_is_no_message(self):
        call = self.client.channel.unary_unary('/' + POOL + 'CreatePool')
        with self.assertRaises(grpc.RpcError) as caught:
            call(b'\xff\xff\xff', timeout=30)
        self.assertIn(caught.exception.code(), (Code.INTERNAL, Code.INVALID_ARGUMENT))

    def test_text_that_is_not_utf8(self):
        call = self.client.channel.unary_unary('/' + POOL + 'CreatePool')
        with self.assertRaises(grpc.RpcError) as caught:
            call(b'\x0a\x01\xff', timeout=30)
        self.assertEqual(caught.exception.code(), Code.INTERNAL)
        # The log is the log's: a library that prints by itself would break it.
        self.assertNotIn('libprotobuf', self.node.log())

    def test_a_request_beyond_the_size_limit(self):
        call = self.client.channel.unary_unary('/' + POOL + 'CreatePool')
        with self.assertRaises(grpc.RpcError) as caught:
            call(b'\x0a' + b'\x80\x80\x80\x04' + bytes(8 * MIB), timeout=30)
        self.assertEqual(caught.exception.code(), Code.RESOURCE_EXHAUSTED)

    def test_curl_sees_why_its_large_request_is_refused(self):
        """It is answered while it sends; told to stop then, curl would say 92 instead."""
        for size in (5 * MIB, 14 * MIB):
            message = b'\x00' + size.to_bytes(4, 'big') + bytes(size)
            done = subprocess.run(
                ['curl', '-sS', '-i', '--http2-prior-knowledge', '--max-time', '60',
                 '--data-binary', '@-', '-H', 'content-type: application/grpc',
                 '-H', 'te: trailers', f'http://127.0.0.1:{self.node.port}/{POOL}CreatePool'],
                input=message, capture_output=True, check=False, timeout=90)
            self.assertEqual(done.returncode, 0, done)
            self.assertIn(b'grpc-status: 8', done.stdout)


class Pools(Case):
    """io-engine-behaviour section 7."""

    def test_create_list_destroy(self):
        made = self.pool(cluster_size=4 * MIB)
        self.assertEqual(made.capacity, 100663296)
        self.assertEqual((made.used, made.committed), (0, 0))
        self.assertEqual(made.cluster_size, 4 * MIB)
        self.assertEqual(made.disk_capacity, 100 * MIB)
        self.assertEqual(made.page_size, 4096)
        self.assertEqual(made.md_info.md_page_size, 4096)
        self.assertGreater(made.md_info.md_pages, made.md_info.md_used_pages)
        self.assertEqual(made.state, 1)
        self.assertEqual(len(made.disks), 1)
        self.assertIn('?uuid=', made.disks[0])
        self.assertEqual(list(self.call(POOL + 'ListPools').pools), [made])
        self.call(POOL + 'DestroyPool', {'name': 'p'})
        self.assertEqual(len(self.call(POOL + 'ListPools').pools), 0)
        self.refuse(Code.NOT_FOUND, POOL + 'DestroyPool', {'name': 'p'})

    def test_list_filters(self):
        made, other = self.pool('a'), self.pool('b')
        for fields, names in (({'name': 'a'}, ['a']), ({'uuid': other.uuid}, ['b']),
                              ({'name': 'none'}, []), ({'pooltype': {'value': 'Lvs'}}, ['a', 'b']),
                              ({'name': 'a', 'uuid': other.uuid}, ['a'])):
            found = [p.name for p in self.call(POOL + 'ListPools', fields).pools]
            self.assertEqual(sorted(found), names, fields)
        self.assertNotEqual(made.uuid, other.uuid)
        self.refuse(Code.INVALID_ARGUMENT, POOL + 'ListPools', {'pooltype': {'value': 7}})

    def test_create_checks(self):
        create = POOL + 'CreatePool'
        disk = self.node.disk('checks.img', 100)
        good = {'name': 'c', 'disks': [disk]}
        self.refuse(Code.INVALID_ARGUMENT, create, {**good, 'pooltype': 9}, 'invalid pool type')
        self.refuse(Code.FAILED_PRECONDITION, create, {**good, 'pooltype': 'Lvm'})
        self.refuse(Code.INVALID_ARGUMENT, create, {'name': 'c'}, 'missing devices')
        self.refuse(Code.INVALID_ARGUMENT, create, {**good, 'uuid': 'nonsense'})
        self.refuse(Code.INVALID_ARGUMENT, create, {**good, 'disks': [disk, disk]})
        self.refuse(Code.INVALID_ARGUMENT, create, {**good, 'disks': ['ftp://x/y']})
        self.refuse(Code.INVALID_ARGUMENT, create, {**good, 'disks': [f'aio://{disk}?colour=red']})
        self.refuse(Code.INVALID_ARGUMENT, create,
                    {**good, 'disks': [f'aio://{disk}?blk_size=1238513']})
        self.refuse(Code.NOT_FOUND, create, {**good, 'disks': ['/no/such/disk']}, '/no/such/disk')
        self.refuse(Code.INTERNAL, create, {**good, 'cluster_size': MIB + 1}, 'multiple of 1MiB')
        self.refuse(Code.INTERNAL, create, {**good, 'cluster_size': 2048 * MIB})
        self.refuse(Code.INTERNAL, create, {**good, 'md_args': {'md_resv_ratio': -1.0}})
        self.assertIn(self.client.refusal(create, {**good, 'cluster_size': 0}).code(),
                      (Code.INVALID_ARGUMENT, Code.INTERNAL))
        tiny = self.node.disk('tiny.img', 1)
        self.refuse(Code.INTERNAL, create, {'name': 'c', 'disks': [tiny]})
        # Nothing of all that is in the way of a right request.
        self.call(create, good)

    def test_create_again(self):
        made = self.pool('p')
        create = POOL + 'CreatePool'
        self.refuse(Code.ALREADY_EXISTS, create, {'name': 'p', 'disks': list(made.disks)})
        other = self.node.disk('other.img', 100)
        self.refuse(Code.INVALID_ARGUMENT, create, {'name': 'p', 'disks': [other]})
        self.refuse(Code.INVALID_ARGUMENT, create, {'name': 'q', 'disks': list(made.disks)})

    def test_one_uuid_is_open_once(self):
        made = self.pool('p')
        other = self.node.disk('twin.img', 100)
        self.refuse(Code.ALREADY_EXISTS, POOL + 'CreatePool',
                    {'name': 'q', 'disks': [other], 'uuid': made.uuid}, "pool 'p'")

    def test_create_imports_what_is_there(self):
        made = self.pool('p')
        self.replica('r', 8 * MIB)
        disks = [made.disks[0].split('?')[0]]
        self.call(POOL + 'ExportPool', {'name': 'p'})
        self.refuse(Code.INVALID_ARGUMENT, POOL + 'CreatePool', {'name': 'x', 'disks': disks})
        self.refuse(Code.INVALID_ARGUMENT, POOL + 'CreatePool',
                    {'name': 'p', 'disks': disks, 'uuid': str(uuid.uuid4())})
        again = self.call(POOL + 'CreatePool', {'name': 'p', 'disks': disks, 'cluster_size': MIB})
        self.assertEqual((again.uuid, again.cluster_size), (made.uuid, made.cluster_size))
        self.assertEqual([r.name for r in self.call(REPLICA + 'ListReplicas').replicas], ['r'])

    def test_import(self):
        made = self.pool('p')
        disks = [made.disks[0].split('?')[0]]
        load = POOL + 'ImportPool'
        self.refuse(Code.ALREADY_EXISTS, load, {'name': 'p', 'disks': disks})
        self.call(POOL + 'ExportPool', {'name': 'p'})
        self.refuse(Code.NOT_FOUND, POOL + 'ExportPool', {'name': 'p'})
        self.refuse(Code.INVALID_ARGUMENT, load, {'name': 'p', 'disks': []})
        self.refuse(Code.INVALID_ARGUMENT, load, {'name': 'wrong', 'disks': disks})
        self.refuse(Code.INVALID_ARGUMENT, load,
                    {'name': 'p', 'disks': disks, 'uuid': str(uuid.uuid4())})
        empty = self.node.disk('empty.img', 100)
        self.refuse(Code.INVALID_ARGUMENT, load, {'name': 'p', 'disks': [empty]})
        again = self.call(load, {'name': 'p', 'disks': disks, 'uuid': made.uuid})
        self.assertEqual(again, made)

    def test_destroy_and_export_check_the_uuid(self):
        made = self.pool('p')
        for call in ('DestroyPool', 'ExportPool'):
            self.refuse(Code.NOT_FOUND, POOL + call, {'name': 'p', 'uuid': str(uuid.uuid4())})
        self.call(POOL + 'DestroyPool', {'name': 'p', 'uuid': made.uuid})


class Replicas(Case):
    """io-engine-behaviour sections 8 and 23.4."""

    def test_a_replicas_life(self):
        self.assertEqual(self.pool('p').capacity, 100663296)
        r1 = self.replica('r1', 41943040)
        self.assertEqual((r1.size, r1.thin, r1.share), (41943040, False, 0))
        self.assertEqual((r1.usage.num_clusters, r1.usage.num_allocated_clusters), (10, 10))
        self.assertEqual(r1.uri, f'bdev:///r1?uuid={r1.uuid}')
        create = REPLICA + 'CreateReplica'
        base = {'uuid': str(uuid.uuid4()), 'pooluuid': 'p'}
        self.refuse(Code.ALREADY_EXISTS, create, {**base, 'name': 'r1', 'size': MIB})
        self.refuse(Code.ALREADY_EXISTS, create,
                    {**base, 'name': 'rx', 'uuid': r1.uuid, 'size': MIB})
        self.refuse(Code.RESOURCE_EXHAUSTED, create, {**base, 'name': 'r2', 'size': 67108864})
        self.refuse(Code.INVALID_ARGUMENT, create,
                    {**base, 'name': 'r3', 'size': 104857600, 'thin': True})
        destroy = REPLICA + 'DestroyReplica'
        self.refuse(Code.FAILED_PRECONDITION, destroy, {'uuid': r1.uuid, 'pool_name': 'q'})
        self.call(destroy, {'uuid': r1.uuid, 'pool_name': 'p'})
        error = self.refuse(Code.NOT_FOUND, destroy, {'uuid': r1.uuid, 'pool_name': 'p'})
        self.assertEqual(dict(error.trailing_metadata()).get('gtm-602'), '0')

    def test_create_checks(self):
        self.pool('p')
        create = REPLICA + 'CreateReplica'
        good = {'name': 'r', 'uuid': str(uuid.uuid4()), 'pooluuid': 'p', 'size': 4 * MIB}
        self.refuse(Code.INVALID_ARGUMENT, create, {**good, 'share': 'ISCSI'}, 'share protocol')
        self.refuse(Code.INVALID_ARGUMENT, create, {**good, 'share': 77}, 'share protocol')
        self.refuse(Code.FAILED_PRECONDITION, create, {**good, 'pooluuid': 'none'})
        self.refuse(Code.INVALID_ARGUMENT, create, {**good, 'uuid': 'nonsense'})
        self.assertEqual(len(self.call(REPLICA + 'ListReplicas').replicas), 0)

    def test_thin_and_rounding(self):
        pool = self.pool('p')
        thin = self.replica('t', 5 * MIB, pool=pool.uuid, thin=True, entity_id='volume-1')
        self.assertEqual((thin.size, thin.thin, thin.entity_id), (8 * MIB, True, 'volume-1'))
        self.assertEqual((thin.poolname, thin.pooluuid), ('p', pool.uuid))
        self.assertEqual(thin.usage.num_clusters, 2)
        self.assertEqual(thin.usage.num_allocated_clusters * 4 * MIB, thin.usage.allocated_bytes)
        self.assertFalse(thin.is_snapshot or thin.is_clone)
        listed = self.call(POOL + 'ListPools').pools[0]
        self.assertEqual(listed.committed, 8 * MIB)

    def test_a_uuid_is_chosen_when_none_is_given(self):
        self.pool('p')
        made = self.call(REPLICA + 'CreateReplica', {'name': 'r', 'pooluuid': 'p', 'size': MIB})
        self.assertEqual(str(uuid.UUID(made.uuid)), made.uuid)

    def test_thin_replicas_may_promise_more_than_there_is(self):
        self.pool('p')
        for name in 'abc':
            self.replica(name, 80 * MIB, thin=True)
        pool = self.call(POOL + 'ListPools').pools[0]
        self.assertGreater(pool.committed, pool.capacity)

    def test_list_filters(self):
        a, b = self.pool('a'), self.pool('b')
        one = self.replica('one', 4 * MIB, pool='a')
        self.replica('two', 4 * MIB, pool='b')
        for fields, names in (({}, ['one', 'two']), ({'name': 'one'}, ['one']),
                              ({'poolname': 'b'}, ['two']), ({'pooluuid': a.uuid}, ['one']),
                              ({'uuid': one.uuid}, ['one']), ({'poolname': 'c'}, []),
                              ({'uuid': one.uuid, 'pooluuid': b.uuid}, []),
                              ({'query': {'replica': True}}, ['one', 'two']),
                              ({'query': {'snapshot': True, 'clone': True}}, []),
                              ({'query': {}}, []), ({'pooltypes': ['Lvs']}, ['one', 'two']),
                              ({'pooltypes': ['Lvm']}, [])):
            found = [r.name for r in self.call(REPLICA + 'ListReplicas', fields).replicas]
            self.assertEqual(sorted(found), names, fields)
        self.refuse(Code.INVALID_ARGUMENT, REPLICA + 'ListReplicas', {'pooltypes': [9]})

    def test_destroy_checks(self):
        pool, other = self.pool('p'), self.pool('q')
        made = self.replica('r', 4 * MIB)
        destroy = REPLICA + 'DestroyReplica'
        self.refuse(Code.ABORTED, destroy, {'uuid': made.uuid, 'pool_uuid': other.uuid})
        self.refuse(Code.FAILED_PRECONDITION, destroy,
                    {'uuid': made.uuid, 'pool_uuid': str(uuid.uuid4())})
        error = self.refuse(Code.NOT_FOUND, destroy, {'uuid': str(uuid.uuid4())})
        self.assertEqual(dict(error.trailing_metadata()).get('gtm-602'), '0')
        self.call(destroy, {'uuid': made.uuid.upper(), 'pool_uuid': pool.uuid})

    def test_sharing(self):
        self.pool('p')
        made = self.replica('r', 4 * MIB)
        share, unshare = REPLICA + 'ShareReplica', REPLICA + 'UnshareReplica'
        nobody = str(uuid.uuid4())
        self.refuse(Code.NOT_FOUND, share, {'uuid': nobody, 'share': 'NVMF'})
        self.refuse(Code.NOT_FOUND, unshare, {'uuid': nobody})
        self.refuse(Code.INVALID_ARGUMENT, share, {'uuid': made.uuid, 'share': 'ISCSI'})
        self.assertEqual(self.call(share, {'uuid': made.uuid, 'share': 'NONE'}).share, 0)
        self.assertEqual(self.call(unshare, {'uuid': made.uuid}), made)
        shared = self.call(share, {'uuid': made.uuid, 'share': 'NVMF', 'allowed_hosts': [ALLOWED]})
        self.assertEqual((shared.share, list(shared.allowed_hosts)), (1, [ALLOWED]))
        self.assertRegex(shared.uri, '^nvmf\\+tcp://127.0.0.1:[0-9]+/nqn.2019-05.io.openebs:r'
                                     f'\\?uuid={made.uuid}$')
        self.refuse(Code.INVALID_ARGUMENT, share, {'uuid': made.uuid, 'share': 'NONE'})
        self.assertEqual(self.call(share, {'uuid': made.uuid, 'share': 'NVMF'}), shared)
        self.assertEqual(self.call(unshare, {'uuid': made.uuid}), made)

    def test_entity_id(self):
        self.pool('p')
        made = self.replica('r', 4 * MIB)
        self.assertFalse(made.HasField('entity_id'))
        call = REPLICA + 'SetReplicaEntityId'
        for _ in range(2):
            self.assertEqual(self.call(call, {'uuid': made.uuid, 'entity_id': 'v'}).entity_id, 'v')
        self.refuse(Code.NOT_FOUND, call, {'uuid': str(uuid.uuid4()), 'entity_id': 'v'})
        listed = self.call(REPLICA + 'ListReplicas').replicas[0]
        self.assertEqual(listed.entity_id, 'v')


class Devices(Case):
    """io-engine-behaviour section 6."""

    def test_create_list_destroy(self):
        made = self.call(BDEV + 'Create', {'uri': 'malloc:///m0?size_mb=16&blk_size=4096'}).bdev
        self.assertEqual((made.name, made.blk_size, made.num_blocks), ('m0', 4096, 4096))
        self.assertFalse(made.claimed)
        self.assertEqual(made.claimed_by, 'Orphaned')
        self.assertIn('uuid=', made.uri)
        self.assertEqual(made.share_uri, f'bdev:///m0?uuid={made.uuid}')
        self.assertEqual(list(self.call(BDEV + 'List').bdevs), [made])
        self.assertEqual(len(self.call(BDEV + 'List', {'name': 'other'}).bdevs), 0)
        self.refuse(Code.INTERNAL, BDEV + 'Create', {'uri': 'malloc:///m0?size_mb=16'})
        self.call(BDEV + 'Destroy', {'uri': 'malloc:///m0?size_mb=16&blk_size=4096'})
        self.refuse(Code.NOT_FOUND, BDEV + 'Destroy', {'uri': 'malloc:///m0?size_mb=16'})

    def test_uris(self):
        for uri in ('malloc:///m?size_mb=1&num_blocks=7', 'malloc:///m', 'malloc:///m?size_mb=x',
                    'malloc:///m?size_mb=1&blk_size=700', 'malloc:///m?size_mb=1&colour=red',
                    'null:///n?size_mb=1&num_blocks=9', 'ftl:///f', 'no uri at all',
                    'malloc:///m?size_mb=1&uuid=nonsense'):
            self.refuse(Code.INVALID_ARGUMENT, BDEV + 'Create', {'uri': uri})
        self.refuse(Code.NOT_FOUND, BDEV + 'Create', {'uri': 'aio:///no/such/file'})
        self.refuse(Code.NOT_FOUND, BDEV + 'Create', {'uri': 'uring:///no/such/file'})
        self.refuse(Code.NOT_FOUND, BDEV + 'Create', {'uri': 'bdev:///missing'})
        self.call(BDEV + 'Destroy', {'uri': 'bdev:///missing'})
        # A device without blocks is a failed creation, as in the block layer upstream.
        self.refuse(Code.INVALID_ARGUMENT, BDEV + 'Create', {'uri': 'null:///n1'})
        for uri, blocks in (('null:///n0?size_mb=64', 131072),
                            ('malloc:///m1?num_blocks=2048&blk_size=512', 2048)):
            self.assertEqual(self.call(BDEV + 'Create', {'uri': uri}).bdev.num_blocks, blocks)

    def test_files_grow(self):
        disk = self.node.disk('grow.img', 16)
        uri = f'aio://{disk}?blk_size=512'
        self.assertEqual(self.call(BDEV + 'Create', {'uri': uri}).bdev.num_blocks, 32768)
        os.truncate(disk, 32 * MIB)
        grown = self.call(BDEV + 'Create', {'uri': uri + '&rescan'}).bdev
        self.assertEqual(grown.num_blocks, 65536)

    def test_sharing(self):
        self.call(BDEV + 'Create', {'uri': 'null:///n?size_mb=1'})
        share = BDEV + 'Share'
        self.refuse(Code.INVALID_ARGUMENT, share, {'name': 'n', 'protocol': 'NONE'})
        self.refuse(Code.NOT_FOUND, share, {'name': 'missing', 'protocol': 'NVMF'})
        shared = self.call(share, {'name': 'n', 'protocol': 'NVMF'}).bdev
        self.assertTrue(shared.share_uri.startswith('nvmf+tcp://127.0.0.1:'), shared.share_uri)
        self.assertEqual(shared.claimed_by, 'NVMe-oF Target')
        self.refuse(Code.INTERNAL, share, {'name': 'n', 'protocol': 'NVMF'})
        self.call(BDEV + 'Unshare', {'name': 'n'})
        self.call(BDEV + 'Unshare', {'name': 'missing'})

    def test_letting_go_of_a_reference_leaves_the_pool_alone(self):
        self.pool('p')
        disk = next(d.name for d in self.call(BDEV + 'List').bdevs if d.name.endswith('.img'))
        for scheme in ('bdev', 'BDEV', 'loopback', 'LoopBack'):
            self.call(BDEV + 'Destroy', {'uri': f'{scheme}:///{disk}'})
            self.assertEqual(len(self.call(POOL + 'ListPools').pools), 1, scheme)

    def test_pools_claim_their_device(self):
        self.pool('p')
        replica = self.replica('r', 4 * MIB)
        devices = {d.name: d for d in self.call(BDEV + 'List').bdevs}
        disk = next(d for n, d in devices.items() if n.endswith('.img'))
        self.assertTrue(disk.claimed)
        self.assertNotIn(disk.claimed_by, ('', 'Orphaned'))
        self.assertEqual(devices['r'].uuid, replica.uuid)
        self.assertIn('p/r', devices['r'].aliases.split(','))


class Host(Case):
    """io-engine-behaviour section 16."""

    def test_info(self):
        info = self.call(HOST + 'GetMayastorInfo')
        self.assertTrue(info.version)
        registration = info.registration_info
        self.assertEqual(registration.id, 'node-under-test')
        self.assertEqual(registration.grpc_endpoint, f'127.0.0.1:{self.node.port}')
        self.assertEqual(registration.version, info.version)
        self.assertEqual(registration.hostnqn.value,
                         'nqn.2019-05.io.openebs:node-name:node-under-test')
        self.assertFalse(registration.HasField('instance_uuid'), 'only with -R')
        self.assertEqual(list(registration.api_version), [0, 1])
        for field in ('logicalVolumeManager', 'snapshotRebuild', 'rdmaCapableIoEngine'):
            self.assertTrue(registration.features.HasField(field), field)
        self.assertTrue(registration.bugfixes.nexusRebuildReplicaAncestry)

    def test_usage_and_lists(self):
        self.assertGreater(self.call(HOST + 'GetMayastorResourceUsage').usage.soft_faults, 0)
        self.assertEqual(len(self.call(HOST + 'ListNvmeControllers').controllers), 0)
        everything = self.call(HOST + 'ListBlockDevices', {'all': True}).devices
        available = self.call(HOST + 'ListBlockDevices').devices
        self.assertLessEqual({d.devname for d in available}, {d.devname for d in everything})
        for device in everything:
            self.assertTrue(device.devname.startswith('/dev/'), device)


class OwnApi(Case):
    def test_version_and_health(self):
        version = self.call(NODE + 'GetVersion')
        self.assertEqual(version.node_name, 'node-under-test')
        self.assertTrue(version.version and version.release and version.instance_uuid)
        self.assertTrue(self.call(NODE + 'GetHealth').healthy)

    def test_describe_names_every_service(self):
        described = {o.full_name.split('/')[0]: o
                     for o in self.call(NODE + 'DescribeOperations').operations}
        self.assertLessEqual(set(described), self.client.services())
        for service in (POOL, REPLICA, BDEV, HOST, NODE, IMAGE):
            self.assertIn(service.rstrip('/'), described)
        some = self.call(NODE + 'DescribeOperations', {'prefix': POOL}).operations
        self.assertTrue(some and all(o.full_name.startswith(POOL) for o in some))

    def test_config_says_where_values_come_from(self):
        values = {v.name: v for v in self.call(NODE + 'GetConfig').values}
        self.assertEqual(values['grpc-port'].value, str(self.node.port))
        self.assertEqual(values['grpc-port'].source, 'flag')

    def test_metrics(self):
        self.call(NODE + 'GetVersion')
        text = self.call(NODE + 'GetMetrics').text
        self.assertIn('# TYPE capstan_', text)

    def test_events(self):
        disk = self.node.disk('watched.img', 100)
        with watching(self.client, 'pool') as watcher:
            def happen():
                self.call(POOL + 'CreatePool', {'name': 'watched', 'disks': [disk]})
                self.call(POOL + 'DestroyPool', {'name': 'watched'})
            event = watcher.first_event(happen)
        self.assertEqual((event.category, event.target), ('pool', 'watched'))
        self.assertIn(event.action, ('create', 'delete'))

    def import_image(self, header, extents):
        kind = IMAGE + 'ImportImage'
        parts = [self.client.request(kind, {'header': header})]
        for offset, data in extents:
            part = self.client.request(kind, {'data': {'offset': offset}})
            part.data.data = data
            parts.append(part)
        return self.client.rpc(kind, 'stream_unary')(iter(parts), timeout=60)

    def test_images(self):
        self.pool('p')
        made = self.replica('r', 8 * MIB, thin=True)
        content = os.urandom(MIB)
        whole = bytes(MIB) + content + bytes(6 * MIB)
        answer = self.import_image({'replica': 'r', 'size_bytes': 8 * MIB}, [(MIB, content)])
        self.assertEqual(answer.sha256, hashlib.sha256(whole).digest())
        self.assertEqual((answer.replica, answer.data_bytes), (made.uuid, MIB))
        export = IMAGE + 'ExportImage'
        for name in ('r', made.uuid):
            parts = list(self.client.rpc(export, 'unary_stream')(
                self.client.request(export, {'replica': name}), timeout=60))
            self.assertEqual(parts[0].header.size_bytes, 8 * MIB)
            back = bytearray(8 * MIB)
            for part in parts[1:-1]:
                back[part.data.offset:part.data.offset + len(part.data.data)] = part.data.data
            self.assertEqual(bytes(back), whole)
            self.assertEqual(parts[-1].trailer.sha256, hashlib.sha256(whole).digest())

    def test_image_errors(self):
        self.pool('p')
        self.replica('r', 4 * MIB, thin=True)
        for code, header, extents in (
                (Code.NOT_FOUND, {'replica': 'missing', 'size_bytes': 512}, []),
                (Code.DATA_LOSS, {'replica': 'r', 'size_bytes': MIB, 'sha256': 'A' * 43 + '='},
                 [(0, b'x' * 4096)])):
            with self.assertRaises(grpc.RpcError) as caught:
                self.import_image(header, extents)
            self.assertEqual(caught.exception.code(), code, caught.exception.details())
        for header, extents in (({'replica': 'r', 'size_bytes': 64 * MIB}, []),
                                ({'replica': 'r', 'size_bytes': MIB}, [(2 * MIB, b'x' * 512)]),
                                ({'replica': 'r', 'size_bytes': MIB},
                                 [(8192, b'x' * 512), (0, b'x' * 512)])):
            with self.assertRaises(grpc.RpcError) as caught:
                self.import_image(header, extents)
            self.assertIn(caught.exception.code(), (Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE))
        export = self.client.rpc(IMAGE + 'ExportImage', 'unary_stream')
        with self.assertRaises(grpc.RpcError) as caught:
            list(export(self.client.request(IMAGE + 'ExportImage', {'replica': 'missing'}),
                        timeout=60))
        self.assertEqual(caught.exception.code(), Code.NOT_FOUND)


    def test_unknown_event_categories(self):
        path = NODE + 'MonitorEvents'
        stream = self.client.rpc(path, 'unary_stream')(
            self.client.request(path, {'categories': ['pool', 'pools']}), timeout=30)
        with self.assertRaises(grpc.RpcError) as caught:
            next(stream)
        self.assertEqual(caught.exception.code(), Code.INVALID_ARGUMENT)
        self.assertIn("'pools'", caught.exception.details())


class NoLeftovers(unittest.TestCase):
    def test_sigterm_with_an_open_stream_ends_cleanly(self):
        node = Node()
        self.addCleanup(node.close)
        node.start()
        client = Client(f'127.0.0.1:{node.port}')
        self.addCleanup(client.close)
        with watching(client) as watcher:
            def happen():
                client.call(BDEV + 'Create', {'uri': 'null:///n?size_mb=1'})
                client.call(BDEV + 'Destroy', {'uri': 'null:///n?size_mb=1'})
            watcher.first_event(happen)
            self.assertEqual(node.stop(), 0, node.log())


if __name__ == '__main__':
    unittest.main()
