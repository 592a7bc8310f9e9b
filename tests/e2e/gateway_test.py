#!/usr/bin/python3
"""A gateway before a real node: who answers what, who may ask, and that gateways are kept running.
What happens when either dies is in gateway_deaths_test.py."""
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
from credentials import Certificates, Signer  # noqa: E402
from gateway import Gateway, GatewayCase, GatewayNode, metric  # noqa: E402
from http_calls import Http, ask  # noqa: E402
from node import MIB, free_port, sha256, wait_until  # noqa: E402
from official import Client  # noqa: E402



class WhoAnswers(GatewayCase):
    def test_local_or_forwarded(self):
        """Table T12 as it is for a storage node."""
        self.assertEqual(self.make_pool()[0], 200)
        self.mirrored(lambda: 'x-rev' in self.get('/pools')[1], 'the pool to be mirrored')
        # Labels are patterns, that of an operation's first path.
        table = [('GET', '/version', '/version', 200, 'local'),
                 ('GET', '/config', '/config', 200, 'local'),
                 ('GET', '/operations', '/operations', 200, 'local'),
                 ('GET', '/pools', '/pools', 200, 'local'),
                 ('GET', '/pools/p1', '/pools', 200, 'local'),
                 ('GET', '/pools/nope', '/pools', 404, 'local'),
                 ('GET', '/replicas', '/replicas', 200, 'local'),
                 ('GET', '/node', '/node', 200, 'local'),
                 ('GET', '/monitor/bootstrapped', '/monitor/bootstrapped', 200, 'local'),
                 ('GET', '/stats/pools', '/stats/pools', 200, 'forwarded'),
                 ('GET', '/bdevs', '/bdevs', 200, 'forwarded'),
                 ('GET', '/health', '/health', 200, 'forwarded'),
                 ('GET', '/kv/main/entries/k', '/kv/<store_id>/entries/<key>', 404, 'forwarded'),
                 ('PUT', '/pools/p2', '/pools/<pool_id>', 400, 'forwarded'),
                 ('GET', '/nope', None, 404, None),
                 ('POST', '/version', None, 405, None),
                 ('GET', '/pools/a%20b', None, 400, None),
                 ('GET', '/describe/pools', None, 200, None),
                 ('GET', '/openapi', None, 200, None),
                 ('GET', '/errors', None, 200, None),
                 ('GET', '/health/live', None, 200, None)]
        for method, path, endpoint, status, who in table:
            with self.subTest(f'{method} {path}'):
                before = self.handled()
                body = {} if method == 'PUT' else None  # without one it would go nowhere
                self.assertEqual(ask(self.gateway.port, method, path, body)[0], status)
                after = self.handled()
                if endpoint is None:
                    self.assertEqual({k: v for k, v in after.items() if 'forwarded' in k},
                                     {k: v for k, v in before.items() if 'forwarded' in k})
                else:
                    changed = [k for k in after if after[k] != before.get(k, 0)]
                    self.assertEqual(len(changed), 1, changed)
                    self.assertIn(f'handled="{who}"', changed[0])
                    self.assertIn(f'endpoint="{endpoint}"', changed[0])

    def test_streams_local_or_forwarded(self):
        """The rows of T12 that are streams: they are counted once they have ended."""
        for path, who in (('/monitor/pools', 'local'), ('/monitor/stats', 'forwarded')):
            with self.subTest(path):
                before = self.gateway.calls(who, path)
                stream = Http(self.gateway.port, 'GET', path)
                stream.until(rb'}\n')
                stream.close()
                wait_until(lambda: self.gateway.calls(who, path) == before + 1, 30,
                           'the stream to be counted')

    def handled(self):
        lines = ask(self.gateway.metrics_port, 'GET', '/metrics')[2].decode().splitlines()
        return {line.rsplit(' ', 1)[0]: float(line.rsplit(' ', 1)[1]) for line in lines
                if line.startswith('storage_gateway_calls_count') and '/metrics"' not in line}

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


    def test_how_far_the_node_is(self):
        """As the node says it, from the mirror: it ends because the node is ready."""
        for _ in range(2):
            status, headers, text = self.get('/monitor/bootstrapped')
            self.assertEqual(status, 200)
            self.assertIn('x-rev', headers)
            self.assertEqual(text, ask(self.node.port, 'GET', '/monitor/bootstrapped')[2])
            self.make_pool()
            self.mirrored(lambda: 'x-rev' in self.get('/pools')[1], 'the pool to be mirrored')
        self.assertEqual(text, {'state': 'ready', 'imported_pools': 1, 'total_pools': 1})


