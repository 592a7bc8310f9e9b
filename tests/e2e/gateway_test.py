#!/usr/bin/python3
"""A gateway before a real node: who answers what, and that no death is ever hidden.

The failure matrix kills node, gateway or client at every stage of every kind of answer. What a
client sees of it must never look like an end, and nothing may stay behind in whoever lives on:
neither descriptors nor streams.
"""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
import grpc  # noqa: E402
from gateway import Gateway, GatewayNode, descriptors, metric  # noqa: E402
from node import MIB, free_port, wait_until  # noqa: E402
from official import Client  # noqa: E402

UUID = '0b1b2c3d-1111-4222-8333-444455556666'
# Waits for a device that never comes.
SLOW, SLOW_NAME = '/spdk/bdev_get_bdevs?name=never&timeout=600000', 'spdk.Bdev/GetBdevs'
# Larger than all buffers between a node and a client that does not read.
LARGE = 48 * MIB


class Http:
    """One request over a connection of its own, read piece by piece."""

    def __init__(self, port, method, path, body=None, headers=()):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=60)
        data = b'' if body is None else json.dumps(body).encode()
        lines = [f'{method} {path} HTTP/1.1', 'Host: x', *headers]
        if body is not None:
            lines += ['content-type: application/json', f'content-length: {len(data)}']
        self.socket.sendall('\r\n'.join([*lines, '', '']).encode() + data)
        self.bytes = b''

    def until(self, pattern):
        """The bytes so far, once they match; an error when the connection ends before."""
        while not re.search(pattern, self.bytes, re.DOTALL):
            got = self.socket.recv(65536)
            if not got:
                raise AssertionError(f'ended after {self.bytes[-300:]!r}')
            self.bytes += got
        return self.bytes

    def rest(self):
        """Everything until the connection ends, however it does."""
        try:
            while True:
                got = self.socket.recv(1 << 20)
                if not got:
                    return self.bytes
                self.bytes += got
        except ConnectionResetError:
            return self.bytes

    def close(self):
        self.socket.close()


def ask(port, method, path, body=None, headers=None):
    """(status, headers, parsed body or bytes)"""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    try:
        data = None if body is None else json.dumps(body)
        sent = {'content-type': 'application/json'} if body is not None else {}
        connection.request(method, path, data, {**sent, **(headers or {})})
        answer = connection.getresponse()
        raw = answer.read()
        is_json = answer.getheader('content-type') == 'application/json'
        return answer.status, dict(answer.getheaders()), json.loads(raw) if is_json and raw else raw
    finally:
        connection.close()


class Case(unittest.TestCase):
    node_flags = ()
    gateway_flags = ()

    def setUp(self):
        self.node = GatewayNode()
        self.addCleanup(self.node.close)
        self.node_metrics = free_port()
        self.start_node()
        self.gateway = Gateway(self.node, *self.gateway_flags)
        self.addCleanup(self.gateway.close)
        self.gateway.start()

    def start_node(self):
        self.node.start('--kv', f'main={self.node.path("main.kv")}',
                        '--metrics-addr', f'127.0.0.1:{self.node_metrics}', *self.node_flags)

    def get(self, path, **headers):
        return ask(self.gateway.port, 'GET', path, headers=headers)

    def make_pool(self, name='p1', port=None):
        disk = self.node.disk(f'{name}.img', 64)
        return ask(port or self.gateway.port, 'PUT', f'/pools/{name}', {'disks': [f'aio://{disk}']})

    def mirrored(self, condition, what):
        wait_until(condition, 30, what + '; the log:\n' + self.gateway.log())


