"""One driver for each wire, all with the same call: what a node does must not depend on the wire.

A driver takes an operation's full name and its request as a dictionary and gives an Outcome: either
the answer as a dictionary (proto3 JSON with the names of the .proto), or the canonical code and the
message. A new wire joins by one more class here and its line in DRIVERS.
"""
import dataclasses
import functools
import json
import os
import socket
import struct
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format

from node import ROOT
from official import Client, _message


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

    def __init__(self, node):
        self.node = node
        self.client = Client(f'127.0.0.1:{node.port}')
        listed = self.client.call('capstan.node.v1.NodeRpc/DescribeOperations').operations
        self.operations = {o.full_name: o for o in listed}

    def close(self):
        self.client.close()

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
        try:
            answer = self.client.rpc(name)(self.request(name, fields), timeout=deadline or timeout)
        except grpc.RpcError as error:
            return Outcome(error.code().name, None, error.details(), error.code().value[0])
        return Outcome(answer=self.as_dictionary(answer))

    def start(self, name, fields):
        """A call under way; close() leaves it."""
        call = self.client.rpc(name).future(self.request(name, fields), timeout=60)
        call.close = call.cancel
        return call

    def refuses_too_large(self, name, fields):
        return self.call(name, fields).code == 'RESOURCE_EXHAUSTED'


class UnixWire(Wire):
    """One connection for each call."""
    is_unix = True

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
        envelope = {'jsonrpc': '2.0', 'id': 1, 'method': self.operations[name].jsonrpc}
        if fields:
            envelope['params'] = fields
        return json.dumps(envelope).encode()

    def outcome(self, name, reply):
        assert reply['id'] == 1 and reply['jsonrpc'] == '2.0', reply
        if 'error' in reply:
            return Outcome(None, None, reply['error']['message'], reply['error']['code'])
        return Outcome(answer=self.answer(name, reply['result']))

    def answer(self, name, result):
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
        message = self.empty_answer(name)
        message.MergeFromString(b''.join(reply.reply))
        return Outcome(answer=self.as_dictionary(message))

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


DRIVERS = [GrpcWire, DrpcWire, JsonRpcWire]
