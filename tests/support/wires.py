"""One driver for each wire, all with the same call: what a node does must not depend on the wire.

A driver takes an operation's full name and its request as a dictionary and gives an Outcome: either
the answer as a dictionary (proto3 JSON with the names of the .proto), or the canonical code and the
message. An operation that streams its answers gives {'messages': [...]}; one that takes a stream of
requests is called with a list of them. A new wire joins by one more class here and its line in
DRIVERS.
"""
import base64
import dataclasses
import functools
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.parse

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
    lossy: bool = False      # this wire's answer leaves something out by declaration
    own_words: bool = False  # the wire refused it before it was a call

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

    def can_call(self, name, fields):
        """Whether this wire can say the request at all: a path has no empty arguments."""
        return True

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


class RestWire(Wire):
    """HTTP/1.1 by the paths of the declarations, JSON as the native tree has it."""
    name = 'rest'
    is_unix = False
    headers = {}             # of every request

    def serves(self, operation):
        return True

    def native_codes(self, code, matrix):
        return {code}

    def bindings(self, name):
        options = self.options(name)
        declared = ([options.http] if options.HasField('http') else []) + list(options.more_http)
        return declared or [None]

    @staticmethod
    def steps(binding):
        """[(text, None) or (None, field), …]"""
        found = []
        for part in binding.path.strip('/').split('/'):
            if part.startswith('{'):
                inside = part[1:-1]
                found.append((None, inside.partition('=')[2] or inside))
            else:
                found.append((part, None))
        return found

    def binding_for(self, name, fields):
        """The first one of which every argument is at hand; False when there is none."""
        for binding in self.bindings(name):
            if binding is None:
                return None
            decides = any(not each.startswith('@') for each in binding.set)
            if binding.answer in (2, 4) or binding.raw_body or binding.only or decides:
                continue         # of other shapes than the calls of a test
            named = [f for _, f in self.steps(binding) if f]
            if all(self.text_of(fields, f) for f in named):
                return binding
        return False

    def can_call(self, name, fields):
        first = fields[0] if isinstance(fields, list) and fields else fields
        return self.binding_for(name, self.with_store(name, first or {})) is not False

    @staticmethod
    def with_store(name, fields):
        """A path names its store; elsewhere none means the first."""
        if '.DataStoreRpc/' in name and isinstance(fields, dict) and 'store' not in fields:
            return {**fields, 'store': 'main'}
        return fields

    @staticmethod
    def text_of(fields, path):
        value = fields
        for part in path.split('.'):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    @staticmethod
    def without(fields, path):
        head, dot, rest = path.partition('.')
        if head not in fields:
            return fields
        if dot:
            inner = RestWire.without(fields[head], rest)
            others = {k: v for k, v in fields.items() if k != head}
            return {**others, head: inner} if inner else others
        return {k: v for k, v in fields.items() if k != head}

    def is_bytes(self, name, path):
        message = self.client.method(name).input_type
        for part in path.split('.'):
            field = message.fields_by_name[part]
            message = field.message_type
        return field.type == field.TYPE_BYTES

    def bytes_changed(self, message, value, change):
        """Every bytes field of a message in JSON, through `change`."""
        def one(field, part):
            if field.type == field.TYPE_BYTES:
                return change(part)
            nested = field.message_type
            if nested and isinstance(part, dict) and not nested.GetOptions().map_entry:
                return self.bytes_changed(nested, part, change)
            return part
        out = {}
        for key, part in value.items():
            field = message.fields_by_name.get(key)
            if field is None or part is None:
                out[key] = part
            elif isinstance(part, list):
                out[key] = [one(field, element) for element in part]
            else:
                out[key] = one(field, part)
        return out

    def hexed(self, message, value):
        """proto3 JSON has bytes in base64, the native tree in hexadecimal."""
        return self.bytes_changed(message, value, lambda text: base64.b64decode(text).hex())

    def unhexed(self, message, value):
        return self.bytes_changed(message, value,
                                  lambda text: base64.b64encode(bytes.fromhex(text)).decode())

    def request_line(self, name, fields):
        """(method, target, fields of the body or None)"""
        fields = self.with_store(name, fields)
        binding = self.binding_for(name, fields)
        assert binding is not False, (name, fields)
        if binding is None:
            return 'POST', f'/rpc/{name}', fields
        path = ''
        for text, field in self.steps(binding):
            if field:
                value = self.text_of(fields, field)
                raw = base64.b64decode(value) if self.is_bytes(name, field) else str(value)
                text = urllib.parse.quote(raw, safe='')
                fields = self.without(fields, field)
            path += '/' + text
        query = []
        body = fields
        if binding.method in ('GET', 'DELETE'):
            query, body = list(self.flat(name, fields)), None
        else:
            for field in binding.query:
                if field in fields:
                    query.append((field, self.query_text(fields[field])))
                    body = self.without(body, field)
            if binding.body:
                body = fields.get(binding.body)
        if query:
            path += '?' + urllib.parse.urlencode(query)
        return binding.method, path, body

    @staticmethod
    def query_text(value):
        return ('true' if value else 'false') if isinstance(value, bool) else value

    def flat(self, name, fields, prefix=''):
        for key, value in fields.items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    yield from self.flat(name, one, f'{prefix}{key}.')
                else:
                    yield prefix + key, self.query_text(one)

    def body_of(self, name, fields, body):
        binding = self.binding_for(name, self.with_store(name, fields))
        message = self.client.method(name).input_type
        if binding is not None and binding.body:
            if binding.json_text:
                return body or ''
            return json.dumps(self.hexed(message, {binding.body: body or ''})[binding.body])
        return json.dumps(self.hexed(message, body))

    def connect(self, timeout=30):
        return http.client.HTTPConnection('127.0.0.1', self.node.port, timeout=timeout)

    def send(self, connection, name, fields, headers=None):
        headers = {**self.headers, **(headers or {})}
        if isinstance(fields, list):
            method, target, _ = self.request_line(name, fields[0] if fields else {})
            binding = self.binding_for(name, self.with_store(name, fields[0] if fields else {}))
            given = [f for _, f in self.steps(binding) if f] if binding is not None else []
            lines = []
            for index, one in enumerate(fields):
                for field in given if index == 0 else []:
                    one = self.without(one, field)
                message = self.client.method(name).input_type
                lines.append(json.dumps(self.hexed(message, one)) + '\n')
            connection.request(method, target, ''.join(lines).encode(), headers)
            return
        method, target, body = self.request_line(name, fields)
        data = None if body is None and method in ('GET', 'DELETE') else \
            self.body_of(name, fields, body).encode()
        connection.request(method, target, data, headers)

    def call(self, name, fields, deadline=None, timeout=30):
        headers = {'x-timeout-ms': str(int(deadline * 1000))} if deadline else {}
        connection = self.connect(timeout)
        try:
            self.send(connection, name, fields, headers)
            response = connection.getresponse()
            return self.outcome(name, fields, response, response.read())
        finally:
            connection.close()

    def outcome(self, name, fields, response, data):
        first = fields[0] if isinstance(fields, list) and fields else fields or {}
        binding = self.binding_for(name, self.with_store(name, first))
        kind = response.headers.get('content-type', '')
        if response.status in (201, 204):
            return Outcome(answer=self.as_dictionary(self.empty_answer(name)), lossy=True)
        if response.status >= 400:
            if kind != 'application/json' or not data:
                code = HTTP_CODES.get(response.status)
                return Outcome(code, None, data.decode().strip(), code, own_words=True)
            error = json.loads(data)
            if isinstance(error, dict):      # of /v0
                code = V0_CODES.get(error['kind'])
                return Outcome(code, None, error['message'], code)
            error = error[0]
            if error['msg'].startswith('nothing is at /'):   # the value is absent, elsewhere too
                return Outcome(answer=self.as_dictionary(self.empty_answer(name)))
            code = TRACE_CODES.get(error['id'].rpartition('.')[2])
            return Outcome(code, None, error['msg'], code)
        if self.kind(name) in ('large', 'bidirectional', 'endless'):
            answers = [self.one_answer(name, binding, line) for line in data.splitlines()]
            return Outcome(answer={'messages': answers})
        return Outcome(answer=self.one_answer(name, binding, data),
                       lossy=bool(binding is not None and binding.result
                                  and len(self.client.method(name).output_type.fields) > 1))

    def one_answer(self, name, binding, data):
        message = self.empty_answer(name)
        if binding is not None and binding.json_text:
            value = {binding.result: data.decode().rstrip('\n')}
        else:
            value = json.loads(data)
            if binding is not None and binding.result:
                value = {binding.result: value}
        json_format.ParseDict(self.unhexed(message.DESCRIPTOR, value), message,
                              descriptor_pool=self.client.pool)
        return self.as_dictionary(message)

    def start(self, name, fields):
        """A call under way; close() leaves it."""
        connection = self.connect()
        self.send(connection, name, fields)
        return connection

    def endless(self, name, fields, wanted, act):
        connection = self.connect(60)
        try:
            self.send(connection, name, fields)
            response = connection.getresponse()
            if response.status >= 400:
                return self.outcome(name, fields, response, response.read())
            binding = self.binding_for(name, self.with_store(name, fields))
            act()
            return Outcome(answer={'messages': [self.one_answer(name, binding, response.readline())
                                                for _ in range(wanted)]})
        finally:
            connection.close()

    def refuses_too_large(self, name, fields):
        """The node says so before it has read it all, and closes."""
        connection = self.connect()
        try:
            self.send(connection, name, fields)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            return connection.getresponse().status in (413, 431)
        except (http.client.HTTPException, ConnectionError):
            return True
        finally:
            connection.close()


