#!/usr/bin/python3
"""/v0, the control plane's REST API as far as one node has it: every path as a client of it would
ask, objects held against the members that the control plane's own document requires and allows,
statuses and kinds of errors, tokens and access lists in its words.
"""
import os
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'conformance'))
from node import MIB, Node  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from http_test import Curl  # noqa: E402
from interceptors_test import Signer  # noqa: E402

UUID = '0b1b2c3d-1111-4222-8333-444455556666'
NEXUS = '0b1b2c3d-1111-4222-8333-444455557777'
OTHER = '0b1b2c3d-1111-4222-8333-444455558888'
HOST = 'nqn.2014-08.org.nvmexpress:uuid:0b1b2c3d-0000-4222-8333-444455556666'

# What v0_api_spec.yaml says: (members that are required, further ones that are allowed).
SHAPES = {
    'Node': ({'id'}, {'spec', 'state'}),
    'NodeSpec': ({'grpcEndpoint', 'id'}, {'labels', 'cordondrainstate', 'node_nqn', 'version'}),
    'NodeState': ({'grpcEndpoint', 'id', 'status'}, {'node_nqn', 'version'}),
    'Pool': ({'id'}, {'spec', 'state'}),
    'PoolSpec': ({'disks', 'id', 'node', 'status'}, {'labels'}),
    'PoolState': ({'capacity', 'disks', 'id', 'node', 'status', 'used'}, {'committed'}),
    'Replica': ({'node', 'pool', 'share', 'size', 'state', 'thin', 'uri', 'uuid', 'kind'},
                {'poolUuid', 'space', 'allowed-hosts'}),
    'Space': ({'capacity_bytes', 'allocated_bytes', 'allocated_bytes_snapshots', 'cluster_size',
               'clusters', 'allocated_clusters'}, {'allocated_bytes_all_snapshots'}),
    'BlockDevice': ({'available', 'connection_type', 'devlinks', 'devmajor', 'devminor', 'devname',
                     'devpath', 'devtype', 'model', 'size'},
                    {'filesystem', 'is_rotational', 'partition'}),
    'Error': ({'details', 'kind', 'message'}, set()),
}