class GrpcCalls(GatewayCase):
    """The four kinds of calls, and what else belongs to a call."""

    def setUp(self):
        super().setUp()
        self.client = Client(f'127.0.0.1:{self.gateway.port}')
        self.addCleanup(self.client.close)

    def test_streams_of_either_side(self):
        self.assertEqual(self.make_pool()[0], 200)
        self.node.cli('replica', 'create', 'r', 'p1', '--size', '16MiB')
        image = self.node.path('image')
        with open(image, 'wb') as file:
            file.write(os.urandom(5 * MIB))
            file.truncate(16 * MIB)
        self.node.bind = f'http://127.0.0.1:{self.gateway.port}'
        before = self.gateway.metric('storage_gateway_calls_count', handled='forwarded')
        self.node.cli('image', 'import', 'r', image)                  # by the client
        self.node.cli('image', 'export', 'r', self.node.path('copy'))  # by the server
        self.assertEqual(sha256(self.node.path('copy')), sha256(image))
        self.assertIn('mayastor.v1.PoolRpc', self.client.services())       # by both
        after = self.gateway.metric('storage_gateway_calls_count', handled='forwarded')
        self.assertGreaterEqual(after - before, 3)

    def in_flight(self):
        return metric(self.node_metrics, 'capstan_calls_in_flight', operation='spdk.Bdev/GetBdevs')

    def wait_for_never(self, **options):
        request = self.client.request('spdk.Bdev/GetBdevs', {'name': 'never', 'timeout': 600_000})
        return self.client.rpc('spdk.Bdev/GetBdevs').future(request, **options)

    def test_deadlines_and_cancellation_go_through(self):
        late = self.wait_for_never(timeout=1)
        with self.assertRaises(grpc.RpcError):
            late.result()
        self.assertEqual(late.code().name, 'DEADLINE_EXCEEDED')
        wait_until(lambda: self.in_flight() in (0, None), 30, 'the late call to end at the node')
        left = self.wait_for_never()
        wait_until(self.in_flight, 30, 'the call to be at the node')
        left.cancel()
        wait_until(lambda: self.in_flight() == 0, 30, 'the call to be cancelled at the node')

    def test_metadata_goes_both_ways(self):
        trace = '0af7651916cd43dd8448eb211c80319c'
        name = 'mayastor.v1.PoolRpc/CreatePool'
        request = self.client.request(name, {'name': 'p', 'disks': ['malloc:///p?size_mb=64']})
        _, call = self.client.rpc(name).with_call(request, timeout=30, metadata=[
            ('traceparent', f'00-{trace}-b7ad6b7169203331-01')])
        self.assertIn('x-rev', dict(call.initial_metadata()))
        wait_until(lambda: trace in self.node.log(), 30, 'the trace in the log of the node')


