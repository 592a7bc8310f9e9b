#!/usr/bin/python3
"""How the node starts and refuses to start: flags, ports, two nodes on the same things."""
import os
import re
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import ROOT, Node, call, free_port, wait_until  # noqa: E402


class Start(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)

    def refused(self, *flags, says, code=None):
        got, text = self.node.run_to_end(*flags)
        self.assertNotEqual(got, 0, text)
        self.assertGreater(got, 0, f'died of a signal: {text}')
        if code is not None:
            self.assertEqual(got, code, text)
        self.assertRegex(text, says)
        return text

    def test_help_and_version(self):
        for flag, says in (('--help', '--grpc-port'), ('--version', r'\d')):
            code, text = self.node.run_to_end(flag)
            self.assertEqual(code, 0, text)
            self.assertRegex(text, says)

    def test_the_operations_page_is_up_to_date(self):
        code, text = self.node.run_to_end('--print-operations')
        self.assertEqual(code, 0, text)
        with open(os.path.join(ROOT, 'docs', 'operations.md')) as page:
            self.assertEqual(page.read(), text, 'regenerate docs/operations.md')

    def test_wrong_flags(self):
        self.refused('--no-such-flag', says='no-such-flag')
        self.refused('-g', 'nonsense:x', says='nonsense')
        self.refused('-F', 'purple', says="Bad log format option: '?purple")
        self.refused('--ps-timeout', 'soon', says='soon')
        self.assertFalse(os.path.exists(self.node.state), 'refused before anything was touched')

    def test_diagnosing_another_process_starts_no_node(self):
        self.refused('-d', '1', says='gdb -p 1', code=2)
        self.assertFalse(os.path.exists(self.node.state))

    def test_features_that_do_not_exist_are_not_announced(self):
        self.node.start('--enable-lvm', '--enable-rdma', '--enable-snapshot-rebuild',
                        environment={'NEXUS_NVMF_ANA_ENABLE': '1'})
        info = self.node.json('node', 'info')
        self.assertEqual(info['registration_info']['features'], {
            'asymmetricNamespaceAccess': False, 'logicalVolumeManager': False,
            'snapshotRebuild': False, 'rdmaCapableIoEngine': False})
        self.assertFalse(info['previous_features']['asymmetricNamespaceAccess'])
        for option in ('enable-lvm', 'enable-rdma', 'enable-snapshot-rebuild'):
            self.assertRegex(self.node.log(), f'without effect here: .*{option}')

    def test_one_api_version(self):
        self.node.start('--api-versions', 'v0')
        names = {o['full_name'] for o in self.node.json('node', 'operations')['operations']}
        self.assertIn('capstan.node.v1.NodeRpc/GetVersion', names)
        self.assertFalse([n for n in names if n.startswith('mayastor.v1.')])
        said = self.node.cli('pool', 'list', check=False).stderr
        self.assertIn("unknown service 'mayastor.v1.PoolRpc'", said)
        self.assertNotIn('mayastor.v1.NexusRpc', said, 'it does not list what it does not serve')

    def test_wrong_port(self):
        self.node.port = 99999
        self.refused(says='99999')

    def test_wrong_configuration_file(self):
        path = self.node.path('engine.yaml')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('nexus_opts:\n  no_such_key: 1\n')
        self.refused('-y', path, says='no_such_key')
        self.refused('-y', self.node.path('.'), says='(?i)directory|file')

    def test_port_taken(self):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(('127.0.0.1', self.node.port))
            other.listen()
            self.refused(says=str(self.node.port))

    def test_state_directory_taken(self):
        self.node.start()
        other = Node(folder=self.node.folder)
        self.addCleanup(other.close)
        code, text = other.run_to_end()
        self.assertGreater(code, 0, text)
        self.assertIn(self.node.state, text)
        self.assertEqual(self.node.stop(), 0)

    def test_legacy_endpoint_and_positionals(self):
        program = os.path.join(self.node.bin, 'io-engine')
        endpoint = f'127.0.0.1:{self.node.port}'
        for arguments in (['-g', endpoint], ['127.0.0.1', str(self.node.port)]):
            process = subprocess.Popen([program, *arguments, '--state-dir', self.node.state, '-r',
                                        self.node.path('rpc.sock')],
                                       stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self.node.process = process
            wait_until(self.node.answers, 60, f'{arguments} to answer')
            self.assertEqual(self.node.stop(), 0)

    @staticmethod
    def cpus_of_threads(pid):
        # Its own threads and those that the kernel runs for its rings.
        folder = f'/proc/{pid}/task'
        lists = []
        for thread in os.listdir(folder):
            with open(f'{folder}/{thread}/status', encoding='ascii') as status:
                lists += re.findall(r'Cpus_allowed_list:\s*(\S+)', status.read())
        return lists

    def test_reactors_stay_on_the_cpus_they_are_given(self):
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            self.skipTest('needs two CPUs; this process may use one')
        first, last = allowed[0], allowed[-1]
        self.node.start('-l', f'{first},{last}')
        self.assertEqual(set(self.cpus_of_threads(self.node.process.pid)), {str(first), str(last)})
        reactors = call(self.node, 'framework_get_reactors')['reactors']
        self.assertEqual([one['lcore'] for one in reactors], [first, last])
        self.assertEqual(self.node.stop(), 0)
        self.node.start('-m', hex(1 << last), '--gateway', f'127.0.0.1:{free_port()}')
        self.assertEqual(set(self.cpus_of_threads(self.node.process.pid)), {str(last)})
        child = wait_until(lambda: re.search(r'gateway_started.*pid\D+(\d+)', self.node.log()), 60,
                           'the gateway to be started')
        self.assertGreater(len(set(self.cpus_of_threads(child.group(1))) - {str(last)}), 0,
                           'the gateway may run beside the node')
        self.assertEqual(self.node.stop(), 0)
        self.node.start('-l', f'{first},1023')
        self.assertIn('-l names CPU 1023, which this process may not use', self.node.log())
        self.assertNotIn(str(first), self.cpus_of_threads(self.node.process.pid))

    def test_a_second_signal_changes_nothing(self):
        self.node.start()
        self.node.process.terminate()
        self.node.process.terminate()
        self.assertEqual(self.node.process.wait(60), 0)

    def test_client_without_a_node(self):
        done = self.node.cli('pool', 'list', check=False)
        self.assertEqual(done.returncode, 3, 'not reached is told from refused (1)')
        self.assertIn(str(self.node.port), done.stderr)
        self.assertEqual(done.stdout, '')

    def test_client_with_wrong_arguments(self):
        self.assertEqual(self.node.cli('pool', 'creat', check=False).returncode, 2)
        self.assertEqual(self.node.cli('--help', check=False).returncode, 0)


if __name__ == '__main__':
    unittest.main()