class RestV0(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.node.start('-N', 'ksnode-1')
        self.curl = Curl(self.node.port)
        self.disk = f'aio://{self.node.disk("v0.img", 64)}'
        self.at = '/v0/nodes/ksnode-1'

    def check(self, kind, value):
        required, allowed = SHAPES[kind]
        self.assertLessEqual(required, set(value), value)
        self.assertLessEqual(set(value), required | allowed, value)
        return value

    def pool(self, value):
        self.check('Pool', value)
        self.check('PoolSpec', value['spec'])
        self.check('PoolState', value['state'])
        return value

    def replica(self, value):
        self.check('Space', self.check('Replica', value)['space'])
        return value

    def refused(self, status, kind, method, path, body=None, *flags):
        got, error = self.curl.json(method, path, body, *flags)
        self.check('Error', error)
        self.assertEqual((got, error['kind']), (status, kind), error)
        return error

    def make_pool(self):
        status, pool = self.curl.json('PUT', f'{self.at}/pools/p1', {'disks': [self.disk]})
        self.assertEqual(status, 200, pool)
        return self.pool(pool)

    def make_replica(self, path=None):
        status, replica = self.curl.json('PUT', path or f'{self.at}/pools/p1/replicas/{UUID}',
                                         {'size': 8 * MIB, 'thin': True})
        self.assertEqual(status, 200, replica)
        return self.replica(replica)

    def test_nodes(self):
        status, nodes = self.curl.json('GET', '/v0/nodes')
        self.assertEqual((status, [n['id'] for n in nodes]), (200, ['ksnode-1']))
        self.check('Node', nodes[0])
        self.check('NodeSpec', nodes[0]['spec'])
        self.assertEqual(self.check('NodeState', nodes[0]['state'])['status'], 'Online')
        self.assertTrue(nodes[0]['state']['grpcEndpoint'].endswith(f':{self.node.port}'))
        self.assertEqual(self.curl.json('GET', self.at), (200, nodes[0]))
        self.assertEqual(self.curl.json('GET', '/v0/nodes?node_id=other'), (200, []))
        self.refused(404, 'NotFound', 'GET', '/v0/nodes/other')
        self.refused(404, 'NotFound', 'GET', '/v0/nodes/other/pools')
        everything = self.curl.json('GET', f'{self.at}/block_devices')[1]
        usable = self.curl.json('GET', f'{self.at}/block_devices?all=false')[1]
        self.assertGreaterEqual(len(everything), len(usable))
        for device in everything:
            self.check('BlockDevice', device)

    def test_json_rpc(self):
        path = f'{self.at}/jsongrpc/bdev_malloc_create'
        status, name = self.curl.json('PUT', path, {'block_size': 512, 'num_blocks': 64,
                                                    'name': 'Malloc0'})
        self.assertEqual((status, name), (200, 'Malloc0'))
        status, listed = self.curl.json('PUT', f'{self.at}/jsongrpc/bdev_get_bdevs', {})
        self.assertEqual((status, listed[0]['name'], listed[0]['num_blocks']),
                         (200, 'Malloc0', 64))

    def test_pools(self):
        made = self.make_pool()
        self.assertEqual(made['spec'], {'disks': [self.disk], 'id': 'p1', 'node': 'ksnode-1',
                                        'status': 'Created'})
        self.assertEqual(made['state']['status'], 'Online')
        self.assertIsInstance(made['state']['capacity'], int)
        for path in ('/v0/pools/p1', f'{self.at}/pools/p1'):
            self.assertEqual(self.curl.json('GET', path), (200, made))
        for path in ('/v0/pools', f'{self.at}/pools'):
            self.assertEqual(self.curl.json('GET', path), (200, [made]))
        self.refused(422, 'AlreadyExists', 'PUT', f'{self.at}/pools/p1', {'disks': [self.disk]})
        self.refused(400, 'InvalidArgument', 'PUT', f'{self.at}/pools/p2', {'disks': []})
        self.refused(400, 'InvalidArgument', 'PUT', f'{self.at}/pools/p2',
                     {'disks': [self.disk], 'labels': {'a': 'b'}})
        self.refused(400, 'Deserialize', 'PUT', f'{self.at}/pools/p2', {'disk': 1})
        self.refused(400, 'Deserialize', 'PUT', f'{self.at}/pools/p2', b'{',
                     '-H', 'content-type: application/json')
        self.refused(404, 'NotFound', 'GET', '/v0/pools/nope')
        self.assertEqual(self.curl('DELETE', f'{self.at}/pools/p1')[::2], (204, b''))
        self.refused(404, 'NotFound', 'DELETE', '/v0/pools/p1')
        self.make_pool()
        self.assertEqual(self.curl('DELETE', '/v0/pools/p1')[0], 204)

    def test_replicas(self):
        self.make_pool()
        made = self.make_replica()
        self.assertEqual((made['uuid'], made['pool'], made['node'], made['size'], made['thin'],
                          made['share'], made['state'], made['kind']),
                         (UUID, 'p1', 'ksnode-1', 8 * MIB, True, 'none', 'Online', 'Regular'))
        pools = ('/v0/pools/p1', f'{self.at}/pools/p1')
        for path in [f'/v0/replicas/{UUID}'] + [f'{pool}/replicas/{UUID}' for pool in pools]:
            self.assertEqual(self.curl.json('GET', path), (200, made))
        for path in ['/v0/replicas', f'{self.at}/replicas'] + [f'{p}/replicas' for p in pools]:
            self.assertEqual(self.curl.json('GET', path), (200, [made]))
        self.refused(404, 'NotFound', 'GET', '/v0/pools/p2/replicas')
        self.refused(404, 'NotFound', 'GET', f'/v0/replicas/{NEXUS}')
        self.refused(400, 'Deserialize', 'GET', '/v0/replicas/no-uuid')
        self.refused(422, 'AlreadyExists', 'PUT', f'{pools[0]}/replicas/{UUID}',
                     {'size': 8 * MIB, 'thin': True})
        self.refused(400, 'InvalidArgument', 'PUT', f'{pools[0]}/replicas/{NEXUS}', {'thin': True})
        thick = {'size': 40 * MIB, 'thin': False}
        self.assertEqual(self.curl.json('PUT', f'{pools[0]}/replicas/{NEXUS}', thick)[0], 200)
        self.refused(507, 'ResourceExhausted', 'PUT', f'{pools[0]}/replicas/{OTHER}', thick)
        self.assertEqual(self.curl('DELETE', f'{pools[0]}/replicas/{NEXUS}')[0], 204)
        for pool in pools:
            self.shares(f'{pool}/replicas/{UUID}')
        self.assertEqual(self.curl('DELETE', f'{pools[1]}/replicas/{UUID}')[::2], (204, b''))
        self.refused(404, 'NotFound', 'DELETE', f'{pools[1]}/replicas/{UUID}')
        self.make_replica(f'{pools[0]}/replicas/{UUID}')
        self.assertEqual(self.curl('DELETE', f'{pools[0]}/replicas/{UUID}')[0], 204)

    def shares(self, replica):
        self.refused(412, 'NotShared', 'DELETE', f'{replica}/share')
        status, uri = self.curl.json('PUT', f'{replica}/share/nvmf')
        self.assertEqual(status, 200)
        self.assertRegex(uri, f'^nvmf\\+tcp://.*{UUID}')
        self.refused(412, 'AlreadyShared', 'PUT', f'{replica}/share/nvmf')
        hosts = urllib.parse.urlencode({'allowed-hosts': HOST})
        self.assertEqual(self.curl.json('PUT', f'{replica}/share/nvmf?{hosts}'), (200, uri))
        shared = self.replica(self.curl.json('GET', replica)[1])
        self.assertEqual((shared['share'], shared['allowed-hosts'], shared['uri']),
                         ('nvmf', [HOST], uri))
        self.refused(404, 'NotFound', 'PUT', f'{replica}/share/iscsi')
        self.assertEqual(self.curl('DELETE', f'{replica}/share')[0], 204)

    def test_nexuses(self):
        for path in ('/v0/nexuses', f'{self.at}/nexuses'):
            self.assertEqual(self.curl.json('GET', path), (200, []))
        child = urllib.parse.quote('bdev:///r?uuid=1', safe='')
        for at in ('/v0', self.at):
            nexus = f'{at}/nexuses/{NEXUS}'
            for method, path in (('GET', ''), ('DELETE', ''), ('GET', '/children'),
                                 ('GET', f'/children/{child}'), ('PUT', f'/children/{child}'),
                                 ('DELETE', f'/children/{child}')):
                self.refused(404, 'NotFound', method, nexus + path)
        nexus = f'{self.at}/nexuses/{NEXUS}'
        self.refused(501, 'Unimplemented', 'PUT', nexus, {'children': [], 'size': 1})
        self.refused(404, 'NotFound', 'PUT', f'{nexus}/share/nvmf')
        self.refused(404, 'NotFound', 'DELETE', f'{nexus}/share')

    def test_what_only_a_control_plane_has(self):
        for path in ('/v0/volumes', '/v0/watches/volumes/x', '/v0/specs', '/v0/states',
                     f'{self.at}/cordon/x', '/v0/app-nodes', '/v0/nope'):
            self.refused(404, 'NotFound', 'GET', path)
        status, headers, _ = self.curl('POST', '/v0/pools')
        self.assertEqual((status, headers['allow']), (405, 'get'))
        self.refused(406, 'NotAcceptable', 'GET', '/v0/pools', None, '-H', 'accept: text/html')

    def test_described_apart(self):
        status, spec = self.curl.json('GET', '/v0/api/spec')
        self.assertEqual(status, 200)
        ids = {o['operationId'] for path in spec['paths'].values() for o in path.values()}
        self.assertLessEqual({
            'get_nodes', 'get_node', 'get_node_block_devices', 'put_node_jsongrpc', 'get_pools',
            'get_node_pools', 'get_pool', 'get_node_pool', 'put_node_pool', 'del_pool',
            'del_node_pool', 'get_replicas', 'get_replica', 'get_node_replicas',
            'get_node_pool_replicas', 'get_node_pool_replica', 'put_node_pool_replica',
            'put_pool_replica', 'del_node_pool_replica', 'del_pool_replica',
            'put_node_pool_replica_share', 'put_pool_replica_share', 'del_pool_replica_share',
            'del_node_pool_replica_share', 'get_nexuses', 'get_nexus', 'del_nexus',
            'get_node_nexuses', 'get_node_nexus', 'put_node_nexus', 'del_node_nexus',
            'put_node_nexus_share', 'del_node_nexus_share', 'get_nexus_children',
            'get_nexus_child', 'put_nexus_child', 'del_nexus_child', 'get_node_nexus_children',
            'get_node_nexus_child', 'put_node_nexus_child', 'del_node_nexus_child'}, ids)
        self.assertTrue(all(path.startswith('/v0/') for path in spec['paths']))
        native = self.curl.json('GET', '/openapi')[1]
        self.assertFalse([path for path in native['paths'] if path.startswith('/v0')])
        self.assertEqual(self.curl('GET', '/describe/v0?recurse')[0], 404)


class Strangers(unittest.TestCase):
    def test_tokens_and_lists_in_their_words(self):
        node = Node()
        self.addCleanup(node.close)
        signer = Signer(node.folder, 'ours')
        node.bind = f'jsonrpc:{node.path("rpc.sock")}'
        node.start('--jwk', signer.jwk, '--secure', '-N', 'n')
        curl, token = Curl(node.port), f'authorization: Bearer {signer.token(sub="x")}'
        status, headers, _ = curl('GET', '/v0/nope')
        self.assertEqual((status, headers['www-authenticate']), (401, 'bearer'))
        error = curl.json('PUT', '/v0/nodes/n/pools/p?x=1', {})[1]
        self.assertEqual((error['kind'], error['message']),
                         ('Unauthorized', '/v0/nodes/n/pools/p?x=1'))
        self.assertIn('token', error['details'])
        self.assertEqual(curl.json('GET', '/v0/nodes/n/pools', None, '-H', token), (200, []))
        self.assertEqual(curl('GET', '/v0/api/spec', None, '-H', token)[0], 200)
        for method, path in (('PUT', '/v0/nodes/n/pools/p'), ('DELETE', '/v0/pools/p'),
                             ('GET', '/v0/nodes/n/block_devices'),
                             ('PUT', '/v0/nodes/n/jsongrpc/bdev_get_bdevs'), ('GET', '/v0/nope')):
            status, error = curl.json(method, path, None, '-H', token)
            self.assertEqual((status, error['kind']), (401, 'PermissionDenied'), path)


if __name__ == '__main__':
    unittest.main()
