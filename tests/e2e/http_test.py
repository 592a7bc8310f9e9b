#!/usr/bin/python3
"""The HTTP wire of a real node, as curl and a program that knows nothing of us see it."""
import json
import os
import shutil
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import MIB, Node, free_port, wait_until  # noqa: E402

UUID = '0b1b2c3d-1111-4222-8333-444455556666'


class Curl:
    """curl against one address; `unix` is a socket's path."""

    def __init__(self, port=None, unix=None, flags=()):
        self.base = f'http://127.0.0.1:{port}' if port else 'http://node'
        self.flags = [*(['--unix-socket', unix] if unix else []), *flags]

    def __call__(self, method, path, body=None, *flags):
        """(status, headers, body)"""
        command = ['curl', '-sS', '-i', '--max-time', '60', '-X', method, *self.flags, *flags]
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            command += ['--data-binary', '@-', '-H', 'expect:']
            if not isinstance(body, bytes):
                command += ['-H', 'content-type: application/json']
        done = subprocess.run([*command, self.base + path], input=data, capture_output=True,
                              check=True, timeout=90)
        head, _, rest = done.stdout.partition(b'\r\n\r\n')
        lines = head.decode().split('\r\n')
        headers = dict(line.lower().split(': ', 1) for line in lines[1:])
        return int(lines[0].split(' ')[1]), headers, rest

    def json(self, method, path, body=None, *flags):
        status, _, rest = self(method, path, body, *flags)
        return status, json.loads(rest) if rest else None


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.metrics_port, cls.http_port = free_port(), free_port()
        cls.node.start('--kv', f'main={cls.node.path("main.kv")}',
                       '--http-listen', f'127.0.0.1:{cls.http_port}',
                       '--http-listen', f'unix:{cls.node.path("http.sock")}',
                       '--metrics-addr', f'127.0.0.1:{cls.metrics_port}')
        cls.curl = Curl(cls.node.port)

    def test_the_same_on_every_address(self):
        expected = self.curl.json('GET', '/version')[1]['version']
        for curl in (Curl(self.http_port), Curl(unix=self.node.path('http.sock'))):
            self.assertEqual(curl.json('GET', '/version')[1]['version'], expected)

    def test_pools_and_replicas(self):
        curl, disk = self.curl, self.node.disk('http.img', 64)
        status, pool = curl.json('PUT', '/pools/p1', {'disks': [f'aio://{disk}']})
        self.assertEqual((status, pool['name'], pool['state']), (200, 'p1', 'POOL_ONLINE'))
        self.assertEqual(curl.json('GET', '/pools')[1], [pool])
        self.assertEqual(curl.json('GET', '/pools/p1'), (200, pool))
        status, error = curl.json('GET', '/pools/p2')
        self.assertEqual((status, error[0]['id']), (404, 'pool.not_found'))
        status, replica = curl.json('PUT', f'/pools/p1/replicas/{UUID}',
                                    {'name': 'r', 'size': str(8 * MIB), 'thin': True})
        self.assertEqual((status, replica['uuid'], replica['size']), (200, UUID, str(8 * MIB)))
        self.assertEqual(curl.json('GET', f'/replicas/{UUID}')[1]['name'], 'r')
        self.assertEqual(len(curl.json('GET', '/pools/p1/replicas')[1]), 1)
        status, error = curl.json('PUT', f'/pools/nowhere/replicas/{UUID}',
                                  {'name': 'r', 'size': str(8 * MIB)})
        self.assertGreaterEqual(status, 400)
        self.assertEqual(curl('DELETE', f'/replicas/{UUID}')[0], 204)
        status, _, text = curl('GET', '/replicas/no-uuid')
        self.assertEqual(status, 400)
        self.assertIn(b'replica_id', text)
        self.assertEqual(curl('DELETE', '/pools/p1')[0], 204)
        self.assertEqual(curl.json('GET', '/pools'), (200, []))

    def test_values_of_any_kind_and_size(self):
        curl, large = self.curl, os.urandom(20 * MIB + 1)
        self.assertEqual(curl('PUT', '/kv/main/raw/large%2Fkey', large)[0], 200)
        status, headers, got = curl('GET', '/kv/main/raw/large%2Fkey')
        self.assertEqual((status, headers['content-type']), (200, 'application/octet-stream'))
        self.assertEqual(len(got), len(large))
        self.assertTrue(got == large)
        self.assertEqual(curl('GET', '/kv/main/raw/large%2Fkey?offset=5&length=7')[2], large[5:12])
        self.assertEqual(curl.json('PUT', '/kv/main/entries/a', '0aff')[0], 200)
        self.assertEqual(curl.json('GET', '/kv/main/entries/a'), (200, '0aff'))
        self.assertEqual(curl('GET', '/kv/main/raw/a')[2], b'\x0a\xff')
        self.assertEqual(curl.json('GET', '/kv/main/exists/a'), (200, True))
        self.assertEqual(curl('DELETE', '/kv/main/entries/a')[0], 204)
        self.assertEqual(curl('GET', '/kv/main/entries/a')[0], 404)
        self.assertEqual(curl('GET', '/kv/nowhere/len')[0], 404)

    def test_media_types(self):
        status, headers, bson = self.curl('GET', '/version', None, '-H', 'accept: application/bson')
        self.assertEqual((status, headers['content-type']), (200, 'application/bson'))
        self.assertEqual(int.from_bytes(bson[:4], 'little'), len(bson))
        status, headers, binary = self.curl('GET', '/version', None,
                                            '-H', 'accept: application/octet-stream')
        self.assertEqual(int.from_bytes(binary[:4], 'big'), len(binary) - 4)
        status, _, text = self.curl('GET', '/version', None, '-H', 'accept: text/html')
        self.assertEqual((status, text), (406, b'application/json, application/bson, '
                                               b'application/octet-stream'))

    def test_http2(self):
        for curl in (Curl(self.node.port, flags=['--http2-prior-knowledge']),
                     Curl(self.http_port, flags=['--http2-prior-knowledge'])):
            self.assertEqual(curl.json('GET', '/version')[1], self.version())
            self.assertEqual(curl('GET', '/nope')[0], 404)
            for _ in range(10):     # the answer may come before the body has left
                self.assertEqual(curl('POST', '/version', {'a': 'body'})[0], 405)
            large = os.urandom(3 * MIB)
            self.assertEqual(curl('PUT', '/nope', large)[0], 404)
            self.assertEqual(curl('PUT', '/kv/main/raw/h2', large)[0], 200)
            self.assertTrue(curl('GET', '/kv/main/raw/h2')[2] == large)

    def version(self):
        first = self.curl.json('GET', '/version')[1]
        self.assertIn('uptime_ms', first)

        class Version(dict):
            def __eq__(self, other):
                return {**self, 'uptime_ms': 0} == {**other, 'uptime_ms': 0}
        return Version(first)

    def test_monitors_end_with_their_client(self):
        peer = socket.create_connection(('127.0.0.1', self.node.port), timeout=30)
        peer.sendall(b'GET /monitor/kv/main HTTP/1.1\r\nHost: x\r\n\r\n')
        head = b''
        while b'\r\n\r\n' not in head:
            head += peer.recv(4096)
        self.assertTrue(head.startswith(b'HTTP/1.1 200 OK\r\n'), head)
        self.assertEqual(self.watching(), 1)
        self.assertEqual(self.curl.json('PUT', '/kv/main/entries/seen', '01')[0], 200)
        got = b''
        while b'}\n' not in got:
            got += peer.recv(4096)
        self.assertIn(b'"key":"7365656e"', got)
        peer.close()
        wait_until(lambda: self.watching() == 0, 30, 'the watcher to leave')

    def watching(self):
        text = Curl(self.metrics_port)('GET', '/metrics')[2].decode()
        return sum(float(line.rsplit(' ', 1)[1]) for line in text.splitlines()
                   if line.startswith('capstan_calls_in_flight{') and 'DataStoreRpc/Watch' in line)

    def test_metrics_have_an_address_of_their_own(self):
        status, headers, text = Curl(self.metrics_port)('GET', '/metrics')
        self.assertEqual(status, 200)
        self.assertTrue(headers['content-type'].startswith('text/plain; version=0.0.4'))
        self.assertIn(b'# TYPE capstan_calls_started_total counter', text)
        self.assertEqual(Curl(self.metrics_port)('GET', '/version')[0::2],
                         (400, b'Error: Bad request'))
        self.assertEqual(self.curl('GET', '/metrics')[0], 404)
        self.assertEqual(Curl(self.http_port)('GET', '/metrics')[0], 404)
        # What any other wire answers to GetMetrics, under the rules of the address.
        self.assertIn(b'capstan_calls_started_total', self.curl('GET', '/node/metrics')[2])

    def test_the_node_describes_itself(self):
        status, listed = self.curl.json('GET', '/operations')
        self.assertGreater(len(listed), 60)
        status, tree = self.curl.json('GET', '/describe?recurse')
        self.assertEqual(status, 200)
        names = {s['name'] for s in tree['static']['subdirs']['suffixes']}
        self.assertLessEqual({'pools', 'replicas', 'kv', 'version', 'monitor'}, names)
        status, pool = self.curl.json('GET', '/describe/pools/p1')
        self.assertEqual(set(pool['static']), {'get_service', 'put_service', 'delete_service'})
        self.assertEqual(self.curl('GET', '/describe/nope')[0], 404)
        status, spec = self.curl.json('GET', '/openapi')
        self.assertTrue(spec['openapi'].startswith('3.1'), spec['openapi'])
        self.assertIn('put', spec['paths']['/pools/{pool_id}'])
        status, headers, page = self.curl('GET', '/openapi/ui')
        self.assertEqual((status, headers['content-type']), (200, 'text/html; charset=utf-8'))
        self.assertNotIn(b'http', page.replace(b'http-', b''), 'nothing from elsewhere')
        self.assertIn('pool.not_found', self.curl.json('GET', '/errors')[1]['items']['properties']
                      ['id']['enum'])
        self.assertEqual(self.curl.json('GET', '/health/live'), (200, {'live': True}))
        self.assertEqual(self.curl.json('GET', '/health/ready'),
                         (200, {'ready': True, 'state': 'ready'}))

    @unittest.skipUnless(shutil.which('node'), 'node runs the script of the page')
    def test_the_page_to_try_calls(self):
        page = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'try_page.js')
        done = subprocess.run(['node', page, f'http://127.0.0.1:{self.node.port}'], text=True,
                              capture_output=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout)
        self.assertTrue(seen['title'].startswith('Capstan storage node '), seen['title'])
        self.assertGreater(seen['shown'], 100)
        self.assertEqual((seen['found'], seen['nothing']), (1, 'Nothing matches.'))
        self.assertTrue(seen['version'].startswith('200 OK\n{\n'), seen['version'])
        self.assertIn('"release": ', seen['version'])
        self.assertTrue(seen['described'][0].startswith('Formats a disk as a pool'))
        self.assertIn('disks', json.loads(seen['template']))
        self.assertTrue(seen['complaint'].startswith('400 Bad Request\n'), seen['complaint'])
        self.assertIn('pool_id', seen['complaint'])
        self.assertTrue(seen['stream'].startswith('200 OK\n'), seen['stream'])
        self.assertEqual((seen['stoppable'], seen['stopped']), (True, True))

    def test_any_json_of_the_json_rpc_bridge(self):
        status, listed = self.curl.json('PUT', '/jsonrpc/bdev_get_bdevs', {})
        self.assertEqual(status, 200)
        self.assertIsInstance(listed, list)
        status, error = self.curl.json('PUT', '/jsonrpc/no_such_method', {})
        self.assertGreaterEqual(status, 400)
        self.assertTrue(error[0]['id'].startswith('json.'), error)

    def test_operations_without_a_path(self):
        status, answer = self.curl.json('POST', '/rpc/grpc.health.v1.Health/Check', {})
        self.assertEqual((status, answer), (200, {'status': 'SERVING'}))
        self.assertEqual(self.curl('POST', '/rpc/mayastor.v1.PoolRpc/ListPools', {})[0], 404)

    def test_conflicts_and_wrong_pools(self):
        for name in ('pw', 'px'):
            self.assertEqual(self.curl('PUT', f'/pools/{name}',
                                       {'disks': [f'malloc:///{name}?size_mb=64']})[0], 200)
        uuid = UUID.replace('0b', '2e')
        size = {'name': 'rw', 'size': 8 << 20, 'thin': True}
        wrong = {'pool_id': 'px', 'replica_id': uuid}
        own, other = (self.curl.json('GET', f'/pools/{name}')[1]['uuid'] for name in ('pw', 'px'))
        for method, path, body, status, code, objects in (
                ('PUT', f'/pools/none/replicas/{uuid}', size, 404, 'replica.not_found',
                 {'pool_id': 'none', 'replica_id': uuid}),
                ('PUT', f'/pools/pw/replicas/{uuid}', size, 200, None, {}),
                ('PUT', f'/pools/px/replicas/{uuid}', size, 409, 'replica.already_exists', wrong),
                ('DELETE', f'/pools/px/replicas/{uuid}', None, 404, 'replica.not_found', wrong),
                ('DELETE', f'/pools/none/replicas/{uuid}', None, 404, 'replica.not_found', {}),
                ('DELETE', f'/pools/{other}/replicas/{uuid}', None, 404, 'replica.not_found', {}),
                ('DELETE', f'/pools/{own}/replicas/{uuid}', None, 204, None, {}),
                ('POST', '/bdevs', {'uri': 'malloc:///pw?size_mb=8'}, 409, 'bdev.already_exists',
                 {}),
                ('PUT', '/bdevs/pw/share', {'protocol': 'NVMF'}, 409, 'bdev.failed_precondition',
                 {'bdev': 'pw'})):
            answered, _, text = self.curl(method, path, body)
            self.assertEqual(answered, status, (method, path, text))
            if code:
                error = json.loads(text)[0]
                self.assertEqual(error['id'], code)
                self.assertEqual({**error, **objects}, error)
        for name in ('pw', 'px'):
            self.assertEqual(self.curl('DELETE', f'/pools/{name}')[0], 204)

    def test_denied_and_late(self):
        with_rules = Node()
        self.addCleanup(with_rules.close)
        with_rules.start('--access', 'any=read+monitor')
        curl = Curl(with_rules.port)
        status, error = curl.json('DELETE', '/pools/p1')
        self.assertEqual((status, error[0]['id']), (401, 'pool.permission_denied'))
        self.assertEqual(error[0]['pool_id'], 'p1')
        status, _, said = curl('GET', '/monitor/stats?interval_ms=%FF%1B%5B%C2%9B31m')
        self.assertEqual(status, 400)
        self.assertTrue(said.decode('utf-8').rstrip('\n').isprintable(), said)
        self.assertEqual(curl.json('GET', '/pools'), (200, []))
        status, error = curl.json('GET', '/pools', None, '-H', 'x-timeout-ms: 0')
        self.assertEqual((status, error[0]['id']), (504, 'pool.deadline_exceeded'))


