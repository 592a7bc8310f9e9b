#!/usr/bin/python3
"""The story of the README, with a real file system: import, kill -9, start, export, compare."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
import node as support  # noqa: E402
from node import MIB, Node, check_pool, sha256, wait_until  # noqa: E402

FILES = {'hello.txt': b'hello, pool\n', 'numbers': bytes(range(256)) * 4096, 'empty': b'',
         'deep/er/file': b'x' * 70000}


def make_image(node, name, mebibytes):
    """A sparse ext4 image with FILES in it."""
    tree = node.path(name + '.tree')
    for file, content in FILES.items():
        path = os.path.join(tree, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as out:
            out.write(content)
    image = node.path(name)
    subprocess.run(['mkfs.ext4', '-q', '-F', '-d', tree, image, f'{mebibytes}M'], check=True,
                   stdout=subprocess.DEVNULL,
                   env={**os.environ, 'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'})
    return image


def fsck(image):
    done = subprocess.run(['/sbin/e2fsck', '-f', '-n', image], capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def stored_bytes(path):
    return os.stat(path).st_blocks * 512


class Story(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)

    def make_pool(self, size_mib=128, disk_mib=256):
        disk = self.node.disk(mebibytes=disk_mib)
        self.node.cli('pool', 'create', 'pool0', disk)
        self.node.cli('replica', 'create', 'replica0', 'pool0', '--size',
                      f'{size_mib}MiB', '--thin')
        return disk

    def export_and_compare(self, image, name='copy.img'):
        copy = self.node.path(name)
        self.node.cli('image', 'export', 'replica0', copy)
        self.assertEqual(sha256(copy), sha256(image))
        return copy

    def test_a_file_system_survives_kill_9(self):
        self.node.start()
        disk = self.make_pool()
        image = make_image(self.node, 'fs.img', 128)
        self.node.cli('image', 'import', 'replica0', image)
        replica = self.node.replicas()['replica0']
        self.assertTrue(replica['thin'])
        self.assertLess(int(replica['usage']['allocated_bytes']), 64 * MIB, 'thin stays thin')

        self.node.kill()
        self.node.start()
        self.assertEqual(set(self.node.pools()), {'pool0'}, 'the pool came back by itself')
        self.assertEqual(self.node.replicas()['replica0']['uuid'], replica['uuid'])

        copy = self.export_and_compare(image)
        code, text = fsck(copy)
        self.assertEqual(code, 0, text)
        self.assertLess(stored_bytes(copy), 64 * MIB, 'holes stay holes')
        dump = subprocess.run(['/sbin/debugfs', '-R', 'cat /deep/er/file', copy],
                              capture_output=True, check=True)
        self.assertEqual(dump.stdout, FILES['deep/er/file'])

        self.assertEqual(self.node.stop(), 0)
        self.assertEqual(check_pool(disk), '')
        self.node.start()
        self.export_and_compare(image, 'again.img')

    def test_kill_9_in_the_middle_of_an_import(self):
        self.node.start()
        disk = self.make_pool(size_mib=192)
        image = self.node.path('random.img')
        with open(image, 'wb') as file:
            for _ in range(192):
                file.write(os.urandom(MIB))
        importing = subprocess.Popen(self.node.cli_command('image', 'import', 'replica0', image),
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def started():
            self.assertIsNone(importing.poll(), 'the import ended before it could be cut')
            return int(self.node.replicas()['replica0']['usage']['allocated_bytes']) >= 8 * MIB
        wait_until(started, 120, 'the import to get going')
        self.node.kill()
        _, errors = importing.communicate(timeout=60)
        self.assertNotEqual(importing.returncode, 0, 'a cut import must not look complete')
        self.assertTrue(errors.strip(), 'and says why')

        self.node.start()
        self.assertEqual(set(self.node.pools()), {'pool0'})
        self.assertIn('replica0', self.node.replicas())
        self.node.cli('image', 'import', 'replica0', image)
        self.node.kill()
        self.node.start()
        self.export_and_compare(image)
        self.assertEqual(self.node.stop(), 0)
        self.assertEqual(check_pool(disk), '')

    def test_a_smaller_image_leaves_zeros_behind_it(self):
        self.node.start()
        self.make_pool(size_mib=16)
        old = self.node.path('old.img')
        with open(old, 'wb') as file:
            file.write(os.urandom(16 * MIB))
        self.node.cli('image', 'import', 'replica0', old)
        new = self.node.path('new.img')
        with open(new, 'wb') as file:
            file.write(b'new' * 1000)
        self.node.cli('image', 'import', 'replica0', new)
        with open(new, 'ab') as file:
            file.truncate(16 * MIB)
        self.export_and_compare(new)

    def test_an_image_that_is_too_large_is_refused(self):
        self.node.start()
        self.make_pool(size_mib=16)
        image = self.node.disk('large.img', 20)
        done = self.node.cli('image', 'import', 'replica0', image, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, '(?i)large|size|exceed')

    def test_a_file_with_foreign_data_is_not_overwritten(self):
        self.node.start()
        image = make_image(self.node, 'precious.img', 64)
        before = sha256(image)
        done = self.node.cli('pool', 'create', 'pool0', image, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('ext4', done.stderr, 'says whose it is')
        self.assertEqual(sha256(image), before)
        self.assertEqual(self.node.pools(), {})

    def test_clean_stop_and_second_start(self):
        self.node.start()
        disk = self.make_pool()
        uuid = self.node.pools()['pool0']['uuid']
        self.assertEqual(self.node.stop(), 0)
        self.assertEqual(check_pool(disk), '')
        self.node.start()
        self.assertEqual(self.node.pools()['pool0']['uuid'], uuid)
        self.node.cli('replica', 'destroy', self.node.replicas()['replica0']['uuid'])
        self.node.cli('pool', 'destroy', 'pool0')
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        self.assertEqual(self.node.pools(), {}, 'a destroyed pool stays away')

    def test_exported_pools_stay_away_until_imported(self):
        self.node.start()
        disk = self.make_pool()
        self.node.cli('pool', 'export', 'pool0')
        self.assertEqual(check_pool(disk), '')
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        self.assertEqual(self.node.pools(), {})
        self.node.cli('pool', 'import', 'pool0', disk)
        self.assertIn('replica0', self.node.replicas())

    def test_with_a_control_plane_it_starts_bare(self):
        self.node.start()
        disk = self.make_pool()
        self.assertEqual(self.node.stop(), 0)
        # Nobody listens there, and nothing is sent there.
        self.node.start('-R', f'http://127.0.0.1:{support.free_port()}')
        self.assertEqual(self.node.pools(), {})
        self.node.cli('pool', 'import', 'pool0', disk)
        self.assertIn('replica0', self.node.replicas())
        self.assertEqual(self.node.stop(), 0)

    def test_a_missing_disk_does_not_stop_the_node(self):
        self.node.start()
        disk = self.make_pool()
        self.assertEqual(self.node.stop(), 0)
        os.rename(disk, disk + '.away')
        self.node.start()
        self.assertEqual(self.node.pools(), {})
        self.assertIn(disk, self.node.log(), 'the log names the disk')
        self.assertEqual(self.node.stop(), 0)
        os.rename(disk + '.away', disk)
        self.node.start()
        self.assertEqual(set(self.node.pools()), {'pool0'}, 'it is not forgotten')

    def test_a_foreign_sample_pool_opens_and_goes_back(self):
        packed = os.path.join(support.ROOT, 'tests', 'vectors', 'lvs-images',
                              'e-mayastor.img.zst')
        disk = self.node.path('e.img')
        subprocess.run(['zstd', '-q', '-d', '--sparse', packed, '-o', disk], check=True)
        oracle = [sys.executable, os.path.join(support.ROOT, 'tools', 'lvs-dump.py'), disk]
        before = subprocess.run(oracle + ['hash'], capture_output=True, text=True, check=True)
        info = subprocess.run(oracle + ['info'], capture_output=True, text=True, check=True)
        name = json.loads(info.stdout)['name']
        self.node.start()
        self.node.cli('pool', 'import', name, disk)
        for line in before.stdout.splitlines():
            digest, replica = line.split(' ', 1)
            copy = self.node.path('out.img')
            self.node.cli('image', 'export', replica, copy)
            self.assertEqual(sha256(copy), digest, replica)
            os.unlink(copy)
        self.node.cli('pool', 'export', name)
        after = subprocess.run(oracle + ['hash'], capture_output=True, text=True, check=True)
        self.assertEqual(after.stdout, before.stdout)


if __name__ == '__main__':
    unittest.main()
