#!/usr/bin/python3
"""A disk that fails is seen at once, over every wire: the pool's state in lists, the node's health,
an event, a kept notification. Nothing acknowledged is lost, and when the disk works again the pool
is exported, imported, and online.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import MIB, Node, check_pool, sha256, wait_until  # noqa: E402
from wires import DRIVERS, metrics_of  # noqa: E402

POOL = 'mayastor.v1.PoolRpc/'
REPLICA = 'mayastor.v1.ReplicaRpc/'
BDEV = 'mayastor.v1.BdevRpc/'
NODE = 'capstan.node.v1.NodeRpc/'
MODULES = 'spdk.BdevModules/'
NOTIFY = 'spdk.Notify/'
BASE, FAILING = 'base0', 'EE_base0'
REPLICA_UUID = '0b1b2c3d-1111-4222-8333-444455556666'
OTHER_UUID = '0b1b2c3d-1111-4222-8333-444455556667'


class FailingDisk(unittest.TestCase):
    """One node for each wire, its pool on a device that fails on order."""

    def start(self, driver):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.node.start()
        self.wire = driver(self.node)
        self.addCleanup(self.wire.close)
        self.disk = self.node.disk('disk.img', 100)
        self.ok(MODULES + 'AioCreate', {'filename': self.disk, 'name': BASE, 'block_size': 512})
        self.ok(MODULES + 'ErrorCreate', {'base_name': BASE})
        self.pool = {'name': 'p', 'disks': [f'bdev:///{FAILING}']}
        self.ok(POOL + 'CreatePool', self.pool)
        self.ok(REPLICA + 'CreateReplica', {'name': 'r', 'uuid': REPLICA_UUID, 'pooluuid': 'p',
                                            'size': 32 * MIB, 'thin': True})
        self.content = self.node.path('content.img')
        with open(self.content, 'wb') as file:
            file.write(os.urandom(8 * MIB))
        self.node.cli('image', 'import', 'r', self.content)

    def ok(self, name, fields):
        outcome = self.wire.call(name, fields)
        self.assertIsNotNone(outcome.answer, f'{name}: {outcome.message}')
        return outcome.answer

    def inject(self, io_type, error_type='failure', num=1):
        self.ok(MODULES + 'ErrorInjectError', {'name': FAILING, 'io_type': io_type,
                                               'error_type': error_type, 'num': num})

    def state(self):
        return self.ok(POOL + 'ListPools', {'name': 'p'})['pools'][0]['state']

    def trouble(self):
        return [part['detail'] for part in self.ok(NODE + 'GetHealth', {})['parts']
                if part['name'] == 'pool p' and not part['healthy']]

    def notified(self):
        return [n['type'] for n in self.ok(NOTIFY + 'GetNotifications', {})['notifications']
                if n['ctx'] == 'p']

    def exported(self):
        """What a client reads of the replica, or None when that fails."""
        copy = self.node.path('copy.img')
        done = self.node.cli('image', 'export', 'r', copy, check=False)
        digest = sha256(copy) if done.returncode == 0 else None
        if os.path.exists(copy):
            os.unlink(copy)
        return digest

    def refused(self):
        return self.wire.call(REPLICA + 'CreateReplica', {'name': 'more', 'uuid': OTHER_UUID,
                                                          'pooluuid': 'p', 'size': 4 * MIB,
                                                          'thin': True})

    def import_again(self):
        self.ok(MODULES + 'ErrorInjectError', {'name': FAILING, 'io_type': 'clear',
                                               'error_type': 'failure'})
        self.ok(POOL + 'ExportPool', {'name': 'p'})
        imported = self.ok(POOL + 'ImportPool', self.pool)
        self.assertEqual(imported['state'], 'POOL_ONLINE')
        self.assertEqual(self.trouble(), [])
        self.assertEqual(self.exported(), self.want)

    def fail_and_heal(self):
        # A sector that cannot be read: the reader is told, the pool is degraded and goes on.
        self.want = self.exported()
        self.assertIsNotNone(self.want)
        self.assertEqual((self.state(), self.trouble(), self.notified()), ('POOL_ONLINE', [], []))
        self.inject('read')
        self.assertIsNone(self.exported())
        self.assertEqual(self.state(), 'POOL_DEGRADED')
        self.assertEqual(self.notified(), ['lvs_degraded'])
        self.assertRegex(self.trouble()[0], '^degraded: 1 failed .*injected fault')
        self.assertEqual(self.exported(), self.want)
        # A flush that fails: nobody knows what the disk holds, so nothing is changed any more.
        self.inject('flush')
        first = self.refused()
        self.assertIsNone(first.answer)
        self.assertEqual(self.state(), 'POOL_FAULTED')
        self.assertEqual(self.notified(), ['lvs_degraded', 'lvs_faulted'])
        self.assertRegex(self.trouble()[0], '^faulted: its metadata could not be written')
        again = self.refused()
        self.assertIsNone(again.answer)
        self.assertIn('refuses changes', again.message)
        self.assertEqual(self.exported(), self.want, 'what can be read is read')

    def test_every_wire_shows_it(self):
        events = []
        for driver in DRIVERS:
            with self.subTest(driver.name):
                self.start(driver)
                if self.wire.has_streams:
                    seen = self.wire.endless(NODE + 'MonitorEvents', {'categories': ['pool']}, 2,
                                             self.listened(self.fail_and_heal))
                    events.append([(e['action'], e['target'], e['details']['state'],
                                    e['details']['reason']) for e in seen.answer['messages']])
                else:
                    self.fail_and_heal()
                self.import_again()
                self.ok(REPLICA + 'DestroyReplica', {'uuid': REPLICA_UUID})
                self.assertEqual(self.node.stop(), 0)
                self.assertEqual(check_pool(self.disk), '')
        self.assertEqual(len(events), sum(driver.has_streams for driver in DRIVERS))
        for seen in events[1:]:
            self.assertEqual(seen, events[0])
        self.assertEqual([e[:3] for e in events[0]], [('state_change', 'p', 'degraded'),
                                                      ('state_change', 'p', 'faulted')])

    def listened(self, act):
        """`act`, once the listener is there."""
        def when_it_listens():
            wait_until(self.listening, 30, 'the listener to be there')
            act()
        return when_it_listens

    def listening(self):
        return any(line.startswith('capstan_calls_in_flight{') and 'MonitorEvents' in line and
                   float(line.rsplit(' ', 1)[1]) == 1
                   for line in metrics_of(self.node).splitlines())


class TakenDisk(unittest.TestCase):
    """The device is taken away under the pool, and comes back."""

    def test_every_wire_shows_it(self):
        for driver in DRIVERS:
            with self.subTest(driver.name):
                node = Node()
                self.addCleanup(node.close)
                node.start()
                wire = driver(node)
                self.addCleanup(wire.close)
                base = {'uri': f'aio://{node.disk("disk.img", 100)}'}
                name = base['uri'].removeprefix('aio://')
                self.call(wire, BDEV + 'Create', base)
                self.call(wire, MODULES + 'ErrorCreate', {'base_name': name})
                pool = {'name': 'p', 'disks': [f'bdev:///EE_{name}']}
                made = self.call(wire, POOL + 'CreatePool', pool)
                self.call(wire, BDEV + 'Destroy', base)
                listed = self.call(wire, POOL + 'ListPools', {})['pools']
                self.assertEqual([p['state'] for p in listed], ['POOL_FAULTED'])
                notes = self.call(wire, NOTIFY + 'GetNotifications', {})['notifications']
                self.assertIn(('lvs_faulted', 'p'), [(n['type'], n['ctx']) for n in notes])
                self.call(wire, POOL + 'ExportPool', {'name': 'p'})
                self.call(wire, BDEV + 'Create', base)
                back = self.call(wire, POOL + 'ImportPool', pool)
                self.assertEqual((back['state'], back['uuid']), ('POOL_ONLINE', made['uuid']))

    def call(self, wire, name, fields):
        outcome = wire.call(name, fields)
        self.assertIsNotNone(outcome.answer, f'{name}: {outcome.message}')
        return outcome.answer


if __name__ == '__main__':
    unittest.main()
