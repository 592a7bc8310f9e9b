#!/usr/bin/python3
"""The released Rust DataStore client, unmodified, against simd-r-drive's own server and against a
node, in turns in one run: latency of one call, 64 calls at once, values of 1 MiB. Programs come
from the crates registry (build/tools); the node is the release build's. Prints medians of the
rounds and ratios, and fails below the targets: 10 times the rate of single calls, twice that of
parallel ones.

    bench/datastore_wire_bench.py [ROUNDS]
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ('support', 'interop'):
    sys.path.insert(0, os.path.join(HERE, '..', 'tests', folder))
from muxio_clients_test import RUST_VERSIONS, cargo_install, rust_client  # noqa: E402
from node import RELEASE_BIN, Node, free_port, wait_until  # noqa: E402

VERSION = '0.16.3-alpha'
LINE = re.compile(r'^(.+): (?:median )?([0-9.]+) (us|calls/s)$', re.M)


class Upstream:
    """simd-r-drive-ws-server on an empty store."""

    def __init__(self, program):
        self.folder = tempfile.TemporaryDirectory(prefix='capstan-bench-')
        self.port = free_port()
        self.log = open(os.path.join(self.folder.name, 'log'), 'w+', encoding='utf-8')
        self.process = subprocess.Popen([program, '--port', str(self.port),
                                         os.path.join(self.folder.name, 'store.bin')],
                                        stdout=self.log, stderr=self.log)
        wait_until(self.listens, 30, "upstream's server to listen")

    def listens(self):
        with open(self.log.name, encoding='utf-8') as log:
            return 'running on' in log.read()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


class Ours:
    def __init__(self):
        self.node = Node(bin_folder=RELEASE_BIN)
        self.node.start('--kv', f'main={self.node.path("main.kv")}')
        self.port = self.node.port

    def close(self):
        self.node.stop()
        self.node.close()


def measure(client, server):
    done = subprocess.run([client, 'bench', '127.0.0.1', str(server.port)], capture_output=True,
                          text=True, timeout=300, check=False)
    server.close()
    if done.returncode != 0:
        raise SystemExit(f'the client failed: {done.stdout}{done.stderr}')
    return {name: (float(value), unit) for name, value, unit in LINE.findall(done.stdout)}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    server, why = cargo_install('simd-r-drive-ws-server', VERSION)
    clients = {version: rust_client(version) for version in RUST_VERSIONS}
    for program, reason in [(server, why), *clients.values()]:
        if not program:
            raise SystemExit(reason)
    behind = []
    for version, (client, _) in clients.items():
        theirs, ours = [], []
        for _ in range(rounds):
            theirs.append(measure(client, Upstream(server)))
            ours.append(measure(client, Ours()))
        print(f'client {version}, {rounds} rounds          upstream       ours   ratio')
        for name, (_, unit) in theirs[0].items():
            a, b = (statistics.median(one[name][0] for one in side) for side in (theirs, ours))
            ratio = a / b if unit == 'us' else b / a
            print(f'  {name:28} {a:12.0f} {b:10.0f} {unit:8} {ratio:6.1f}')
            wanted = {'one call': 10, '64 parallel calls': 2}.get(name, 0)
            if ratio < wanted:
                behind.append(f'{version}: {name}: {ratio:.1f}, wanted {wanted}')
    for line in behind:
        print('below target:', line)
    return 1 if behind else 0


if __name__ == '__main__':
    sys.exit(main())
