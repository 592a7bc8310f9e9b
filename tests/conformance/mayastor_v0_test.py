#!/usr/bin/python3
"""The official gRPC client against Mayastor's first API: what is idempotent, what names stand for,
and the status of every refusal (io-engine-behaviour section 20)."""
import os
import sys
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
import grpc  # noqa: E402
from node import MIB, Node, free_port  # noqa: E402
from official import Client  # noqa: E402

V0 = 'mayastor.Mayastor/'
BDEV = 'mayastor.BdevRpc/'
ALLOWED = 'nqn.2014-08.org.example:host'
ABSENT = ('CreateNexus', 'CreateNexusV2', 'DestroyNexus', 'ListNexus', 'ListNexusV2',
          'AddChildNexus', 'RemoveChildNexus', 'FaultNexusChild', 'ShutdownNexus', 'PublishNexus',
          'UnpublishNexus', 'GetNvmeAnaState', 'SetNvmeAnaState', 'ChildOperation', 'StartRebuild',
          'StopRebuild', 'PauseRebuild', 'ResumeRebuild', 'GetRebuildState', 'GetRebuildStats',
          'GetRebuildProgress', 'CreateSnapshot')
Code = grpc.StatusCode


class MayastorV0(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.port = free_port()
        self.node.start('--nvmf-replica-port', str(self.port))
        self.client = Client(f'127.0.0.1:{self.node.port}')
        self.addCleanup(self.client.close)

    def call(self, operation, **fields):
        return self.client.call(operation, fields)

    def refuse(self, code, operation, **fields):
        error = self.client.refusal(operation, fields)
        self.assertEqual(error.code(), code, f'{operation} {fields}: {error.details()}')
        self.assertTrue(error.details(), 'an error says something')
        return error.details()

    def pool(self, name='p'):
        return self.call(V0 + 'CreatePool', name=name,
                         disks=[f'aio://{self.node.disk(name + ".img", 100)}'])

    def test_pools(self):
        self.refuse(Code.INVALID_ARGUMENT, V0 + 'CreatePool', name='p')
        made = self.pool()
        self.assertEqual((made.name, made.state, len(made.disks)), ('p', 1, 1))
        self.assertGreater(made.capacity, 80 * MIB)
        self.assertEqual(self.pool(), made)
        self.refuse(Code.INVALID_ARGUMENT, V0 + 'CreatePool', name='p',
                    disks=[f'aio://{self.node.disk("other.img", 100)}'])
        self.assertEqual(list(self.call(V0 + 'ListPools').pools), [made])
        self.assertEqual([p.name for p in self.call('mayastor.v1.PoolRpc/ListPools').pools], ['p'])
        for _ in range(2):
            self.call(V0 + 'DestroyPool', name='p')
        self.assertEqual(len(self.call(V0 + 'ListPools').pools), 0)

    def test_replicas(self):
        create = V0 + 'CreateReplica'
        self.refuse(Code.INVALID_ARGUMENT, create, uuid='r', pool='p', size=MIB)
        self.pool()
        made = self.call(create, uuid='r', pool='p', size=4 * MIB, thin=True)
        self.assertEqual((made.uuid, made.pool, made.size, made.thin), ('r', 'p', 4 * MIB, True))
        self.assertEqual(self.call(create, uuid='r', pool='p', size=8 * MIB), made)
        self.refuse(Code.INVALID_ARGUMENT, create, uuid='s', pool='p', size=MIB,
                    share='REPLICA_ISCSI')
        self.call(create, uuid='thick', pool='p', size=60 * MIB)
        self.refuse(Code.RESOURCE_EXHAUSTED, create, uuid='s', pool='p', size=60 * MIB)
        self.call(V0 + 'DestroyReplica', uuid='thick')
        self.call(BDEV + 'Create', uri='malloc:///m0?size_mb=1')
        self.refuse(Code.INTERNAL, create, uuid='m0', pool='p', size=MIB)
        self.assertEqual(list(self.call(V0 + 'ListReplicas').replicas), [made])
        for _ in range(2):
            self.call(V0 + 'DestroyReplica', uuid='r')
        self.assertEqual(len(self.call(V0 + 'ListReplicas').replicas), 0)

    def test_replicas_with_uuids(self):
        self.pool()
        create, identity = V0 + 'CreateReplicaV2', str(uuid.uuid4())
        made = self.call(create, name='r', uuid=identity, pool='p', size=8 * MIB)
        self.assertEqual((made.name, made.uuid), ('r', identity))
        self.assertEqual(made.usage.capacity_bytes, 8 * MIB)
        self.assertEqual(self.call(create, name='r', uuid=identity, pool='p', size=8 * MIB), made)
        self.refuse(Code.ALREADY_EXISTS, create, name='s', uuid=identity, pool='p', size=MIB)
        self.assertEqual(list(self.call(V0 + 'ListReplicasV2').replicas), [made])
        stats = self.call(V0 + 'StatReplicas').replicas
        self.assertEqual([(s.uuid, s.pool) for s in stats], [('r', 'p')])

    def test_sharing(self):
        self.pool()
        self.call(V0 + 'CreateReplica', uuid='r', pool='p', size=4 * MIB)
        share = V0 + 'ShareReplica'
        self.refuse(Code.NOT_FOUND, share, uuid='nobody', share='REPLICA_NVMF')
        self.refuse(Code.INVALID_ARGUMENT, share, uuid='r', share='REPLICA_ISCSI')
        uri = self.call(share, uuid='r', share='REPLICA_NVMF', allowed_hosts=[ALLOWED]).uri
        self.assertRegex(uri, f'^nvmf\\+tcp://127.0.0.1:{self.port}/'
                              'nqn.2019-05.io.openebs:r\\?uuid=')
        listed = self.call(V0 + 'ListReplicas').replicas[0]
        self.assertEqual((listed.share, listed.uri, list(listed.allowed_hosts)),
                         (1, uri, [ALLOWED]))
        local = self.call(share, uuid='r', share='REPLICA_NONE').uri
        self.assertTrue(local.startswith('bdev:///r?uuid='), local)

    def test_devices(self):
        uri = 'malloc:///m0?size_mb=16'
        self.assertEqual(self.call(BDEV + 'Create', uri=uri).name, 'm0')
        self.refuse(Code.INTERNAL, BDEV + 'Create', uri=uri)
        self.refuse(Code.INVALID_ARGUMENT, BDEV + 'Create', uri='no uri at all')
        [device] = self.call(BDEV + 'List').bdevs
        self.assertEqual((device.name, device.num_blocks, device.claimed), ('m0', 32768, False))
        self.assertEqual(self.refuse(Code.INVALID_ARGUMENT, BDEV + 'Share', name='m0',
                                     proto='iscsi'), 'iscsi')
        self.refuse(Code.NOT_FOUND, BDEV + 'Share', name='m1', proto='nvmf')
        shared = self.call(BDEV + 'Share', name='m0', proto='nvmf').uri
        self.assertTrue(shared.startswith('nvmf+tcp://'), shared)
        self.call(BDEV + 'Unshare', name='m0')
        self.call(BDEV + 'Destroy', uri=uri)
        self.refuse(Code.NOT_FOUND, BDEV + 'Destroy', uri=uri)

    def test_the_node(self):
        info = self.call(V0 + 'GetMayastorInfo')
        self.assertEqual(info.version,
                         self.call('mayastor.v1.HostRpc/GetMayastorInfo').version)
        self.assertGreater(self.call(V0 + 'GetResourceUsage').usage.soft_faults, 0)
        older = self.call(V0 + 'ListBlockDevices', all=True).devices
        newer = self.call('mayastor.v1.HostRpc/ListBlockDevices', all=True).devices
        self.assertEqual([(d.devname, d.size, d.available) for d in older],
                         [(d.devname, d.size, d.available) for d in newer])
        self.assertEqual(len(self.call(V0 + 'ListNvmeControllers').controllers), 0)
        self.assertEqual(len(self.call(V0 + 'StatNvmeControllers').controllers), 0)

    def test_what_is_not_served_says_so(self):
        for name in ABSENT:
            error = self.client.refusal(V0 + name, {})
            self.assertEqual(error.code(), Code.UNIMPLEMENTED, name)
            self.assertIn(name, error.details())


if __name__ == '__main__':
    unittest.main()
