#!/usr/bin/python3
"""The command line as people use it: names, pipes, wrong words, signals, a terminal, completion."""
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import MIB, Node, wait_until  # noqa: E402


class WithNode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start()
        cls.node.cli('pool', 'create', 'p', cls.node.disk(mebibytes=256))

    def refused(self, *arguments, code, says, **options):
        done = subprocess.run(self.node.cli_command(*arguments), capture_output=True, timeout=60,
                              check=False, **{'stdin': subprocess.DEVNULL, **options})
        said = done.stderr.decode()
        self.assertEqual(done.returncode, code, said)
        self.assertIn(says, said)
        self.assertEqual(done.stdout, b'')
        return said

    def replica(self, name, mebibytes):
        self.node.cli('replica', 'create', name, 'p', '--size', f'{mebibytes}MiB', '--thin')
        self.addCleanup(self.node.cli, 'replica', 'destroy', name, check=False)

    def test_replicas_are_found_by_name(self):
        self.replica('by name', 4)
        uuid = self.node.replicas()['by name']['uuid']
        self.node.cli('replica', 'set-entity-id', 'by name', 'me')
        self.assertEqual(self.node.replicas()['by name']['entity_id'], 'me')
        self.assertIn(uuid, self.node.cli('replica', 'unshare', 'by name').stdout)
        self.assertIn(uuid, self.node.cli('replica', 'share', 'by name', 'none').stdout)
        self.refused('replica', 'destroy', 'other', code=1, says="replica 'other' not found")
        self.node.cli('replica', 'destroy', 'by name', '--pool-name', 'p')
        self.assertNotIn('by name', self.node.replicas())
        self.refused('replica', 'destroy', uuid, code=1, says='NOT_FOUND')

    def test_bdevs_are_found_by_name(self):
        self.node.cli('bdev', 'create', 'malloc:///m0?size_mb=1')
        self.node.cli('bdev', 'destroy', 'm0')
        self.assertEqual(self.node.json('bdev', 'list', 'm0'), {'bdevs': []})
        self.refused('bdev', 'destroy', 'm0', code=1, says="bdev 'm0' not found")
        self.replica('r', 4)
        self.refused('bdev', 'destroy', 'r', code=1, says='replica destroy')

    def test_wrong_words(self):
        self.refused('frob', code=2, says="'frob' is no command of 'capstan'")
        self.refused('pool', 'frob', code=2, says='create, import, export, destroy, list')
        self.refused('node', 'events', 'pools', code=1, says='known are pool, replica')
        self.refused('pool', 'create', 'x', 'disk.img', code=1, says='absolute path')

    def test_text_that_is_not_utf8(self):
        said = self.refused('replica', 'create', b'a\xff'.decode(errors='surrogateescape'), 'p',
                            '--size', '1', code=2, says='is not UTF-8 text')
        self.assertNotIn('libprotobuf', said)

    def test_every_list_is_json(self):
        for command in (('pool', 'list'), ('replica', 'list'), ('bdev', 'list'),
                        ('node', 'version'), ('node', 'health'), ('node', 'operations'),
                        ('node', 'config'), ('node', 'metrics'), ('node', 'info'),
                        ('node', 'resources'), ('node', 'devices', '--all')):
            before = json.loads(self.node.cli('-o', 'json', *command).stdout)
            after = json.loads(self.node.cli(*command, '-o', 'json').stdout)
            self.assertEqual(set(before), set(after), command)

    def test_standard_input_has_the_size_that_was_said(self):
        self.replica('r', 4)
        content = os.urandom(2 * MIB)
        import_it = self.node.cli_command('image', 'import', 'r', '-', '--size')

        def run(size):
            return subprocess.run([*import_it, str(size)], input=content, capture_output=True,
                                  timeout=60, check=False)
        for size, says in ((MIB, 'standard input goes on after the 1048576 bytes'),
                           (3 * MIB, 'ends at byte 2097152')):
            done = run(size)
            self.assertEqual(done.returncode, 1, size)
            self.assertIn(says, done.stderr.decode())
            self.assertEqual(done.stdout, b'', 'nothing is called imported')
        self.assertEqual(run(2 * MIB).returncode, 0)
        out = subprocess.run(self.node.cli_command('image', 'export', 'r', '-', '--length', '2MiB'),
                             capture_output=True, timeout=60, check=True)
        self.assertEqual(out.stdout, content)

    def test_a_reader_that_has_seen_enough(self):
        self.replica('r', 4)
        for command in (('node', 'operations'), ('image', 'export', 'r', '-')):
            reading, writing = os.pipe()
            process = subprocess.Popen(self.node.cli_command(*command), stdout=writing,
                                       stderr=subprocess.PIPE)
            os.close(reading)
            os.close(writing)
            self.assertEqual(process.communicate(timeout=60)[1], b'', 'no word about it')
            self.assertEqual(process.returncode, 1)

    def test_a_full_disk_is_reported(self):
        with open('/dev/full', 'wb') as full:
            done = subprocess.run(self.node.cli_command('pool', 'list'), stdout=full,
                                  stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('No space left', done.stderr.decode())

    def test_interrupting_an_import(self):
        self.replica('r', 64)
        process = subprocess.Popen(
            self.node.cli_command('image', 'import', 'r', '-', '--size', '64MiB'),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(os.urandom(16 * MIB))
        process.stdin.flush()
        wait_until(lambda: int(self.node.replicas()['r']['usage']['allocated_bytes']) > 0, 60,
                   'the import to get going')
        process.send_signal(signal.SIGINT)
        # Standard input is still open: the interrupt alone must end it.
        self.assertEqual(process.wait(60), 1)
        self.assertIn('interrupted', process.stderr.read().decode())
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
        wait_until(lambda: not [b for b in self.node.json('bdev', 'list', 'r')['bdevs']
                                if b['claimed']], 60, 'the node to let go of the replica')
        self.node.cli('replica', 'destroy', 'r')

    def test_progress_is_for_terminals(self):
        self.replica('r', 16)
        image = self.node.path('progress.img')
        with open(image, 'wb') as file:
            file.write(os.urandom(8 * MIB))
        command = self.node.cli_command('image', 'import', 'r', image)
        quiet = subprocess.run(command, capture_output=True, timeout=60, check=True)
        self.assertEqual(quiet.stderr, b'')
        self.assertIn(b'imported 8.00 MiB', quiet.stdout)
        process, terminal = pty.fork()
        if process == 0:
            os.execv(command[0], command)
        shown = b''
        while select.select([terminal], [], [], 60)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:
                break    # the other end is closed
            if not part:
                break
            shown += part
        self.assertEqual(os.waitpid(process, 0)[1], 0, shown)
        os.close(terminal)
        self.assertIn(b']  100%', shown)
        self.assertIn(b'8.00 MiB of 8.00 MiB', shown)


class WithoutNode(unittest.TestCase):
    def test_a_node_that_does_not_answer(self):
        node = Node()
        self.addCleanup(node.close)
        with socket.socket() as silent:
            silent.bind(('127.0.0.1', node.port))
            silent.listen()
            done = node.cli('--timeout', '300ms', 'pool', 'list', check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn('no answer within --timeout 300ms', done.stderr)

    def complete(self, line):
        """What bash offers for a line whose words it has taken apart at ':', as it does."""
        script = subprocess.run([os.path.join(Node().bin, 'capstan'), 'completion', 'bash'],
                                capture_output=True, text=True, check=True).stdout
        script += """
            COMP_LINE=$1 COMP_POINT=${#1}
            read -ra COMP_WORDS <<< "${1//:/ : }"
            [[ $1 == *' ' ]] && COMP_WORDS+=('')
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _capstan capstan "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        done = subprocess.run(['bash', '--norc', '-c', script, 'bash', line], capture_output=True,
                              text=True, timeout=60, check=True, cwd=self.folder)
        self.assertEqual(done.stderr, '')
        return sorted(filter(None, done.stdout.split('\n')))

    def test_completion_in_bash(self):
        self.folder = Node().folder
        for name in ('a.img', 'b c.img'):
            open(os.path.join(self.folder, name), 'wb').close()
        pool = ['--help', 'check', 'create', 'destroy', 'dump', 'export', 'grow', 'import', 'list',
                'repair']
        for line, offered in (
                ('capstan po', ['pool']), ('capstan pool ', pool),
                ('capstan --bind 127.0.0.1:10124 pool ', pool),
                ('capstan -b http://[::1]:1 -q pool ex', ['export']),
                ('capstan pool create --cl', ['--cluster-size']),
                ('capstan pool create -t ', ['lvm', 'lvs']),
                ('capstan pool list --out', ['--output']),
                ('capstan pool list -o ', ['default', 'json']),
                ('capstan --output=j', ['json']),
                ('capstan completion ', ['bash', 'fish', 'zsh']),
                ('capstan image import r ', ['a.img', 'b c.img']),
                ('capstan --tls-ca a', ['a.img']),
                ('capstan node version ', [])):
            self.assertEqual(self.complete(line), offered, line)


if __name__ == '__main__':
    unittest.main()