class Callers(unittest.TestCase):
    """The gateway asks who calls; the node believes it."""

    def setUp(self):
        self.node = GatewayNode()
        self.addCleanup(self.node.close)
        self.node.start()

    def gateway(self, *flags, ready=True):
        gateway = Gateway(self.node, *flags)
        self.addCleanup(gateway.close)
        return gateway.start(ready)

    def test_tokens(self):
        signer, stranger = (Signer(self.node.folder, name) for name in ('signer', 'stranger'))
        acl = self.node.path('acl.json')
        with open(acl, 'w', encoding='ascii') as file:
            json.dump({'acl': [{'address': '127.0.0.1', 'blacklist': []}]}, file)
        gateway = self.gateway('--jwk', signer.jwk, '--access', 'jwt:operator=all', '--acl', acl,
                               ready=False)

        def status(method, path, token, body=None):
            headers = {'authorization': 'Bearer ' + token} if token else {}
            return ask(gateway.port, method, path, body, headers)[0]
        good = signer.token(sub='operator')
        wait_until(lambda: 'synchronised' in gateway.log(), 60, 'the gateway')
        disk = {'disks': ['malloc:///p?size_mb=64']}
        for token, expected in ((None, 401), ('nonsense', 401), (good, 200),
                                (stranger.token(sub='operator'), 401),
                                (signer.token(sub='somebody'), 401),
                                (signer.token(sub='operator', exp=1), 401)):
            with self.subTest(token):
                self.assertEqual(status('GET', '/pools', token), expected)          # from here
                self.assertEqual(status('PUT', '/pools/p', token, disk), expected)  # by the node
        channel = grpc.insecure_channel(f'127.0.0.1:{gateway.port}')
        self.addCleanup(channel.close)
        listing = channel.unary_unary('/mayastor.v1.PoolRpc/ListPools')
        self.assertIn(b'p', listing(b'', metadata=[('authorization', 'Bearer ' + good)]))
        with self.assertRaises(grpc.RpcError) as refused:
            listing(b'')
        self.assertEqual(refused.exception.code().name, 'UNAUTHENTICATED')

    def test_certificates_of_clients(self):
        made = Certificates(self.node.folder, 'ca', 'stranger')
        made.issue('gateway', 'ca', 'IP:127.0.0.1')
        made.issue('operator', 'ca', 'DNS:operator')
        made.issue('reader', 'ca', 'DNS:reader')
        made.issue('intruder', 'stranger', 'DNS:operator')
        gateway = self.gateway(*made.flags('gateway'), '--tls-client-ca', made.path('ca.pem'),
                               '--access', 'tls:CN=operator=all', '--access', 'tls=read+monitor',
                               ready=False)
        wait_until(lambda: 'synchronised' in gateway.log(), 60, 'the gateway')

        def create(name):
            self.node.client_flags = ['--timeout', '10s', '--tls-ca', made.path('ca.pem'),
                                      *(made.flags(name) if name else [])]
            return self.node.cli('pool', 'create', 'p', 'malloc:///p?size_mb=64', check=False)
        self.node.bind = f'https://127.0.0.1:{gateway.port}'
        self.assertNotEqual(create(None).returncode, 0)
        self.assertNotEqual(create('intruder').returncode, 0)
        self.assertIn('access rules', create('reader').stderr)
        self.assertEqual(create('operator').returncode, 0, gateway.log())

    def test_lists_by_address(self):
        second = free_port()
        acl = self.node.path('acl.json')
        with open(acl, 'w', encoding='ascii') as file:
            json.dump({'acl': [{'address': f'127.0.0.1:{second}',
                                'whitelist': ['GET /version']}]}, file)
        gateway = self.gateway('--listen', f'127.0.0.1:{second}', '--acl', acl)
        for port, path, status in ((gateway.port, '/pools', 200), (gateway.port, '/bdevs', 200),
                                   (second, '/version', 200), (second, '/pools', 401),
                                   (second, '/bdevs', 401), (second, '/monitor/pools', 401)):
            with self.subTest(f'{port} {path}'):
                self.assertEqual(ask(port, 'GET', path)[0], status)
        channel = grpc.insecure_channel(f'127.0.0.1:{second}')
        self.addCleanup(channel.close)
        with self.assertRaises(grpc.RpcError) as refused:
            channel.unary_unary('/mayastor.v1.PoolRpc/ListPools')(b'')
        self.assertEqual(refused.exception.code().name, 'PERMISSION_DENIED')


class AnotherNode(GatewayCase):
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


class Limits(GatewayCase):
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


class Trust(GatewayCase):
    """The node lets a gateway do everything; the gateway asks who calls."""
    node_flags = ('--access', 'any=read+monitor', '--secure')
    gateway_flags = ('--access', 'tcp=read+monitor+write')

    def test_rules_are_those_of_the_door(self):
        self.assertEqual(self.make_pool()[0], 200)
        self.assertEqual(self.make_pool('p2', self.node.port)[0], 401)
        status, _, error = ask(self.gateway.port, 'PUT', '/kv/main/entries/k', '0a')
        self.assertEqual(status, 401)
        self.assertIn('access rules', error[0]['msg'])


class TrustInTheBridge(GatewayCase):
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


class Silence(GatewayCase):
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

    def test_started_is_who_listens(self):
        for port in self.ports:
            self.assertRegex(self.node.log(), rf'gateway_started address=\S*:{port}\b')
        taken = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(taken.close)
        other = GatewayNode()
        self.addCleanup(other.close)
        other.start('--gateway', f'127.0.0.1:{taken.getsockname()[1]}')
        wait_until(lambda: 'gateway_exited' in other.log(), 60, 'the gateway to end')
        self.assertNotIn('gateway_started', other.log())

    def test_readers_of_one_that_is_killed(self):
        """Its clients see connections that break, and an answer as soon as there is a new one."""
        port, answers, done = self.ports[0], [], threading.Event()

        def read():
            while not done.is_set():
                try:
                    answers.append(ask(port, 'GET', '/pools')[0])
                except (OSError, http.client.HTTPException):
                    answers.append(None)
        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        try:
            for kills in range(1, 3):
                wait_until(lambda: answers and answers[-1] == 200, 60, 'an answer')
                pid = int(re.findall(rf'gateway_started.*:{port}\D+pid\D+(\d+)',
                                     self.node.log())[-1])
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda: self.node.log().count('gateway_exited') == kills, 60, 'its end')
                wait_until(lambda: None in answers, 60, 'a broken connection')
                answers.clear()
                self.wait_ready(port)
            wait_until(lambda: answers[-4:] == [200] * 4, 60, 'answers of the new one')
        finally:
            done.set()
            for reader in readers:
                reader.join()
        self.assertLessEqual(set(answers), {200, None})
        self.assertIn('gateway_restarting', self.node.log())

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
