#!/usr/bin/python3
"""Shared replicas as a host sees them, through an initiator that shares no code with the node."""
import os
import socket
import sys
import unittest
from urllib.parse import urlparse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
import node as support  # noqa: E402
from node import MIB, Node, free_port  # noqa: E402
from nvme_host import DISCOVERY, HOST_NQN, Host, Queue, Refused, discover  # noqa: E402

PREFIX = 'nqn.2019-05.io.openebs:'


def pattern(seed, length):
    return bytes((seed * 31 + i * 7 + (i >> 9)) & 0xFF for i in range(length))


class Shares(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.port = free_port()
        self.flags = ['--nvmf-replica-port', str(self.port)]
        self.node.start(*self.flags)
        self.disk = self.node.disk()
        self.node.cli('pool', 'create', 'p', self.disk)
        self.address = ('127.0.0.1', self.port)

    def make(self, name, *flags):
        self.node.cli('replica', 'create', name, 'p', '--size', '32MiB', '--thin', *flags)
        return self.node.replicas()[name]

    def connect(self, name, **who):
        host = Host(self.address, PREFIX + name, **who)
        self.addCleanup(host.close)
        return host

    def test_acknowledged_data_survives_kill_9(self):
        made = self.make('r1', '--protocol', 'nvmf')
        uri = urlparse(made['uri'])
        self.assertEqual((uri.scheme, uri.hostname, uri.port), ('nvmf+tcp', *self.address))
        self.assertEqual((uri.path, uri.query), (f'/{PREFIX}r1', f'uuid={made["uuid"]}'))
        host = self.connect('r1')
        self.assertEqual(str(host.nguid), made['uuid'])
        self.assertEqual(host.blocks * host.block_size, 32 * MIB)
        self.assertEqual(host.model, 'Mayastor NVMe controller')
        self.assertEqual((host.serial[:3], len(host.serial)), ('DCS', 20))
        pieces = {0: 4096, MIB: 8192, 5 * MIB + 4096: 65536, 31 * MIB: 131072}
        for offset, length in pieces.items():
            host.write(offset, pattern(offset, length))
        host.flush()
        for offset, length in pieces.items():
            self.assertEqual(host.read(offset, length), pattern(offset, length))
        self.node.kill()
        self.assertTrue(host.io.closed())
        self.node.start(*self.flags)
        self.assertEqual(self.node.replicas()['r1']['uri'], made['uri'])
        again = self.connect('r1')
        self.assertEqual((again.nguid, again.serial), (host.nguid, host.serial))
        for offset, length in pieces.items():
            self.assertEqual(again.read(offset, length), pattern(offset, length))
        self.assertEqual(again.read(16 * MIB, 4096), bytes(4096))
        again.close()
        self.assertEqual(self.node.stop(), 0)
        self.assertEqual(support.check_pool(self.disk), '')

    def test_discovery_and_allowed_hosts(self):
        self.make('r1', '--protocol', 'nvmf')
        self.make('r2')
        self.node.cli('replica', 'share', self.node.replicas()['r2']['uuid'], 'nvmf',
                      '--allowed-host', 'nqn.2014-08.org.example:other')
        seen = discover(self.address)
        self.assertEqual(seen[PREFIX + 'r1'], [self.address])
        self.assertNotIn(PREFIX + 'r2', seen, 'this host may not use it')
        self.assertIn(DISCOVERY, seen)
        with self.assertRaises(Refused) as refused:
            Queue(self.address, PREFIX + 'r2')
        self.assertEqual(refused.exception.code, (1, 0x84))
        self.connect('r2', host_nqn='nqn.2014-08.org.example:other')
        with self.assertRaises(Refused):
            Queue(self.address, PREFIX + 'r3', host_nqn=HOST_NQN)

    def test_a_host_of_a_replica_that_goes_away(self):
        made = self.make('r1', '--protocol', 'nvmf')
        host = self.connect('r1')
        host.write(0, pattern(1, 4096))
        self.node.cli('replica', 'unshare', made['uuid'])
        self.assertTrue(host.io.closed())
        self.assertEqual(self.node.replicas()['r1']['uri'], f'bdev:///r1?uuid={made["uuid"]}')
        self.node.cli('replica', 'share', made['uuid'], 'nvmf')
        host = self.connect('r1')
        self.assertEqual(host.read(0, 4096), pattern(1, 4096))
        self.node.cli('pool', 'export', 'p')
        self.assertTrue(host.admin.closed())
        self.node.cli('pool', 'import', 'p', self.disk)
        self.assertEqual(self.connect('r1').read(0, 4096), pattern(1, 4096))
        self.node.cli('replica', 'destroy', made['uuid'])
        self.assertEqual(list(discover(self.address)), [DISCOVERY])

    def test_a_port_that_is_taken(self):
        other = Node()
        self.addCleanup(other.close)
        code, text = other.run_to_end(*self.flags)
        self.assertEqual(code, 1)
        self.assertIn(str(self.port), text)

    def test_fixed_bug_a_default_port_that_is_taken(self):
        """Nodes beside each other have the same default port: the second one does without."""
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind(('127.0.0.1', 8420))
                holder.listen()
            except OSError:
                pass    # somebody else has it
            other = Node()
            self.addCleanup(other.close)
            other.start(environment={'CAPSTAN_NVMF_REPLICA_PORT': None,
                                     'CAPSTAN_NVMF_NEXUS_PORT': None})
            self.assertIn('no_nvme_target', other.log())
            self.assertIn('8420', other.log())
            self.assertEqual(other.stop(), 0)


if __name__ == '__main__':
    unittest.main()
