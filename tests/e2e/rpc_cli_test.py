#!/usr/bin/python3
"""capstan rpc, watch and top as people use them: names and paths, a node that goes away and comes
back, rates on a pipe and on a terminal, tokens, certificates, traces, the log of calls."""
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
sys.path.insert(0, os.path.join(HERE, '..', 'conformance'))
from gateway import GatewayNode  # noqa: E402
from interceptors_test import Signer  # noqa: E402
from node import BIN, Node, free_port, wait_until  # noqa: E402

POOLS = 'mayastor.v1.PoolRpc/ListPools'


class Follower:
    """A capstan that goes on until it is interrupted; its lines as they come."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, text=True, env=environment)
        self.lines, self.said = [], []
        self.readers = [threading.Thread(target=self.collect, args=pair, daemon=True) for pair in
                        ((self.process.stdout, self.lines), (self.process.stderr, self.said))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def collect(stream, into):
        for line in stream:
            into.append(line.rstrip('\n'))

    def wait_for(self, text, where=None, seconds=60):
        where = self.lines if where is None else where
        return wait_until(lambda: next((line for line in list(where) if text in line), None),
                          seconds, f'{text!r} among {where} (standard error: {self.said})')

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        for reader in self.readers:
            reader.join(60)
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self.readers:
            reader.join(60)
        self.process.stdout.close()
        self.process.stderr.close()


def run(*words, environment=None):
    return subprocess.run([os.path.join(BIN, 'capstan'), *words], capture_output=True, text=True,
                          timeout=120, check=False, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(environment or {})})


class Rpc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start('--kv', 'main=' + cls.node.path('main.kv'))
        cls.node.cli('pool', 'create', 'p', cls.node.disk(mebibytes=64))
        cls.http = ('--endpoint', f'http://127.0.0.1:{cls.node.port}')

    def ok(self, *words, environment=None):
        done = run(*self.http, *words, environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, *words, code, says):
        done = run(*self.http, *words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(says, done.stderr)
        self.assertEqual(done.stdout, '')

    def test_every_name_of_an_operation(self):
        for name in (POOLS, 'PoolRpc.ListPools', 'ListPools', 'GET /pools',
                     'mayastor_v1_pool_list_pools'):
            pools = json.loads(self.ok('rpc', name))['pools']
            self.assertEqual([pool['name'] for pool in pools], ['p'], name)
        self.refused('rpc', 'ListNothing', code=2, says='capstan rpc names')
        self.refused('rpc', 'ListPools', '{"nam":1}', code=2, says='$.nam')
        self.refused('rpc', 'ListPools', '{}', '{}', code=2, says='takes one request')
        self.refused('rpc', 'CreatePool', '{"name":"q","disks":["relative"]}', code=1,
                     says='INVALID_ARGUMENT')

    def test_requests_from_standard_input(self):
        done = subprocess.run([os.path.join(BIN, 'capstan'), *self.http, 'rpc', 'ListPools', '-'],
                              input='\n{"name": "absent"}\n', capture_output=True, text=True,
                              timeout=60, check=True)
        self.assertEqual(json.loads(done.stdout), {'pools': []})

    def test_names_and_descriptions_need_no_node(self):
        nowhere = ('--endpoint', 'http://127.0.0.1:1')
        listed = run(*nowhere, 'rpc', 'names', '/pools')
        self.assertIn('DELETE /pools/{pool_id}', listed.stdout)
        self.assertNotIn('bdev_get_bdevs', listed.stdout)
        self.assertLessEqual(max(map(len, run(*nowhere, 'rpc', 'names').stdout.splitlines())), 100)
        everything = json.loads(run(*nowhere, '-o', 'json', 'rpc', 'names').stdout)['operations']
        served = self.node.json('node', 'operations')['operations']
        self.assertLessEqual({one['full_name'] for one in served},
                             {one['full_name'] for one in everything})
        shown = run(*nowhere, 'rpc', 'describe', 'CreatePool').stdout
        for text in ('PUT /pools/{pool_id}', 'disks: [ string … ]', 'Lvs|Lvm', 'access'):
            self.assertIn(text, shown)
        shown = json.loads(run(*nowhere, '-o', 'json', 'rpc', 'describe', 'CreatePool').stdout)
        self.assertIn('disks', shown['request']['properties'])
        schema = json.loads(run(*nowhere, 'rpc', 'schema', 'put', '/pools/p').stdout)
        self.assertNotIn('name', schema['input']['properties'], 'the path has it')
        self.assertIn('Output format:', run(*nowhere, 'rpc', 'format', 'GET', '/pools').stdout)
        # What goes over the wire, which is not always the message of the operation.
        def schemas(method, path):
            return json.loads(run(*nowhere, 'rpc', 'schema', method, path).stdout)
        self.assertEqual(schemas('put', '/jsonrpc/x')['output'].get('description'), 'any JSON')
        self.assertNotIn('definitions', schemas('post', '/bdevs')['output'])
        self.assertIn('poolUuid', json.dumps(schemas('get', '/v0/replicas')))
        done = run(*nowhere, 'rpc', 'format', 'delete', '/kv/s/entries/k')
        self.assertIn('Output format:\nnothing', done.stdout)
        for flag in ('-b', '--binary'):
            binary = run(*nowhere, 'rpc', 'format', flag, 'get', '/version').stdout
            self.assertRegex(binary, r'\| Name +\| Size +\| Contents +\|')
            self.assertRegex(binary, r'\| uptime_ms +\| 8 bytes +\| unsigned 64-bit')
        self.assertEqual(run(*nowhere, 'rpc', 'ListPools').returncode, 3)

    def test_the_node_says_what_it_serves(self):
        """http-rpc sections 14.1 and 14.2: rpc list asks the node."""
        for address in (self.http, ('--bind', f'127.0.0.1:{self.node.port}'),
                        ('--bind', 'jsonrpc:' + self.node.path('rpc.sock'))):
            everything = run(*address, 'rpc', 'list').stdout
            self.assertTrue(everything.startswith('Available services:'), everything[:80])
            self.assertIn('  + kv/<store_id>\n', everything)
            self.assertIn('- GET /kv/<store_id>/entries/<key>\n', everything)
            self.assertRegex(everything, r'Dynamic parameter description:(.|\n)*  pool_id\n')
            self.assertLessEqual(max(map(len, everything.splitlines())), 100)
            pools = run(*address, 'rpc', 'list', '/pools').stdout
            self.assertIn('- GET /pools\n', pools)
            self.assertNotIn('/kv', pools)
            nothing = run(*address, 'rpc', 'list', '/nope')
            self.assertEqual(nothing.returncode, 1, nothing.stdout)
            self.assertIn('Fatal error:\n  No service found at this URL', nothing.stderr)
        self.assertIn('static', json.loads(self.ok('-o', 'json', 'rpc', 'list', '/pools')))
        self.assertEqual(run('--endpoint', 'http://127.0.0.1:1', 'rpc', 'list').returncode, 3)

    def test_any_path_of_the_server(self):
        self.assertEqual(json.loads(self.ok('rpc', 'get', '/health/live')), {'live': True})
        self.assertTrue(json.loads(self.ok('rpc', 'get', '/health/ready'))['ready'])
        for path in ('/errors', '/openapi', '/describe/pools', 'describe?recurse', '/v0/pools'):
            json.loads(self.ok('rpc', 'get', path))
        self.assertIn('<html', self.ok('rpc', 'get', '/openapi/ui').lower())
        self.refused('rpc', 'get', '/nope', code=1,
                     says='Fatal error:\n  No service found at this URL\n')
        self.refused('rpc', 'get', '/pools/nope', code=1,
                     says='Fatal error:\n  pool.not_found: nothing is at /pools/nope')
        self.refused('rpc', 'post', '/pools', code=1, says='it takes GET')
        self.refused('rpc', 'put', '/pools/p1', '[]', code=1, says='expected object, got array')
        self.refused('rpc', 'get', '/pools/a b', code=2, says='%20')
        for address in (('--bind', f'127.0.0.1:{self.node.port}'),
                        ('--bind', 'jsonrpc:' + self.node.path('rpc.sock'))):
            other = run(*address, 'rpc', 'get', '/health/live')
            self.assertEqual(other.returncode, 1, other.stdout)
            self.assertIn('No service found at this URL', other.stderr)
            other = run(*address, 'rpc', 'put', '/pools/p1', '[]')
            self.assertEqual(other.returncode, 2, other.stderr)
            self.assertIn('expected object, got array', other.stderr)
        base = f'http://127.0.0.1:{self.node.port}/describe'
        self.assertIn('get_service', run('-E', base, 'rpc', 'get', '/pools').stdout)

    def test_answers_that_go_on(self):
        watcher = Follower([os.path.join(BIN, 'capstan'), *self.http, 'rpc', 'get',
                            '/monitor/pools'])
        self.addCleanup(watcher.close)
        watcher.wait_for('"event":"snapshot"')
        self.assertEqual(json.loads(watcher.lines[0])['pool']['name'], 'p')
        self.assertEqual(watcher.interrupt(), 0, watcher.said)

    def test_paths_over_any_wire(self):
        for address in (self.http, ('--bind', f'127.0.0.1:{self.node.port}'),
                        ('--bind', 'jsonrpc:' + self.node.path('rpc.sock'))):
            done = run(*address, 'rpc', 'get', '/pools/p')
            self.assertEqual(json.loads(done.stdout)['name'], 'p', done.stderr)
            self.assertEqual([p['name'] for p in json.loads(
                run(*address, 'rpc', 'get', '/pools?name=p').stdout)], ['p'])
            missing = run(*address, 'rpc', 'get', '/pools/q')
            self.assertEqual(missing.returncode, 1, missing.stdout)
            self.assertIn('nothing is at /pools/q', missing.stderr)
        disk = self.node.disk('put.img', 64)
        body = self.node.path('body.json')
        with open(body, 'w', encoding='ascii') as file:
            json.dump({'disks': [disk]}, file)
        made = json.loads(self.ok('rpc', 'put', '/pools/put', 'with', 'file:' + body))
        self.assertEqual(made['name'], 'put')
        self.assertEqual(self.ok('rpc', 'delete', '/pools/put'), '')
        metrics = run('--bind', f'127.0.0.1:{self.node.port}', 'rpc', 'get', '/metrics')
        self.assertIn('capstan_calls_started_total', metrics.stdout)
        self.refused('rpc', 'put', '/pools/x', 'with', 'file:/no/such', code=2, says='/no/such')

    def test_the_log_of_calls(self):
        grpc = ('--endpoint', f'grpc://127.0.0.1:{self.node.port}')
        done = run(*grpc, '-l', 'rpc', 'ListPools', '{"name":"p"}')
        self.assertIn(f'>>>>0: {POOLS}\n', done.stderr)
        self.assertIn('"name": "p"', done.stderr)
        self.assertIn('<<<<0: OK\n', done.stderr)
        self.assertNotIn('>>>>1', done.stderr)
        json.loads(done.stdout)
        failed = run(*grpc, '-l', 'rpc', 'DestroyPool', '{"name":"none"}',
                     environment={'CAPSTAN_TOKEN': 'secret.of.mine'})
        self.assertIn('<<<<0: NOT_FOUND', failed.stderr)
        self.assertNotIn('secret', failed.stderr)
        kept = run(*grpc, '-l', 'kv', 'write', 'k', 'mine')
        self.assertIn('>>>>0: capstan.datastore.v1.DataStoreRpc/WriteStream\n', kept.stderr)
        self.assertNotIn('6d696e65', kept.stderr)

    def test_the_log_over_http(self):
        """http-rpc section 14.4."""
        origin = f'http://127.0.0.1:{self.node.port}'
        done = run(*self.http, '-l', 'pool', 'list')
        self.assertTrue(done.stderr.startswith(f'>>>>0: {origin}/pools\n<<<<0: 200 OK\n  [\n'),
                        done.stderr)
        done = run(*self.http, '-l', 'rpc', 'put', '/pools/q', '{"disks":["relative"]}',
                   environment={'CAPSTAN_TOKEN': 'secret.of.mine'})
        self.assertTrue(done.stderr.startswith(f'>>>>0: {origin}/pools/q\n  {{\n    "disks": ['),
                        done.stderr)
        self.assertIn('<<<<0: 400 Bad Request\n', done.stderr)
        self.assertNotIn('secret', done.stderr)
        done = run(*self.http, '-l', 'rpc', 'get', '/nope')
        self.assertIn(f'>>>>0: {origin}/nope\n<<<<0: 404 Not Found\n  \n', done.stderr)
        kept = run(*self.http, '-l', 'kv', 'write', 'logged', 'mine')
        self.assertEqual(kept.returncode, 0, kept.stderr)
        self.assertIn('/kv/main/raw/logged\n', kept.stderr)
        read = run(*self.http, '-l', 'rpc', 'get', '/kv/main/raw/logged')
        self.assertEqual(read.stdout, 'mine')
        self.assertIn('(4 bytes, not shown)', read.stderr)
        self.assertNotIn('mine', kept.stderr + read.stderr)

    def test_stores_without_a_name(self):
        """Without --store the node's first store is meant, over HTTP, too."""
        self.ok('kv', 'write', 'k1', 'v1')
        self.assertEqual(self.ok('kv', 'read', 'k1'), 'v1')
        self.assertEqual(self.ok('kv', 'exists', 'k1'), 'yes\n')
        self.ok('kv', 'rename', 'k1', 'k2')
        self.assertIn('main', self.ok('kv', 'info'))
        self.assertNotEqual(self.ok('kv', 'keys'), '')
        self.ok('kv', 'delete', 'k2')
        self.ok('kv', 'compact')
        self.assertEqual(self.ok('kv', 'exists', 'k2'), 'no\n')

    def test_wrong_addresses_and_flags(self):
        self.refused('--bind', 'http://127.0.0.1:2', 'rpc', 'ListPools', code=2,
                     says='--bind and --endpoint')
        done = run('--endpoint', 'ftp://x', 'rpc', 'ListPools')
        self.assertEqual((done.returncode, '--endpoint' in done.stderr), (2, True))
        self.refused('--token', '/no/such/file', 'rpc', 'ListPools', code=2, says='--token')
        self.refused('top', '--interval', '1us', code=2, says='--interval')

    def test_every_command_over_http(self):
        """The commands know nothing of wires."""
        self.node.cli('replica', 'create', 'over http', 'p', '--size', '8MiB', '--thin')
        self.assertIn('over http', self.ok('replica', 'list'))
        self.ok('replica', 'destroy', 'over http')
        self.assertIn('p', self.ok('pool', 'list', '-q'))
        image = self.node.path('image')
        with open(image, 'wb') as file:
            file.write(os.urandom(3 << 20))
        self.ok('replica', 'create', 'image', 'p', '--size', '4MiB')
        self.ok('image', 'import', 'image', image)
        self.ok('image', 'export', 'image', image + '.back', '--length', '3MiB')
        with open(image, 'rb') as one, open(image + '.back', 'rb') as other:
            self.assertEqual(one.read(), other.read())
        self.ok('replica', 'destroy', 'image')

    def test_an_import_that_the_node_ends_over_http(self):
        """The node answers before it has the whole image; its reason was lost then."""
        image = self.node.path('too big')
        with open(image, 'wb') as file:
            file.write(os.urandom(24 << 20))
        self.refused('image', 'import', 'nobody', image, code=1, says='nobody')
        self.ok('replica', 'create', 'small', 'p', '--size', '4MiB')
        self.refused('image', 'import', 'small', image, code=1, says='small')
        self.ok('replica', 'destroy', 'small')