class Strangers(unittest.TestCase):
    """What an access list forbids, and what a log must not tell."""

    def test_second_names_obey_the_rule_for_what_they_do(self):
        node = Node()
        self.addCleanup(node.close)
        node.port = free_port()
        acl = node.path('acl.json')
        with open(acl, 'w', encoding='ascii') as out:
            json.dump({'acl': [{'address': f'127.0.0.1:{node.port}',
                                'blacklist': ['DELETE/**']}]}, out)
        node.start('--acl', acl)
        curl = Curl(node.port)
        self.assertEqual(curl('PUT', '/pools/pd', {'disks': ['malloc:///m0?size_mb=64']})[0], 200)
        lvstore = {'lvs_name': 'pd'}
        call = {'method': 'bdev_lvol_delete_lvstore', 'params': json.dumps(lvstore)}
        for method, path, body in (('DELETE', '/pools/pd', None),
                                   ('DELETE', '/v0/pools/pd', None),
                                   ('POST', '/rpc/mayastor.Mayastor/DestroyPool', {'name': 'pd'}),
                                   ('POST', '/spdk/bdev_lvol_delete_lvstore', lvstore)):
            self.assertEqual(curl(method, path, body)[0], 401, path)
        for method, path, body in (('PUT', '/jsonrpc/bdev_lvol_delete_lvstore', lvstore),
                                   ('POST', '/rpc/mayastor.JsonRpc/JsonRpcCall', call)):
            status, _, answer = curl(method, path, body)
            self.assertGreaterEqual(status, 400, (path, answer))
            self.assertIn(b'access list', answer, path)
        self.assertEqual([pool['name'] for pool in curl.json('GET', '/pools')[1]], ['pd'])

    def test_a_whitelist_of_documents_is_enough_for_them(self):
        """They are answered in the name of GET /operations, which need not be on the list.
        GET /version is, for that is how a node is asked whether it has started."""
        node = Node()
        self.addCleanup(node.close)
        node.port = free_port()
        acl = node.path('acl.json')
        with open(acl, 'w', encoding='ascii') as out:
            json.dump({'acl': [{'address': f'127.0.0.1:{node.port}',
                                'whitelist': ['GET /version', 'GET /describe/**',
                                              'GET /openapi']}]}, out)
        node.start('--acl', acl)
        curl = Curl(node.port)
        for path, status in (('/describe/pools', 200), ('/describe?recurse', 200),
                             ('/openapi', 200), ('/errors', 401), ('/operations', 401),
                             ('/pools', 401)):
            self.assertEqual(curl('GET', path)[0], status, path)

    def test_a_denied_command_says_where(self):
        node = Node()
        self.addCleanup(node.close)
        unix = node.path('http.sock')
        acl = node.path('acl.json')
        with open(acl, 'w', encoding='ascii') as out:
            json.dump({'acl': [{'address': f'unix:{unix}', 'whitelist': ['GET /version']}]}, out)
        node.start('--acl', acl, '--http-listen', f'unix:{unix}')

        def get(path):
            return subprocess.run([os.path.join(node.bin, 'capstan'), '-E', f'http+unix:{unix}',
                                   'rpc', 'get', path], capture_output=True, text=True,
                                  timeout=60, check=False)
        self.assertEqual(get('/version').returncode, 0)
        denied = get('/pools')
        self.assertEqual(denied.returncode, 1)
        self.assertIn(f'Access denied to: http+unix:{unix}\n', denied.stderr)

    def test_nothing_of_a_request_is_logged(self):
        node = Node()
        self.addCleanup(node.close)
        node.start('--kv', f'main={node.path("main.kv")}', '-L', 'debug')
        curl = Curl(node.port)
        uuid = UUID.replace('0b', '1c')
        secret = '/bdevs/nvmf%3A%2F%2FTOPSECRET%3APASSWORD%40127.0.0.1%3A1%2Fn'
        for method, path, body, status in (
                ('PUT', '/kv/main/entries/b', 'TOPSECRET', 400),
                ('PUT', '/kv/main/entries/b', {'TOPSECRET': 1}, 400),
                ('POST', '/kv/main/batch_write', {'entries': [{'value': 'TOPSECRET'}]}, 400),
                ('PUT', f'/pools/p/replicas/{uuid}', {'size': 'TOPSECRET'}, 400),
                ('GET', '/monitor/stats?interval_ms=TOPSECRET', None, 400),
                ('GET', '/nope?value=TOPSECRET', None, 404),
                ('POST', '/bdevs', {'uri': 'nvmf://TOPSECRET:PASSWORD@127.0.0.1:1/n'}, 400),
                ('POST', '/bdevs', {'uri': 'nvmf://TOPSECRET:PASS/WORD@127.0.0.1:1/n'}, 400),
                ('DELETE', secret, None, 400), ('GET', secret, None, 404),
                ('PUT', secret + '/share', {'protocol': 'NVMF'}, 404)):
            answered, _, answer = curl(method, path, body)
            self.assertEqual(answered, status, (path, answer))
            if path.startswith('/bdevs'):
                self.assertNotIn(b'SECRET', answer)
                self.assertNotIn(b'PASS', answer)
        self.assertEqual(curl('DELETE', '/kv/other/entries/TOPSECRET')[0], 404)
        wait_until(lambda: 'object=other' in node.log(), 30, 'the store that was not there')
        for word in ('SECRET', 'PASS', 'WORD'):
            self.assertNotIn(word, node.log())


