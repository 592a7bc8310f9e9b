#!/usr/bin/python3
"""dRPC from outside: an independent client, written from the specification alone (struct, socket
and protobuf), against a node. Framing, old framing, errors, sequences, large messages, several
sessions, hostile ones, and what the node does with its socket file."""
import os
import re
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import ROOT, Node, wait_until  # noqa: E402
from usage import resident_bytes  # noqa: E402

HEADER = struct.Struct('<QQII')
DATA_MAX = 131072 - HEADER.size
SUCCESS, UNKNOWN_MODULE, UNKNOWN_METHOD, BAD_CALL, BAD_PAYLOAD = 0, 3, 4, 5, 6
NODE = 100
GET_VERSION, DESCRIBE = 10001, 10003
BDEV, CREATE_BDEV = 106, 10601


def messages():
    """The messages of api/drpc and api/node as classes, by full name."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(['protoc', '-I.', '--include_imports', f'--descriptor_set_out={out.name}',
                        'drpc/drpc.proto', 'drpc/hello.proto', 'drpc/reply.proto',
                        'node/node.proto'], cwd=os.path.join(ROOT, 'api'), check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return lambda name: factory.GetPrototype(pool.FindMessageTypeByName(name))


MESSAGE = messages()
Call, Response = MESSAGE('drpc.Call'), MESSAGE('drpc.Response')
Reply = MESSAGE('capstan.drpc.v1.Reply')
Hello, HelloResponse = MESSAGE('hello.Hello'), MESSAGE('hello.HelloResponse')
Version = MESSAGE('capstan.node.v1.Version')


def packets(message, size=DATA_MAX):
    parts = [message[at:at + size] for at in range(0, len(message), size)] or [b'']
    return [HEADER.pack(len(message), len(part), i, len(parts)) + part
            for i, part in enumerate(parts)]


class Closed(Exception):
    pass


class Session:
    """One connection. `legacy`: a packet is a message, without a header."""

    def __init__(self, path, legacy=False):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.legacy = legacy
        self.sequence = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def packet(self):
        try:
            got = self.socket.recv(1 << 20)
        except ConnectionResetError:
            got = b''
        if not got:
            raise Closed
        return got

    def send(self, message, size=DATA_MAX):
        for packet in [message] if self.legacy else packets(message, size):
            self.socket.send(packet)

    def receive(self):
        if self.legacy:
            return self.packet()
        message = b''
        expected = 0
        while True:
            packet = self.packet()
            total, length, index, count = HEADER.unpack_from(packet)
            assert length == len(packet) - HEADER.size and index == expected < count
            assert length == min(DATA_MAX, total - len(message))   # all full but the last
            message += packet[HEADER.size:]
            expected += 1
            if index == count - 1:
                assert len(message) == total
                return message

    def post(self, module, method, body=b'', sequence=None, size=DATA_MAX):
        self.sequence = self.sequence + 1 if sequence is None else sequence
        self.send(Call(module=module, method=method, sequence=self.sequence,
                       body=body).SerializeToString(), size)

    def response(self):
        return Response.FromString(self.receive())

    def call(self, module, method, body=b'', **more):
        self.post(module, method, body, **more)
        response = self.response()
        assert response.sequence == self.sequence, response
        return response

    def operation(self, module, method, body=b''):
        response = self.call(module, method, body)
        assert response.status == SUCCESS, response
        return Reply.FromString(response.body)


def vectors():
    """(name, packets) of those of tests/vectors/drpc.txt that any server must end by closing."""
    with open(os.path.join(ROOT, 'tests', 'vectors', 'drpc.txt'), encoding='ascii') as file:
        for block in re.split(r'^== ', file.read(), flags=re.M)[1:]:
            name, *lines = block.strip().splitlines()
            if name.startswith('closed at once'):
                yield name, [bytes.fromhex(line[2:]) for line in lines if line.startswith('C ')]


class Drpc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start('--drpc-hello')
        cls.path = cls.node.path('drpc.sock')

    def session(self, **options):
        return Session(self.path, **options)

    def greet(self, session, name):
        answer = session.call(0, 0, Hello(name=name).SerializeToString())
        self.assertEqual(answer.status, SUCCESS)
        self.assertEqual(HelloResponse.FromString(answer.body).greeting, 'Hello ' + name)

    # --- bytes ---
    def test_the_greeting_byte_for_byte(self):
        with self.session() as session:
            session.socket.send(bytes.fromhex('0c000000000000000c000000000000000000000001000000'
                                              '180122080a06467269656e64'))
            self.assertEqual(session.packet().hex(),
                             '120000000000000012000000000000000000000001000000'
                             '08011a0e0a0c48656c6c6f20467269656e64')

    def test_messages_of_any_size(self):
        with self.session() as session:
            for size in (0, 1, 131000, 131048, 131073, 1 << 20, 20 << 20):
                self.greet(session, 'a' * size)

    def test_small_and_empty_chunks(self):
        with self.session() as session:
            answer = session.call(0, 0, Hello(name='in pieces').SerializeToString(), size=3)
            self.assertEqual(HelloResponse.FromString(answer.body).greeting, 'Hello in pieces')
            answer = session.call(0, 0, Hello(name='bytes').SerializeToString(), size=1)
            self.assertEqual(HelloResponse.FromString(answer.body).greeting, 'Hello bytes')
            call = Call(sequence=9, body=Hello(name='again').SerializeToString())
            whole = call.SerializeToString()
            for index, part in enumerate((b'', whole[:5], b'', whole[5:], b'')):
                session.socket.send(HEADER.pack(len(whole), len(part), index, 5) + part)
            self.assertEqual(session.response().sequence, 9)

    def test_the_old_framing(self):
        with self.session(legacy=True) as session:
            reply = session.operation(NODE, GET_VERSION)
            self.assertTrue(Version.FromString(reply.reply[0]).version)
            self.assertEqual(session.call(99, 1, b'x').status, UNKNOWN_MODULE)
            session.send(b'\xff\xff\xff')
            self.assertEqual(session.receive().hex(), '08ffffffffffffffffff011005')
            listed = session.operation(NODE, DESCRIBE)
            self.assertEqual(listed.status, 0)
        with self.session() as other:     # each session decides for itself
            self.greet(other, 'new')

    def test_broken_framing_closes_without_an_answer(self):
        tried = 0
        for name, packets_of_it in vectors():
            with self.subTest(name), self.session() as session:
                for packet in packets_of_it:
                    try:
                        session.socket.send(packet)
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                self.assertRaises(Closed, session.packet)
            tried += 1
        self.assertGreater(tried, 15)
        with self.session() as session:
            self.greet(session, 'still here')

    def test_a_packet_over_the_limit(self):
        body = b'x' * 131049
        with self.session() as session:
            session.socket.send(HEADER.pack(len(body), len(body), 0, 1) + body)
            self.assertRaises(Closed, session.packet)

    def test_zero_length_packet(self):
        with self.session() as session:
            self.greet(session, 'x')
            session.socket.send(b'')
            self.assertRaises(Closed, session.packet)

    # --- answers ---
    def test_errors(self):
        with self.session() as session:
            self.assertEqual(session.call(99, 1).status, UNKNOWN_MODULE)
            self.assertEqual(session.call(-5, -1).status, UNKNOWN_MODULE)
            self.assertEqual(session.call(0, -1).status, UNKNOWN_METHOD)
            self.assertEqual(session.call(NODE, 10099).status, UNKNOWN_METHOD)
            refused = session.call(NODE, GET_VERSION, b'\xff')
            self.assertEqual((refused.status, refused.body), (BAD_PAYLOAD, b''))
            session.send(bytes(range(250)))
            answer = session.response()
            self.assertEqual((answer.sequence, answer.status), (-1, BAD_CALL))
            self.greet(session, 'after all that')

    def test_sequences_are_copied(self):
        with self.session() as session:
            for sequence in (0, 5, 5, -7, (1 << 63) - 1):
                self.assertEqual(session.call(0, 0, sequence=sequence).sequence, sequence)
            session.post(0, 1, sequence=0)
            self.assertEqual(session.response().status, UNKNOWN_METHOD)

    def test_operations_answer_with_a_reply(self):
        with self.session() as session:
            reply = session.operation(NODE, GET_VERSION)
            self.assertEqual((reply.status, len(reply.reply)), (0, 1))
            self.assertTrue(Version.FromString(reply.reply[0]).node_name)
            # DestroyPoolRequest, too, has a name in field 1.
            reply = session.operation(101, 10102, Hello(name='nobody').SerializeToString())
            self.assertEqual((reply.status, reply.code), (-1005, 5))
            self.assertIn('nobody', reply.message)

    def test_every_operation_has_numbers_that_work(self):
        listed = self.node.json('node', 'operations')['operations']
        self.assertGreater(len(listed), 20)
        with self.session() as session:
            for operation in listed:
                with self.subTest(operation['full_name']):
                    module, method = operation['drpc_module'], operation['drpc_method']
                    self.assertEqual(method // 100, module)
                    # An empty request: done, or an error in words; never "unknown".
                    reply = session.operation(module, method)
                    if operation['kind'] not in ('unary', 'large'):
                        self.assertEqual((reply.status, reply.code), (-1010, 12))

    # --- sessions ---
    def test_pipelined_calls_are_answered_in_order(self):
        with self.session() as session:
            for _ in range(50):
                session.post(NODE, GET_VERSION)
            self.assertEqual([session.response().sequence for _ in range(50)],
                             list(range(1, 51)))

    def test_end_of_sending_still_gets_the_reply(self):
        with self.session() as session:
            session.post(0, 0, Hello(name='x').SerializeToString())
            session.post(0, 0, Hello(name='y').SerializeToString())
            session.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(session.response().sequence, 1)
            self.assertEqual(session.response().sequence, 2)
            self.assertRaises(Closed, session.packet)

    def test_calls_of_a_client_that_left_are_done(self):
        # CreateBdevRequest, too, is one text in field 1.
        uri = 'malloc:///gone{}?size_mb=1&blk_size=512'
        for index in range(5):
            with self.session() as session:
                for part in 'ab':
                    session.post(BDEV, CREATE_BDEV, 
                                 Hello(name=uri.format(f'{index}{part}')).SerializeToString())
        names = {f'gone{i}{part}' for i in range(5) for part in 'ab'}

        def done():
            listed = self.node.json('bdev', 'list')['bdevs']
            return names <= {device['name'] for device in listed}
        wait_until(done, 30, f'all of {names}')

    def test_many_sessions_at_once(self):
        errors = []

        def work(index):
            try:
                with self.session() as session:
                    for size in (10, 300_000, 1 << 20):
                        self.greet(session, chr(97 + index) * size)
            except Exception as error:      # noqa: BLE001: reported below
                errors.append(f'{index}: {error!r}')
        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])

    def test_hostile_sessions_harm_nobody(self):
        with self.session() as mute, self.session() as half, self.session() as good:
            mute.socket.settimeout(0)
            sent = 0
            with self.assertRaises(BlockingIOError):      # never reads a reply
                while sent < 5000:
                    mute.post(0, 0, Hello(name='x' * 20_000).SerializeToString())
                    sent += 1
            for packet in packets(b'x' * (8 << 20))[:20]:  # never sends the rest
                half.socket.send(packet)
            self.greet(good, 'all the same')
        with self.session() as session:
            self.greet(session, 'and afterwards')


    def test_clients_that_die_in_the_middle(self):
        def memory():
            return resident_bytes(self.node.process.pid)
        message = Call(sequence=1, body=Hello(name='x' * 400_000).SerializeToString())
        parts = packets(message.SerializeToString())
        before = memory()
        for _ in range(300):
            with self.session() as session:                # in the middle of a message
                session.socket.send(parts[0])
                session.socket.send(parts[1])
            with self.session() as session:                # with the answer on its way
                for part in parts:
                    session.socket.send(part)
            with self.session() as session:                # in the middle of its second one
                session.post(0, 0, Hello(name='y').SerializeToString())
                session.socket.send(parts[0])
        with self.session() as session:
            self.greet(session, 'undisturbed')
        self.assertLess(memory() - before, 200 << 20)      # 900 x 400 kB were sent


class Paths(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.path = self.node.path('drpc.sock')

    def test_mode_and_orderly_end(self):
        self.node.start()
        info = os.lstat(self.path)
        self.assertTrue(stat.S_ISSOCK(info.st_mode))
        self.assertEqual(stat.S_IMODE(info.st_mode), 0o600)
        with Session(self.path) as idle, Session(self.path) as other:
            other.call(NODE, GET_VERSION)
            self.assertEqual(self.node.stop(), 0)
            self.assertRaises(Closed, idle.packet)
            self.assertRaises(Closed, other.packet)
        self.assertFalse(os.path.lexists(self.path))

    def test_the_socket_of_a_killed_node_is_replaced(self):
        self.node.start()
        self.node.kill()
        self.assertTrue(os.path.lexists(self.path))
        self.node.start()
        with Session(self.path) as session:
            self.assertEqual(session.operation(NODE, GET_VERSION).status, 0)
            self.assertEqual(session.call(0, 0).status, UNKNOWN_MODULE)   # without --drpc-hello

    def refused(self, *flags):
        code, output = self.node.run_to_end('--drpc-socket', self.path, *flags)
        self.assertNotEqual(code, 0)
        return output

    def test_what_is_not_a_stale_socket_stays(self):
        with open(self.path, 'w', encoding='ascii') as file:
            file.write('precious')
        self.assertIn(self.path, self.refused())
        with open(self.path, encoding='ascii') as file:
            self.assertEqual(file.read(), 'precious')
        os.remove(self.path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as owner:
            owner.bind(self.path)
            owner.listen()
            self.assertIn(f"Configured dRPC socket file '{self.path}' is already in use.",
                          self.refused())
            self.assertTrue(os.path.lexists(self.path))

    def test_paths_have_a_length(self):
        self.path = '/tmp/' + 'x' * 103
        self.assertIn('107', self.refused())

    def test_the_caller_is_known_to_access_rules(self):
        self.node.start('--access', 'tcp=all', '--access', f'uid:{os.getuid()}=monitor')
        with Session(self.path) as session:
            self.assertEqual(session.operation(NODE, GET_VERSION).status, 0)
            denied = session.operation(101, 10101)
            self.assertEqual((denied.status, denied.code), (-1001, 7))


if __name__ == '__main__':
    unittest.main()
