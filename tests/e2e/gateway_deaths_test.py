#!/usr/bin/python3
"""The failure matrix of a gateway: node, gateway or client die at every stage of every kind of
answer. What a client sees of it must never look like an end when it is none, and nothing may stay
behind in whoever lives on: neither descriptors nor calls nor streams.
"""
import http.client
import json
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
import grpc  # noqa: E402
from gateway import GatewayCase, GatewayNode, metric  # noqa: E402
from http_calls import Http, ask  # noqa: E402
from node import MIB, call, free_port, wait_until  # noqa: E402
from official import Client  # noqa: E402
from usage import descriptors, resident_bytes  # noqa: E402

# Waits for a device that never comes.
SLOW, SLOW_NAME = '/spdk/bdev_get_bdevs?name=never&timeout=600000', 'spdk.Bdev/GetBdevs'
# Larger than all buffers between a node and a client that does not read.
LARGE = 48 * MIB
LAST_CHUNK = b'0\r\n\r\n'


def whole_list(answer):
    """The list that an answer in chunks is; an error when it is not whole."""
    at, body = answer.index(b'\r\n\r\n') + 4, bytearray()
    while True:
        end = answer.index(b'\r\n', at)
        size = int(answer[at:end], 16)
        if size == 0:
            return json.loads(body)
        body += answer[end + 2:end + 2 + size]
        at = end + 2 + size + 2


class Case(GatewayCase):
    def calls(self, of_node=False):
        """All that are under way, the question itself included."""
        return metric(self.node_metrics if of_node else self.gateway.metrics_port,
                      'storage_rpc_inflight')

    def nothing_left(self, descriptors_before, calls_before):
        wait_until(lambda: self.gateway.metric('capstan_gateway_streams') == 0, 30,
                   'streams to end')
        wait_until(lambda: self.calls() <= calls_before, 30, 'calls to end')
        wait_until(lambda: len(descriptors(self.gateway.process.pid)) <= len(descriptors_before),
                   30, f'descriptors to be closed: {descriptors_before} became '
                       f'{descriptors(self.gateway.process.pid)}')


class Deaths(Case):
    """Section 19.8, with the rules of this project."""
    KEYS = 24
    stores = ('main', 'lists')

    def setUp(self):
        super().setUp()
        for number in range(self.KEYS):
            self.put_value(f'/kv/lists/raw/k{number}', MIB)
        self.put_value('/kv/main/raw/large', LARGE)
        self.assertEqual(self.make_pool()[0], 200)
        self.mirrored(lambda: 'x-rev' in self.get('/pools')[1], 'the pool to be mirrored')

    def put_value(self, path, size):
        connection = http.client.HTTPConnection('127.0.0.1', self.gateway.port, timeout=60)
        connection.request('PUT', path, os.urandom(size))
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()

    # Each kind of answer: how it is asked for, and what is there once it is under way.
    KINDS = {
        'before the answer': ('GET', SLOW, None, None),
        'a value in pieces': ('GET', '/kv/main/raw/large', None, rb'\r\n\r\n.{1000}'),
        'a list of the node': ('GET', '/kv/lists/entries?values=yes', None, rb'\r\n\r\n.{1000}'),
        # The node has given it as a whole, so its death cannot cut it.
        'a whole list of the node': ('POST', '/kv/lists/batch_read',
                                     {'keys': [f'k{n}'.encode().hex() for n in range(KEYS)]},
                                     rb'\r\n\r\n.{1000}'),
        'a stream of the node': ('GET', '/monitor/kv/main', None, rb'200 OK\r\n.*\r\n\r\n'),
        'a stream of samples': ('GET', '/monitor/stats?interval_ms=100', None, rb'time_ms'),
        'a stream of the mirror': ('GET', '/monitor/pools', None, rb'"synced":true'),
    }

    def begin(self, kind, port=None):
        method, path, body, seen = self.KINDS[kind]
        one = Http(port or self.gateway.port, method, path, body)
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
        calls = self.calls()
        under_way = self.begin_all()
        before = descriptors(self.gateway.process.pid)
        self.node.kill()
        for kind, one in under_way.items():
            with self.subTest(kind):
                if kind == 'before the answer':
                    answer = one.until(rb'\r\n\r\n.*\]\n')
                    self.assertTrue(answer.startswith(b'HTTP/1.1 502 '), answer)
                    self.assertIn(b'"gateway.upstream_closed"', answer)
                elif kind == 'a whole list of the node':
                    self.assertEqual(len(whole_list(one.rest())), self.KEYS)
                else:
                    answer = one.rest()
                    self.assertIn(b'transfer-encoding: chunked', answer[:1000].lower())
                    self.assertFalse(answer.endswith(LAST_CHUNK), 'a broken stream ended well')
            one.close()
        self.assertEqual(self.gateway.state(), 'disconnected')
        status, _, error = self.get('/bdevs')
        self.assertEqual((status, error[0]['id']), (502, 'gateway.upstream_refused'))
        status, _, error = self.get('/pools')
        self.assertEqual((status, error[0]['id']), (502, 'gateway.upstream_refused'))
        status, _, error = self.get('/v0/pools')
        self.assertEqual((status, error['kind']), (502, 'Unavailable'))
        for path in ('/version', '/config', '/health/live', '/describe/pools', '/operations'):
            self.assertEqual(self.get(path)[0], 200, path)
        self.nothing_left(before, calls)
        self.start_node()
        self.gateway.wait_for('ready')
        self.assertEqual([one['name'] for one in self.get('/pools')[2]], ['p1'])
        self.assertEqual(self.get('/bdevs')[0], 200)
        again = self.begin('a stream of the mirror')
        again.close()

    def test_gateway_killed(self):
        idle, calls = len(descriptors(self.node.process.pid)), self.calls(of_node=True)
        under_way = self.begin_all()
        self.gateway.kill()
        for kind, one in under_way.items():
            with self.subTest(kind):
                self.assertFalse(one.rest().endswith(LAST_CHUNK), 'a broken answer ended well')
        # One less than before: the gateway's own stream.
        wait_until(lambda: self.calls(of_node=True) < calls, 30, 'the calls of the gateway to end')
        wait_until(lambda: metric(self.node_metrics, 'storage_rpc_streams') == 0, 30,
                   'the streams of the gateway to end')
        wait_until(lambda: self.in_flight(SLOW_NAME) == 0, 30,
                   'the call of the gateway to be cancelled')
        wait_until(lambda: len(descriptors(self.node.process.pid)) < idle, 30,
                   'the connections of the gateway to be closed')
        self.gateway.start()
        self.assertEqual(self.get('/pools')[0], 200)

    def test_clients_leave(self):
        before, calls = descriptors(self.gateway.process.pid), self.calls()
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
        self.nothing_left([*before, 'socket'], calls)

    def test_gateway_stops_in_order(self):
        streams = {kind: self.begin(kind) for kind in self.KINDS if kind.startswith('a stream')}
        waiter = threading.Thread(target=self.gateway.stop)
        waiter.start()
        for kind, one in streams.items():
            with self.subTest(kind):
                self.assertTrue(one.rest().endswith(LAST_CHUNK), 'an orderly end is one')
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
        self.assertLess(resident_bytes(self.gateway.process.pid), 1500 * MIB)
        for one in slow:
            one.close()