class WhoAnswers(Case):
    def test_local_or_forwarded(self):
        """Table T12 as it is for a storage node."""
        self.assertEqual(self.make_pool()[0], 200)
        self.mirrored(lambda: 'x-rev' in self.get('/pools')[1], 'the pool to be mirrored')
        table = [('GET', '/version', '/version', 200, 'local'),
                 ('GET', '/config', '/config', 200, 'local'),
                 ('GET', '/operations', '/operations', 200, 'local'),
                 ('GET', '/pools', '/pools', 200, 'local'),
                 ('GET', '/pools/p1', '/pools', 200, 'local'),
                 ('GET', '/pools/nope', '/pools', 404, 'local'),
                 ('GET', '/replicas', '/replicas', 200, 'local'),
                 ('GET', '/node', '/node', 200, 'local'),
                 ('GET', '/stats/pools', '/stats/pools', 200, 'forwarded'),
                 ('GET', '/bdevs', '/bdevs', 200, 'forwarded'),
                 ('GET', '/health', '/health', 200, 'forwarded'),
                 ('GET', '/kv/main/entries/k', '/kv/{store_id=store}/entries/{key}', 404,
                  'forwarded'),
                 ('GET', '/nope', None, 404, None),
                 ('POST', '/version', None, 405, None),
                 ('GET', '/pools/a%20b', None, 400, None),
                 ('GET', '/describe/pools', None, 200, None),
                 ('GET', '/openapi', None, 200, None),
                 ('GET', '/errors', None, 200, None),
                 ('GET', '/health/live', None, 200, None)]
        names = self.endpoints()
        for method, path, endpoint, status, who in table:
            with self.subTest(f'{method} {path}'):
                before = self.handled()
                self.assertEqual(ask(self.gateway.port, method, path)[0], status)
                after = self.handled()
                if endpoint is None:
                    self.assertEqual({k: v for k, v in after.items() if 'forwarded' in k},
                                     {k: v for k, v in before.items() if 'forwarded' in k})
                else:
                    self.assertIn(endpoint.partition('{')[0], ' '.join(names))
                    changed = [k for k in after if after[k] != before.get(k, 0)]
                    self.assertEqual(len(changed), 1, changed)
                    self.assertIn(f'handled="{who}"', changed[0])

    def endpoints(self):
        return [re.search(r'endpoint="([^"]*)"', one).group(1) for one in self.handled()]

    def handled(self):
        lines = ask(self.gateway.metrics_port, 'GET', '/metrics')[2].decode().splitlines()
        return {line.rsplit(' ', 1)[0]: float(line.rsplit(' ', 1)[1]) for line in lines
                if line.startswith('storage_gateway_calls_count') and '"/metrics"' not in line}

    def test_documents_are_those_of_the_node(self):
        for path in ('/describe?recurse=yes', '/openapi', '/errors', '/operations', '/config'):
            with self.subTest(path):
                self.assertEqual(self.get(path)[2], ask(self.node.port, 'GET', path)[2])

    def test_a_writer_reads_what_it_wrote(self):
        self.assertEqual(self.get('/pools')[2], [])
        for count in range(1, 6):
            self.assertEqual(self.make_pool(f'p{count}')[0], 200)
            self.assertEqual(len(self.get('/pools')[2]), count)
        self.assertEqual(ask(self.gateway.port, 'DELETE', '/pools/p3')[0], 204)
        self.assertEqual([one['name'] for one in self.get('/pools')[2]], ['p1', 'p2', 'p4', 'p5'])

    def test_revisions(self):
        status, headers, _ = self.get('/pools')
        self.assertEqual(status, 200)
        epoch, _, rev = headers['x-rev'].partition('-')
        before = self.gateway.calls('forwarded', '/pools')
        # As new as asked for; newer than there is; of another start of the node; no revision.
        for wanted, asked_the_node in ((headers['x-rev'], 0), (f'{epoch}-{int(rev) + 1000}', 1),
                                       (f'{int(epoch) ^ 1}-0', 1), ('nonsense', 1)):
            with self.subTest(wanted):
                status, got, _ = self.get('/pools', **{'x-min-rev': wanted})
                self.assertEqual((status, 'x-rev' in got), (200, not asked_the_node))
                after = self.gateway.calls('forwarded', '/pools')
                self.assertEqual(after - before, asked_the_node)
                before = after

    def test_a_change_that_went_past_the_gateway_arrives(self):
        self.assertEqual(self.make_pool(port=self.node.port)[0], 200)
        self.mirrored(lambda: [one['name'] for one in self.get('/pools')[2]] == ['p1'], 'the pool')
        self.assertEqual(self.get('/pools')[2], ask(self.node.port, 'GET', '/pools')[2])
        self.assertIn('x-rev', self.get('/pools')[1])

    def test_grpc_on_the_same_port(self):
        client = Client(f'127.0.0.1:{self.gateway.port}')
        self.addCleanup(client.close)
        self.assertEqual(list(client.call('mayastor.v1.PoolRpc/ListPools').pools), [])
        with self.assertRaises(grpc.RpcError) as refused:
            client.call('mayastor.v1.PoolRpc/DestroyPool', {'name': 'nowhere'})
        direct = Client(f'127.0.0.1:{self.node.port}')
        self.addCleanup(direct.close)
        with self.assertRaises(grpc.RpcError) as expected:
            direct.call('mayastor.v1.PoolRpc/DestroyPool', {'name': 'nowhere'})
        self.assertEqual(self.seen(refused.exception), self.seen(expected.exception))

    @staticmethod
    def seen(error):
        """A map within the details has no order."""
        return error.code(), error.details(), [(one.key, sorted(one.value))
                                               for one in error.trailing_metadata()]

    def test_values_of_any_size(self):
        data = os.urandom(9 * MIB + 1)
        connection = http.client.HTTPConnection('127.0.0.1', self.gateway.port, timeout=60)
        self.addCleanup(connection.close)
        connection.request('PUT', '/kv/main/raw/large', data)
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read() is None), (200, False))
        connection.request('GET', '/kv/main/raw/large')
        answer = connection.getresponse()
        self.assertTrue(answer.read() == data)

    def test_many_watchers_cost_the_node_one_stream(self):
        monitors = [Http(self.gateway.port, 'GET', '/monitor/pools') for _ in range(50)]
        for monitor in monitors:
            monitor.until(rb'"synced":true')
        self.assertEqual(self.gateway.metric('capstan_gateway_watchers'), 50)
        streams = metric(self.node_metrics, 'storage_rpc_streams')
        self.assertEqual(streams, 1)
        self.assertEqual(self.make_pool()[0], 200)
        for monitor in monitors:
            self.assertIn(b'"event":"created"', monitor.until(rb'"event":"created"[^\n]*\n'))
            monitor.close()
        wait_until(lambda: self.gateway.metric('capstan_gateway_watchers') == 0, 30,
                   'watchers to go')


