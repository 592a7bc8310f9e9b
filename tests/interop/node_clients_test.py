#!/usr/bin/python3
"""Official gRPC clients of several languages against a real node, in clear text and over TLS:
lists, errors with their details, metadata, streams of events, deadlines, many calls at once. grpc++
(the system's, see CMakeLists.txt), @grpc/grpc-js (npm registry) and tonic (crates registry); what
cannot be had is skipped and says so. grpcio and grpc-go have theirs in tests/conformance. Programs
are built into build/tools."""
import glob
import os
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
from limited import last_line, run_limited  # noqa: E402
from node import BIN, ROOT, Node  # noqa: E402

TOOLS = os.path.join(ROOT, 'build', 'tools')
API = os.path.join(ROOT, 'api')
GRPC_JS = '@grpc/grpc-js@1.14.0', '@grpc/proto-loader@0.8.0'
CASES = ['list', 'error', 'metadata', 'events', 'deadline']
BUILD_SECONDS = 900


def cpp_client():
    program = os.path.join(BIN, 'grpc-cpp-client')
    if not os.path.exists(program):
        raise unittest.SkipTest('libgrpc++-dev or protobuf-compiler-grpc is not installed; grpc++ '
                                'is not tried')
    # What grpc++'s resolver leaves behind at its end is not ours.
    return ['env', 'ASAN_OPTIONS=detect_leaks=0', program], []


def js_client():
    folder = os.path.join(TOOLS, 'grpc-js')
    node = shutil.which('node')
    npm = shutil.which('npm')
    if not node or not npm:
        raise unittest.SkipTest('node and npm are not installed; @grpc/grpc-js is not tried')
    if not os.path.isdir(os.path.join(folder, 'node_modules', '@grpc', 'proto-loader')):
        os.makedirs(folder, exist_ok=True)
        code, said = run_limited([npm, 'install', '--no-audit', '--no-fund', '--prefix', folder,
                                  *GRPC_JS], 300)
        if code != 0:
            raise unittest.SkipTest(f'@grpc/grpc-js cannot be installed: {last_line(said)}')
    program = os.path.join(folder, 'client.js')
    shutil.copy2(os.path.join(HERE, 'grpc_js_client.js'), program)
    descriptors = os.path.join(folder, 'node.binpb')
    subprocess.run(['protoc', '-Imayastor/v1', '-I.', '--include_imports',
                    f'--descriptor_set_out={descriptors}', 'pool.proto', 'node/node.proto'],
                   cwd=API, check=True)
    return [node, program], [descriptors]


def tonic_client():
    source, folder = os.path.join(HERE, 'tonic_client'), os.path.join(TOOLS, 'tonic-client')
    program = os.path.join(folder, 'target', 'release', 'capstan-tonic-client')
    newest = max(os.path.getmtime(f) for pattern in (source + '/**/*.*', API + '/**/*.proto')
                 for f in glob.glob(pattern, recursive=True))
    if os.path.exists(program) and os.path.getmtime(program) > newest:
        return [program], []
    cargo = shutil.which('cargo') or shutil.which(os.path.expanduser('~/.cargo/bin/cargo'))
    if not cargo:
        raise unittest.SkipTest('cargo is not installed; tonic is not tried')
    shutil.copytree(source, folder, dirs_exist_ok=True)
    code, said = run_limited([cargo, 'fetch'], 300, cwd=folder)
    if code != 0:
        raise unittest.SkipTest(f'tonic cannot be fetched: {last_line(said)}')
    code, said = run_limited([cargo, 'build', '--release', '--offline'], BUILD_SECONDS, cwd=folder,
                             env={**os.environ, 'CAPSTAN_API': API})
    if code is None:
        raise unittest.SkipTest(f'building the tonic client {said}')
    if code != 0:
        raise AssertionError(f'the tonic client does not build:\n{said}')
    os.utime(program)
    return [program], []


class NodeClients(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)

    def foreign(self):
        """An encrypted disk, as far as its first bytes tell."""
        path = self.node.disk('foreign.img', 64)
        with open(path, 'r+b') as file:
            file.write(b'LUKS\xba\xbe\0\1')
        return path

    def tls(self):
        pem, key = self.node.path('node.pem'), self.node.path('node.key')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                        'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost', '-addext',
                        'subjectAltName=IP:127.0.0.1,DNS:localhost', '-addext',
                        'basicConstraints=critical,CA:FALSE', '-days', '2', '-keyout', key,
                        '-out', pem], check=True, capture_output=True, timeout=60)
        self.node.scheme, self.node.client_flags = 'https://', ['--tls-ca', pem]
        return ['--tls-cert', pem, '--tls-key', key], [pem]

    def check(self, client, more, *, tls=False):
        command, arguments = client()
        flags, authority = self.tls() if tls else ([], [])
        self.node.start(*flags)
        address = f'localhost:{self.node.port}' if tls else f'127.0.0.1:{self.node.port}'
        code, said = run_limited([*command, address, self.node.disk(mebibytes=64), self.foreign(),
                                  *arguments, *authority], 120)
        self.assertEqual(code, 0, said)
        self.assertEqual([line for line in said.splitlines() if line.startswith('ok ')],
                         [f'ok {case}' for case in [*CASES, *more]])
        self.assertEqual(self.node.stop(), 0, self.node.log())

    def test_grpc_cpp(self):
        self.check(cpp_client, ['gzip', 'many'])

    def test_grpc_cpp_over_tls(self):
        self.check(cpp_client, ['gzip', 'many'], tls=True)

    def test_grpc_js(self):
        self.check(js_client, ['many'])

    def test_grpc_js_over_tls(self):
        self.check(js_client, ['many'], tls=True)

    def test_tonic(self):
        self.check(tonic_client, ['gzip', 'many'])

    def test_tonic_over_tls(self):
        self.check(tonic_client, ['gzip', 'many'], tls=True)


if __name__ == '__main__':
    unittest.main()
