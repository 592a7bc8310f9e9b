#!/usr/bin/python3
"""gRPC's standard interoperability cases: grpc-go's client against our server
(grpc_interop_server.cc) over TCP and TLS, and our client (grpc_interop_client.cc) against grpc-go's
server. And h2spec, which says everything to an HTTP/2 server that RFC 7540 warns of. All three are
built through the Go module proxy into build/tools; without Go or the proxy these tests are skipped
and say so."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import BIN, ROOT, free_port, wait_until  # noqa: E402

GRPC_GO = 'v1.67.1'
TOOLS = os.path.join(ROOT, 'build', 'tools', f'grpc-go-{GRPC_GO}')
H2SPEC = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible'

# What grpc-go's client knows; those for Google's clouds and for load balancing are left out, and it
# has none for compression. The soaks are large calls over and over, on one connection and on new
# ones.
CASES = ('empty_unary', 'large_unary', 'client_streaming', 'server_streaming', 'ping_pong',
         'empty_stream', 'timeout_on_sleeping_server', 'cancel_after_begin',
         'cancel_after_first_response', 'status_code_and_message', 'special_status_message',
         'custom_metadata', 'unimplemented_method', 'unimplemented_service', 'pick_first_unary')
SOAKS = ('rpc_soak', 'channel_soak')

ROUNDS = 3  # of h2spec: some of its cases send one frame too many, at once or a moment later

# What h2spec may find; src/wire/grpc/PROTOCOL.md ("h2spec") says why.
EXCEPTIONS = {'Sends PRIORITY frame that depend on itself'}


def go_program(package, name):
    """The program, or the reason to skip."""
    program = os.path.join(TOOLS, name)
    if os.path.exists(program):
        return program
    go = shutil.which('go') or shutil.which('/usr/local/go/bin/go')
    if not go:
        raise unittest.SkipTest(f'Go is not installed; {name} is not tried')
    try:
        built = subprocess.run([go, 'install', '-modcacherw', package], capture_output=True,
                               text=True, timeout=300, check=False,
                               env={**os.environ, 'GOBIN': TOOLS})
    except subprocess.TimeoutExpired as late:
        raise unittest.SkipTest(f'building {name} took more than five minutes') from late
    if built.returncode != 0:
        last = (built.stderr.strip().splitlines() or [''])[-1]
        raise unittest.SkipTest(f'{name} could not be built: {last}')
    return program


def certificate(folder):
    """A certificate of its own authority for test.example."""
    paths = os.path.join(folder, 'cert.pem'), os.path.join(folder, 'key.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=test.example', '-addext',
                    'subjectAltName=DNS:test.example', '-days', '2', '-keyout', paths[1],
                    '-out', paths[0]], check=True, capture_output=True, timeout=60)
    return paths


class OurServer:
    def __init__(self, test, *flags):
        self.process = subprocess.Popen([os.path.join(BIN, 'grpc-interop-server'), *flags],
                                        stdout=subprocess.PIPE, text=True)
        test.addCleanup(self.close)
        said = re.fullmatch(r'port (\d+)\n', self.process.stdout.readline())
        test.assertTrue(said)
        self.port = said[1]

    def close(self):
        """Whatever was done to it, it ends in order: the sanitizers have no complaint."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.process.stdout.close()
        if code != 0:
            raise AssertionError(f'our server ended with {code}')


class GrpcGoClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = go_program(f'google.golang.org/grpc/interop/client@{GRPC_GO}', 'client')

    def good(self, server, case, *flags):
        with self.subTest(case):
            done = subprocess.run([self.client, '-server_host', '127.0.0.1', '-server_port',
                                   server.port, '-test_case', case, *flags],
                                  capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_standard_cases(self):
        server = OurServer(self)
        for case in CASES:
            self.good(server, case)

    def test_standard_cases_with_compressed_answers(self):
        server = OurServer(self, '--gzip')
        for case in CASES:
            self.good(server, case)

    def test_standard_cases_over_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            cert, key = certificate(folder)
            server = OurServer(self, '--tls', cert, key)
            for case in CASES:
                self.good(server, case, '-use_tls', '-use_test_ca', '-ca_file', cert,
                          '-server_host_override', 'test.example')

    def test_soak(self):
        server = OurServer(self)
        for case in SOAKS:
            self.good(server, case, '-soak_iterations', '200')

    def test_a_case_that_must_fail_fails(self):
        """The client does look: our server has no such method to sleep in."""
        server = OurServer(self)
        done = subprocess.run([self.client, '-server_host', '127.0.0.1', '-server_port',
                               server.port, '-test_case', 'orca_per_rpc'], capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)


class GrpcGoServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = go_program(f'google.golang.org/grpc/interop/server@{GRPC_GO}', 'server')

    def start(self, *flags):
        port = free_port()
        process = subprocess.Popen([self.server, '-port', str(port), *flags],
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def listens():
            self.assertIsNone(process.poll())
            with socket.socket() as probe:
                return probe.connect_ex(('127.0.0.1', port)) == 0
        wait_until(listens, 60, "grpc-go's server to listen")
        return str(port)

    def all_good(self, port, *more):
        done = subprocess.run([os.path.join(BIN, 'grpc-interop-client'), '127.0.0.1', port, *more],
                              capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(re.findall(r'^ok ', done.stdout, re.M)), 15)

    def test_standard_cases(self):
        self.all_good(self.start())

    def test_standard_cases_over_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            cert, key = certificate(folder)
            port = self.start('-use_tls', '-tls_cert_file', cert, '-tls_key_file', key)
            self.all_good(port, cert, 'test.example')


class H2spec(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = go_program(H2SPEC, 'h2spec')

    def test_everything(self):
        server = OurServer(self)
        for _ in range(ROUNDS):
            self.look(server)

    def look(self, server):
        done = subprocess.run([self.program, '-h', '127.0.0.1', '-p', server.port, '-P',
                               '/grpc.testing.TestService/EmptyCall', '-o', '10'],
                              capture_output=True, text=True, timeout=590, check=False)
        total = re.search(r'(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed', done.stdout)
        self.assertTrue(total, done.stdout + done.stderr)
        failed = set(re.findall(r'× \d+: (.*)', done.stdout))
        self.assertEqual(failed - EXCEPTIONS, set(), done.stdout[done.stdout.find('Failures:'):])
        self.assertGreaterEqual(int(total[2]), 145 - len(EXCEPTIONS))


if __name__ == '__main__':
    unittest.main()