class Lists(Case):
    """A list that is longer than what is on its way to a client."""
    COUNT = 1300

    def begin(self):
        one = Http(self.gateway.port, 'GET', '/replicas', window=4096)
        self.addCleanup(one.close)
        one.until(rb'\r\n\r\n.{1000}')
        return one

    def test_lists_of_the_mirror(self):
        call(self.node, 'mayastor_v1_pool_create_pool', name='p',
             disks=['malloc:///p?size_mb=8192'])
        for number in range(self.COUNT):
            call(self.node, 'mayastor_v1_replica_create_replica', name=f'r{number}', pooluuid='p',
                 uuid=f'0b1b2c3d-1111-4222-8333-{number:012}', size=4 * MIB, thin=True,
                 entity_id='e' * 2500)
        self.mirrored(lambda: len(self.get('/replicas')[2]) == self.COUNT and
                      'x-rev' in self.get('/replicas')[1], 'the replicas to be mirrored')
        self.assertGreater(len(json.dumps(self.get('/replicas')[2])), 3 * MIB)
        before, calls = descriptors(self.gateway.process.pid), self.calls()

        with self.subTest('the client leaves'):
            self.begin().close()
            self.nothing_left(before, calls)
        with self.subTest('the gateway is killed'):
            one = self.begin()
            self.gateway.kill()
            self.assertFalse(one.rest().endswith(LAST_CHUNK), 'a broken list ended well')
            self.gateway.start()
            self.assertEqual(len(self.get('/replicas')[2]), self.COUNT)
            before, calls = descriptors(self.gateway.process.pid), self.calls()
        with self.subTest('the node is killed'):
            one = self.begin()
            revision = self.get('/pools')[1]['x-rev']
            self.node.kill()
            # The gateway has it, and had it when it was asked.
            self.assertEqual(len(whole_list(one.rest())), self.COUNT)
            one.close()
            self.nothing_left(before, calls)
            self.start_node()
            self.gateway.wait_for('ready')
            forwarded = self.gateway.calls('forwarded', '/pools')
            self.assertEqual(self.get('/pools', **{'x-min-rev': revision})[0], 200)
            self.assertEqual(self.gateway.calls('forwarded', '/pools'), forwarded + 1,
                             'revisions of the node that died say nothing about this one')


class Load(Case):
    """Readers who go on while their node dies and comes back."""

    def test_a_node_that_is_killed_again_and_again(self):
        self.assertEqual(self.make_pool()[0], 200)
        answers, done = [], threading.Event()

        def read(path):
            while not done.is_set():
                status, headers, body = self.get(path)
                answers.append((path, status, 'x-rev' in headers, body))
        readers = [threading.Thread(target=read, args=(path,))
                   for path in ('/pools', '/pools/p1', '/bdevs') * 2]
        for reader in readers:
            reader.start()
        try:
            for _ in range(3):
                seen = len(answers)
                self.node.kill()
                wait_until(lambda: any(one[1] == 502 for one in answers[seen:]), 30, 'a refusal')
                self.start_node()           # the socket of the killed one is in its way
                self.gateway.wait_for('ready')
                seen = len(answers)
                wait_until(lambda: {(p, s, m) for p, s, m, _ in answers[seen:]} >=
                           {('/pools', 200, True), ('/pools/p1', 200, True),
                            ('/bdevs', 200, False)}, 30, 'answers by gateway and node')
        finally:
            done.set()
            for reader in readers:
                reader.join()
        self.assertLessEqual({one[1] for one in answers}, {200, 502})
        for path, status, _, body in answers:
            if status == 502:
                self.assertIn(body[0]['id'], ('gateway.upstream_refused',
                                              'gateway.upstream_closed'))
            elif path == '/pools':
                self.assertEqual([one['name'] for one in body], ['p1'], 'never an older state')
        self.assertIsNone(self.gateway.process.poll())


if __name__ == '__main__':
    unittest.main()
