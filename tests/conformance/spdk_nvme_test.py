#!/usr/bin/python3
"""SPDK's methods of NVMe over TCP between two nodes: discovery that is followed, errors that are
injected, namespaces that not all hosts see, and what a node that waits for its start is told.

With CAPSTAN_SPDK_RPC=<path of SPDK's rpc.py> the calls go through that program, without it through
a client that sends the same; saving and loading a configuration needs the program.
"""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from jsonrpc_test import Client, RpcError  # noqa: E402
from node import Node, free_port, wait_until  # noqa: E402
from nvme_host import HOST_NQN, Host, Refused  # noqa: E402

RPC = os.environ.get('CAPSTAN_SPDK_RPC')
NQN = 'nqn.2019-05.io.openebs:'


def socket_of(node):
    return os.path.join(node.folder, 'rpc.sock')


def rpc_py(node, *arguments, check=True, stdin=None):
    """SPDK's own client; its output."""
    done = subprocess.run([sys.executable, RPC, '-s', socket_of(node), *arguments], text=True,
                          capture_output=True, input=stdin, timeout=60, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f'rpc.py {arguments}: {done.stdout}{done.stderr}')
    return done.stdout


class SpdkNvme(unittest.TestCase):
    def setUp(self):
        self.far, self.near = Node(), Node()
        self.addCleanup(self.far.close)
        self.addCleanup(self.near.close)
        self.port = free_port()
        self.far.start('--nvmf-replica-port', str(self.port))
        self.near.start()

    def call(self, node, method, *arguments, **params):
        """Through rpc.py when there is one and `arguments` say how; else as it would send it."""
        if RPC and arguments:
            text = rpc_py(node, method, *arguments)
            return json.loads(text) if text.strip() else True
        client = Client(socket_of(node))
        try:
            return client.call(method, **params)
        finally:
            client.close()

    def fails(self, code, node, method, **params):
        with self.assertRaises(RpcError) as caught:
            self.call(node, method, **params)
        self.assertEqual(caught.exception.code, code, str(caught.exception))

    def offer(self, name, host=None):
        """A subsystem of the far node with one device, on the port of its shares."""
        far, nqn = self.far, NQN + name
        self.call(far, 'bdev_malloc_create', num_blocks=2048, block_size=512, name='M' + name)
        self.call(far, 'nvmf_create_subsystem', nqn=nqn, allow_any_host=True)
        space = {'bdev_name': 'M' + name, 'no_auto_visible': host is not None}
        self.assertEqual(self.call(far, 'nvmf_subsystem_add_ns', nqn=nqn, namespace=space), 1)
        address = {'trtype': 'tcp', 'adrfam': 'ipv4', 'traddr': '127.0.0.1',
                   'trsvcid': str(self.port)}
        self.call(far, 'nvmf_subsystem_add_listener', nqn=nqn, listen_address=address)
        return nqn

    def remote(self):
        return sorted(b['name'] for b in self.call(self.near, 'bdev_get_bdevs')
                      if b['product_name'] == 'NVMe disk')

    def follow(self):
        self.call(self.near, 'bdev_nvme_start_discovery', '-b', 'Far', '-t', 'tcp', '-a',
                  '127.0.0.1', '-s', str(self.port), '-f', 'ipv4', '-w', name='Far', trtype='tcp',
                  traddr='127.0.0.1', trsvcid=str(self.port), adrfam='ipv4', wait_for_attach=True)

    def test_discovery_is_followed(self):
        self.offer('a')
        self.follow()
        self.assertEqual(self.remote(), ['Far0n1'])
        self.offer('b')
        wait_until(lambda: self.remote() == ['Far0n1', 'Far1n1'], 20, 'the second')
        [info] = self.call(self.near, 'bdev_nvme_get_discovery_info')
        self.assertEqual(info['name'], 'Far')
        self.assertEqual(info['trid']['subnqn'], 'nqn.2014-08.org.nvmexpress.discovery')
        self.fails(-17, self.near, 'bdev_nvme_start_discovery', name='Far', trtype='tcp',
                   traddr='127.0.0.1', trsvcid=str(self.port))
        self.call(self.far, 'nvmf_delete_subsystem', nqn=NQN + 'a')
        wait_until(lambda: self.remote() == ['Far1n1'], 20, 'the first to go')
        self.call(self.near, 'bdev_nvme_stop_discovery', '-b', 'Far', name='Far')
        self.assertEqual(self.remote(), [])
        self.fails(-2, self.near, 'bdev_nvme_stop_discovery', name='Far')
        self.fails(-110, self.near, 'bdev_nvme_start_discovery', name='No', trtype='tcp',
                   traddr='127.0.0.1', trsvcid=str(free_port()), attach_timeout_ms=200)
        self.assertEqual(self.near.stop(), 0)

    def test_a_node_that_follows_stops_in_order(self):
        self.offer('a')
        self.follow()
        self.assertEqual(self.far.stop(), 0)
        self.assertEqual(self.near.stop(), 0)

    def test_injected_errors(self):
        nqn = self.offer('a')
        self.call(self.near, 'bdev_nvme_attach_controller', name='N0', trtype='tcp',
                  traddr='127.0.0.1', trsvcid=str(self.port), subnqn=nqn)
        # Get Log Page, which is how the health of a controller is asked for.
        self.call(self.near, 'bdev_nvme_add_error_injection', '-n', 'N0', '-t', 'admin', '-o', '2',
                  '-s', '-e', '2', '-u', '0', '-c', '6', name='N0', cmd_type='admin', opc=2,
                  do_not_submit=True, err_count=2, sct=0, sc=6)
        for _ in range(2):
            self.fails(-5, self.near, 'bdev_nvme_get_controller_health_info', name='N0')
        self.call(self.near, 'bdev_nvme_get_controller_health_info', name='N0')
        self.call(self.near, 'bdev_nvme_remove_error_injection', '-n', 'N0', '-t', 'admin', '-o',
                  '2', name='N0', cmd_type='admin', opc=2)
        self.fails(-19, self.near, 'bdev_nvme_remove_error_injection', name='N9', cmd_type='io',
                   opc=1)

    def test_a_namespace_for_one_host(self):
        nqn = self.offer('a', HOST_NQN)
        host = Host(('127.0.0.1', self.port), nqn)
        self.addCleanup(host.close)
        with self.assertRaises(Refused) as caught:
            host.read(0, 512)
        self.assertEqual(caught.exception.code, (0, 0x0B))
        self.assertIs(self.call(self.far, 'nvmf_ns_add_host', nqn, '1', HOST_NQN, nqn=nqn, nsid=1,
                                host=HOST_NQN), True)
        again = Host(('127.0.0.1', self.port), nqn)
        self.addCleanup(again.close)
        again.write(0, b'x' * 512)
        [shown] = [s for s in self.call(self.far, 'nvmf_get_subsystems') if s['nqn'] == nqn]
        self.assertEqual(shown['namespaces'][0]['hosts'], [HOST_NQN])
        saved = self.call(self.far, 'framework_get_config', name='nvmf')
        self.assertIn({'method': 'nvmf_ns_add_host',
                       'params': {'nqn': nqn, 'nsid': 1, 'host': HOST_NQN}}, saved)
        self.call(self.far, 'nvmf_ns_remove_host', nqn, '1', HOST_NQN, nqn=nqn, nsid=1,
                  host=HOST_NQN)
        self.fails(-32602, self.far, 'nvmf_ns_add_host', nqn=nqn, nsid=7, host=HOST_NQN)

    def test_settings_of_a_node_that_waits(self):
        node = Node()
        self.addCleanup(node.close)
        # Before its start it answers on this socket and nowhere else.
        node.answers = lambda: os.path.exists(socket_of(node))
        node.start('--wait-for-rpc')
        self.call(node, 'nvmf_set_max_subsystems', '-x', '3', max_subsystems=3)
        self.call(node, 'nvmf_set_crdt', '-t1', '5', '-t2', '6', '-t3', '7', crdt1=5, crdt2=6,
                  crdt3=7)
        self.call(node, 'nvmf_set_config', '--discovery-filters', 'transport,svcid',
                  discovery_filters=['transport', 'svcid'])
        self.fails(-95, node, 'nvmf_set_config', admin_cmd_passthru={'identify_ctrlr': True})
        self.fails(-32602, node, 'nvmf_set_config', discovery_filters=['colour'])
        self.call(node, 'framework_start_init')
        self.fails(-1, node, 'nvmf_set_crdt', crdt1=1)
        for number in range(3):
            self.call(node, 'nvmf_create_subsystem', nqn=f'{NQN}s{number}')
        self.fails(-32603, node, 'nvmf_create_subsystem', nqn=NQN + 's3')
        config = self.call(node, 'framework_get_config', name='nvmf')
        self.assertEqual(config[:3], [
            {'method': 'nvmf_set_config', 'params': {'discovery_filters': ['svcid']}},
            {'method': 'nvmf_set_max_subsystems', 'params': {'max_subsystems': 3}},
            {'method': 'nvmf_set_crdt', 'params': {'crdt1': 5, 'crdt2': 6, 'crdt3': 7}}])

    def saved(self):
        if RPC:
            return json.loads(rpc_py(self.near, 'save_config'))['subsystems']
        parts = self.call(self.near, 'framework_get_subsystems')
        return [{'subsystem': part['subsystem'],
                 'config': self.call(self.near, 'framework_get_config', name=part['subsystem'])}
                for part in parts]

    def load(self, subsystems):
        """As rpc.py does: what may be called now, and does not stand there already."""
        if RPC:
            rpc_py(self.near, 'load_config', stdin=json.dumps({'subsystems': subsystems}))
            return
        there = self.saved()
        allowed = self.call(self.near, 'rpc_get_methods', current=True)
        for part in subsystems:
            for step in part['config'] or []:
                if step['method'] in allowed and not any(step in (other['config'] or [])
                                                         for other in there):
                    self.call(self.near, step['method'], **step.get('params', {}))

    def test_a_configuration_is_saved_and_loaded(self):
        self.offer('a')
        self.call(self.near, 'bdev_nvme_set_options', '--transport-retry-count', '7',
                  '--disable-auto-failback', transport_retry_count=7, disable_auto_failback=True)
        self.follow()
        saved = self.saved()
        self.assertIn('bdev_nvme_start_discovery', json.dumps(saved))
        self.assertEqual(self.near.stop(), 0)
        self.near.start()
        self.assertEqual(self.remote(), [])
        self.load(saved)
        wait_until(lambda: self.remote() == ['Far0n1'], 20, 'the controller')
        self.assertEqual(self.saved(), saved)


if __name__ == '__main__':
    unittest.main()
