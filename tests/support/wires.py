"""One driver for each wire, all with the same call: what a node does must not depend on the wire.

A driver takes an operation's full name and its request as a dictionary and gives an Outcome: either
the answer as a dictionary (proto3 JSON with the names of the .proto), or the canonical code and the
message. An operation that streams its answers gives {'messages': [...]}; one that takes a stream of
requests is called with a list of them. A new wire joins by one more class here and its line in
DRIVERS.
"""
import dataclasses
import functools
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format

from node import ROOT
from official import Client, _message

sys.path.insert(0, os.path.join(ROOT, 'examples', 'muxio-python'))
import capstan_muxio  # noqa: E402


@dataclasses.dataclass
class Outcome:
    code: str = 'OK'
    answer: dict = None
    message: str = ''
    native: object = None    # what this wire calls the error
    sys_errno: int = 0       # dRPC says it; a JSON-RPC code is made of it

    def __str__(self):
        return f'{self.code} {self.answer if self.code == "OK" else self.message}'


def grpc_number(code):
    return grpc.StatusCode[code].value[0]


class Wire:
    """What the drivers share: descriptors from reflection, names from DescribeOperations."""
    has_streams = True
    TOO_LARGE = 70 << 20     # a request that this wire does not take

    def __init__(self, node):
        self.node = node
        self.client = Client(f'127.0.0.1:{node.port}')
        listed = self.client.call('capstan.node.v1.NodeRpc/DescribeOperations').operations
        self.operations = {o.full_name: o for o in listed}

    def close(self):
        self.client.close()

    def kind(self, name):
        return self.operations[name].kind

    def request(self, name, fields):
        return self.client.request(name, fields)

    def options(self, name):
        """What api/rpc/options.proto lets a declaration say, as the node's reflection has it."""
        kind = _message(self.client.pool, 'google.protobuf.MethodOptions')
        options = kind.FromString(self.client.method(name).GetOptions().SerializeToString())
        return options.Extensions[self.client.pool.FindExtensionByName('capstan.rpc.operation')]

    def empty_answer(self, name):
        return _message(self.client.pool, self.client.method(name).output_type.full_name)()

    def as_dictionary(self, message):
        return json_format.MessageToDict(message, preserving_proto_field_name=True,
                                         including_default_value_fields=True,
                                         descriptor_pool=self.client.pool)


class GrpcWire(Wire):
    name = 'grpc'
    is_unix = False

    def serves(self, operation):
        return True

    def native_codes(self, code, matrix):
        return {grpc_number(code)}

    def call(self, name, fields, deadline=None, timeout=30):
        timeout = deadline or timeout
        try:
            if self.kind(name) == 'client_stream':
                requests = iter([self.request(name, one) for one in fields])
                answer = self.client.rpc(name, 'stream_unary')(requests, timeout=timeout)
            elif self.kind(name) == 'bidirectional':
                requests = iter([self.request(name, one) for one in fields])
                answers = self.client.rpc(name, 'stream_stream')(requests, timeout=timeout)
                return Outcome(answer={'messages': [self.as_dictionary(a) for a in answers]})
            elif self.kind(name) == 'large':
                answers = self.client.rpc(name, 'unary_stream')(self.request(name, fields),
                                                                timeout=timeout)
                return Outcome(answer={'messages': [self.as_dictionary(a) for a in answers]})
            else:
                answer = self.client.rpc(name)(self.request(name, fields), timeout=timeout)
        except grpc.RpcError as error:
            return Outcome(error.code().name, None, error.details(), error.code().value[0])
        return Outcome(answer=self.as_dictionary(answer))

    def endless(self, name, fields, wanted, act):
        """The first `wanted` answers of a call that never ends by itself; act() makes them come."""
        call = self.client.rpc(name, 'unary_stream')(self.request(name, fields), timeout=60)
        act()
        answers = [self.as_dictionary(next(call)) for _ in range(wanted)]
        call.cancel()
        return Outcome(answer={'messages': answers})

    def start(self, name, fields):
        """A call under way; close() leaves it."""
        call = self.client.rpc(name).future(self.request(name, fields), timeout=60)
        call.close = call.cancel
        return call

    def refuses_too_large(self, name, fields):
        return self.call(name, fields).code == 'RESOURCE_EXHAUSTED'


