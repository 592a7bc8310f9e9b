#!/usr/bin/python3
"""SPDK's methods on the JSON-RPC socket of a running node: every result has SPDK's shape, devices
and pools are the ones that gRPC shows, and a saved configuration makes the same devices again.

The client sends what SPDK's command line client sends: indented objects, defaults spelled out.
"""
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from jsonrpc_test import Client, RpcError  # noqa: E402
from node import MIB, ROOT, Node, free_port, wait_until  # noqa: E402
from nvme_host import HOST_NQN, Host  # noqa: E402

with open(os.path.join(ROOT, 'tests', 'vectors', 'spdk_shapes.json'), encoding='utf-8') as file:
    SHAPES = json.load(file)
LATENCIES = {'avg_read_latency': 1, 'p99_read_latency': 1, 'avg_write_latency': 1,
             'p99_write_latency': 1}


def differences(shape, value, at='$'):
    """What of `value` has not the shape, as a list of sentences."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f'{at}: no object: {value!r}']
        if '*' in shape:
            return [d for k, v in value.items() for d in differences(shape['*'], v, f'{at}.{k}')]
        names = [n.rstrip('?') for n in shape]
        found = [f'{at}: missing {n}' for n in shape if not n.endswith('?') and n not in value]
        found += [f'{at}: unknown {n}' for n in value if n not in names]
        if list(value) != [n for n in names if n in value]:
            found.append(f'{at}: order {list(value)}')
        return found + [d for n in shape if n.rstrip('?') in value
                        for d in differences(shape[n], value[n.rstrip('?')], f'{at}.{n}')]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f'{at}: no list: {value!r}']
        return [d for i, v in enumerate(value) for d in differences(shape[0], v, f'{at}[{i}]')]
    return [] if type(shape) is type(value) else [f'{at}: {value!r}, like {shape!r} expected']


class Spdk(unittest.TestCase):
    def setUp(self):
        self.node = Node().start()
        self.addCleanup(self.node.close)
        self.connect()

    def connect(self):
        self.client = Client(os.path.join(self.node.folder, 'rpc.sock'))
        self.addCleanup(self.client.close)

    def shaped(self, method, **params):
        result = self.client.call(method, **params)
        self.assertEqual(differences(SHAPES[method], result), [], method)
        return result

    def fails(self, code, message, method, **params):
        with self.assertRaises(RpcError) as caught:
            self.client.call(method, **params)
        self.assertEqual((caught.exception.code, caught.exception.message), (code, message), method)

    def everything(self):
        """One device of each kind, a pool and a volume."""
        call, disk = self.client.call, self.node.disk('a.img', 64)
        call('bdev_malloc_create', num_blocks=131072, block_size=512, name='M1',
             md_interleave=False)
        call('bdev_null_create', name='N1', num_blocks=8, block_size=4096)
        call('bdev_aio_create', name='A1', filename=disk, block_size=512, readonly=False,
             fallocate=False, nowait=False)
        call('bdev_uring_create', name='U1', filename=self.node.disk('u.img', 8))
        call('bdev_error_create', base_name='N1')
        call('bdev_passthru_create', name='PT', base_bdev_name='EE_N1')
        call('bdev_lvol_create_lvstore', bdev_name='A1', lvs_name='p0', cluster_sz=MIB)
        call('bdev_lvol_create', lvs_name='p0', lvol_name='v1', size_in_mib=8, thin_provision=True)
        call('bdev_delay_create', name='DL', base_bdev_name='p0/v1', **LATENCIES)

    def test_every_result_has_its_shape(self):
        self.everything()
        for method in SHAPES:
            if method != 'about':
                with self.subTest(method):
                    self.shaped(method)
        registered = set(self.client.call('rpc_get_methods'))
        self.assertEqual(set(SHAPES) - {'about'} - registered, set())

    def test_a_subsystem_made_by_hand(self):
        call, nqn, port = self.client.call, 'nqn.2019-05.io.openebs:hand', str(free_port())
        address = {'trtype': 'tcp', 'adrfam': 'ipv4', 'traddr': '127.0.0.1', 'trsvcid': port}
        printed = {'trtype': 'TCP', 'adrfam': 'IPv4', 'traddr': '127.0.0.1', 'trsvcid': port}
        call('bdev_malloc_create', num_blocks=2048, block_size=512, name='M9')
        self.assertIs(call('nvmf_create_transport', trtype='TCP'), True)
        self.assertIs(call('nvmf_create_subsystem', nqn=nqn, ana_reporting=True, max_namespaces=2,
                           serial_number='S9'), True)
        self.assertIs(call('nvmf_subsystem_add_host', nqn=nqn, host=HOST_NQN), True)
        self.assertEqual(call('nvmf_subsystem_add_ns', nqn=nqn, namespace={'bdev_name': 'M9'}), 1)
        self.assertIs(call('nvmf_subsystem_add_listener', nqn=nqn, listen_address=address), True)
        self.fails(-32602, 'Invalid parameters', 'nvmf_subsystem_add_listener', nqn=nqn,
                   listen_address=address)
        subsystems = {s['nqn']: s for s in self.shaped('nvmf_get_subsystems')}
        self.assertEqual(subsystems[nqn]['listen_addresses'], [printed])
        self.assertEqual(subsystems[nqn]['namespaces'][0]['anagrpid'], 1)
        host = Host(('127.0.0.1', int(port)), nqn)
        self.addCleanup(host.close)
        host.write(0, b'x' * 4096)
        [controller] = call('nvmf_subsystem_get_controllers', nqn=nqn)
        self.assertEqual(list(controller), ['cntlid', 'cntrltype', 'hostnqn', 'hostid',
                                            'num_io_qpairs'])
        self.assertEqual((controller['hostnqn'], controller['num_io_qpairs']), (HOST_NQN, 2))
        pairs = call('nvmf_subsystem_get_qpairs', nqn=nqn)
        self.assertEqual([(p['qid'], p['listen_address']) for p in pairs],
                         [(0, printed), (1, printed)])
        [listener] = call('nvmf_subsystem_get_listeners', nqn=nqn)
        self.assertEqual(listener, {'address': printed, 'ana_states': [
            {'ana_group': group, 'ana_state': 'optimized'} for group in (1, 2)]})
        before = [s for s in call('nvmf_get_subsystems') if s['nqn'] == nqn]
        saved = call('framework_get_config', name='nvmf')
        call('nvmf_delete_subsystem', nqn=nqn)
        self.assertTrue(host.io.closed())
        # The transport stays, with its sizes.
        self.assertEqual(call('framework_get_config', name='nvmf'), saved[:1])
        self.assertEqual(saved[0]['method'], 'nvmf_create_transport')
        for entry in saved[1:]:
            call(entry['method'], **entry['params'])
        self.assertEqual([s for s in call('nvmf_get_subsystems') if s['nqn'] == nqn], before)

    def test_the_page_about_methods_is_true(self):
        with open(os.path.join(ROOT, 'docs', 'spdk-methods.md'), encoding='utf-8') as page:
            served, absent = page.read().split('## Served')[1].split('## Not served')
        # In the first column of the second table; in the last one of the first.
        served = set(re.findall(r'`([a-z0-9_]+)`', ''.join(
            line.split('|')[2] for line in served.splitlines() if line.startswith('| '))))
        absent = set(re.findall(r'`([a-z0-9_]+)`', ''.join(
            line.split('|')[1] for line in absent.splitlines() if line.startswith('| '))))
        self.assertGreater(len(absent), 40)
        listed = self.node.json('node', 'operations')['operations']
        spdk = {o['jsonrpc'] for o in listed if o.get('jsonrpc') and
                o['full_name'].startswith(('spdk.', 'capstan.rpc.v1.'))}
        self.assertEqual(served, spdk)
        methods = set(self.client.call('rpc_get_methods'))
        self.assertEqual(served - methods, set())
        for method in sorted(absent):
            self.assertNotIn(method, methods)
            self.fails(-32601, 'Method not found', method)

    def test_the_same_objects_as_over_grpc(self):
        self.everything()
        self.assertEqual(self.node.pools()['p0']['uuid'],
                         self.client.call('bdev_lvol_get_lvstores', lvs_name='p0')[0]['uuid'])
        self.assertIn('v1', self.node.replicas())
        devices = {d['name'] for d in self.node.json('bdev', 'list')['bdevs']}
        self.assertEqual(devices, {'M1', 'N1', 'A1', 'U1', 'EE_N1', 'PT', 'v1', 'DL'})
        self.node.cli('pool', 'destroy', 'p0')
        self.assertEqual(self.client.call('bdev_lvol_get_lvstores'), [])
        types = [n['type'] for n in self.client.call('notify_get_notifications')]
        self.assertIn('bdev_unregister', types)

    def test_errors(self):
        self.everything()
        same = {'num_blocks': 8, 'block_size': 512, 'name': 'M1'}
        self.fails(-17, 'File exists', 'bdev_malloc_create', **same)
        self.fails(-22, 'Invalid argument', 'bdev_malloc_create', num_blocks=100, block_size=500)
        self.fails(-19, 'No such device', 'bdev_malloc_delete', name='nope')
        self.fails(-19, 'No such device', 'bdev_get_bdevs', name='nope')
        self.fails(-110, 'Connection timed out', 'bdev_get_bdevs', name='nope', timeout=20)
        self.fails(-2, 'No such file or directory', 'bdev_aio_create', name='X', filename='/no/x')
        self.fails(-32603, 'Unable to create URING bdev.', 'bdev_uring_create', name='X',
                   filename='/no/x')
        self.fails(-1, 'Operation not permitted', 'bdev_lvol_create_lvstore', bdev_name='A1',
                   lvs_name='p1')
        self.fails(-32602, 'No space left on device', 'bdev_lvol_create', lvs_name='p0',
                   lvol_name='big', size_in_mib=9999)
        self.fails(-32602, "Subsystem 'zz' not found", 'framework_get_config', name='zz')
        self.fails(-32602, 'invalid log flag', 'log_set_flag', flag='zz')
        self.fails(-32601, 'Method not found', 'bdev_raid_get_bdevs', category='all')
        self.fails(-2, 'bdev not found', 'nexus_share', name='zz', protocol='nvmf', cntlid_min=1,
                   cntlid_max=2)

    def test_deleting_takes_what_stands_on_it(self):
        self.everything()
        for method, name in (('bdev_null_delete', 'N1'), ('bdev_aio_delete', 'A1'),
                             ('bdev_uring_delete', 'U1'), ('bdev_malloc_delete', 'M1')):
            self.assertIs(self.client.call(method, name=name), True)
        self.assertEqual(self.client.call('bdev_get_bdevs'), [])

    def saved(self):
        return [{'subsystem': s['subsystem'],
                 'config': self.client.call('framework_get_config', name=s['subsystem'])}
                for s in self.client.call('framework_get_subsystems')]

    def load(self, subsystems):
        for subsystem in subsystems:
            for entry in subsystem['config'] or []:
                self.client.call(entry['method'], **entry.get('params', {}))

    def test_saved_configuration_after_a_restart(self):
        self.everything()
        config, devices = self.saved(), self.client.call('bdev_get_bdevs')
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        self.connect()
        self.load(config)
        self.assertEqual(self.client.call('bdev_get_bdevs'), devices)
        self.assertEqual(self.saved(), config)

    def test_watching_while_images_are_written(self):
        """What spdk_top and iostat.py ask again and again, while there is something to see."""
        self.node.cli('pool', 'create', 'p', self.node.disk('p.img', 128))
        self.node.cli('replica', 'create', 'r', 'p', '--size', '64MiB', '--thin')
        image = self.node.path('image')
        with open(image, 'wb') as file:
            file.write(os.urandom(MIB) * 48)
        with subprocess.Popen(self.node.cli_command('image', 'import', 'r', image)) as writer:
            rounds, busy = 0, []
            while rounds < 3 or writer.poll() is None:
                self.assertIs(self.client.call('framework_wait_init'), True)
                reactors = self.shaped('framework_get_reactors')
                self.shaped('framework_get_scheduler')
                threads = self.shaped('thread_get_stats')
                self.shaped('thread_get_pollers')
                self.shaped('bdev_get_iostat')
                self.assertEqual(len(reactors['reactors']), len(threads['threads']))
                busy.append(reactors['reactors'][0]['busy'])
                rounds += 1
        self.assertEqual(writer.returncode, 0)
        self.assertEqual(busy, sorted(busy))
        self.assertLess(busy[0], busy[-1])
        written = {s['name']: s['bytes_written'] for s in self.shaped('bdev_get_iostat')['bdevs']}
        self.assertGreaterEqual(max(written.values()), 48 * MIB)

    def test_the_log_level_changes_the_log(self):
        self.client.call('log_set_level', level='DEBUG')
        self.assertEqual(self.client.call('log_get_level'), 'DEBUG')
        self.client.call('log_set_level', level='ERROR')
        before = len(self.node.log())
        self.client.call('bdev_malloc_create', num_blocks=8, block_size=512)
        self.assertEqual(self.node.log()[before:], '')

    def test_kill_instance_ends_the_node(self):
        self.client.send('{"jsonrpc":"2.0","method":"spdk_kill_instance",'
                         '"params":{"sig_name":"SIGTERM"},"id":1}')
        wait_until(lambda: self.node.process.poll() is not None, 60, 'the node to end')
        self.assertEqual(self.node.process.returncode, 0)


if __name__ == '__main__':
    unittest.main()
