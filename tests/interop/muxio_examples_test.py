#!/usr/bin/python3
"""The clients of examples/ against our wire: Python always; TypeScript where node and npm are
installed and the registry can be reached, else it is skipped and says why."""
import os
import shutil
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
from limited import last_line, run_limited  # noqa: E402
from muxio_clients_test import SERVERS, TOOLS  # noqa: E402
from node import ROOT, Node  # noqa: E402

EXAMPLES = os.path.join(ROOT, 'examples')
sys.path.insert(0, os.path.join(EXAMPLES, 'muxio-python'))
from capstan_muxio import Client, DataStore, MuxioError, method_id  # noqa: E402

HASHES = {'': 0x2d06800538d394c2, 'a': 0xe6c632b61e964e1f, 'abc': 0x78af5f94892f3950,
          'hello': 0x9555e8555c62dcfd, '0123456789abcdef': 0x64439946d8fa212d,
          '0123456789abcdefg': 0xd2e63ed5466f5c32, 'write': 0x3ec2ad5c308c53da,
          'batch_write': 0xb0207c59d9b60457, 'file_size': 0x720ea1f40d3468c2}


class Python(unittest.TestCase):
    def test_method_ids(self):
        for name, wanted in HASHES.items():
            self.assertEqual(method_id(name), wanted, name)

    def test_store(self):
        for server in SERVERS:
            with self.subTest(server=server.__name__), server() as served:
                with Client('127.0.0.1', served.port) as client:
                    self.use_store(client)

    def use_store(self, client):
        store = DataStore(client)
        self.assertTrue(store.is_empty())
        self.assertEqual(store.write(b'hello', b'world'), 25)
        self.assertEqual(store.read(b'hello'), b'world')
        self.assertIsNone(store.read(b'nope'))
        store.batch_write([(b'k1', b'v1'), (b'k2', b'v22')])
        self.assertEqual(store.batch_read([b'k1', b'nope', b'k2']), [b'v1', None, b'v22'])
        for size in (1, 2, 3, 254, 255, 256, 65500, 65536, 200000):
            for modulus in (1, 2, 16, 251):
                value = bytes([1]) + bytes(i % modulus for i in range(1, size))
                store.write(b'sized', value)
                self.assertEqual(store.read(b'sized'), value)
        self.assertEqual(len(store), 4)
        with self.assertRaisesRegex(MuxioError, '^Payload cannot be empty.$'):
            store.write(b'bad', b'')
        with self.assertRaisesRegex(MuxioError, 'does not know'):
            client.call('no.Such/Method', b'')
        tail = store.delete(b'hello')
        self.assertEqual(store.file_size(), tail)
        self.assertFalse(store.exists(b'hello'))

    def test_any_operation_of_a_node(self):
        node = Node()
        self.addCleanup(node.close)
        node.start('--kv', f'main={node.path("main.kv")}')
        service = 'capstan.datastore.v1.DataStoreRpc/'
        with Client('127.0.0.1', node.port) as client:
            # WriteStreamRequest {key: "k", data: "one"} and {data: "two"}
            stored = client.upload(service + 'WriteStream', [b'\n\x01k\x12\x03one', b'\x12\x03two'])
            self.assertEqual(stored, [b'\x08\x1a'])                        # tail_offset: 26
            self.assertEqual(DataStore(client).read(b'k'), b'onetwo')
            pieces = list(client.stream(service + 'ReadStream', b'\n\x01k'))
            self.assertEqual(pieces, [b'\x08\x06\x12\x06onetwo'])          # size_bytes: 6
            with self.assertRaisesRegex(MuxioError, "^NOT_FOUND: store 'main': Key 'x' not found$"):
                list(client.stream(service + 'ReadStream', b'\n\x01x'))
        with Client('127.0.0.1', node.port) as client:
            self.assertTrue(client.call('capstan.node.v1.NodeRpc/GetVersion', b''))
            pool = b'\n\x01p\x1a\x05/none'         # CreatePoolRequest {name: "p", disks: "/none"}
            with self.assertRaisesRegex(MuxioError, '^[A-Z_]+: .*none'):
                client.call('mayastor.v1.PoolRpc/CreatePool', pool)


def typescript_client():
    """The folder with the built client, or why it cannot be had."""
    for tool in ('node', 'npm'):
        if not shutil.which(tool):
            return None, f'{tool} is not installed; the TypeScript client is not tried'
    folder = os.path.join(TOOLS, 'muxio-typescript')
    source = os.path.join(EXAMPLES, 'muxio-typescript')
    shutil.rmtree(os.path.join(folder, 'src'), ignore_errors=True)
    shutil.copytree(os.path.join(source, 'src'), os.path.join(folder, 'src'))
    for name in ('package.json', 'tsconfig.json', 'check.mjs'):
        shutil.copy2(os.path.join(source, name), folder)
    if not os.path.isdir(os.path.join(folder, 'node_modules', 'typescript')):
        code, said = run_limited(['npm', 'install', '--no-audit', '--no-fund'], 180, cwd=folder)
        if code != 0:
            return None, f'npm cannot install what the TypeScript client needs: {last_line(said)}'
    return folder, ''


class TypeScript(unittest.TestCase):
    def test_client(self):
        folder, why = typescript_client()
        if not folder:
            self.skipTest(why)
        code, said = run_limited(['npm', 'run', 'build'], 180, cwd=folder)
        self.assertEqual(code, 0, said)
        for server in SERVERS:
            with self.subTest(server=server.__name__), server() as served:
                code, said = run_limited(
                    ['node', 'check.mjs', f'ws://127.0.0.1:{served.port}/ws'], 120, cwd=folder)
                self.assertEqual((code, last_line(said)), (0, 'ok'), said)


if __name__ == '__main__':
    unittest.main()
