#!/usr/bin/python3
"""The dRPC client for C (src/wire/drpc/capi), as examples/drpc_client.c uses it: against a node,
against the C++ example, and against servers that break the rules, each of which must be told by a
code of its own. A process for each call: what crashes or leaks under the sanitizers fails here."""
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import BIN, ROOT, Node, wait_until  # noqa: E402

HEADER = struct.Struct('<QQII')
CLIENT = os.path.join(BIN, 'drpc_client')
ERROR = 65


def run(path, module, method, body='', timeout_ms=None):
    """(exit code, output, what it complained of)"""
    command = [CLIENT, path, str(module), str(method), body]
    if timeout_ms is not None:
        command.append(str(timeout_ms))
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
                          check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def framed(message):
    return HEADER.pack(len(message), len(message), 0, 1) + message


class Scripted:
    """A server for one session: reads one packet, then sends what it was given, and closes unless
    it is to keep silent."""

    def __init__(self, *packets, silent=False):
        self.folder = tempfile.TemporaryDirectory(prefix='capstan-test-')
        self.path = os.path.join(self.folder.name, 's')
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen()
        self.packets, self.silent, self.got = packets, silent, []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.listener.shutdown(socket.SHUT_RDWR)    # a client that never came ends accept() here
        self.thread.join()
        self.listener.close()
        self.folder.cleanup()

    def serve(self):
        try:
            session, _ = self.listener.accept()
        except OSError:
            return
        with session:
            self.got.append(session.recv(1 << 18))
            for packet in self.packets:
                session.send(packet)
            if self.silent:
                self.done.wait(60)


class AgainstPrograms(unittest.TestCase):
    def test_a_node(self):
        node = Node()
        self.addCleanup(node.close)
        node.start('--drpc-hello')
        path = node.path('drpc.sock')
        code, out, _ = run(path, 100, 10001)
        self.assertEqual(code, 0)
        self.assertIn(node.json('node', 'version')['version'].encode(), out)
        self.assertEqual(run(path, 0, 0, '\n\x06Friend'), (0, b'\n\x0cHello Friend', ''))
        self.assertEqual(run(path, 99, 1)[0], 3)
        self.assertEqual(run(path, 100, 10099)[0], 4)
        self.assertEqual(run(path, 100, 10001, '\x08')[0], 6)
        self.assertEqual(node.stop(), 0)
        self.assertEqual(run(path, 100, 10001)[0], ERROR)

    def test_the_cplusplus_example(self):
        with tempfile.TemporaryDirectory(prefix='capstan-test-') as folder:
            path = os.path.join(folder, 'hello.sock')
            with subprocess.Popen([os.path.join(BIN, 'drpc_hello'), 'serve', path],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
                try:
                    wait_until(lambda: os.path.exists(path), 60, path)
                    self.assertEqual(run(path, 77, 7701, 'abc'), (0, b'cba', ''))
                    self.assertEqual(run(path, 77, 7701), (0, b'', ''))
                    text = 'x' * 100_000 + 'y'     # an argument of a program has a limit
                    self.assertEqual(run(path, 77, 7701, text)[1], text[::-1].encode())
                finally:
                    server.terminate()
                    self.assertEqual(server.wait(60), 0)


class AgainstOddServers(unittest.TestCase):
    def refused(self, name, *packets, **options):
        with Scripted(*packets, **options) as server:
            code, out, text = run(server.path, 77, 1, 'hello', options.get('timeout_ms', 5000))
        self.assertEqual((code, out), (ERROR, b''), text)
        self.assertRegex(text, f'^call: {name} ')
        return server

    def test_the_call_is_the_specifications_vector(self):
        with open(os.path.join(ROOT, 'tests', 'vectors', 'drpc.txt'), encoding='ascii') as file:
            calls = re.findall(r'^C ([0-9a-f]+)$', file.read(), flags=re.M)
        with Scripted(framed(b'\x08\x01\x1a\x05hello')) as server:
            self.assertEqual(run(server.path, 77, 1, 'hello'), (0, b'hello', ''))
        self.assertIn(server.got[0].hex(), calls)

    def test_replies_of_other_calls(self):
        late, own = framed(b'\x1a\x04late'), framed(b'\x08\x01\x1a\x03own')
        with Scripted(late, late, own) as server:
            self.assertEqual(run(server.path, 77, 1, 'x'), (0, b'own', ''))
        self.refused('MISMATCH', framed(b'\x08\x2a\x1a\x05other'))

    def test_a_call_that_the_server_could_not_read(self):
        with Scripted(framed(b'\x08' + b'\xff' * 9 + b'\x01\x10\x05')) as server:
            self.assertEqual(run(server.path, 77, 1)[0], 5)

    def test_in_pieces(self):
        whole = b'\x08\x01\x1a\x06pieces'
        parts = [whole[:1], b'', whole[1:9], whole[9:]]
        with Scripted(*(HEADER.pack(len(whole), len(part), i, 4) + part
                        for i, part in enumerate(parts))) as server:
            self.assertEqual(run(server.path, 77, 1, 'x'), (0, b'pieces', ''))

    def test_no_reply(self):
        self.refused('TRUNCATED')
        with Scripted(silent=True) as server:
            code, _, text = run(server.path, 77, 1, 'x', timeout_ms=100)
        self.assertEqual(code, ERROR)
        self.assertIn('TIMED_OUT', text)

    def test_broken_framing(self):
        whole = b'\x08\x01\x1a\x02ok'
        self.refused('TRUNCATED', HEADER.pack(len(whole), 3, 0, 2) + whole[:3])
        self.refused('PROTOCOL', b'short')
        self.refused('PROTOCOL', HEADER.pack(len(whole), len(whole) + 1, 0, 1) + whole)
        self.refused('PROTOCOL', HEADER.pack(len(whole), len(whole), 0, 0) + whole)
        self.refused('PROTOCOL', HEADER.pack(len(whole), len(whole), 1, 2) + whole)
        self.refused('PROTOCOL', HEADER.pack(1 << 62, 1, 0, 1) + b'x')
        self.refused('PROTOCOL', whole)                     # an old reply without a header
        self.refused('PROTOCOL', framed(b'\xff' * 20))      # no Response
        self.refused('PROTOCOL', HEADER.pack(131049, 131049, 0, 1) + b'x' * 131049)

    def test_where_nobody_serves(self):
        with tempfile.TemporaryDirectory(prefix='capstan-test-') as folder:
            dead = os.path.join(folder, 'dead')
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bound:
                bound.bind(dead)
            for path, name in ((os.path.join(folder, 'nothing'), 'NOT_FOUND'), (dead, 'MISC'),
                               ('x' * 108, 'INVALID'), ('', 'INVALID')):
                code, _, text = run(path, 1, 1)
                self.assertEqual(code, ERROR)
                self.assertRegex(text, f'^connect: {name} ')


if __name__ == '__main__':
    unittest.main()
