#!/usr/bin/python3
"""A thousand clients at once on each Unix socket while a replica is written and read over gRPC
(ImportImage and ExportImage, by the command line client): every call is answered, to its own
caller, and every image comes back as it went in. How much of the I/O's speed is left is measured by
bench/clients_bench.cc; here nothing depends on time."""
import json
import os
import resource
import socket
import struct
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import MIB, Node, sha256  # noqa: E402

CLIENTS = 1000
CALLS = 4                  # of each client
SECONDS = 240              # for one answer, on a busy machine under sanitizers
HEADER = struct.Struct('<QQII')
IMAGE = 16 * MIB


class JsonRpc:
    """One connection. Ids tell its answers from those of others.."""

    def __init__(self, path, index):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)      # waits for a place in the queue
        self.socket.settimeout(SECONDS)
        self.index = index

    def call(self, number):
        own = f'client {self.index} call {number}'
        method = 'nobody' if number % 2 else 'spdk_get_version'
        self.socket.sendall(json.dumps({'jsonrpc': '2.0', 'method': method, 'id': own}).encode())
        answer = b''
        while not answer.endswith(b'\n'):
            part = self.socket.recv(65536)
            assert part, f'{own}: closed after {answer!r}'
            answer += part
        answer = json.loads(answer)
        assert answer['id'] == own, (own, answer)
        assert ('error' in answer) == (method == 'nobody'), answer


class Drpc:
    """One session; module 0 greets, so that an answer can be told from another client's."""

    def __init__(self, path, index):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(path)
        self.socket.settimeout(SECONDS)
        self.index = index

    def call(self, number):
        name = f'client {self.index} call {number}'.encode()
        body = b'\x0a' + bytes([len(name)]) + name
        call = bytes([0x18, number + 1, 0x22, len(body)]) + body
        self.socket.send(HEADER.pack(len(call), len(call), 0, 1) + call)
        packet = self.socket.recv(1 << 17)
        assert packet, f'{name}: closed'
        greeting = b'Hello ' + name
        expected = bytes([0x08, number + 1, 0x1a, len(greeting) + 2, 0x0a,
                          len(greeting)]) + greeting
        assert packet[HEADER.size:] == expected, (name, packet)


class Crowd:
    """CLIENTS threads, each with a connection of its own and CALLS calls."""

    def __init__(self, kind, path):
        self.kind, self.path = kind, path
        self.answered = 0
        self.errors = []
        self.lock = threading.Lock()
        threading.stack_size(256 << 10)
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(CLIENTS)]

    def work(self, index):
        try:
            client = self.kind(self.path, index)
            with client.socket:
                for number in range(CALLS):
                    client.call(number)
                    with self.lock:
                        self.answered += 1
        except Exception as error:      # noqa: BLE001: reported by the test
            self.errors.append(f'{self.kind.__name__} {index}: {error!r}')

    def start(self):
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()


class Images(threading.Thread):
    """Writes and reads the replica, in turns, until told to stop."""

    def __init__(self, node):
        super().__init__()
        self.node, self.rounds, self.error = node, 0, None
        self.stopping = threading.Event()

    def run(self):
        source, copy = self.node.path('source.img'), self.node.path('copy.img')
        try:
            while self.rounds == 0 or not self.stopping.is_set():
                with open(source, 'wb') as file:
                    file.write(os.urandom(MIB) * (IMAGE // MIB))
                self.node.cli('image', 'import', 'r', source)
                if os.path.exists(copy):
                    os.remove(copy)
                self.node.cli('image', 'export', 'r', copy)
                assert sha256(source) == sha256(copy), f'round {self.rounds} differs'
                self.rounds += 1
        except Exception as error:      # noqa: BLE001: reported by the test
            self.error = error


class ThousandClients(unittest.TestCase):
    def crowds(self, *flags):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < 3 * CLIENTS:
            self.skipTest(f'needs {3 * CLIENTS} open files, the limit is {hard}')
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        node = Node()
        self.addCleanup(node.close)
        node.start('--drpc-hello', *flags)
        node.cli('pool', 'create', 'p', node.disk('disk.img', 64))
        node.cli('replica', 'create', 'r', 'p', '--size', '16MiB', '--thin')
        images = Images(node)
        images.start()
        crowds = [Crowd(JsonRpc, node.path('rpc.sock')), Crowd(Drpc, node.path('drpc.sock'))]
        for crowd in crowds:
            crowd.start()
        for crowd in crowds:
            crowd.join()
        images.stopping.set()
        images.join()
        for crowd in crowds:
            self.assertEqual(crowd.errors[:5], [])
            self.assertEqual(crowd.answered, CLIENTS * CALLS)
        self.assertIsNone(images.error)
        self.assertGreater(images.rounds, 0)
        self.assertEqual(node.stop(), 0, node.log())

    def test_all_are_served_at_once(self):
        self.crowds('--rpc-connections', str(CLIENTS))

    def test_those_without_a_place_wait_for_one(self):
        self.crowds()


if __name__ == '__main__':
    unittest.main()
