#!/usr/bin/python3
"""What nobody's wire decides: the same denied, limited, expired and unauthenticated call over every
wire, with the same code, the same metric and the same log record.

Each case has a node of its own, made so that one call must be refused; the table runs it over every
driver. A wire that knows who its caller is without a token (Unix sockets) is expected to say so.
"""
import http.server
import json
import os
import re
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
import grpc  # noqa: E402
from credentials import Signer  # noqa: E402
from node import ROOT, Node, wait_until  # noqa: E402
from wires import DRIVERS, metrics_of  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wires_test import error_matrix  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, 'examples', 'muxio-python'))
import capstan_muxio  # noqa: E402

LIST = 'mayastor.v1.PoolRpc/ListPools'
DESTROY = 'mayastor.v1.PoolRpc/DestroyPool'
CREATE = 'mayastor.v1.PoolRpc/CreatePool'
GET_BDEVS = 'spdk.Bdev/GetBdevs'
METRICS = 'capstan.node.v1.NodeRpc/GetMetrics'


class Cases(unittest.TestCase):
    def setUp(self):
        self.matrix = error_matrix()

    def node(self, *flags):
        node = Node()
        self.addCleanup(node.close)
        return node.start(*flags)

    def new_node(self):
        node = Node()
        self.addCleanup(node.close)
        return node

    def wires(self, node):
        made = [driver(node) for driver in DRIVERS]
        for wire in made:
            self.addCleanup(wire.close)
        return made

    def metric(self, node, operation, wire, code, name='capstan_calls_ended_total'):
        wanted = [f'operation="{operation}"', f'wire="{wire}"', f'code="{code}"']
        return sum(float(line.rsplit(' ', 1)[1]) for line in metrics_of(node).splitlines()
                   if line.startswith(name + '{') and all(label in line for label in wanted))

    def check_refusal(self, node, wire, operation, code, outcome, times=1):
        self.assertIsNone(outcome.answer, outcome)
        self.assertIn(outcome.native, wire.native_codes(code, self.matrix), outcome)
        self.assertEqual(self.metric(node, operation, wire.name, code), times)
        records = [line for line in node.log().splitlines()
                   if 'call_failed' in line and f'operation={operation}' in line
                   and f'wire={wire.name}' in line]
        self.assertEqual(len(records), times, records)
        for record in records:
            self.assertRegex(record, rf'code={code}\b')
            self.assertRegex(record, r'duration_us=\d+')
            self.assertRegex(record, r'peer=\S')

    def refused_by_the_list(self, wire, outcome):
        if wire.name == 'rest':  # says nothing to whom it refuses
            return outcome.native == 'PERMISSION_DENIED' and outcome.own_words \
                and not outcome.message
        return 'access list' in outcome.message

    # --- denied ---
    def test_denied_by_the_access_list(self):
        node = self.new_node()
        listeners = [f'127.0.0.1:{node.port}', f'unix:{node.path("rpc.sock")}',
                     f'unix:{node.path("drpc.sock")}']
        file = node.path('acl.json')

        def write(matcher):
            with open(file, 'w', encoding='ascii') as out:
                json.dump({'acl': [{'address': one, 'blacklist': [matcher]}
                                   for one in listeners]}, out)
        write('DELETE /pools/guarded')
        node.start('--acl', file)
        wires = self.wires(node)
        for wire in wires:
            with self.subTest(wire.name):
                self.check_refusal(node, wire, DESTROY, 'PERMISSION_DENIED',
                                   wire.call(DESTROY, {'name': 'guarded'}))
                # The same operation with another argument reaches its handler.
                other = wire.call(DESTROY, {'name': 'other'})
                self.assertFalse(self.refused_by_the_list(wire, other), other)
                self.assertIsNotNone(wire.call(LIST, {}).answer)
        write('GET /pools')
        node.process.send_signal(signal.SIGHUP)
        wait_until(lambda: 'reloaded' in node.log(), 30, 'the list to be read again')
        for wire in wires:
            with self.subTest(wire.name):
                self.assertTrue(self.refused_by_the_list(wire, wire.call(LIST, {})))
                self.assertFalse(self.refused_by_the_list(wire,
                                                          wire.call(DESTROY, {'name': 'guarded'})))
        with open(file, 'w', encoding='ascii') as out:
            out.write('{')
        node.process.send_signal(signal.SIGHUP)
        wait_until(lambda: 'not_reloaded' in node.log(), 30, 'the refusal of the list')
        self.assertIn('access list', wires[0].call(LIST, {}).message)

    def test_denied_by_the_secure_list(self):
        node = self.node('--secure')
        for wire in self.wires(node):
            with self.subTest(wire.name):
                self.assertIsNotNone(wire.call(LIST, {}).answer)
                denied = wire.call(CREATE, {'name': 'p', 'disks': ['/nowhere']})
                self.assertIn(denied.native,
                              wire.native_codes('PERMISSION_DENIED', self.matrix), denied)

    def test_one_address_is_spared(self):
        node = self.new_node()
        node.start('--secure', '--allow-all-rpc', f'unix:{node.path("rpc.sock")}')
        self.assertIn('--allow-all-rpc', node.log())
        for wire in self.wires(node):
            with self.subTest(wire.name):
                outcome = wire.call(DESTROY, {'name': 'p'})
                self.assertEqual(self.refused_by_the_list(wire, outcome), wire.name != 'jsonrpc')

    def test_what_stands_for_no_operation_is_counted(self):
        node = self.node()
        wire = next(driver for driver in DRIVERS if driver.name == 'rest')(node)
        self.addCleanup(wire.close)
        for method, path, status in (('GET', '/nope?secret=1', 404), ('POST', '/version', 405),
                                     ('GET', '/pools/a%20b', 400)):
            connection = wire.connect()
            connection.request(method, path)
            self.assertEqual(connection.getresponse().status, status)
            connection.close()
        for code, times in (('UNIMPLEMENTED', 2), ('INVALID_ARGUMENT', 1)):
            self.assertIn(f'capstan_requests_refused_total{{wire="rest",code="{code}"}} {times}',
                          metrics_of(node))
        records = [line for line in node.log().splitlines() if 'request_refused' in line]
        self.assertEqual(len(records), 3, records)
        self.assertNotIn('secret', node.log())

    # --- limited ---
    def test_limited(self):
        for driver in DRIVERS:
            node = self.node('--rate-limit', 'write=0.001/1')
            wire = driver(node)
            self.addCleanup(wire.close)
            with self.subTest(wire.name):
                first = wire.call(DESTROY, {'name': 'absent'})
                self.assertNotIn(first.native,
                                 wire.native_codes('RESOURCE_EXHAUSTED', self.matrix), first)
                limited = wire.call(CREATE, {'name': 'absent', 'disks': ['/nowhere']})
                self.check_refusal(node, wire, CREATE, 'RESOURCE_EXHAUSTED', limited)
                self.assertRegex(limited.message, r'repeat .* in \d+ ms')
                self.assertIsNotNone(wire.call(LIST, {}).answer)     # of another class

    def test_limited_by_client_but_for_the_local_admin(self):
        node = self.node('--rate-limit-client', '0.01/100', '--rate-limit-spare-admin')
        wires = self.wires(node)
        for wire in wires:
            self.assertIsNotNone(wire.call(LIST, {}).answer)    # and knows the messages now
        for wire in wires:
            with self.subTest(wire.name):
                outcomes = [wire.call(LIST, {}) for _ in range(105)]
                limited = [o for o in outcomes if o.answer is None]
                self.assertEqual(bool(limited), not wire.is_unix, outcomes[-1])
                for outcome in limited:
                    self.assertIn(outcome.native,
                                  wire.native_codes('RESOURCE_EXHAUSTED', self.matrix))

    # --- expired ---
    def test_expired(self):
        node = self.node()
        for wire in self.wires(node):
            with self.subTest(wire.name):
                self.check_refusal(node, wire, GET_BDEVS, 'DEADLINE_EXCEEDED',
                                   wire.call(GET_BDEVS, {'name': 'absent', 'timeout': 50}))

    # --- unauthenticated ---
    def with_token(self, wire, token):
        """Calls of this driver carry the token (or none) from now on; it has its descriptors."""
        if wire.name == 'muxio':
            headers = {'Authorization': f'Bearer {token}'} if token else {}
            wire.connect = lambda timeout=30: capstan_muxio.Client(
                '127.0.0.1', wire.node.port, timeout, headers=headers)
        if wire.name == 'rest':
            wire.headers = {'Authorization': f'Bearer {token}'} if token else {}
        if wire.name == 'grpc':
            wire.client.channel = grpc.insecure_channel(f'127.0.0.1:{wire.node.port}')
            if token:
                wire.client.channel = grpc.intercept_channel(wire.client.channel, WithToken(token))

    def test_unauthenticated(self):
        open_node = self.node()
        wires = self.wires(open_node)
        for wire in wires:
            wire.call(DESTROY, {'name': 'p'})    # knows the messages now
            wire.call(LIST, {})
        node = self.new_node()
        signer, stranger = Signer(node.folder, 'ours'), Signer(node.folder, 'theirs')
        good = signer.token(sub='operator', exp=int(time.time()) + 600)
        old = signer.token(sub='operator', exp=int(time.time()) - 1)
        node.bind = f'jsonrpc:{node.path("rpc.sock")}'
        node.start('--jwk', signer.jwk, '--access', 'jwt:operator=read', '--access', 'unix=all')
        for wire in wires:
            wire.node = node
            with self.subTest(wire.name):
                if wire.is_unix:
                    self.assertNotIn('token', wire.call(DESTROY, {'name': 'p'}).message)
                    continue
                for times, token in enumerate((None, old, stranger.token(sub='operator')), 1):
                    self.with_token(wire, token)
                    self.check_refusal(node, wire, DESTROY, 'UNAUTHENTICATED',
                                       wire.call(DESTROY, {'name': 'p'}), times)
                self.with_token(wire, good)
                self.assertIsNotNone(wire.call(LIST, {}).answer)
                denied = wire.call(DESTROY, {'name': 'p'})
                self.assertIn(denied.native,
                              wire.native_codes('PERMISSION_DENIED', self.matrix), denied)
        for secret in (good, old, good.rsplit('.', 1)[1], old.rsplit('.', 1)[1]):
            self.assertNotIn(secret, node.log())


