#!/usr/bin/python3
"""The released DataStore clients, unmodified, against our wire: the Rust client of two generations
(crates registry) and the Python client (PyPI), each making its own calls. Served by a store in
memory behind the node's own door (memory_store.cc) and by a node with a store in a file. Without
cargo, pip or a registry a client is skipped and the test says why; our program around it must
build. Programs are built into build/tools."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
from limited import last_line, run_limited  # noqa: E402
from node import BIN, ROOT, Node  # noqa: E402

RUST_VERSIONS = ('0.15.5-alpha', '0.16.3-alpha')     # muxio 0.9 and 0.10
PYTHON_PACKAGE = 'simd-r-drive-ws-client==0.11.1a0'
TOOLS = os.path.join(ROOT, 'build', 'tools')
BUILD_SECONDS = 900
PROGRAM = 'capstan-datastore-client'


class Broken(Exception):
    """A client that is there and does not work."""


def cargo_install(crate, version):
    """The program of that crate, installed into build/tools, or why it cannot be had."""
    root = os.path.join(TOOLS, f'{crate}-{version}')
    program = os.path.join(root, 'bin', crate)
    if os.path.exists(program):
        return program, ''
    cargo = shutil.which('cargo') or shutil.which(os.path.expanduser('~/.cargo/bin/cargo'))
    if not cargo:
        return None, f'cargo is not installed; {crate} is not tried'
    code, said = run_limited([cargo, 'install', crate, '--version', f'={version}', '--root', root,
                              '--target-dir', os.path.join(root, 'target')], BUILD_SECONDS)
    if code != 0:
        return None, f'{crate} {version} cannot be installed: {last_line(said)}'
    return program, ''


def rust_client(version):
    """The program built with that version of the client, or why it cannot be had."""
    program = os.path.join(TOOLS, f'datastore-client-{version}')
    source = os.path.join(HERE, 'rust_client')
    if os.path.exists(program) and all(
            os.path.getmtime(f) < os.path.getmtime(program)
            for f in glob.glob(source + '/**/*.*', recursive=True)):
        return program, ''
    cargo = shutil.which('cargo') or shutil.which(os.path.expanduser('~/.cargo/bin/cargo'))
    if not cargo:
        return None, 'cargo is not installed; the Rust client is not tried'
    folder = os.path.join(TOOLS, f'rust-{version}')
    shutil.rmtree(os.path.join(folder, 'src'), ignore_errors=True)
    shutil.copytree(os.path.join(source, 'src'), os.path.join(folder, 'src'))
    with open(os.path.join(source, 'Cargo.toml.in'), encoding='utf-8') as file:
        manifest = file.read().replace('@VERSION@', version)
    with open(os.path.join(folder, 'Cargo.toml'), 'w', encoding='utf-8') as file:
        file.write(manifest)
    code, said = run_limited([cargo, 'fetch'], 120, cwd=folder)
    if code != 0:
        return None, f'the crates cannot be fetched: {last_line(said)}'
    code, said = run_limited([cargo, 'build', '--release', '--offline'], BUILD_SECONDS, cwd=folder)
    if code != 0:
        if f'could not compile `{PROGRAM}`' in said:
            raise Broken(f'our program around the Rust client {version} does not build:\n{said}')
        return None, f'the crates of {version} do not build: {last_line(said)}'
    shutil.copy2(os.path.join(folder, f'target/release/{PROGRAM}'), program)
    return program, ''


def python_client():
    """The folder to import the client from, or why it cannot be had."""
    folder = os.path.join(TOOLS, 'python-client')
    if os.path.isdir(os.path.join(folder, 'simd_r_drive_ws_client')):
        return folder, ''
    for pip in ([sys.executable, '-m', 'pip'], [shutil.which('pip3') or 'pip3']):
        code, said = run_limited(
            [*pip, 'install', '--no-deps', '--only-binary=:all:', '--python-version',
             f'{sys.version_info[0]}.{sys.version_info[1]}', '--target', folder, PYTHON_PACKAGE],
            120) if shutil.which(pip[0]) else (1, f'{pip[0]} is not installed')
        if code == 0:
            return folder, ''
    return None, f'{PYTHON_PACKAGE} cannot be installed: {last_line(said)}'


class Store:
    """The store in memory as a child process; one for each test, so that it is empty."""

    def __enter__(self):
        self.process = subprocess.Popen([os.path.join(BIN, 'muxio-memory-store')],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith('port '):
            raise AssertionError(f'the store in memory does not start: {line!r}')
        self.port = int(line.split()[1])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.code = self.process.wait(30)
        self.process.stdout.close()


class NodeStore:
    """A node with an empty store in a file."""

    def __enter__(self):
        self.node = Node()
        self.node.start('--kv', f'first={self.node.path("first.kv")}')
        self.port = self.node.port
        return self

    def __exit__(self, *_):
        self.code = self.node.stop()
        self.node.close()


SERVERS = (Store, NodeStore)


class RustClient(unittest.TestCase):
    def check(self, version):
        program, why = rust_client(version)
        if not program:
            self.skipTest(why)
        for server in SERVERS:
            with self.subTest(server=server.__name__):
                with server() as store:
                    code, said = run_limited([program, 'check', '127.0.0.1', str(store.port)], 300)
                self.assertEqual((code, last_line(said)), (0, 'ok'), said)
                self.assertEqual(store.code, 0)

    def test_muxio_0_9(self):
        self.check(RUST_VERSIONS[0])

    def test_muxio_0_10(self):
        self.check(RUST_VERSIONS[1])


class PythonClient(unittest.TestCase):
    """What upstream's integration tests do, through the same calls."""

    @classmethod
    def setUpClass(cls):
        cls.folder, why = python_client()
        if not cls.folder:
            raise unittest.SkipTest(why)

    def run_script(self, script):
        """A process of its own: a client that hangs must not hang the tests."""
        for server in SERVERS:
            with self.subTest(server=server.__name__):
                self.run_against(server, script)

    def run_against(self, server, script):
        with server() as store, tempfile.NamedTemporaryFile('w', suffix='.py') as file:
            file.write('import sys\nsys.path.insert(0, sys.argv[1])\n'
                       'from simd_r_drive_ws_client import DataStoreWsClient, NamespaceHasher\n'
                       'def connect():\n'
                       '    return DataStoreWsClient("127.0.0.1", int(sys.argv[2]))\n' + script)
            file.flush()
            code, said = run_limited([sys.executable, file.name, self.folder, str(store.port)],
                                     120)
        self.assertEqual(code, 0, said)

    def test_empty_store_then_counts(self):
        self.run_script('''
c = connect()
assert len(c) == 0 and c.is_empty() and c.file_size() == 0
c.write(b"a", b"1")
assert len(c) == 1 and not c.is_empty() and b"a" in c and c.exists(b"a")
c.write(b"a", b"2")
assert len(c) == 1 and c.read(b"a") == b"2"
c.delete(b"a"); c.delete(b"a")
assert len(c) == 0 and c.is_empty() and c.file_size() > 0 and c.read(b"a") is None
''')

    def test_batches(self):
        self.run_script('''
import os
c = connect()
items = [(f"k{i}".encode(), os.urandom(256 * 1024)) for i in range(4)]
c.batch_write(items)
assert c.batch_read([k for k, _ in items]) == [v for _, v in items]
assert c.batch_read([b"k0", b"missing", b"k1"]) == [items[0][1], None, items[1][1]]
assert c.batch_read([]) == []
c.write(b"name", b"n"); c.write(b"age", b"42")
assert c.batch_read_structured({"x": b"name", "y": b"none"}) == {"x": b"n", "y": None}
assert c.batch_read_structured([{"x": b"name"}, {"y": b"age"}]) == [{"x": b"n"}, {"y": b"42"}]
''')

    def test_one_connection_from_an_empty_store_on(self):
        """The order of upstream's own suite: each step counts on what the one before it left."""
        self.run_script('''
import secrets
c = connect()
assert c.is_empty() and len(c) == 0 and c.file_size() == 0
assert not c.exists(b"testing") and b"testing" not in c
c.write(b"testing", b"123")
assert c.exists(b"testing") and b"testing" in c and len(c) == 1 and c.file_size() > 0
c.delete(b"testing")
assert c.is_empty() and len(c) == 0 and c.file_size() > 0
c.write(b"simple-key", b"hello")
assert c.read(b"simple-key") == b"hello"

def fresh(n):
    return [(secrets.token_hex(8).encode(), b"value-%d" % i) for i in range(n)]
before, three = len(c), fresh(3)
c.batch_write(three)
assert len(c) == before + 3 and all(c.read(k) == v for k, v in three)

before, (one, two) = len(c), [k for k, _ in fresh(2)]
for change, more in ((lambda: c.write(one, b"1"), 1), (lambda: c.write(one, b"1, updated"), 1),
                     (lambda: c.write(two, b"2"), 2), (lambda: c.delete(one), 1),
                     (lambda: c.delete(one), 1), (lambda: c.delete(two), 0)):
    change()
    assert len(c) == before + more, (len(c), before, more)

before, three = len(c), fresh(3)
c.batch_write(three)
c.delete(three[1][0])
assert len(c) == before + 2
assert c.batch_read([k for k, _ in three]) == [three[0][1], None, three[2][1]]
try:
    c.batch_read_structured([b"no dictionary"])
except TypeError:
    pass
else:
    raise AssertionError("a list of keys is no list of dictionaries")
''')

    def test_refusals(self):
        self.run_script('''
c = connect()
for value, why in ((b"", "Payload cannot be empty."),
                   (b"\\0", "NULL-byte payloads cannot be written directly.")):
    try:
        c.write(b"k", value)
    except OSError as error:
        assert why in str(error), error
    else:
        raise AssertionError(value)
assert c.read(b"k") is None
''')

    def test_threads_with_connections_of_their_own(self):
        self.run_script('''
import threading
failed = []
def work(n):
    try:
        c = connect()
        for i in range(50):
            key = f"{n}-{i}".encode()
            c.write(key, key * 10)
            assert c.read(key) == key * 10
    except Exception as error:
        failed.append(error)
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert not failed, failed
assert len(connect()) == 400
''')

    def test_namespaces(self):
        self.run_script('''
c = connect()
one, two = NamespaceHasher(b"namespace1"), NamespaceHasher(b"namespace2")
assert one.namespace(b"key1").hex() == "7c066c9df2e6eccbe229d8d50c074d38"
c.write(one.namespace(b"key1"), b"1"); c.write(two.namespace(b"key1"), b"2")
assert c.read(one.namespace(b"key1")) == b"1" and c.read(two.namespace(b"key1")) == b"2"
''')


if __name__ == '__main__':
    unittest.main()