# The last part of a trace's id, and the statuses without one, as canonical codes.
TRACE_CODES = {code.name.lower(): code.name for code in grpc.StatusCode}
TRACE_CODES['unauthorized'] = 'UNAUTHENTICATED'
V0_CODES = {''.join(word.capitalize() for word in code.name.split('_')): code.name
            for code in grpc.StatusCode}
V0_CODES.update({'Unauthorized': 'UNAUTHENTICATED', 'Deserialize': 'INVALID_ARGUMENT',
                 'Timeout': 'DEADLINE_EXCEEDED', 'AlreadyShared': 'FAILED_PRECONDITION',
                 'NotShared': 'FAILED_PRECONDITION'})
HTTP_CODES = {400: 'INVALID_ARGUMENT', 401: 'PERMISSION_DENIED', 404: 'UNIMPLEMENTED',
              408: 'DEADLINE_EXCEEDED', 413: 'RESOURCE_EXHAUSTED', 503: 'RESOURCE_EXHAUSTED'}


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


def metrics_of(node):
    """All metrics as text, asked over the JSON-RPC socket, where no token is needed."""
    asking = JsonRpcWire.__new__(JsonRpcWire)
    asking.node = node
    with asking.connect() as peer:
        peer.sendall(json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': 'node_get_metrics'}).encode())
        return asking.receive(peer)['result']['text']


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


DRIVERS = [GrpcWire, DrpcWire, JsonRpcWire, MuxioWire, RestWire]
