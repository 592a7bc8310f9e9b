#!/usr/bin/python3
"""The JSON-RPC socket of a running node, driven as SPDK's tools drive theirs: pretty-printed
requests without a delimiter, answers read in pieces of 4096 bytes until one JSON value decodes.
The client is independent of the node's code."""
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import Node, wait_until  # noqa: E402
from usage import resident_bytes  # noqa: E402

SECONDS = 60


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(f'{error["code"]}: {error["message"]}')
        self.code, self.message = error['code'], error['message']


class Client:
    """One connection, one call at a time, by id."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)
        self.text = ''
        self.id = 0

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def value(self):
        """The next JSON value, or None at the end of the connection."""
        decoder = json.JSONDecoder()
        while True:
            self.text = self.text.lstrip()
            try:
                value, end = decoder.raw_decode(self.text)
                self.text = self.text[end:]
                return value
            except ValueError:
                piece = self.socket.recv(4096)
                if not piece:
                    return None
                self.text += piece.decode('utf-8')

    def call(self, method, **params):
        self.id += 1
        request = {'jsonrpc': '2.0', 'method': method, 'id': self.id}
        if params:
            request['params'] = params
        self.send(json.dumps(request, indent=2))
        answer = self.value()
        assert answer is not None, f'{method}: the node closed the connection'
        assert answer['id'] == self.id, answer
        if 'error' in answer:
            raise RpcError(answer['error'])
        return answer['result']

    def everything(self):
        """All bytes until the node closes."""
        data = b''
        while True:
            piece = self.socket.recv(65536)
            if not piece:
                return data
            data += piece


class OneNode(unittest.TestCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start(*cls.flags)
        cls.path = os.path.join(cls.node.folder, 'rpc.sock')

    @classmethod
    def tearDownClass(cls):
        code = cls.node.stop()
        assert code == 0, f'the node ended with {code}:\n{cls.node.log()}'
        for path in (cls.path, cls.path + '.lock'):
            assert not os.path.exists(path), f'{path} is left behind'

    def connect(self):
        client = Client(self.path)
        self.addCleanup(client.close)
        return client

    def refused(self, client, code, method, **params):
        with self.assertRaises(RpcError) as raised:
            client.call(method, **params)
        self.assertEqual(raised.exception.code, code, raised.exception.message)
        return raised.exception.message


class Wire(OneNode):
    def test_socket_is_for_its_owner_only(self):
        for path in (self.path, self.path + '.lock'):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, path)

    def test_methods(self):
        client = self.connect()
        methods = client.call('rpc_get_methods')
        self.assertIn('rpc_get_methods', methods)
        self.assertIn('node_get_version', methods)
        self.assertIn('mayastor_v1_pool_list_pools', methods)
        self.assertEqual(len(set(methods)), len(methods))
        current = client.call('rpc_get_methods', current=True)
        self.assertNotIn('framework_start_init', current)
        self.assertLess(set(current), set(methods))
        self.assertIn('include', self.refused(client, -32602, 'rpc_get_methods', include=1))

    def test_native_operations(self):
        client = self.connect()
        version = client.call('node_get_version')
        self.assertTrue(version['release'])
        self.assertIs(type(version['uptime_ms']), int)
        disk = self.node.disk('wire.img', 64)
        pool = client.call('mayastor_v1_pool_create_pool', name='wire', disks=[disk])
        self.assertEqual(pool['name'], 'wire')
        self.assertIs(type(pool['capacity']), int)
        text = self.refused(client, -22, 'mayastor_v1_pool_create_pool', name='wire',
                            disks=[self.node.disk('other.img', 64)])
        self.assertIn('wire', text)
        pools = client.call('mayastor_v1_pool_list_pools')['pools']
        self.assertEqual([p['name'] for p in pools], ['wire'])
        client.call('mayastor_v1_pool_destroy_pool', name='wire')
        self.assertEqual(client.call('mayastor_v1_pool_list_pools')['pools'], [])

    def test_streams_have_no_form_here(self):
        text = self.refused(self.connect(), -95, 'node_monitor_events')
        self.assertIn('node_monitor_events', text)

    def test_parameters_are_refused_by_name(self):
        client = self.connect()
        text = self.refused(client, -32602, 'mayastor_v1_pool_create_pool', name='p', disk=['x'])
        self.assertRegex(text, '^mayastor_v1_pool_create_pool: .*disk')
        text = self.refused(client, -32602, 'mayastor_v1_pool_create_pool', name=5, disks=[])
        self.assertRegex(text, '^mayastor_v1_pool_create_pool: name: ')

    def test_any_cut(self):
        request = json.dumps({'jsonrpc': '2.0', 'method': 'node_get_version', 'id': 'h\u00e9'},
                             ensure_ascii=False, indent=2).encode()
        client = self.connect()
        for byte in request:
            client.send(bytes([byte]))
        whole = self.connect()
        whole.send(request * 3)
        self.assertEqual(client.value()['id'], 'h\u00e9')
        self.assertEqual([whole.value()['id'] for _ in range(3)], ['h\u00e9'] * 3)

    def test_answers_are_ascii_lines(self):
        client = self.connect()
        client.send('{"method":"nope","id":"\u00e9\U0001f600"}')
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.everything(),
                         b'{"jsonrpc":"2.0","id":"\\u00E9\\uD83D\\uDE00","error":'
                         b'{"code":-32601,"message":"Method not found"}}\n')

    def test_mayastors_client_half_closes(self):
        client = self.connect()
        client.send('{"method":"node_get_version","params":{},"id":0,"jsonrpc":"2.0"}')
        client.socket.shutdown(socket.SHUT_WR)
        answer = json.loads(client.everything())
        self.assertEqual((answer['jsonrpc'], answer['id']), ('2.0', 0))
        self.assertTrue(answer['result']['release'])

    def test_half_close_before_a_slow_answer(self):
        client = self.connect()
        client.send('{"method":"bdev_get_bdevs","params":{"name":"zz","timeout":300},"id":0,'
                    '"jsonrpc":"2.0"}{"method":"nope","id":1}')
        client.socket.shutdown(socket.SHUT_WR)
        answers = [json.loads(line) for line in client.everything().splitlines()]
        self.assertEqual([(a['id'], a['error']['code']) for a in answers], [(1, -32601), (0, -110)])

    def test_flood_of_one_that_reads_late(self):
        client = self.connect()
        calls = 20_000

        def flood():
            for first in range(0, calls, 100):
                client.send(''.join('{"method":"node_get_version","id":%d}' % i
                                    for i in range(first, first + 100)))
        sender = threading.Thread(target=flood)
        sender.start()
        self.assertTrue(self.connect().call('node_get_version'), 'others are served meanwhile')
        answers = client.socket.makefile('rb')
        ids = [json.loads(answers.readline())['id'] for _ in range(calls)]
        sender.join()
        self.assertEqual(sorted(ids), list(range(calls)))

    def test_batch(self):
        client = self.connect()
        client.send(json.dumps([
            {'method': 'node_get_version', 'id': 1}, {'method': 'nope', 'id': 2}, 5,
            {'method': 'node_get_version'}, {'method': 'nope'}]))
        answers = client.value()
        self.assertEqual([(a['id'], a.get('error', {}).get('code')) for a in answers],
                         [(1, None), (2, -32601), (None, -32600), (None, -32601)])

    def test_garbage_ends_its_connection_only(self):
        other = self.connect()
        client = self.connect()
        client.send('{"method":"nope","id":1}xyz')
        lines = client.everything().decode().splitlines()
        self.assertEqual([json.loads(line)['error']['code'] for line in lines], [-32601, -32700])
        self.assertIsNone(json.loads(lines[1])['id'])
        self.assertTrue(other.call('node_get_version'))

    def test_too_long(self):
        client = self.connect()
        try:
            client.send(b'{"method":"' + b'x' * 300_000)
            self.assertEqual(client.everything(), b'')
        except (BrokenPipeError, ConnectionResetError):
            pass
        client = self.connect()
        name = 'x' * 262_108
        client.send('{"jsonrpc":"2.0","method":"%s","id":1}' % name)
        self.assertEqual(client.value()['error']['code'], -32601)

    def test_the_65th_connection_waits(self):
        clients = [Client(self.path) for _ in range(70)]
        try:
            for client in clients:
                client.send('{"method":"nope","id":1}')
            for client in clients[:60]:    # other tests' connections may still be closing
                self.assertEqual(client.value()['id'], 1)
            clients[-1].socket.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                clients[-1].socket.recv(1)
            clients[-1].socket.settimeout(SECONDS)
            for client in clients[:60]:
                client.close()
            for client in clients[60:]:
                self.assertEqual(client.value()['id'], 1)
        finally:
            for client in clients:
                client.close()

    def test_deaf_and_dying_clients_harm_nobody(self):
        before = resident_bytes(self.node.process.pid)
        deaf = [self.connect() for _ in range(8)]
        for client in deaf:
            client.socket.setblocking(False)
            try:
                for _ in range(200):
                    client.send('{"method":"rpc_get_methods","id":1}' * 1000)
            except BlockingIOError:
                pass
        for _ in range(200):
            dying = Client(self.path)
            dying.send('{"method":"node_get_version","id":1}{"method":"node_get_v')
            dying.close()
        start = time.monotonic()
        self.assertTrue(self.connect().call('node_get_version'))
        self.assertLess(time.monotonic() - start, 30)
        # Unread answers are bounded by 1 MiB and what the calls in flight add to it.
        self.assertLess(resident_bytes(self.node.process.pid) - before, 300 << 20)
        for client in deaf:
            client.close()


class AllowList(OneNode):
    flags = ('--rpcs-allowed', 'rpc_get_methods,node_get_version')

    def test_others_do_not_exist(self):
        client = self.connect()
        self.assertEqual(sorted(client.call('rpc_get_methods')),
                         ['node_get_version', 'rpc_get_methods'])
        self.assertEqual(self.refused(client, -32601, 'mayastor_v1_pool_list_pools'),
                         'Method not found')


class Startup(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.path = os.path.join(self.node.folder, 'rpc.sock')

    def launch(self, *flags):
        with open(self.node.log_path, 'ab') as log:
            self.node.process = subprocess.Popen(self.node.command(*flags), stdout=log, stderr=log,
                                                 stdin=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(self.path), SECONDS, self.node.log)

    def run_with(self, path):
        """A start of another node with this socket, which must fail."""
        other = Node()
        self.addCleanup(other.close)
        command = other.command()
        command[command.index('-r') + 1] = path
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stderr

    def test_wait_for_rpc(self):
        self.launch('--wait-for-rpc')
        client, waiting = Client(self.path), Client(self.path)
        self.addCleanup(client.close)
        self.addCleanup(waiting.close)
        with self.assertRaises(RpcError) as raised:
            client.call('mayastor_v1_pool_list_pools')
        self.assertEqual(raised.exception.code, -1)
        self.assertIn('framework_start_init', raised.exception.message)
        self.assertIn('framework_start_init', client.call('rpc_get_methods', current=True))
        self.assertNotEqual(self.node.cli('node', 'version', check=False).returncode, 0)
        waiting.send('{"method":"framework_wait_init","id":1}')
        self.assertIs(client.call('framework_start_init'), True)
        self.assertIs(waiting.value()['result'], True)
        self.assertEqual(client.call('mayastor_v1_pool_list_pools')['pools'], [])
        with self.assertRaises(RpcError) as raised:
            client.call('framework_start_init')
        self.assertEqual(raised.exception.code, -1)
        self.assertIn('before framework is initialized', raised.exception.message)
        wait_until(self.node.answers, SECONDS, 'gRPC')
        self.assertEqual(self.node.stop(), 0)

    def test_stopping_a_node_that_was_never_started(self):
        self.launch('--wait-for-rpc')
        self.assertEqual(self.node.stop(), 0, self.node.log())
        self.assertFalse(os.path.exists(self.path))

    def test_second_node_on_the_same_path(self):
        self.node.start()
        code, text = self.run_with(self.path)
        self.assertGreater(code, 0)
        self.assertIn(self.path, text)
        self.assertIn(str(self.node.process.pid), text)
        client = Client(self.path)
        self.addCleanup(client.close)
        self.assertTrue(client.call('node_get_version'), 'the first one is not harmed')
        self.assertEqual(self.node.stop(), 0)

    def test_socket_of_a_killed_node_is_replaced(self):
        self.node.start()
        self.node.kill()
        self.assertTrue(os.path.exists(self.path))
        self.node.start()
        client = Client(self.path)
        self.addCleanup(client.close)
        self.assertTrue(client.call('node_get_version'))
        self.assertEqual(self.node.stop(), 0)

    def test_what_is_no_socket_stays(self):
        with open(self.path, 'w', encoding='ascii') as file:
            file.write('precious')
        code, text = self.node.run_to_end()
        self.assertGreater(code, 0)
        self.assertIn(self.path, text)
        with open(self.path, encoding='ascii') as file:
            self.assertEqual(file.read(), 'precious')

    def test_paths_that_cannot_be(self):
        code, text = self.run_with('/no/such/place/rpc.sock')
        self.assertGreater(code, 0)
        self.assertIn('/no/such/place', text)
        code, text = self.run_with('/tmp/' + 'x' * 110)
        self.assertGreater(code, 0)
        self.assertIn('107', text)


if __name__ == '__main__':
    unittest.main(verbosity=2)