class AnotherNode(Case):
    def test_a_node_that_comes_back_with_other_operations(self):
        known = {one['full_name'] for one in self.get('/operations')[2]}
        self.assertIn('mayastor.Mayastor/ListPools', known)
        self.node.kill()
        self.node_flags = ('--api-versions', 'V1')
        self.start_node()

        def same():
            try:
                here = self.get('/operations')[2]
            except OSError:              # it starts over
                return False
            return here == ask(self.node.port, 'GET', '/operations')[2]
        wait_until(same, 60, 'the operations of the new node; the log:\n' + self.gateway.log())
        self.gateway.wait_for('ready')
        self.assertEqual(self.get('/openapi')[2], ask(self.node.port, 'GET', '/openapi')[2])
        self.assertEqual(self.make_pool()[0], 200)
        self.assertIsNone(self.gateway.process.poll())


class Limits(Case):
    gateway_flags = ('--max-streams', '2')

    def test_streams(self):
        open_ones = [Http(self.gateway.port, 'GET', path)
                     for path in ('/monitor/pools', '/monitor/kv/main')]
        for one in open_ones:
            one.until(rb'200 OK\r\n')
        status, headers, error = self.get('/monitor/kv/main')
        self.assertEqual((status, headers['retry-after']), (503, '1'))
        self.assertIn('limit', error[0]['msg'])
        self.assertEqual(self.get('/version')[0], 200)
        open_ones[0].close()
        wait_until(lambda: self.gateway.metric('capstan_gateway_streams') == 1, 30, 'room')
        again = Http(self.gateway.port, 'GET', '/monitor/pools')
        again.until(rb'"synced":true')
        again.close()
        open_ones[1].close()


class Trust(Case):
    """The node lets a gateway do everything; the gateway asks who calls."""
    node_flags = ('--access', 'any=read+monitor', '--secure')
    gateway_flags = ('--access', 'tcp=read+monitor+write')

    def test_rules_are_those_of_the_door(self):
        self.assertEqual(self.make_pool()[0], 200)
        self.assertEqual(self.make_pool('p2', self.node.port)[0], 401)
        status, _, error = ask(self.gateway.port, 'PUT', '/kv/main/entries/k', '0a')
        self.assertEqual(status, 401)
        self.assertIn('access rules', error[0]['msg'])


class TrustInTheBridge(Case):
    """A call of the JSON bridge is one of ADMIN; what it calls is what it names."""
    gateway_flags = ('--access', 'tcp=read+monitor+admin')

    def test_the_call_inside_is_asked_about_at_the_door(self):
        def bridge(method, params):
            return ask(self.gateway.port, 'PUT', f'/jsonrpc/{method}', params)
        self.assertEqual(bridge('bdev_get_bdevs', {})[0], 200)
        status, _, error = bridge('bdev_malloc_create', {'num_blocks': 2048, 'block_size': 512})
        self.assertEqual(status, 401)
        self.assertIn("of class 'write'", error[0]['msg'])
        self.assertEqual(bridge('bdev_get_bdevs', {})[2], [])


