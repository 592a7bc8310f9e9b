#!/usr/bin/python3
"""SPDK's methods of NVMe over TCP between two nodes: discovery that is followed, errors that are
injected, namespaces that not all hosts see, and what a node that waits for its start is told.

With CAPSTAN_SPDK_RPC=<path of SPDK's rpc.py> the calls go through that program, and those about
targets through multitarget_rpc.py of the same source tree; without it through a client that sends
the same.
"""
import http.client
import json
import os
import subprocess
import sys
import unittest

import grpc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from jsonrpc_test import Client, RpcError  # noqa: E402
from node import Node, free_port, wait_until  # noqa: E402
from nvme_host import HOST_NQN, Host, Refused, discover  # noqa: E402

RPC = os.environ.get('CAPSTAN_SPDK_RPC')
# SPDK's rpc.py has no commands for targets; its test of them has a client of its own.
MULTI = RPC and os.path.join(os.path.dirname(RPC), '..', 'test', 'nvmf', 'target',
                             'multitarget_rpc.py')
NQN = 'nqn.2019-05.io.openebs:'


def socket_of(node):
    return os.path.join(node.folder, 'rpc.sock')


def rpc_py(node, *arguments, check=True, stdin=None, program=RPC):
    """SPDK's own client; its output."""
    python = os.path.join(os.path.dirname(RPC), '..', 'python')
    done = subprocess.run([sys.executable, program, '-s', socket_of(node), *arguments], text=True,
                          capture_output=True, input=stdin, timeout=60, check=False,
                          env={**os.environ, 'PYTHONPATH': python})
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

    def targets(self, method, *arguments, **params):
        """The calls of targets; what multitarget_rpc.py prints is no JSON."""
        if MULTI:
            return rpc_py(self.far, method, *arguments, program=MULTI)
        return json.dumps(self.call(self.far, method, **params))

    def test_two_targets_with_a_host_each(self):
        far, nqn, port = self.far, NQN + 'same', str(free_port())
        self.assertEqual(json.loads(self.targets('nvmf_get_targets')), ['nvmf_tgt'])
        self.assertIn('second', self.targets('nvmf_create_target', '-n', 'second', '-s', '32',
                                             name='second', max_subsystems=32))
        self.assertEqual(json.loads(self.targets('nvmf_get_targets')), ['second', 'nvmf_tgt'])
        self.call(far, 'nvmf_create_transport', '-t', 'TCP', '-g', 'second', trtype='TCP',
                  tgt_name='second')
        [transport] = self.call(far, 'nvmf_get_transports', '-t', 'second', tgt_name='second')
        self.assertEqual(transport['trtype'], 'TCP')
        self.assertEqual(self.offer('same'), nqn)
        self.call(far, 'bdev_malloc_create', num_blocks=2048, block_size=512, name='Mother')
        self.call(far, 'nvmf_create_subsystem', nqn, '-a', '-t', 'second', nqn=nqn,
                  allow_any_host=True, tgt_name='second')
        self.call(far, 'nvmf_subsystem_add_ns', nqn, 'Mother', '-t', 'second', nqn=nqn,
                  namespace={'bdev_name': 'Mother'}, tgt_name='second')
        self.call(far, 'nvmf_subsystem_add_listener', nqn, '-t', 'tcp', '-a', '127.0.0.1', '-s',
                  port, '-f', 'ipv4', '-p', 'second', nqn=nqn, tgt_name='second',
                  listen_address={'trtype': 'tcp', 'adrfam': 'ipv4', 'traddr': '127.0.0.1',
                                  'trsvcid': port})
        self.fails(-32602, far, 'nvmf_subsystem_add_listener', nqn=nqn, tgt_name='second',
                   listen_address={'trtype': 'tcp', 'adrfam': 'ipv4', 'traddr': '127.0.0.1',
                                   'trsvcid': str(self.port)})
        here, there = (Host(('127.0.0.1', at), nqn) for at in (self.port, int(port)))
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        here.write(0, b'1' * 512)
        there.write(0, b'2' * 512)
        self.assertEqual((here.read(0, 512), there.read(0, 512)), (b'1' * 512, b'2' * 512))
        self.assertEqual(discover(('127.0.0.1', int(port)))[nqn], [('127.0.0.1', int(port))])
        self.assertEqual(discover(('127.0.0.1', self.port))[nqn], [('127.0.0.1', self.port)])
        shown = {s['nqn']: s for s in self.call(far, 'nvmf_get_subsystems', '-t', 'second',
                                                tgt_name='second')}
        self.assertEqual(shown[nqn]['namespaces'][0]['bdev_name'], 'Mother')
        saved = self.call(far, 'framework_get_config', name='nvmf')
        self.assertIn({'method': 'nvmf_create_target',
                       'params': {'name': 'second', 'max_subsystems': 32}}, saved)
        self.fails(-32602, far, 'nvmf_delete_target', name='nvmf_tgt')
        self.targets('nvmf_delete_target', '-n', 'second', name='second')
        self.assertTrue(there.io.closed())
        self.assertEqual(here.read(0, 512), b'1' * 512)
        self.assertEqual(json.loads(self.targets('nvmf_get_targets')), ['nvmf_tgt'])
        self.assertNotIn('second', json.dumps(self.call(far, 'framework_get_config', name='nvmf')))
        self.assertEqual(far.stop(), 0)

    def test_targets_over_other_wires(self):
        """The bridge of Mayastor's gRPC clients, and HTTP."""
        address = f'127.0.0.1:{self.far.port}'
        with grpc.insecure_channel(address) as channel:
            bridge = channel.unary_unary('/mayastor.v1.JsonRpc/JsonRpcCall')
            method = b'nvmf_create_target'
            params = b'{"name":"second"}'
            answer = bridge(b'\x0a' + bytes([len(method)]) + method +
                            b'\x12' + bytes([len(params)]) + params, timeout=30)
            self.assertIn(b'"second"', answer)
        connection = http.client.HTTPConnection(address, timeout=30)
        self.addCleanup(connection.close)

        def put(method, params):
            connection.request('PUT', f'/jsonrpc/{method}', json.dumps(params),
                               {'content-type': 'application/json'})
            response = connection.getresponse()
            return response.status, response.read().decode()

        self.assertIn('second', put('nvmf_get_targets', {})[1])
        self.assertEqual(put('nvmf_delete_target', {'name': 'second'})[0], 200)
        self.assertEqual(self.call(self.far, 'nvmf_get_targets'), ['nvmf_tgt'])

    def test_settings_of_a_node_that_waits(self):
        node = Node()
        self.addCleanup(node.close)
        # Before its start it answers on this socket and nowhere else.
        node.answers = lambda: os.path.exists(socket_of(node))
        node.start('--wait-for-rpc')
        self.call(node, 'nvmf_set_max_subsystems', '-x', '3', max_subsystems=3)
        self.call(node, 'nvmf_set_crdt', '-t1', '5', '-t2', '6', '-t3', '7', crdt1=5, crdt2=6,
                  crdt3=7)
        self.call(node, 'nvmf_set_config', '-d', 'transport,svcid',
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