class WithToken(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, token):
        self.metadata = [('authorization', f'Bearer {token}')]

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(details._replace(metadata=self.metadata), request)


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps the spans it is sent."""

    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.server.spans += [span for resource in json.loads(body)['resourceSpans']
                              for scope in resource['scopeSpans'] for span in scope['spans']]
        self.server.paths.add((self.path, self.headers['Content-Type']))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Traces(unittest.TestCase):
    PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

    def test_every_wire_gives_spans_and_carried_traces_go_on(self):
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Collector)
        server.spans, server.paths = [], set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        node = Node()
        self.addCleanup(node.close)
        node.start('--otlp-endpoint', f'http://127.0.0.1:{server.server_port}/v1/traces')
        wires = [driver(node) for driver in DRIVERS]
        for wire in wires:
            self.addCleanup(wire.close)
            wire.call(LIST, {})

        def systems():
            return {a['value']['stringValue'] for span in list(server.spans)
                    for a in span['attributes']
                    if a['key'] == 'rpc.system' and span['name'] == LIST}
        wait_until(lambda: systems() == {wire.name for wire in wires}, 30, 'spans of every wire')
        self.assertEqual(server.paths, {('/v1/traces', 'application/json')})

        wires[0].client.rpc(LIST)(wires[0].request(LIST, {}), timeout=30,
                                  metadata=[('traceparent', self.PARENT)])
        with capstan_muxio.Client('127.0.0.1', node.port,
                                  headers={'traceparent': self.PARENT}) as client:
            client.call(LIST, b'')

        def carried():
            return [s for s in list(server.spans) if s['traceId'] == self.PARENT[3:35]]
        wait_until(lambda: len(carried()) == 2, 30, 'the carried trace')
        for span in carried():
            self.assertEqual(span['parentSpanId'], self.PARENT[36:52])
            self.assertEqual(span['kind'], 2)
            self.assertLessEqual(int(span['startTimeUnixNano']), int(span['endTimeUnixNano']))
        unsampled = self.PARENT[:-2] + '00'
        before = len(server.spans)
        wires[0].client.rpc(LIST)(wires[0].request(LIST, {}), timeout=30,
                                  metadata=[('traceparent', unsampled.replace('0af7', '0bf7'))])
        node.stop()      # what waits is sent
        self.assertFalse([s for s in server.spans[before:] if s['traceId'].startswith('0bf7')])

    def test_a_collector_that_is_away_costs_spans_and_nothing_else(self):
        node = Node()
        self.addCleanup(node.close)
        node.start('--otlp-endpoint', 'http://127.0.0.1:9/v1/traces')
        wire = DRIVERS[0](node)
        self.addCleanup(wire.close)
        self.assertIsNotNone(wire.call(LIST, {}).answer)
        wait_until(lambda: 'export_failed' in node.log(), 30, 'the failed export')
        text = wire.call(METRICS, {}).answer['text']
        self.assertRegex(text, re.compile(r'^capstan_spans_dropped_total [1-9]', re.M))
        self.assertEqual(node.stop(), 0)


if __name__ == '__main__':
    unittest.main()