class Watch(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.node.start('--kv', 'main=' + self.node.path('main.kv'))
        self.node.cli('pool', 'create', 'p', self.node.disk(mebibytes=64))

    def follow(self, *words):
        follower = Follower([os.path.join(BIN, 'capstan'), *words])
        self.addCleanup(follower.close)
        return follower

    def addresses(self):
        return ((f'--endpoint=http://127.0.0.1:{self.node.port}',),
                (f'--endpoint=grpc://127.0.0.1:{self.node.port}',),
                (f'--endpoint=ws://127.0.0.1:{self.node.port}',))

    def test_pools_through_the_death_of_the_node(self):
        watchers = [self.follow(*address, 'watch', 'pools') for address in self.addresses()]
        for watcher in watchers:
            watcher.wait_for('snapshot  p  online')
        self.node.cli('pool', 'create', 'q', self.node.disk('q.img', 64))
        for watcher in watchers:
            watcher.wait_for('created  q')
        self.node.kill()
        for watcher in watchers:
            watcher.wait_for('lost sync', watcher.said)
        self.node.start()
        for watcher in watchers:
            watcher.wait_for('in sync again', watcher.said)
            wait_until(lambda w=watcher: sum('snapshot  q' in line for line in w.lines) == 1, 60,
                       f'the second snapshot in {watcher.lines}')
            self.assertEqual(len([line for line in watcher.said if 'lost sync' in line]), 1)
            self.assertEqual(watcher.interrupt(), 0, watcher.said)

    def test_keys_and_events_through_the_death_of_the_node(self):
        """Each is asked for anew, said to be lost, and its first event shows that it is there."""
        watchers = [self.follow(*address, *words) for address in self.addresses()
                    for words in (('kv', 'watch'), ('watch', 'kv'), ('watch', 'events'))]
        wait_until(lambda: self.watching() == len(watchers), 60, 'all to be there')
        self.node.kill()
        for watcher in watchers:
            watcher.wait_for('lost sync', watcher.said)
        self.node.start('--kv', 'main=' + self.node.path('main.kv'))
        for watcher in watchers:
            watcher.wait_for('connected again', watcher.said)
        wait_until(lambda: self.watching() == len(watchers), 60, 'all to be there again')
        self.node.cli('kv', 'write', 'after', 'value')
        self.node.cli('pool', 'create', 'q', self.node.disk('q.img', 64))
        for watcher in watchers:
            wait_until(lambda w=watcher: any('after' in line or 'create' in line
                                             for line in w.lines), 60, f'news: {watcher.lines}')
            self.assertEqual(len([line for line in watcher.said if 'lost sync' in line]), 1)
            self.assertEqual(watcher.interrupt(), 0, watcher.said)

    def test_bootstrapped_ends_when_the_node_is_ready(self):
        for address in self.addresses():
            done = run(*address, 'watch', 'bootstrapped')
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertEqual(done.stdout.splitlines()[-1], 'ready  1 of 1 pools open')

    def test_a_node_that_does_not_answer(self):
        """--timeout holds on every wire, with the same exit code and the limit named."""
        self.node.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.node.process.send_signal, signal.SIGCONT)
        sockets = (('--bind', 'jsonrpc:' + self.node.path('rpc.sock')),
                   ('--bind', 'drpc:' + self.node.path('drpc.sock')))
        for address in (*self.addresses(), *sockets):
            commands = [('pool', 'list')]
            if address not in sockets:
                commands += [('watch', 'pools'), ('watch', 'events'), ('rpc', 'get', '/pools')]
            for command in commands:
                with self.subTest(address=address, command=command):
                    done = run(*address, '--timeout', '400ms', *command)
                    self.assertEqual(done.returncode, 3, done.stderr)
                    self.assertIn('no answer within --timeout 400ms', done.stderr)

    def test_keys_and_events_as_json(self):
        keys = self.follow('--bind', f'127.0.0.1:{self.node.port}', '-o', 'json', 'watch', 'kv')
        events = self.follow('--endpoint', f'http://127.0.0.1:{self.node.port}', '-o', 'json',
                             'watch', 'events', 'pool')
        wait_until(lambda: self.watching() == 2, 60, 'both to be there')
        self.node.cli('kv', 'write', 'k', 'value')
        self.node.cli('pool', 'create', 'q', self.node.disk('q.img', 64))
        keys.wait_for('size_bytes')
        self.assertEqual(json.loads(keys.lines[0])['key'], b'k'.hex())
        events.wait_for('create')
        self.assertEqual(json.loads(events.lines[0])['target'], 'q')
        for follower in (keys, events):
            self.assertEqual(follower.interrupt(), 0)

    def test_names_give_the_terminal_no_orders(self):
        keys = self.follow('--bind', f'127.0.0.1:{self.node.port}', 'watch', 'kv')
        wait_until(lambda: self.watching() == 1, 60, 'the watcher to be there')
        self.node.cli('kv', 'write', 'red\x1b[31m\nnext', 'value')
        keys.wait_for('red')
        self.assertTrue(keys.lines[0].endswith('red\\u001b[31m\\u000anext'), keys.lines)
        self.assertEqual(keys.interrupt(), 0)
        missing = self.node.cli('kv', 'metadata', 'red\x1b[32m', check=False)
        self.assertNotEqual(missing.returncode, 0)
        self.assertIn('red\\u001b[32m', missing.stderr)

    def test_media_types(self):
        address = ('--endpoint', f'http://127.0.0.1:{self.node.port}')
        for media in ('json', 'binary', 'any'):
            done = run(*address, '-m', media, 'pool', 'list')
            self.assertEqual((done.returncode, 'p ' in done.stdout), (0, True), (media, done))
        self.assertEqual(run(*address, '-m', 'xml', 'pool', 'list').returncode, 2)
        strict = Node()
        self.addCleanup(strict.close)
        strict.start('--media-type', 'binary')
        there = ('--endpoint', f'http://127.0.0.1:{strict.port}')
        self.assertEqual(run(*there, '-m', 'binary', 'pool', 'list').returncode, 0)
        refused = run(*there, '-m', 'json', 'pool', 'list')
        self.assertEqual(refused.returncode, 1, refused.stderr)

    def test_each_502_is_told(self):
        """http-rpc section 15.4: a gateway whose node is away."""
        server = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(server.close)

        def answer():
            for text in (b'away \x1b[2J', None):
                with server.accept()[0] as peer:
                    while b'\r\n\r\n' not in peer.recv(65536):
                        pass
                    status, body = ('502 Bad Gateway', text) if text else ('200 OK', b'[]')
                    peer.sendall(f'HTTP/1.1 {status}\r\ncontent-type: application/json\r\n'
                                 f'content-length: {len(body)}\r\n\r\n'.encode() + body)
        thread = threading.Thread(target=answer)
        thread.start()
        address = ('--endpoint', f'http://127.0.0.1:{server.getsockname()[1]}')
        done = run(*address, 'pool', 'list')
        thread.join()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('rpc_http_attempt attempt=1 delay=0.0 text=', done.stderr)
        self.assertIn('away', done.stderr)
        self.assertNotIn('\x1b', done.stderr)

    def watching(self):
        metrics = self.node.cli('node', 'metrics').stdout
        return sum(float(line.rsplit(' ', 1)[1]) for line in metrics.splitlines()
                   if line.startswith('capstan_calls_in_flight{')
                   and ('/Watch"' in line or 'MonitorEvents' in line))

    def test_what_can_never_work_is_an_error(self):
        def watch(*words):
            return subprocess.run([os.path.join(BIN, 'capstan'), *words], capture_output=True,
                                  text=True, timeout=60, check=False)
        nobody = watch('--endpoint', 'http://127.0.0.1:1', 'watch', 'pools')
        self.assertEqual(nobody.returncode, 3, nobody.stderr)
        wrong = watch('--bind', f'127.0.0.1:{self.node.port}', 'watch', 'events', 'nothing')
        self.assertEqual(wrong.returncode, 1, wrong.stderr)
        self.assertIn('INVALID_ARGUMENT', wrong.stderr)
        unix = watch('--bind', 'jsonrpc:' + self.node.path('rpc.sock'), 'watch', 'pools')
        self.assertEqual(unix.returncode, 1)
        self.assertIn('has no streams', unix.stderr)

    def test_top(self):
        address = ('--bind', f'127.0.0.1:{self.node.port}')
        once = run(*address, 'top', '--once', '--interval', '200ms')
        self.assertEqual(once.returncode, 0, once.stderr)
        for text in ('WIRE', 'grpc', 'POOL', 'online', 'No replicas found'):
            self.assertIn(text, once.stdout)
        self.assertNotIn('\x1b', once.stdout)
        http = run('--endpoint', f'http://127.0.0.1:{self.node.port}', 'top', '--once')
        self.assertIn('grpc', http.stdout, http.stderr)
        http = json.loads(run('--endpoint', f'http://127.0.0.1:{self.node.port}', '-o', 'json',
                              'top', '--once').stdout)
        calls = {wire['wire']: wire['calls_s'] for wire in http['wires']}
        self.assertGreater(calls['rest'], 0, calls)
        measured = json.loads(run(*address, '-o', 'json', 'top', '--once').stdout)
        grpc = next(wire for wire in measured['wires'] if wire['wire'] == 'grpc')
        self.assertGreater(grpc['calls_s'], 0)
        self.assertEqual([pool['name'] for pool in measured['pools']], ['p'])
        piped = self.follow(*address, '-o', 'json', 'top', '--interval', '100ms')
        wait_until(lambda: len(piped.lines) > 2, 60, 'three measurements')
        self.assertEqual(piped.interrupt(), 0, piped.said)

    def test_top_draws_on_a_terminal(self):
        command = [os.path.join(BIN, 'capstan'), '--bind', f'127.0.0.1:{self.node.port}', 'top',
                   '--interval', '100ms']
        process, terminal = pty.fork()
        if process == 0:
            os.execv(command[0], command)
        shown = b''
        end = time.monotonic() + 60
        while shown.count(b'\x1b[H') < 2 and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 65536)
        os.kill(process, signal.SIGINT)
        while select.select([terminal], [], [], 60)[0]:
            try:
                if not os.read(terminal, 65536):
                    break
            except OSError:
                break
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), 0)
        os.close(terminal)
        self.assertGreaterEqual(shown.count(b'\x1b[H'), 2, shown)
        self.assertIn(b'WIRE', shown)


