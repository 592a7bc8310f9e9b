#!/usr/bin/python3
"""The node's NVMe/TCP target and a real Linux kernel, in qemu (linux-nvme-host/README.md).

Each test boots a guest of its own, some 5 s without KVM. Without qemu, or without the Debian
packages that go into the guest and a network to fetch them, all are skipped and say so.
"""
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
from guest import prepare_guest  # noqa: E402
from node import MIB, Node, free_port  # noqa: E402

TOOL = os.path.join(HERE, 'linux-nvme-host')
GUEST = os.path.join(HERE, 'linux-nvme-guest')
SECONDS = 400      # of one script, on a busy machine
PREFIX = 'nqn.2019-05.io.openebs:'


def rpc_call(path, method, params):
    """The result of a method on the JSON-RPC socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': method,
                                       'params': params}).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = json.load(connection.makefile())
    if 'error' in answer:
        raise AssertionError(f'{method}: {answer["error"]}')
    return answer['result']


def setUpModule():
    prepare_guest(TOOL)


class Hook(socketserver.ThreadingUnixStreamServer):
    """Answers the guest's host-calls with what `actions[word](*more words)` returns."""
    daemon_threads = True

    def __init__(self, path, actions):
        super().__init__(path, HookCall)
        self.actions = actions
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class HookCall(socketserver.StreamRequestHandler):
    def handle(self):
        word, *more = json.loads(self.rfile.readline())
        try:
            found = self.server.actions[word](*more)
            answer = {'status': 0, 'text': '' if found is None else str(found)}
        except Exception:    # pylint: disable=broad-except
            answer = {'status': 1, 'text': traceback.format_exc()}
        self.wfile.write(json.dumps(answer).encode() + b'\n')


class LinuxHost(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.port = free_port()
        self.flags = ['--nvmf-replica-port', str(self.port), '--ptpl-dir', self.node.path('ptpl')]
        self.node.start(*self.flags)
        self.node.cli('pool', 'create', 'p', self.node.disk(mebibytes=768))

    def make(self, mebibytes=64, *flags):
        """A shared thin replica r1."""
        self.node.cli('replica', 'create', 'r1', 'p', '--size', f'{mebibytes}MiB', '--thin', *flags)

    def run_guest(self, script, actions=None, **variables):
        """Runs a script in a guest; what it checked."""
        settings = {'TRADDR': '10.0.2.2', 'TRSVCID': str(self.port), 'NQN': PREFIX + 'r1',
                    'KEEP_ALIVE_TMO': '30', **variables}
        command = [os.path.join(TOOL, 'run.sh'), '--timeout', str(SECONDS)]
        for name in settings:
            command += ['--env', name]
        if actions:
            settings['HOOK_SOCKET'] = self.node.path('hook.sock')
            hook = Hook(settings['HOOK_SOCKET'], actions)
            self.addCleanup(hook.close)
            command += ['--hook', os.path.join(GUEST, 'hook')]
        done = subprocess.run([*command, script], env={**os.environ, **settings}, text=True,
                              capture_output=True, timeout=SECONDS + 60, check=False)
        text = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, f'{text}\nthe node:\n{self.node.log()[-4000:]}')
        self.assertIn('== done', text)
        return [line[4:] for line in text.splitlines() if line.startswith('ok: ')]

    def example(self, name, *more, **variables):
        return self.run_guest(os.path.join(TOOL, 'examples', name), *more, **variables)

    def rpc(self, method, **params):
        return rpc_call(self.node.path('rpc.sock'), method, params)

    # --- one host, one replica ---
    def test_file_systems_and_every_command_with_digests(self):
        self.make(384, '--protocol', 'nvmf')
        checked = self.example('connect-io.sh', HDR_DIGEST='1', DATA_DIGEST='1')
        self.assertGreater(len(checked), 60)

    def test_fio_verifies_what_it_wrote(self):
        self.make(64, '--protocol', 'nvmf')
        self.example('fio-verify.sh', FIO_SIZE='8m')

    def test_discovery(self):
        self.make(64, '--protocol', 'nvmf')
        self.example('discover.sh')

    def test_discarded_clusters_are_given_back(self):
        self.make(64, '--protocol', 'nvmf')
        usage = self.node.replicas()['r1']['usage']

        def allocated():
            return self.node.replicas()['r1']['usage']['allocated_bytes']
        self.run_guest(os.path.join(GUEST, 'trim.sh'), {'allocated': allocated},
                       CLUSTER=str(usage['cluster_size']))

    def test_acknowledged_blocks_survive_kill_9(self):
        self.make(256, '--protocol', 'nvmf')
        self.run_guest(os.path.join(GUEST, 'killed.sh'), {
            'kill': self.node.kill, 'start': lambda: self.node.start(*self.flags) and None})

    def test_reservations_of_two_hosts(self):
        self.make(64, '--protocol', 'nvmf')
        checked = self.example('reservations.sh')
        self.assertGreater(len(checked), 40)

    # --- subsystems made with SPDK's calls ---
    def listener(self, port):
        return {'trtype': 'TCP', 'adrfam': 'IPv4', 'traddr': '127.0.0.1', 'trsvcid': str(port)}

    def subsystem(self, *ports):
        """The replica r1 in a subsystem of its own, with a listener at each port."""
        self.make(64)
        nqn = PREFIX + 'by-hand'
        self.rpc('nvmf_create_subsystem', nqn=nqn, allow_any_host=True, ana_reporting=True,
                 serial_number='HAND')
        self.rpc('nvmf_subsystem_add_ns', nqn=nqn, namespace={'bdev_name': 'p/r1', 'nsid': 1})
        for port in ports:
            self.rpc('nvmf_subsystem_add_listener', nqn=nqn, listen_address=self.listener(port))

        def ana(port, state):
            self.rpc('nvmf_subsystem_listener_set_ana_state', nqn=nqn,
                     listen_address=self.listener(port), ana_state=state.replace('-', '_'))
        return nqn, {
            'ana': ana,
            'path-down': lambda port: self.rpc('nvmf_subsystem_remove_listener', nqn=nqn,
                                               listen_address=self.listener(port)) and None,
            'path-up': lambda port: self.rpc('nvmf_subsystem_add_listener', nqn=nqn,
                                             listen_address=self.listener(port)) and None,
            'ns-remove': lambda nsid: self.rpc('nvmf_subsystem_remove_ns', nqn=nqn,
                                               nsid=int(nsid)) and None,
            'ns-add': lambda nsid: self.rpc('nvmf_subsystem_add_ns', nqn=nqn, namespace={
                'bdev_name': 'p/r1', 'nsid': int(nsid)}) and None,
            'ns-resize': lambda nsid, mebibytes: self.rpc(
                'bdev_lvol_resize', name='p/r1', size_in_mib=int(mebibytes)) and None,
        }

    def test_two_paths_and_ana(self):
        first, second = free_port(), free_port()
        nqn, actions = self.subsystem(first, second)
        checked = self.example('multipath-ana.sh', actions, NQN=nqn, TRSVCID=str(first),
                               TRSVCID2=str(second))
        self.assertGreater(len(checked), 40)

    def test_the_kernel_notices_what_happens_to_namespaces(self):
        port = free_port()
        nqn, actions = self.subsystem(port)
        self.example('namespace-events.sh', actions, NQN=nqn, TRSVCID=str(port), RESIZE_MIB='96')
        self.assertEqual(self.node.replicas()['r1']['size'], 96 * MIB)


if __name__ == '__main__':
    unittest.main()