class Silence(Case):
    gateway_flags = ('--upstream-timeout', '1s')

    def test_a_node_that_hangs(self):
        self.node.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.node.process.send_signal, signal.SIGCONT)
        status, _, error = self.get('/bdevs')
        self.assertEqual((status, error[0]['id']), (504, 'gateway.upstream_timeout'))
        # What the mirror has is not shown for longer than it is known to be right.
        wait_until(lambda: self.gateway.state() != 'ready', 30, 'the silence to be noticed')
        self.assertEqual(self.get('/pools')[0], 504)
        self.assertEqual(self.get('/version')[0], 200)
        self.node.process.send_signal(signal.SIGCONT)
        self.gateway.wait_for('ready')
        self.assertEqual(self.get('/bdevs')[0], 200)


class Deaths(Case):
    """Section 19.8, with the rules of this project."""

    def setUp(self):
        super().setUp()
        connection = http.client.HTTPConnection('127.0.0.1', self.gateway.port, timeout=60)
        connection.request('PUT', '/kv/main/raw/large', os.urandom(LARGE))
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()
        self.assertEqual(self.make_pool()[0], 200)
        self.mirrored(lambda: 'x-rev' in self.get('/pools')[1], 'the pool to be mirrored')

    # Each kind of answer: how it is asked for, and what is there once it is under way.
    KINDS = {
        'before the answer': ('GET', SLOW, None),
        'a value in pieces': ('GET', '/kv/main/raw/large', rb'\r\n\r\n.{1000}'),
        'a stream of the node': ('GET', '/monitor/kv/main', rb'200 OK\r\n.*\r\n\r\n'),
        'a stream of samples': ('GET', '/monitor/stats?interval_ms=100', rb'time_ms'),
        'a stream of the mirror': ('GET', '/monitor/pools', rb'"synced":true'),
    }

    def begin(self, kind, port=None):
        method, path, seen = self.KINDS[kind]
        one = Http(port or self.gateway.port, method, path)
        self.addCleanup(one.close)
        if seen:
            one.until(seen)
        else:
            wait_until(lambda: self.in_flight(SLOW_NAME), 30,
                       'the call to be at the node')
        return one

    def in_flight(self, operation):
        return metric(self.node_metrics, 'capstan_calls_in_flight', operation=operation)

    def begin_all(self):
        return {kind: self.begin(kind) for kind in self.KINDS}

    def test_node_killed(self):
        under_way = self.begin_all()
        before = descriptors(self.gateway.process)
        self.node.kill()
        for kind, one in under_way.items():
            with self.subTest(kind):
                if kind == 'before the answer':
                    answer = one.until(rb'\r\n\r\n.*\]\n')
                    self.assertTrue(answer.startswith(b'HTTP/1.1 502 '), answer)
                    self.assertIn(b'"gateway.upstream_closed"', answer)
                else:
                    answer = one.rest()
                    self.assertIn(b'transfer-encoding: chunked', answer[:1000].lower())
                    self.assertFalse(answer.endswith(b'0\r\n\r\n'), 'a broken stream ended well')
            one.close()
        self.assertEqual(self.gateway.state(), 'disconnected')
        status, _, error = self.get('/bdevs')
        self.assertEqual((status, error[0]['id']), (502, 'gateway.upstream_refused'))
        status, _, error = self.get('/pools')
        self.assertEqual((status, error[0]['id']), (502, 'gateway.upstream_refused'))
        for path in ('/version', '/config', '/health/live', '/describe/pools', '/operations'):
            self.assertEqual(self.get(path)[0], 200, path)
        self.nothing_left(self.gateway.process, before, 'capstan_gateway_streams')
        self.start_node()
        self.gateway.wait_for('ready')
        self.assertEqual([one['name'] for one in self.get('/pools')[2]], ['p1'])
        self.assertEqual(self.get('/bdevs')[0], 200)
        again = self.begin('a stream of the mirror')
        again.close()

    def nothing_left(self, process, before, gauge):
        wait_until(lambda: self.gateway.metric(gauge) == 0, 30, 'streams to end')
        wait_until(lambda: len(descriptors(process)) <= len(before), 30,
                   f'descriptors to be closed: {before} became {descriptors(process)}')

    def test_gateway_killed(self):
        idle = len(descriptors(self.node.process))
        under_way = self.begin_all()
        self.gateway.kill()
        for kind, one in under_way.items():
            with self.subTest(kind):
                self.assertFalse(one.rest().endswith(b'0\r\n\r\n'), 'a broken stream ended well')
        wait_until(lambda: metric(self.node_metrics, 'storage_rpc_streams') == 0, 30,
                   'the streams of the gateway to end')
        wait_until(lambda: self.in_flight(SLOW_NAME) == 0, 30,
                   'the call of the gateway to be cancelled')
        wait_until(lambda: len(descriptors(self.node.process)) < idle, 30,
                   'the connections of the gateway to be closed')
        self.gateway.start()
        self.assertEqual(self.get('/pools')[0], 200)

    def test_clients_leave(self):
        before = descriptors(self.gateway.process)
        for kind in self.KINDS:
            with self.subTest(kind):
                one = self.begin(kind)
                one.close()
                wait_until(lambda: self.gateway.metric('capstan_gateway_streams') == 0, 30,
                           'the stream to end at the gateway')
                # What remains at the node is the gateway's own stream.
                wait_until(lambda: metric(self.node_metrics, 'storage_rpc_streams') == 1, 30,
                           'the stream to end at the node')
                wait_until(lambda: self.in_flight(SLOW_NAME) in (0, None), 30,
                           'the call to be cancelled at the node')
        # One connection for streams stays open for the next one.
        wait_until(lambda: len(descriptors(self.gateway.process)) <= len(before) + 1, 30,
                   f'descriptors to be closed: {before} became '
                   f'{descriptors(self.gateway.process)}')

    def test_gateway_stops_in_order(self):
        streams = {kind: self.begin(kind) for kind in self.KINDS if kind.startswith('a stream')}
        waiter = threading.Thread(target=self.gateway.stop)
        waiter.start()
        for kind, one in streams.items():
            with self.subTest(kind):
                self.assertTrue(one.rest().endswith(b'0\r\n\r\n'), 'an orderly end is one')
        waiter.join()
        self.assertEqual(self.gateway.process.returncode, 0)

    def test_grpc_streams_break(self):
        client = Client(f'127.0.0.1:{self.gateway.port}')
        self.addCleanup(client.close)
        for name in ('capstan.monitor.v1.MonitorRpc/MonitorPools',
                     'capstan.monitor.v1.MonitorRpc/MonitorStats'):
            call = client.rpc(name, 'unary_stream')(client.request(name, {}), timeout=60)
            next(call)
            self.node.kill()
            with self.subTest(name), self.assertRaises(grpc.RpcError) as broken:
                for _ in call:
                    pass
            self.assertEqual(broken.exception.code().name, 'UNAVAILABLE')
            self.start_node()
            self.gateway.wait_for('ready')

    def test_a_client_that_does_not_read_holds_up_nobody(self):
        slow = [self.begin('a value in pieces') for _ in range(20)]
        for _ in range(20):
            self.assertEqual(self.get('/bdevs')[0], 200)
        self.assertEqual(self.make_pool('p2')[0], 200)
        self.mirrored(lambda: 'x-rev' in self.get('/pools')[1], 'the mirror to go on')
        # In bounds, whatever they do not take.
        with open(f'/proc/{self.gateway.process.pid}/statm', encoding='ascii') as file:
            self.assertLess(int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE'), 1500 * MIB)
        for one in slow:
            one.close()


class Encrypted(unittest.TestCase):
    def test_both_versions_of_http(self):
        node = GatewayNode()
        self.addCleanup(node.close)
        node.start()
        key, certificate = node.path('key.pem'), node.path('certificate.pem')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key,
                        '-out', certificate, '-days', '2', '-subj', '/CN=gateway',
                        '-addext', 'subjectAltName=IP:127.0.0.1'], check=True, capture_output=True)
        gateway = Gateway(node, '--tls-cert', certificate, '--tls-key', key)
        self.addCleanup(gateway.close)
        gateway.start(ready=False)

        def curl(path, *flags):
            return subprocess.run(['curl', '-sS', '-i', '--cacert', certificate, *flags,
                                   f'https://127.0.0.1:{gateway.port}{path}'],
                                  capture_output=True, text=True, check=False).stdout
        wait_until(lambda: '"ready":true' in curl('/health/ready'), 60, 'the gateway')
        for version in ('--http1.1', '--http2'):
            answer = curl('/pools', version)
            self.assertRegex(answer, r'^HTTP/\S+ 200')
            self.assertIn('x-rev: ', answer)
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: 'reloaded what=certificates' in gateway.log(), 30, 'the reload')
        self.assertRegex(curl('/pools'), r'^HTTP/\S+ 200')