class BehindAGateway(unittest.TestCase):
    def test_events_while_the_node_is_away(self):
        """Said once to be lost, however often it is asked again, and the first word is new."""
        node = GatewayNode()
        self.addCleanup(node.close)
        store = ('--kv', 'main=' + node.path('main.kv'))
        node.start(*store)
        node.behind_gateway()
        address = [f'--endpoint={scheme}://127.0.0.1:{node.port}'
                   for scheme in ('grpc', 'ws', 'http')]
        watchers = []
        for one in address:
            for words in (('watch', 'events'), ('watch', 'kv')):
                watchers.append(Follower([os.path.join(BIN, 'capstan'), one, *words]))
                self.addCleanup(watchers[-1].close)
        wait_until(lambda: node.gateway.metric('capstan_gateway_streams') == len(watchers), 60,
                   'all to be there')
        node.kill()
        for watcher in watchers:
            watcher.wait_for('lost sync', watcher.said)
        tries = node.gateway.log().count('upstream_error')
        wait_until(lambda: node.gateway.log().count('upstream_error') > tries + 3 * len(watchers),
                   60, 'some more attempts')
        for watcher in watchers:
            self.assertEqual(len([one for one in watcher.said if 'attempt' not in one]), 1,
                             watcher.said)
        direct, node.port = node.port, free_port()
        node.start(*store)
        node.port = direct
        for watcher in watchers:
            watcher.wait_for('connected again', watcher.said)
            self.assertEqual(watcher.interrupt(), 0, watcher.said)