class MuxioWire(Wire):
    """Muxio over a WebSocket, by the full names; the client of examples/."""
    name = 'muxio'
    is_unix = False
    TOO_LARGE = 257 << 20

    def serves(self, operation):
        return True

    def native_codes(self, code, matrix):
        return {code}

    def connect(self, timeout=30):
        return capstan_muxio.Client('127.0.0.1', self.node.port, timeout)

    def decode(self, name, data):
        message = self.empty_answer(name)
        message.MergeFromString(data)
        return self.as_dictionary(message)

    def refusal(self, error):
        code, colon, message = str(error).partition(': ')
        return Outcome(code, None, message, code) if colon else Outcome(None, None, str(error), '')

    def call(self, name, fields, deadline=None, timeout=30):
        with self.connect(timeout) as client:
            try:
                if self.kind(name) in ('client_stream', 'bidirectional'):
                    requests = [self.request(name, one).SerializeToString() for one in fields]
                    answers = [self.decode(name, a) for a in client.upload(name, requests)]
                    return Outcome(answer=answers[0] if self.kind(name) == 'client_stream' else
                                   {'messages': answers})
                request = self.request(name, fields).SerializeToString()
                if self.kind(name) == 'large':
                    answers = [self.decode(name, a) for a in client.stream(name, request)]
                    return Outcome(answer={'messages': answers})
                return Outcome(answer=self.decode(name, client.call(name, request)))
            except capstan_muxio.MuxioError as error:
                return self.refusal(error)

    def start(self, name, fields):
        """A call under way; close() leaves it."""
        client = self.connect()
        client.send(name, self.request(name, fields).SerializeToString())
        return client

    def endless(self, name, fields, wanted, act):
        with self.connect() as client:
            request = client.send(name, self.request(name, fields).SerializeToString())
            act()
            answers = client.records(request)
            return Outcome(answer={'messages': [self.decode(name, next(answers))
                                                for _ in range(wanted)]})

    def refuses_too_large(self, name, fields):
        return 'too large' in self.call(name, fields, timeout=120).message


class UnixWire(Wire):
    """One connection for each call."""
    is_unix = True
    has_streams = False

    def connect(self, timeout=30):
        peer = socket.socket(socket.AF_UNIX, self.SOCKET_TYPE)
        peer.settimeout(timeout)
        peer.connect(self.node.path(self.SOCKET))
        return peer

    def start(self, name, fields):
        """A call under way; close() leaves it."""
        peer = self.connect()
        self.send(peer, self.encode(name, fields))
        return peer

    def call(self, name, fields, deadline=None, timeout=30):
        with self.connect(timeout) as peer:
            self.send(peer, self.encode(name, fields))
            return self.outcome(name, self.receive(peer))

    def endless(self, name, fields, wanted, act):
        """Refused at once."""
        return self.call(name, fields)

    def refuses_too_large(self, name, fields):
        """These wires have no answer to what does not fit; they end the connection."""
        try:
            self.call(name, fields)
        except (ConnectionError, BrokenPipeError, EOFError):
            return True
        return False


