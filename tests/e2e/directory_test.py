#!/usr/bin/python3
"""The native HTTP directory (http-rpc sections 20.2 to 20.5) against a node and through a gateway:
every path there is, filters by their names, statuses of what is not there or cannot be read."""
import json
import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from gateway import GatewayNode  # noqa: E402
from http_calls import Http, ask  # noqa: E402
from node import MIB  # noqa: E402

R1, R2 = '0b1b2c3d-1111-4222-8333-444455556666', '0b1b2c3d-1111-4222-8333-444455557777'
NOBODY = '0b1b2c3d-1111-4222-8333-444455558888'
TEXT = 'text/plain'


class OfANode(unittest.TestCase):
    def setUp(self):
        self.node = GatewayNode()
        self.addCleanup(self.node.close)
        self.node.start('--kv', f'main={self.node.path("main.kv")}')
        self.port, self.rev = self.node.port, '0-0'
        self.disks = [self.node.disk('d0.img', 256), self.node.disk('d1.img', 128)]

    def ask(self, method, path, body=None, status=200):
        """The answer's body."""
        got, headers, answer = ask(self.port, method, path, body, {'x-min-rev': self.rev})
        self.assertEqual(got, status, (method, path, answer))
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.rev = self.headers.get('x-rev', self.rev)  # what a gateway answers has what was done
        return answer

    def refused(self, method, path, status, last, body=None):
        error = self.ask(method, path, body, status)
        self.assertEqual(error[0]['id'].split('.')[-1], last, error)

    def make(self):
        for name, disk in zip(('p', 'q'), self.disks):
            self.ask('PUT', f'/pools/{name}', {'disks': [disk]})
        for name, uuid, pool in (('r1', R1, 'p'), ('r2', R2, 'q')):
            self.ask('PUT', f'/pools/{pool}/replicas/{uuid}',
                     {'name': name, 'size': str(8 * MIB), 'thin': True})

    def test_replicas_below_their_pools(self):
        self.make()
        path = f'/pools/p/replicas/{R1}'
        self.assertEqual(self.ask('PUT', path + '/size', {'requested_size': str(16 * MIB)})['size'],
                         str(16 * MIB))
        entity = self.ask('PUT', path + '/entity_id', {'entity_id': 'volume'})
        self.assertEqual(entity['entity_id'], 'volume')
        shared = self.ask('PUT', path + '/share', {'share': 'NVMF'})
        self.assertEqual(shared['share'], 'NVMF')
        for wrong in (f'/pools/q/replicas/{R1}', f'/pools/nope/replicas/{R1}'):
            self.refused('DELETE', wrong + '/share', 404, 'not_found')
            self.refused('PUT', wrong + '/share', 404, 'not_found', {'share': 'NVMF'})
            self.refused('PUT', wrong + '/size', 404, 'not_found',
                         {'requested_size': str(8 * MIB)})
            self.refused('PUT', wrong + '/entity_id', 404, 'not_found', {'entity_id': 'x'})
        self.ask('DELETE', path + '/share', status=204)
        self.assertEqual(self.ask('PUT', f'/replicas/{R1}/entity_id',
                                  {'entity_id': 'other'})['entity_id'], 'other')
        self.refused('GET', '/pools/nope/replicas', 404, 'not_found')
        self.assertEqual([one['name'] for one in self.ask('GET', '/pools/q/replicas')], ['r2'])

    def test_filters(self):
        self.make()

        def names(path):
            return [one['name'] for one in self.ask('GET', path)]

        pool = self.ask('GET', '/pools/p')
        for query, found in ((f'uuid={pool["uuid"]}', ['p']), ('name=q', ['q']), ('name=x', []),
                             ('pooltype=Lvs', ['p', 'q'])):
            self.assertEqual(names('/pools?' + query), found, query)
        for query, found in ((f'pool_uuid={pool["uuid"]}', ['r1']), ('pool=q', ['r2']),
                             (f'uuid={R2}&pool=p', []), ('replica', ['r1', 'r2']),
                             ('snapshot&clone=no', []), ('pooltype=Lvm&pooltype=Lvs', ['r1', 'r2']),
                             ('pooltype=Lvm', []), ('name=r1&replica=yes', ['r1'])):
            self.assertEqual(names('/replicas?' + query), found, query)
        for path in ('/pools?pooltype=Zfs', '/replicas?pooltype=Lvs&pooltype=x',
                     '/replicas?snapshot=perhaps', '/replicas?pool=p&pool=q'):
            self.ask('GET', path, status=400)
            self.assertEqual(self.headers['content-type'], TEXT)

    def test_making_a_pool_again(self):
        self.make()
        there = self.ask('GET', '/pools/p')
        same = {'disks': [self.disks[0]], 'uuid': there['uuid']}
        self.assertEqual(self.ask('PUT', '/pools/p', same), there)
        self.refused('PUT', '/pools/p', 409, 'already_exists', {'disks': [self.disks[1]]})
        self.refused('PUT', '/pools/p', 409, 'already_exists', {**same, 'uuid': NOBODY})
        code = self.node.cli('pool', 'create', 'p', self.disks[0], check=False)
        self.assertIn('open already', code.stderr)
        self.refused('PUT', f'/pools/p/replicas/{R1}', 409, 'already_exists',
                     {'name': 'r1', 'size': str(8 * MIB), 'thin': True})

    def test_devices_by_their_names(self):
        for name in ('m1', 'm%2F2'):
            plain = name.replace('%2F', '/')
            self.assertEqual(self.ask('POST', '/bdevs', {'uri': f'malloc:///{plain}?size_mb=8'},
                                      201), b'')
            self.assertEqual(self.headers['location'], f'/bdevs/{name}')
            self.assertEqual(self.headers['content-length'], '0')
            self.assertEqual(self.ask('GET', self.headers['location'])['name'], plain)
            self.ask('DELETE', f'/bdevs/{name}', status=204)
            self.refused('DELETE', f'/bdevs/{name}', 404, 'not_found')
        self.ask('POST', '/bdevs', {'uri': 'malloc:///m1?size_mb=8'}, 201)
        self.ask('DELETE', '/bdevs/malloc:%2F%2F%2Fm1%3Fsize_mb=8', status=204)
        self.refused('GET', '/node/nvme_controllers/x/stats', 404, 'not_found')

    def test_bodies_that_are_needed(self):
        for method, path in (('POST', '/kv/main/batch_write'), ('PUT', '/jsonrpc/bdev_get_bdevs'),
                             ('PUT', '/pools/pe'), ('POST', '/bdevs'), ('PUT', '/config/logging'),
                             ('PUT', f'/replicas/{R1}/size'), ('POST', '/pools/pe/import')):
            text = self.ask(method, path, status=400)
            self.assertEqual(self.headers['content-type'], TEXT)
            self.assertTrue(text.startswith(b'Failed to parse the request body: '), text)
        self.ask('POST', '/kv/main/sync', status=204)
        self.ask('POST', '/kv/main/batch_write', {})

    def test_json_rpc_has_the_codes_of_what_happened(self):
        self.assertEqual(self.ask('PUT', '/jsonrpc/bdev_get_bdevs', {}), [])
        node = self.ask('GET', '/version')['node_name']
        self.refused('PUT', '/jsonrpc/nope', 404, 'not_found', {})
        self.refused('PUT', '/jsonrpc/bdev_get_bdevs', 404, 'not_found', {'name': 'zz'})
        self.refused('PUT', '/jsonrpc/bdev_get_bdevs', 400, 'invalid_argument', {'nope': 1})
        error = self.ask('PUT', f'/v0/nodes/{node}/jsongrpc/nope', {}, 404)
        self.assertEqual(error['kind'], 'NotFound')
        deep = '[' * 5000 + ']' * 5000
        for text in ('{', '', deep):
            head = (f'PUT /jsonrpc/bdev_get_bdevs HTTP/1.1\r\nHost: x\r\nconnection: close\r\n'
                    f'content-length: {len(text)}\r\n\r\n{text}')
            answer = self.raw(head.encode())
            self.assertTrue(answer.startswith(b'HTTP/1.1 400 '), answer)
            self.assertIn(b'content-type: text/plain', answer)

    def raw(self, data):
        connection = Http(self.port, 'GET', '/version')
        self.addCleanup(connection.close)
        connection.until(rb'\r\n\r\n.*\n')
        connection.bytes.clear()
        connection.socket.sendall(data)
        return bytes(connection.rest())

    def test_logging(self):
        now = self.ask('PUT', '/config/logging', {})
        self.assertIn('node', now['modules'])
        changed = self.ask('PUT', '/config/logging', {'level': 'warn', 'modules': {'node': True}})
        self.assertEqual((changed['level'], changed['modules']['node']), ('warn', True))
        self.refused('PUT', '/config/logging', 400, 'invalid_argument', {'level': 'loud'})

    def test_keys_page_by_page(self):
        keys = [f'k{i}' for i in range(12)]
        for key in keys:
            self.ask('PUT', f'/kv/main/entries/{key}', '01')

        def page(query):
            parts = [json.loads(line) for line in self.lines('/kv/main/entries' + query)]
            return [int(key['key_hash']) for part in parts for key in part['keys']]

        everything = sorted(page(''))
        first = page('?limit=5')
        self.assertEqual(first + page(f'?limit=50&after={first[-1]}'), everything)
        for query in ('limit=abc', 'after=x', 'limit=1&limit=2'):
            self.ask('GET', '/kv/main/entries?' + query, status=400)
            self.assertEqual(self.headers['content-type'], TEXT)
        self.refused('GET', '/kv/main/entries?prefix=k', 400, 'invalid_argument')

    def lines(self, path):
        return [line for line in self.text(path).splitlines() if line]

    def text(self, path):
        connection = Http(self.port, 'GET', path, headers=['connection: close'])
        self.addCleanup(connection.close)
        body = bytes(connection.rest()).split(b'\r\n\r\n', 1)[1]
        text = b''
        while body:
            size, _, body = body.partition(b'\r\n')
            text, body = text + body[:int(size, 16)], body[int(size, 16) + 2:]
        return text.decode()

    def test_monitors(self):
        kv = Http(self.port, 'GET', '/monitor/kv/main?prefix=a%2F')
        events = Http(self.port, 'GET', '/monitor/events?category=pool&category=replica')
        for one in (kv, events):
            self.addCleanup(one.close)
            one.until(rb'\r\n\r\n')
        self.ask('GET', '/monitor/events?category=nope', status=400)
        self.ask('GET', '/monitor/events?since=abc', status=400)
        for key in ('a%2F1', 'b', 'a%2F2'):
            self.ask('PUT', f'/kv/main/entries/{key}', '01')
        self.ask('DELETE', '/kv/main/entries/a%2F1', status=204)
        self.make()
        got = bytes(kv.until(rb'delete'))
        found = [json.loads(line) for line in got.split(b'\r\n') if line.startswith(b'{')]
        self.assertEqual([(one['op'], bytes.fromhex(one['key'])) for one in found],
                         [('write', b'a/1'), ('write', b'a/2'), ('delete', b'a/1')])
        seqs = [int(one['seq']) for one in found]
        self.assertEqual(seqs, [seqs[0], seqs[0] + 2, seqs[0] + 3])
        got = bytes(events.until(R2.encode()))
        found = [json.loads(line) for line in got.split(b'\r\n') if line.startswith(b'{')]
        self.assertEqual({one['category'] for one in found}, {'pool', 'replica'})
        later = Http(self.port, 'GET', f'/monitor/events?category=replica&since={found[0]["seq"]}')
        self.addCleanup(later.close)
        later.until(R2.encode())
        self.refused('GET', '/monitor/events?since=1', 410, 'gone')
        self.refused('GET', f'/monitor/events?since={2**63}', 400, 'out_of_range')

    def test_a_monitor_that_is_not_read_breaks_off(self):
        slow = Http(self.port, 'GET', '/monitor/kv/main', window=4096)
        self.addCleanup(slow.close)
        slow.until(rb'\r\n\r\n')
        key, entries = 'k' * 512, []
        for i in range(2000):
            entries.append({'key': f'{key}{i}'.encode().hex(), 'value': '01'})

        def write():
            for _ in range(10):
                self.ask('POST', '/kv/main/batch_write', {'entries': entries})

        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        got = bytes(slow.rest())
        self.assertGreater(len(got), 100_000)
        self.assertNotIn(b'missed', got)
        self.assertFalse(got.endswith(b'0\r\n\r\n'), got[-200:])

    def test_what_is_not_there_yet_is_not_found(self):
        for path in ('/nexuses', '/snapshots', '/clones', '/rebuild_history', '/test/features',
                     '/snapshot_rebuilds', '/monitor/nexuses'):
            self.assertEqual(self.ask('GET', path, status=404), b'')


class OfAGateway(OfANode):
    def setUp(self):
        super().setUp()
        self.node.behind_gateway()
        self.port = self.node.gateway.port


if __name__ == '__main__':
    unittest.main()