class Supervised(unittest.TestCase):
    """Gateways that a node starts."""

    def setUp(self):
        self.node = GatewayNode()
        self.addCleanup(self.node.close)
        self.ports = [free_port(), free_port()]
        flags = [f for port in self.ports for f in ('--gateway', f'127.0.0.1:{port}')]
        self.node.start(*flags, '--access', 'any=all', environment={'CAPSTAN_CORS_ORIGIN': '*'})
        for port in self.ports:
            self.wait_ready(port)

    def wait_ready(self, port):
        def ready():
            try:
                return ask(port, 'GET', '/health/ready')[2].get('ready')
            except OSError:
                return False
        wait_until(ready, 60, f'the gateway at {port}; the log:\n{self.node.log()}')

    def pids(self):
        path = f'/proc/{self.node.process.pid}/task/{self.node.process.pid}/children'
        with open(path, encoding='ascii') as file:
            return [int(one) for one in file.read().split()]

    def is_gone(self, pid):
        try:
            with open(f'/proc/{pid}/stat', encoding='ascii') as file:
                return file.read().rpartition(')')[2].split()[0] == 'Z'
        except FileNotFoundError:
            return True

    def test_they_are_kept_running(self):
        old = self.pids()
        self.assertEqual(len(old), 2)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(self.pids()) - set(old)) == 2, 60, 'new gateways')
        for port in self.ports:
            self.wait_ready(port)
            status, headers, _ = ask(port, 'GET', '/pools', headers={'origin': 'http://a.example'})
            self.assertEqual(status, 200)
            self.assertEqual(headers['Access-Control-Allow-Origin'], '*')  # the node's option
        self.assertIn('gateway_exited', self.node.log())

    def test_they_end_with_the_node(self):
        pids = self.pids()
        self.assertEqual(self.node.stop(), 0)
        self.assertTrue(all(self.is_gone(pid) for pid in pids))

    def test_they_end_with_a_node_that_is_killed(self):
        pids = self.pids()
        self.node.kill()
        wait_until(lambda: all(self.is_gone(pid) for pid in pids), 30, 'the gateways to end')