class Caller(unittest.TestCase):
    """What says who is calling and of which trace a call is a part."""

    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)

    def test_a_token_on_every_wire_that_carries_one(self):
        signer = Signer(self.node.folder, 'signer')
        token = signer.token(sub='operator', exp=int(time.time()) + 600)
        file = self.node.path('token')
        with open(file, 'w', encoding='ascii') as out:
            out.write(token + '\n')
        self.node.bind = 'jsonrpc:' + self.node.path('rpc.sock')   # asks for none
        self.node.start('--jwk', signer.jwk, '--access', 'jwt:operator=read', '--access',
                        'unix=all')
        for scheme in ('http', 'grpc', 'ws'):
            address = ('--endpoint', f'{scheme}://127.0.0.1:{self.node.port}')
            with self.subTest(scheme):
                bare = run(*address, 'pool', 'list')
                self.assertEqual(bare.returncode, 1, bare.stderr)
                self.assertIn('UNAUTHENTICATED', bare.stderr)
                for given in ({'environment': {'CAPSTAN_TOKEN': token}}, {'flag': file}):
                    flags = ('--token', given['flag']) if 'flag' in given else ()
                    done = run(*address, *flags, 'pool', 'list',
                               environment=given.get('environment'))
                    self.assertEqual(done.returncode, 0, done.stderr)
                denied = run(*address, '--token', file, 'pool', 'destroy', 'p')
                self.assertIn('PERMISSION_DENIED', denied.stderr)
        origin = f'http://127.0.0.1:{self.node.port}'
        denied = run('-E', origin, '--token', file, 'rpc', 'delete', '/pools/p')
        self.assertEqual(denied.returncode, 1, denied.stderr)
        self.assertIn(f'Fatal error:\n  [HTTP 403] Access denied to: {origin}\n', denied.stderr)
        local = run('--bind', self.node.bind, '--token', file, 'pool', 'list')
        self.assertEqual(local.returncode, 0, 'the kernel says who is there: ' + local.stderr)
        broken = run(*address, 'pool', 'list', environment={'CAPSTAN_TOKEN': 'a\nb'})
        self.assertEqual(broken.returncode, 2)
        self.assertIn('CAPSTAN_TOKEN', broken.stderr)

    def test_a_trace_goes_on(self):
        self.node.start()
        for index, scheme in enumerate(('http', 'grpc', 'ws')):
            trace = f'{index + 1:032x}'
            run('--endpoint', f'{scheme}://127.0.0.1:{self.node.port}', 'pool', 'destroy', 'none',
                environment={'TRACEPARENT': f'00-{trace}-00f067aa0ba902b7-01'})
            wait_until(lambda t=trace: t in self.node.log(), 30, f'{scheme}: the trace in the log')
        done = run('--endpoint', f'http://127.0.0.1:{self.node.port}', 'pool', 'list',
                   environment={'TRACEPARENT': 'nonsense'})
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_certificates(self):
        folder = self.node.folder

        def openssl(*words):
            subprocess.run(['openssl', *words], cwd=folder, check=True, capture_output=True)
        for name in ('ca', 'client'):
            openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                    '-nodes', '-subj', f'/CN={name}', '-days', '2', '-addext',
                    'subjectAltName=IP:127.0.0.1', '-keyout', f'{name}.key', '-out', f'{name}.pem')
        self.node.bind = 'jsonrpc:' + self.node.path('rpc.sock')
        self.node.start('--tls-cert', self.node.path('ca.pem'), '--tls-key',
                        self.node.path('ca.key'), '--tls-client-ca', self.node.path('client.pem'))
        trust = ('--tls-ca', self.node.path('ca.pem'))
        mine = ('--tls-cert', self.node.path('client.pem'), '--tls-key',
                self.node.path('client.key'))
        address = ('--endpoint', f'https://127.0.0.1:{self.node.port}')
        self.assertEqual(run(*address, *trust, *mine, 'pool', 'list').returncode, 0)
        for flags in (mine, trust):
            done = run(*address, *flags, '--timeout', '20s', 'pool', 'list')
            self.assertEqual(done.returncode, 3, done.stderr)
        plain = run('--endpoint', f'http://127.0.0.1:{self.node.port}', '--timeout', '20s', 'pool',
                    'list')
        self.assertEqual(plain.returncode, 3, plain.stderr)


if __name__ == '__main__':
    unittest.main()