class Cors(unittest.TestCase):
    def test_pages_of_other_origins(self):
        node = Node()
        self.addCleanup(node.close)
        node.start('--cors-origin', '*', '--rest-max-connections', '2', '--media-type', 'json')
        curl = Curl(node.port)
        status, headers, _ = curl('OPTIONS', '/pools', None, '-H', 'origin: http://a.b', '-H',
                                  'access-control-request-method: GET', '-H',
                                  'access-control-request-headers: Content-Type')
        self.assertEqual((status, headers['access-control-allow-origin'],
                          headers['access-control-allow-methods'],
                          headers['access-control-allow-headers']),
                         (200, '*', 'get', 'content-type'))
        self.assertEqual(curl('GET', '/version', None, '-H',
                              'accept: application/octet-stream')[0], 406)
        held = [socket.create_connection(('127.0.0.1', node.port)) for _ in range(2)]
        for peer in held:
            peer.sendall(b'GET /version HTTP/1.1\r\nHost: x\r\n\r\n')
            self.assertTrue(peer.recv(4096).startswith(b'HTTP/1.1 200 '))
        waiting = socket.create_connection(('127.0.0.1', node.port))
        self.addCleanup(waiting.close)
        waiting.sendall(b'GET /version HTTP/1.1\r\nHost: x\r\n\r\n')
        # Those that are served answer again while it waits.
        for peer in held:
            peer.sendall(b'GET /version HTTP/1.1\r\nHost: x\r\n\r\n')
            self.assertTrue(peer.recv(4096).startswith(b'HTTP/1.1 200 '))
        waiting.setblocking(False)
        self.assertRaises(BlockingIOError, waiting.recv, 1)
        waiting.setblocking(True)
        held[0].close()
        self.assertTrue(waiting.recv(4096).startswith(b'HTTP/1.1 200 '))
        held[1].close()


if __name__ == '__main__':
    unittest.main()
