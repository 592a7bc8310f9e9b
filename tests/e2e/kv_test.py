#!/usr/bin/python3
"""Stores from the command line: every command against a running node on every wire, kill -9, a
second process; `capstan kv --file` and capstan-kv on files that no node has open."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import ROOT, Node, wait_until  # noqa: E402


class Stores(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.main = self.node.path('main.kv')
        self.other = self.node.path('other.kv')

    def start(self, *flags):
        self.node.start('--kv', f'main={self.main}', '--kv', f'other={self.other}',
                        '--muxio-socket', self.node.path('muxio.sock'),
                        '--http-listen', 'unix:' + self.node.path('http.sock'), *flags)

    def wires(self):
        """--bind of every wire, and the largest value it takes."""
        return {'gRPC': (f'http://127.0.0.1:{self.node.port}', 3_000_001),
                'WebSocket': (f'ws://127.0.0.1:{self.node.port}/ws', 3_000_001),
                'IPC': ('muxio:' + self.node.path('muxio.sock'), 3_000_001),
                'dRPC': ('drpc:' + self.node.path('drpc.sock'), 3_000_001),
                'JSON-RPC': ('jsonrpc:' + self.node.path('rpc.sock'), 150_000)}

    def kv(self, *arguments, check=True, data=None):
        done = subprocess.run(self.node.cli_command('kv', *arguments), input=data,
                              capture_output=True, timeout=300, check=False)
        if check:
            self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done

    def file(self, path, *arguments, data=b''):
        return subprocess.run([os.path.join(self.node.bin, 'capstan-kv'), path, *arguments],
                              input=data, capture_output=True, timeout=300, check=False)

    def test_every_command_on_every_wire(self):
        self.start()
        for name, (address, largest) in self.wires().items():
            with self.subTest(name):
                self.node.bind = address
                self.every_command(largest)
                self.kv('delete', 'b', '--store', 'other')
                self.kv('delete', 'file')
        self.assertEqual(self.node.stop(), 0, self.node.log())

    def every_command(self, largest):
        if os.path.exists(self.node.path('out')):
            os.remove(self.node.path('out'))
        self.kv('write', 'a', 'one')
        self.assertEqual(self.kv('read', 'a').stdout, b'one')
        large = os.urandom(largest)
        self.kv('write', 'large', data=large)
        self.assertEqual(self.kv('read', 'large').stdout, large)
        with open(self.node.path('in'), 'wb') as file:
            file.write(large)
        self.kv('write', 'file', '--input', self.node.path('in'))
        self.kv('read', 'file', '--to', self.node.path('out'))
        with open(self.node.path('out'), 'rb') as file:
            self.assertEqual(file.read(), large)
        self.assertEqual(self.kv('exists', 'a').stdout, b'yes\n')
        self.assertIn(b'yes', self.kv('metadata', 'a').stdout)
        self.kv('rename', 'a', 'b')
        self.assertEqual(self.kv('exists', 'a').stdout, b'no\n')
        self.kv('copy', 'b', 'other')
        self.kv('move', 'b', 'other')
        self.assertEqual(self.kv('read', 'b', '--store', 'other').stdout, b'one')
        missing = self.kv('read', 'b', check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn(b"store 'main': Key 'b' not found", missing.stderr)
        nowhere = self.kv('read', 'b', '--store', 'nowhere', check=False)
        self.assertEqual(nowhere.returncode, 1)
        self.assertIn(b"store 'nowhere' not found", nowhere.stderr)
        self.assertEqual(self.kv('write', 'x', '', check=False).returncode, 1)
        self.kv('delete', 'large')
        before = os.path.getsize(self.main)
        self.kv('compact')
        self.assertLess(os.path.getsize(self.main), before)
        self.assertEqual(len(self.kv('keys').stdout.splitlines()), 1)
        stores = self.node.json('kv', 'info')['stores']
        self.assertEqual([(s['name'], str(s['keys'])) for s in stores],
                         [('main', '1'), ('other', '1')])
        self.assertIn('store_keys{store="other"} 1', self.node.cli('node', 'metrics').stdout)

    def test_web_sockets_on_a_unix_socket(self):
        self.start()
        path = self.node.path('http.sock')
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        for request, answer in (
                (b'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
                 b'Sec-WebSocket-Version: 13\r\n'
                 b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
                 b'HTTP/1.1 101 '),
                (b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', b'HTTP/1.1 404 '),
                (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'\x04')):  # SETTINGS: HTTP, no gRPC
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(30)
                peer.connect(path)
                peer.sendall(request)
                got = peer.recv(13, socket.MSG_WAITALL)
                self.assertEqual(got if len(answer) > 1 else got[3:4], answer)
        self.assertEqual(self.node.stop(), 0, self.node.log())
        self.assertFalse(os.path.exists(path))

    def test_wires_without_streams_say_so(self):
        self.start()
        for name in ('dRPC', 'JSON-RPC'):
            with self.subTest(name):
                self.node.bind = self.wires()[name][0]
                watch = self.kv('watch', check=False)
                self.assertEqual(watch.returncode, 1)
                self.assertIn(b'gRPC', watch.stderr)
                large = self.kv('write', 'a', data=bytes([1]) * 40_000_000, check=False)
                self.assertEqual(large.returncode, 1)
                self.assertRegex(large.stderr, b'RESOURCE_EXHAUSTED.*gRPC')
        self.node.bind = 'jsonrpc:/no/such/socket'
        self.assertEqual(self.kv('info', check=False).returncode, 3)

    def test_watching_ends_when_interrupted(self):
        self.start()
        for name in ('gRPC', 'WebSocket', 'IPC'):
            with self.subTest(name):
                self.node.bind = self.wires()[name][0]
                watcher = subprocess.Popen(self.node.cli_command('kv', 'watch', '-q'),
                                           stdout=subprocess.PIPE)
                wait_until(lambda: self.watching() == 1, 30, 'the watcher to be there')
                self.kv('write', 'watched', 'one')
                self.assertRegex(watcher.stdout.readline(), b'written  [0-9a-f]{16}  3  watched')
                self.kv('delete', 'watched')
                self.assertRegex(watcher.stdout.readline(), b'deleted ')
                watcher.send_signal(signal.SIGINT)
                self.assertEqual(watcher.wait(30), 0)
                watcher.stdout.close()
                wait_until(lambda: self.watching() == 0, 30, 'the watcher to leave')

    def test_a_broken_upload_is_a_failure_not_an_unreachable_node(self):
        self.start()
        for name in ('gRPC', 'WebSocket', 'IPC'):
            with self.subTest(name):
                self.node.bind = self.wires()[name][0]
                upload = subprocess.Popen(self.node.cli_command('kv', 'write', 'broken'),
                                          stdin=subprocess.PIPE, stderr=subprocess.PIPE)
                upload.stdin.write(bytes([1]) * 8_000_000)   # more than pipe and one piece hold
                upload.stdin.flush()
                self.node.kill()
                with contextlib.suppress(BrokenPipeError):
                    upload.stdin.close()
                self.assertEqual(upload.wait(60), 1, upload.stderr.read())
                upload.stderr.close()
                self.start()

    def watching(self):
        text = self.node.cli('node', 'metrics').stdout
        return sum(float(line.rsplit(' ', 1)[1]) for line in text.splitlines()
                   if line.startswith('capstan_calls_in_flight{') and 'DataStoreRpc/Watch' in line)

    def test_the_same_command_on_a_file(self):
        def file(*arguments, **more):
            return self.kv('--file', self.main, *arguments, **more)
        large = os.urandom(2_000_000)
        file('write', 'a', 'one')
        file('write', 'large', data=large)
        with open(self.node.path('in'), 'wb') as source:
            source.write(large)
        file('write', 'file', '-i', self.node.path('in'))
        self.assertEqual(file('read', 'large').stdout, large)
        file('read', 'file', '--to', self.node.path('out'))
        with open(self.node.path('out'), 'rb') as source:
            self.assertEqual(source.read(), large)
        refused = file('read', 'a', '--to', self.node.path('out'), check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b'--force', refused.stderr)
        file('read', 'a', '--to', self.node.path('out'), '--force')
        with open(self.node.path('out'), 'rb') as source:
            self.assertEqual(source.read(), b'one')
        self.assertEqual(file('exists', 'a').stdout + file('exists', 'b').stdout, b'yes\nno\n')
        file('write', '--', '-dash', '--json')
        self.assertEqual(file('read', '--', '-dash').stdout, b'--json')
        file('rename', 'a', 'b')
        file('copy', 'b', self.other)
        file('move', 'large', self.other)
        file('delete', 'file')
        compacted = json.loads(file('compact', '-o', 'json').stdout)
        self.assertLess(compacted['bytes_after'], compacted['bytes_before'])
        info = json.loads(file('info', '-o', 'json').stdout)
        self.assertEqual((info['path'], info['keys']), (self.main, 2))
        self.assertEqual(len(file('keys').stdout.splitlines()), 2)
        self.assertEqual(json.loads(file('metadata', 'b', '-o', 'json').stdout)['size_bytes'], 3)
        self.assertEqual(json.loads(file('exists', 'b', '-o', 'json').stdout), {'exists': True})
        self.assertEqual(file('write', 'b', 'two', '-q').stdout, b'')
        for arguments in (('watch',), ('read', 'b', '--store', 'main')):
            self.assertEqual(file(*arguments, check=False).returncode, 2, arguments)
        self.start()
        self.assertEqual(self.kv('read', 'b').stdout, b'two')
        self.assertEqual(self.kv('read', 'large', '--store', 'other').stdout, large)
        busy = file('read', 'b', check=False)
        self.assertEqual(busy.returncode, 1)
        self.assertIn(b'open in another process', busy.stderr)

    def test_kill_9_loses_nothing_acknowledged(self):
        self.start('--kv-sync', 'each')
        for i in range(50):
            self.kv('write', f'key{i}', f'value{i}')
        self.node.kill()
        self.start()
        for i in range(50):
            self.assertEqual(self.kv('read', f'key{i}').stdout, f'value{i}'.encode())

    def test_a_file_is_open_once(self):
        self.start()
        self.kv('write', 'a', 'one')
        refused = self.file(self.main, 'read', 'a')
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b'open in another process', refused.stderr)
        second = Node()
        self.addCleanup(second.close)
        code, text = second.run_to_end('--kv', f'mine={self.main}')
        self.assertNotEqual(code, 0)
        self.assertIn('open in another process', text)
        self.assertEqual(self.node.stop(), 0)
        self.assertEqual(self.file(self.main, 'read', 'a').stdout, b'one')

    def test_flags(self):
        for flags, says in ((('--kv', 'nothing'), 'NAME=PATH'),
                            (('--kv', 'a=/x', '--kv', 'a=/y'), 'another store'),
                            (('--kv', 'a=/x', '--kv-sync', 'often'), 'no policy')):
            code, text = self.node.run_to_end(*flags)
            self.assertEqual(code, 2, text)
            self.assertIn(says, text)

    def test_the_file_tool(self):
        self.assertEqual(self.file(self.main, 'read', 'a').returncode, 1)
        self.assertFalse(os.path.exists(self.main), 'reading makes no store')
        self.assertEqual(self.file(self.main, 'write', 'a', 'one').stdout, b"Stored 'a'\n")
        large = os.urandom(2_000_000)
        self.assertEqual(self.file(self.main, 'write', 'b', data=large).returncode, 0)
        self.assertEqual(self.file(self.main, 'read', 'b').stdout, large)
        self.assertEqual(self.file(self.main, 'rename', 'b', 'c').stdout, b"Renamed key 'b' to c\n")
        self.assertEqual(self.file(self.main, 'copy', 'a', self.other).stdout.decode(),
                         f"Copied key 'a' to \"{self.other}\"\n")
        self.assertEqual(self.file(self.other, 'read', 'a').stdout, b'one')
        self.assertEqual(self.file(self.main, 'move', 'c', self.other).returncode, 0)
        self.assertEqual(self.file(self.main, 'delete', 'a').stderr, b"Deleted key 'a'\n")
        self.assertEqual(self.file(self.main, 'exists', 'a').stdout, b'no\n')
        self.assertIn(b'completed successfully', self.file(self.other, 'compact').stdout)
        self.assertIn(b'ACTIVE ENTRIES:           2\n', self.file(self.other, 'info').stdout)
        self.assertIn(b'CHECKSUM VALIDITY:        VALID\n',
                      self.file(self.other, 'metadata', 'c').stdout)
        self.assertEqual(self.file(self.main, 'write', 'x', data=b'').returncode, 1)
        self.assertEqual(self.file(self.main, 'nonsense').returncode, 2)
        notes = os.path.join(ROOT, 'README.md')
        copy = self.node.path('README.md')
        with open(notes, 'rb') as source, open(copy, 'wb') as target:
            target.write(source.read())
        self.assertEqual(self.file(copy, 'write', 'a', 'one').returncode, 1, 'no store')
        with open(notes, 'rb') as source, open(copy, 'rb') as target:
            self.assertEqual(source.read(), target.read())


if __name__ == '__main__':
    unittest.main()
