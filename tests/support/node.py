"""A real node as a child process, for tests that see it only from outside.

CAPSTAN_BIN names the folder of the programs (default build/asan/bin), CAPSTAN_RELEASE_BIN that of
the release build. Every node gets a folder of its own for disks and state, and a free port.
"""
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get('CAPSTAN_BIN', os.path.join(ROOT, 'build', 'asan', 'bin'))
RELEASE_BIN = os.environ.get('CAPSTAN_RELEASE_BIN', os.path.join(ROOT, 'build', 'release', 'bin'))
MIB = 1 << 20
START_SECONDS = 60     # a sanitizer build on a busy machine
STOP_SECONDS = 60


GIVEN_PORTS = set()


def free_port():
    """A port that nobody else gets meanwhile: no port that the kernel chooses for others (port 0,
    connections), and none twice."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
        if port not in GIVEN_PORTS:
            GIVEN_PORTS.add(port)
            return port


def sha256(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for part in iter(lambda: file.read(MIB), b''):
            digest.update(part)
    return digest.hexdigest()


def wait_until(condition, seconds, what):
    """Polls; other processes give no better signal than their visible state. `what` may be a
    function, for what is only known when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'waited {seconds} s for {what() if callable(what) else what}')
        time.sleep(0.02)


def call(node, method, **params):
    """One JSON-RPC call; an error object is raised as RuntimeError(code, message)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(node.path('rpc.sock'))
        request = {'jsonrpc': '2.0', 'id': 1, 'method': method}
        if params:
            request['params'] = params
        client.sendall(json.dumps(request).encode())
        text = b''
        while True:
            part = client.recv(65536)
            text += part
            try:
                answer = json.loads(text)
                break
            except ValueError:
                if not part:
                    raise
    if 'error' in answer:
        raise RuntimeError(answer['error']['code'], answer['error']['message'])
    return answer['result']


class Process:
    """A program under test with a log file; `process` is None before its first start."""
    process = None
    log_path = ''

    def stop(self):
        """Asks it to end and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()

    def log(self):
        try:
            with open(self.log_path, encoding='utf-8', errors='replace') as file:
                return file.read()
        except OSError:
            return ''


class Node(Process):
    def __init__(self, folder=None, bin_folder=BIN):
        self.bin = bin_folder
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix='capstan-test-')
        self.state = os.path.join(self.folder, 'state')
        self.log_path = os.path.join(self.folder, 'node.log')
        self.port = free_port()
        self.scheme = ''         # "https://" when the node speaks TLS
        self.bind = ''           # the address when it is not gRPC's
        self.client_flags = []   # further flags of every capstan command

    # --- the process ---
    def command(self, *flags):
        return [os.path.join(self.bin, 'io-engine'), '--grpc-ip', '127.0.0.1',
                '--grpc-port', str(self.port), '--state-dir', self.state,
                '-r', os.path.join(self.folder, 'rpc.sock'), *flags]

    def start(self, *flags, environment=None, seconds=START_SECONDS):
        """A variable that is None is not set."""
        variables = {**os.environ, 'CAPSTAN_DRPC_SOCKET': self.path('drpc.sock'),
                     'CAPSTAN_NVMF_REPLICA_PORT': '0', 'CAPSTAN_NVMF_NEXUS_PORT': '0',
                     **(environment or {})}
        variables = {name: value for name, value in variables.items() if value is not None}
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(self.command(*flags), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=variables)
        wait_until(self.answers, seconds, lambda: 'the node to answer; its log:\n' + self.log())
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f'the node ended with {self.process.returncode}:\n{self.log()}')
        return self.cli('node', 'version', check=False).returncode == 0

    def run_to_end(self, *flags, seconds=START_SECONDS):
        """For starts that must fail: exit code and everything it printed."""
        done = subprocess.run(self.command(*flags), capture_output=True, text=True,
                              timeout=seconds, stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout + done.stderr

    def close(self):
        super().close()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- the command line client ---
    def cli_command(self, *arguments):
        return [os.path.join(self.bin, 'capstan'), '--bind',
                self.bind or f'{self.scheme}127.0.0.1:{self.port}', *self.client_flags,
                *map(str, arguments)]

    def cli(self, *arguments, check=True):
        done = subprocess.run(self.cli_command(*arguments), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=300, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f'capstan {" ".join(map(str, arguments))} ended with '
                                 f'{done.returncode}:\n{done.stdout}{done.stderr}\n{self.log()}')
        return done

    def json(self, *arguments):
        return json.loads(self.cli('-o', 'json', *arguments).stdout)

    def pools(self):
        return {p['name']: p for p in self.json('pool', 'list')['pools']}

    def replicas(self):
        return {r['name']: r for r in self.json('replica', 'list')['replicas']}

    # --- files ---
    def path(self, name):
        return os.path.join(self.folder, name)

    def disk(self, name='disk.img', mebibytes=256):
        path = self.path(name)
        with open(path, 'wb') as file:
            file.truncate(mebibytes * MIB)
        return path


def check_pool(disk):
    """What the independent checker has to say about a pool on a disk nobody has open."""
    done = subprocess.run(['/usr/bin/python3', os.path.join(ROOT, 'tools', 'lvs-dump.py'), disk,
                           'check'], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
