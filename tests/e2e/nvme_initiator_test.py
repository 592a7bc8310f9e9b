#!/usr/bin/python3
"""One node uses what another one shares: a pool on an nvmf:// disk, calls by SPDK's names, the
commands that need no node, and Mayastor's test program."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import MIB, Node, call, free_port, sha256, wait_until  # noqa: E402

PREFIX = 'nqn.2019-05.io.openebs:'


class Initiator(unittest.TestCase):
    def setUp(self):
        self.target = Node()
        self.addCleanup(self.target.close)
        self.port = free_port()
        self.flags = ['--nvmf-replica-port', str(self.port)]
        self.target.start(*self.flags)
        self.target.cli('pool', 'create', 'p', self.target.disk(mebibytes=256))
        self.share('r1', 128)
        self.host = Node()
        self.addCleanup(self.host.close)

    def share(self, name, mebibytes):
        self.target.cli('replica', 'create', name, 'p', '--size', f'{mebibytes}MiB', '--thin',
                        '--protocol', 'nvmf')
        return self.target.replicas()[name]['uri']

    def uri(self, name='r1', query=''):
        return f'nvmf://127.0.0.1:{self.port}/{PREFIX}{name}{query}'

    def controllers(self):
        return call(self.host, 'mayastor_v1_host_list_nvme_controllers').get('controllers', [])

    def image(self, name, mebibytes=24):
        path = self.host.path(name)
        with open(path, 'wb') as file:
            file.write(os.urandom(mebibytes * MIB))
        return path

    def test_a_pool_on_a_disk_of_another_node(self):
        self.host.start()
        uri = self.target.replicas()['r1']['uri']
        self.host.cli('pool', 'create', 'far', uri)
        name = f'127.0.0.1:{self.port}/{PREFIX}r1n1'
        shown = self.controllers()
        self.assertEqual([c['name'] for c in shown], [name])
        self.assertEqual(shown[0]['state'], 'RUNNING')
        self.assertEqual(int(shown[0]['size']), 128 * MIB)
        self.host.cli('replica', 'create', 'v', 'far', '--size', '64MiB', '--thin')
        image = self.image('image')
        self.host.cli('image', 'import', 'v', image)
        stats = call(self.host, 'mayastor_v1_host_stat_nvme_controller', name=name)['stats']
        self.assertGreater(int(stats['bytes_written']), 24 * MIB)
        self.assertGreater(int(self.target.replicas()['r1']['usage']['allocated_bytes']), 24 * MIB)

        # The node with the disk dies and comes back; the pool above waits for it.
        self.target.kill()
        self.target.start(*self.flags)
        self.host.cli('image', 'export', '--length', '24MiB', 'v', self.host.path('copy'))
        self.assertEqual(sha256(self.host.path('copy')), sha256(image))
        wait_until(lambda: self.controllers()[0]['state'] == 'RUNNING', 30, 'the controller')

        # It is a pool wherever its disk is.
        self.assertEqual(self.host.stop(), 0)
        self.host.start()
        self.assertIn('v', self.host.replicas())
        self.host.cli('pool', 'export', 'far')
        self.assertEqual(self.host.stop(), 0)
        self.assertEqual(self.target.stop(), 0)

    def test_what_cannot_be_reached(self):
        self.host.start()
        for uri, says in ((self.uri('nobody'), 'no such subsystem'),
                          (f'nvmf://127.0.0.1:{free_port()}/{PREFIX}r1', 'refused'),
                          (self.uri(query='?uuid=6d4b2b4e-7b5a-4c0e-9d0f-2a3b4c5d6e7f'), 'UUID')):
            done = self.host.cli('pool', 'create', 'far', uri, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(says, done.stderr)
        self.assertEqual(self.controllers(), [])
        own = self.target.cli('pool', 'create', 'own', self.uri(), check=False)
        self.assertIn('is what this node has as device', own.stderr)

    def test_by_names_of_spdk(self):
        self.host.start()
        self.share('r2', 32)
        path = {'trtype': 'tcp', 'adrfam': 'ipv4', 'traddr': '127.0.0.1',
                'trsvcid': str(self.port)}
        made = call(self.host, 'bdev_nvme_attach_controller', name='Nvme0', subnqn=PREFIX + 'r1',
                    **path)
        self.assertEqual(made, ['Nvme0n1'])
        with self.assertRaises(RuntimeError) as caught:
            call(self.host, 'bdev_nvme_attach_controller', name='Nvme0', subnqn=PREFIX + 'r1',
                 **path)
        self.assertEqual(caught.exception.args, (
            -114, 'A controller named Nvme0 already exists with the specified network path'))
        with self.assertRaises(RuntimeError) as caught:
            call(self.host, 'bdev_nvme_attach_controller', name='Nvme1', subnqn=PREFIX + 'no',
                 **path)
        self.assertEqual(caught.exception.args[0], -5)
        call(self.host, 'bdev_nvme_attach_controller', name='Nvme2', subnqn=PREFIX + 'r2',
             hdgst=True, ddgst=True, **path)
        shown = {c['name']: c['ctrlrs'] for c in call(self.host, 'bdev_nvme_get_controllers')}
        self.assertEqual(set(shown), {'Nvme0', 'Nvme2'})
        self.assertEqual(shown['Nvme0'][0]['state'], 'enabled')
        self.assertEqual(shown['Nvme0'][0]['trid'], {
            'trtype': 'TCP', 'adrfam': 'IPv4', 'traddr': '127.0.0.1', 'trsvcid': str(self.port),
            'subnqn': PREFIX + 'r1'})
        with self.assertRaises(RuntimeError) as caught:
            call(self.host, 'bdev_nvme_get_controllers', name='nope')
        self.assertEqual(caught.exception.args, (-22, 'Controller nope does not exist'))
        self.assertEqual(
            {d['name'] for d in call(self.host, 'bdev_get_bdevs')}, {'Nvme0n1', 'Nvme2n1'})
        health = call(self.host, 'bdev_nvme_get_controller_health_info', name='Nvme0')
        self.assertEqual(health['model_number'], 'Mayastor NVMe controller')
        paths = call(self.host, 'bdev_nvme_get_io_paths')['poll_groups'][0]['io_paths']
        self.assertEqual([(p['bdev_name'], p['current'], p['connected'], p['accessible'])
                          for p in paths],
                         [('Nvme0n1', True, True, True), ('Nvme2n1', True, True, True)])
        self.assertIs(call(self.host, 'bdev_nvme_set_multipath_policy', name='Nvme2n1',
                           policy='active_active', rr_min_io=8), True)
        for wrong in ({'name': 'Nvme2n1', 'policy': 'both'},
                      {'name': 'Nvme2n1', 'policy': 'active_passive', 'selector': 'queue_depth'},
                      {'name': 'nope', 'policy': 'active_active'}):
            with self.assertRaises(RuntimeError):
                call(self.host, 'bdev_nvme_set_multipath_policy', **wrong)
        self.assertEqual(call(self.host, 'bdev_nvme_get_transport_statistics'),
                         {'poll_groups': []})
        self.assertIs(call(self.host, 'bdev_nvme_set_hotplug', enable=False), True)
        self.assertIs(call(self.host, 'bdev_nvme_reset_controller', name='Nvme0'), True)
        with self.assertRaises(RuntimeError) as caught:
            call(self.host, 'bdev_nvme_set_options', timeout_us=1)
        self.assertEqual(caught.exception.args[0], -1)
        saved = call(self.host, 'framework_get_config', name='bdev')
        self.assertEqual([c['params']['name'] for c in saved
                          if c['method'] == 'bdev_nvme_attach_controller'], ['Nvme0', 'Nvme2'])
        self.assertEqual([c['params'].get('multipath_opts') for c in saved
                          if c['method'] == 'bdev_nvme_attach_controller'],
                         [None, {'policy': 'active_active', 'selector': 'round_robin',
                                 'min_io': 8}])
        # A pool on the one, then everything goes.
        call(self.host, 'bdev_lvol_create_lvstore', bdev_name='Nvme0n1', lvs_name='far')
        self.assertIs(call(self.host, 'bdev_nvme_detach_controller', name='Nvme0'), True)
        self.assertIs(call(self.host, 'bdev_nvme_detach_controller', name='Nvme2'), True)
        with self.assertRaises(RuntimeError) as caught:
            call(self.host, 'bdev_nvme_detach_controller', name='Nvme0')
        self.assertEqual(caught.exception.args, (-19, 'No such device'))
        self.assertEqual(call(self.host, 'bdev_get_bdevs'), [])
        self.assertEqual(self.host.pools(), {})
        self.assertEqual(self.host.stop(), 0)

    def nvme(self, *words, stdin=None, **environment):
        done = subprocess.run([os.path.join(self.host.bin, 'capstan'), *words], check=False,
                              capture_output=True, input=stdin, timeout=120,
                              env={**os.environ, **environment})
        return done.returncode, done.stdout, done.stderr.decode()

    def facts(self, *words):
        code, out, err = self.nvme('-o', 'json', 'nvme', *words)
        self.assertEqual(code, 0, err)
        return json.loads(out)

    def test_commands_without_a_node(self):
        records = self.facts('discover', f'127.0.0.1:{self.port}')['records']
        self.assertEqual([r.get('uri') for r in records if r['kind'] == 'subsystem'],
                         [self.uri()])
        there = self.facts('connect-test', self.uri())
        self.assertEqual(self.facts('discover', f'localhost:{self.port}')['records'], records)
        named = self.uri().replace('127.0.0.1', 'localhost')
        self.assertEqual(self.facts('connect-test', named)['uuid'], there['uuid'])
        self.assertEqual(there['size_bytes'], 128 * MIB)
        self.assertEqual(there['uuid'], self.target.replicas()['r1']['uuid'])
        self.assertEqual(self.facts('id', self.uri())['model'], 'Mayastor NVMe controller')
        data = os.urandom(3 * MIB + 512)
        code, _, err = self.nvme('nvme', 'write', self.uri(), '--offset', '1MiB', stdin=data)
        self.assertEqual((code, err), (0, ''))
        code, out, err = self.nvme('nvme', 'read', self.uri(), '--offset', '1MiB', '--length',
                                   str(len(data)))
        self.assertEqual((code, err), (0, ''))
        self.assertEqual(out, data)
        result = self.facts('bench', self.uri(query='?hdr_digest=1&data_digest=1'), '--seconds',
                            '1', '--depth', '8')
        self.assertGreater(result['requests'], 100)
        self.assertLessEqual(result['p50_us'], result['p99_us'])
        code, _, err = self.nvme('nvme', 'connect-test', self.uri('nobody'))
        self.assertEqual(code, 1)
        self.assertIn('no such subsystem', err)
        self.assertEqual(self.nvme('nvme', 'dance')[0], 2)

    def test_the_name_of_the_host_in_the_environment(self):
        """HOSTNQN, as Mayastor's programs take it; --hostnqn goes before it."""
        host = 'nqn.2014-08.org.example:mine'
        self.target.cli('replica', 'create', 'r2', 'p', '--size', '8MiB', '--thin')
        self.target.cli('replica', 'share', self.target.replicas()['r2']['uuid'], 'nvmf',
                        '--allowed-host', host)
        connect = ('nvme', 'connect-test', self.uri('r2'))
        self.assertEqual(self.nvme(*connect, HOSTNQN='')[0], 1)
        self.assertEqual(self.nvme(*connect, HOSTNQN=host)[0], 0)
        other = ('--hostnqn', 'nqn.2014-08.org.example:other')
        self.assertEqual(self.nvme(*connect, *other, HOSTNQN=host)[0], 1)

    def test_as_mayastors_initiator(self):
        program = self.host.path('initiator')
        os.symlink(os.path.join(self.host.bin, 'capstan'), program)
        block, back, page = (self.host.path(name) for name in ('block', 'back', 'page'))
        with open(block, 'wb') as file:
            file.write(b'capstan' * 40)

        def run(*words):
            return subprocess.run([program, *words], capture_output=True, text=True, timeout=120,
                                  check=False)
        self.assertEqual(run(self.uri(), 'connect').returncode, 0)
        self.assertEqual(run('--offset', '4096', self.uri(), 'write', block).returncode, 0)
        self.assertEqual(run('-o', '4096', self.uri(), 'read', back).returncode, 0)
        with open(back, 'rb') as file:
            content = file.read()
        self.assertEqual(content, (b'capstan' * 40).ljust(len(content), b'\0'))
        self.assertIn(len(content), (512, 4096))
        self.assertEqual(run(self.uri(), 'id-ctrlr', page).returncode, 0)
        with open(page, 'rb') as file:
            self.assertEqual(file.read()[24:48], b'Mayastor NVMe controller')
        self.assertEqual(run(self.uri(), 'nvme-admin', '24').returncode, 0)    # keep alive
        self.assertEqual(run(self.uri(), 'nvme-admin', '127').returncode, 255)
        self.assertEqual(run('malloc:///m?size_mb=1', 'write', block).returncode, 0)
        # A read that fails leaves the file as it was.
        beyond = str(1 << 40)
        self.assertEqual(run('-o', beyond, self.uri(), 'read', back).returncode, 255)
        with open(back, 'rb') as file:
            self.assertEqual(file.read(), content)
        for words in (('nonsense',), (self.uri('nobody'), 'connect'), (self.uri(), 'dance')):
            done = run(*words)
            self.assertEqual(done.returncode, 255, words)
            self.assertNotEqual(done.stderr, '')


if __name__ == '__main__':
    unittest.main()
