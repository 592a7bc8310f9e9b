#!/usr/bin/python3
"""Ten thousand clients that are connected and silent: what each costs the release build in memory,
what all cost in CPU, and that calls are answered beside them and for them; and the same over TLS
for fewer. Then a node whose limit of open files is low: it says so, and refuses connections before
it runs out of descriptors for its disks."""
import os
import resource
import select
import socket
import ssl
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import RELEASE_BIN, Node, wait_until  # noqa: E402
from usage import cpu_seconds, resident_bytes  # noqa: E402

CROWD = 10_000
TLS_CROWD = 1_000
KIB_EACH = 16           # resident, for one idle connection
BATCH = 200             # connections that are opened at a time
IDLE_SECONDS = 3
MEASURE_SECONDS = 5


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) \
        + payload


def literal(name, value):
    return b'\0' + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(stream):
    """A health check, from the headers to the end of the request."""
    block = b''.join(literal(*pair) for pair in (
        (b':method', b'POST'), (b':scheme', b'http'), (b':path', b'/grpc.health.v1.Health/Check'),
        (b':authority', b'x'), (b'te', b'trailers'), (b'content-type', b'application/grpc')))
    return frame(1, 4, stream, block) + frame(0, 1, stream, b'\0\0\0\0\0')


HELLO = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0)


class Client:
    """A connection that speaks just enough HTTP/2 to know that a call of its was answered."""

    def __init__(self, connected):
        self.socket = connected
        self.heard = b''
        self.answered = 0

    def ask(self):
        self.socket.sendall((HELLO if self.answered == 0 else b'') + call(2 * self.answered + 1))

    def listen(self):
        """True once the answer is complete."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError('closed')
        self.heard += part
        while len(self.heard) >= 9:
            size = int.from_bytes(self.heard[:3], 'big')
            if len(self.heard) < 9 + size:
                break
            kind, flags = self.heard[3], self.heard[4]
            self.heard = self.heard[9 + size:]
            if kind == 4 and not flags & 1:
                self.socket.sendall(frame(4, 1, 0))
            if kind == 1 and flags & 1:
                self.answered += 1
                return True
        return False


def all_answered(clients, seconds=60):
    """Asks on all of them at once and waits for all answers."""
    poller = select.epoll()
    waiting = {}
    for client in clients:
        poller.register(client.socket, select.EPOLLIN)
        waiting[client.socket.fileno()] = client
        client.ask()
    end = time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        for number, _ in poller.poll(1):
            while number in waiting:
                if waiting[number].listen():
                    del waiting[number]
                elif not getattr(waiting[number].socket, 'pending', int)():
                    break
    poller.close()
    return not waiting


class LimitedNode(Node):
    files = 4000  # a quarter is for NVMe hosts

    def command(self, *flags):
        return ['prlimit', f'--nofile={self.files}:{self.files}', *super().command(*flags)]


class Crowd(unittest.TestCase):
    def setUp(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard < CROWD + 1000:
            self.skipTest(f'the limit of open files is {hard}; {CROWD} connections need more')
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.clients = []
        self.addCleanup(lambda: [client.socket.close() for client in self.clients])

    def crowd(self, port, count, wrap=lambda plain: plain):
        while len(self.clients) < count:
            fresh = []
            for _ in range(min(BATCH, count - len(self.clients))):
                fresh.append(Client(wrap(socket.create_connection(('127.0.0.1', port), 30))))
            self.clients += fresh
            self.assertTrue(all_answered(fresh), f'after {len(self.clients)} connections')

    def node(self, kind=Node):
        node = kind(bin_folder=RELEASE_BIN)
        self.addCleanup(node.close)
        return node

    def idle_cost(self, node, before, what):
        time.sleep(IDLE_SECONDS)        # until they count as idle
        pid = node.process.pid
        cpu, start = cpu_seconds(pid), time.monotonic()
        each = (resident_bytes(pid) - before) / len(self.clients)
        time.sleep(MEASURE_SECONDS)     # the measurement itself
        percent = 100 * (cpu_seconds(pid) - cpu) / (time.monotonic() - start)
        print(f'{len(self.clients)} idle {what} connections: {each / 1024:.1f} KiB each, '
              f'{percent:.2f} % of one core')
        return each, percent

    def test_ten_thousand_idle_connections(self):
        node = self.node()
        node.start()
        pid = node.process.pid
        before, began, cpu = resident_bytes(pid), time.monotonic(), cpu_seconds(pid)
        self.crowd(node.port, CROWD)
        opened = time.monotonic() - began
        print(f'opened, with a call each, in {opened:.1f} s; '
              f'{1e6 * (cpu_seconds(pid) - cpu) / CROWD:.0f} us of CPU each')
        each, percent = self.idle_cost(node, before, 'gRPC')
        self.assertLessEqual(each, KIB_EACH * 1024)
        self.assertLess(percent, 1.0)
        began = time.monotonic()
        self.assertEqual(node.cli('node', 'version').returncode, 0)
        self.assertLess(time.monotonic() - began, 5)
        self.assertTrue(all_answered(self.clients[::10]), 'the silent ones are served, too')
        for client in self.clients:
            client.socket.close()
        self.clients.clear()
        self.crowd(node.port, BATCH)    # there is room again
        self.assertEqual(node.stop(), 0, node.log())

    def test_idle_connections_over_tls(self):
        node = self.node()
        pem, key = node.path('node.pem'), node.path('node.key')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                        'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=node', '-addext',
                        'subjectAltName=IP:127.0.0.1', '-days', '2', '-keyout', key, '-out', pem],
                       check=True, capture_output=True, timeout=60)
        node.scheme, node.client_flags = 'https://', ['--tls-ca', pem]
        node.start('--tls-cert', pem, '--tls-key', key)
        context = ssl.create_default_context(cafile=pem)
        context.set_alpn_protocols(['h2'])
        before = resident_bytes(node.process.pid)
        self.crowd(node.port, TLS_CROWD,
                   lambda plain: context.wrap_socket(plain, server_hostname='127.0.0.1'))
        _, percent = self.idle_cost(node, before, 'TLS')
        self.assertLess(percent, 1.0)
        self.assertTrue(all_answered(self.clients[::10]))
        self.assertEqual(node.stop(), 0, node.log())

    def test_a_node_that_may_open_few_files(self):
        node = self.node(LimitedNode)
        node.start()
        self.assertIn('descriptor_limit', node.log())
        self.assertRegex(node.log(), r'connections\W+1976')
        self.crowd(node.port, 1900)
        surplus = [socket.create_connection(('127.0.0.1', node.port), 30) for _ in range(200)]
        self.addCleanup(lambda: [one.close() for one in surplus])
        refused = surplus[-1]
        refused.settimeout(30)
        try:
            self.assertEqual(refused.recv(1), b'')
        except ConnectionResetError:
            pass
        wait_until(lambda: 'connection_refused' in node.log(), 10, 'the refusal in the log')
        self.assertTrue(all_answered(self.clients), 'those that are in are served')
        for client in self.clients[:500]:
            client.socket.close()
        del self.clients[:500]
        for one in surplus:
            one.close()
        # Disks had descriptors all the time.
        wait_until(lambda: node.cli('pool', 'create', 'p', node.disk(mebibytes=64),
                                    check=False).returncode == 0, 30, 'a pool')
        self.assertEqual(node.stop(), 0, node.log())


if __name__ == '__main__':
    unittest.main()