class JsonRpcWire(UnixWire):
    """JSON-RPC 2.0 on a Unix stream socket."""
    name = 'jsonrpc'
    SOCKET = 'rpc.sock'
    SOCKET_TYPE = socket.SOCK_STREAM

    def serves(self, operation):
        return bool(operation.jsonrpc)

    def native_codes(self, code, matrix):
        return matrix[code]

    def encode(self, name, fields):
        envelope = {'jsonrpc': '2.0', 'id': 1, 'method': self.operations[name].jsonrpc or name}
        if isinstance(fields, list):     # a stream, which is refused whatever is in it
            fields = {}
        if fields:
            envelope['params'] = fields
        return json.dumps(envelope).encode()

    def outcome(self, name, reply):
        assert reply['id'] == 1 and reply['jsonrpc'] == '2.0', reply
        if 'error' in reply:
            return Outcome(None, None, reply['error']['message'], reply['error']['code'])
        return Outcome(answer=self.answer(name, reply['result']))

    def answer(self, name, result):
        if self.kind(name) == 'large':
            return {'messages': [self.one_answer(name, one) for one in result]}
        return self.one_answer(name, result)

    def one_answer(self, name, result):
        message = self.empty_answer(name)
        shape = self.options(name).jsonrpc
        if shape.null_result:
            assert result is None, result
            return self.as_dictionary(message)
        if message.DESCRIPTOR.full_name == 'google.protobuf.Empty':
            assert result is True, result
            return self.as_dictionary(message)
        if shape.result:
            result = {shape.result: result}
        json_format.ParseDict(result, message, descriptor_pool=self.client.pool)
        return self.as_dictionary(message)

    def send(self, peer, data):
        peer.sendall(data)

    def receive(self, peer):
        got = b''
        while True:
            part = peer.recv(65536)
            if not part:
                raise EOFError(f'the node closed the connection after {got[:200]}')
            got += part
            try:
                return json.loads(got)
            except json.JSONDecodeError:
                continue


@functools.lru_cache(maxsize=None)
def _drpc_messages():
    """Call, Response and Reply, from the tree: dRPC has no reflection."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(['protoc', '-I.', '--include_imports', f'--descriptor_set_out={out.name}',
                        'drpc/drpc.proto', 'drpc/reply.proto'],
                       cwd=os.path.join(ROOT, 'api'), check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return [_message(pool, name) for name in
            ('drpc.Call', 'drpc.Response', 'capstan.drpc.v1.Reply')]


class DrpcWire(UnixWire):
    """dRPC as DAOS 2.8 frames it; a session for each call."""
    name = 'drpc'
    SOCKET = 'drpc.sock'
    SOCKET_TYPE = socket.SOCK_SEQPACKET
    HEADER = struct.Struct('<QQII')
    PART = 131072 - HEADER.size

    def serves(self, operation):
        return operation.drpc_module >= 100 and operation.drpc_method > 0

    def native_codes(self, code, matrix):
        return {grpc_number(code)}

    def encode(self, name, fields):
        operation = self.operations[name]
        if isinstance(fields, list):     # a stream, which is refused whatever is in it
            fields = {}
        call = _drpc_messages()[0](module=operation.drpc_module, method=operation.drpc_method,
                                   sequence=1, body=self.request(name, fields).SerializeToString())
        return call.SerializeToString()

    def outcome(self, name, data):
        _, response_type, reply_type = _drpc_messages()
        response = response_type.FromString(data)
        assert response.sequence == 1 and response.status == 0, response
        reply = reply_type.FromString(response.body)
        if reply.status != 0:
            return Outcome(None, None, reply.message, reply.code, reply.sys_errno)
        answers = []
        for data in reply.reply:
            message = self.empty_answer(name)
            message.MergeFromString(data)
            answers.append(self.as_dictionary(message))
        if self.kind(name) == 'large':
            return Outcome(answer={'messages': answers})
        assert len(answers) == 1, answers
        return Outcome(answer=answers[0])

    def send(self, peer, data):
        parts = [data[at:at + self.PART] for at in range(0, len(data), self.PART)] or [b'']
        for index, part in enumerate(parts):
            peer.send(self.HEADER.pack(len(data), len(part), index, len(parts)) + part)

    def receive(self, peer):
        got = b''
        while True:
            packet = peer.recv(1 << 17)
            if not packet:
                raise EOFError('the node closed the session')
            total, length, index, count = self.HEADER.unpack_from(packet)
            assert len(packet) == self.HEADER.size + length, (len(packet), length)
            got += packet[self.HEADER.size:]
            if index == count - 1:
                assert len(got) == total, (len(got), total)
                return got


DRIVERS = [GrpcWire, DrpcWire, JsonRpcWire, MuxioWire]