class Revoked(unittest.TestCase):
    def test_what_the_node_reads_again_its_gateways_read_again(self):
        node, port = GatewayNode(), free_port()
        self.addCleanup(node.close)
        path = node.path('acl.json')

        def write(pattern):
            with open(path, 'w', encoding='ascii') as file:
                json.dump({'acl': [{'address': f'127.0.0.1:{port}', 'whitelist': [pattern]}]}, file)
        write('GET /**')
        node.start('--gateway', f'127.0.0.1:{port}', '--acl', path)

        def status():
            try:
                return ask(port, 'GET', '/pools')[0]
            except OSError:
                return 0
        wait_until(lambda: status() == 200, 60, 'the gateway; the log:\n' + node.log())
        write('GET /health/**')
        node.process.send_signal(signal.SIGHUP)
        wait_until(lambda: status() == 401, 60, 'the list to hold; the log:\n' + node.log())


class Start(unittest.TestCase):
    def without_a_node(self):
        node = GatewayNode()
        self.addCleanup(node.close)
        gateway = Gateway(node)
        self.addCleanup(gateway.close)
        gateway.start(ready=False)
        wait_until(lambda: 'node_not_found' in gateway.log(), 60, 'the gateway to look for it')
        return node, gateway

    def test_a_gateway_waits_for_its_node(self):
        node, gateway = self.without_a_node()
        node.start()
        gateway.wait_for('ready')
        begun = time.monotonic()
        self.assertEqual(gateway.stop(), 0)
        self.assertLess(time.monotonic() - begun, 10)

    def test_a_gateway_without_a_node_ends_when_asked(self):
        gateway = self.without_a_node()[1]
        self.assertEqual(gateway.stop(), 0)


if __name__ == '__main__':
    unittest.main()
