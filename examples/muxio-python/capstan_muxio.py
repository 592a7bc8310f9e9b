"""A client of the node's Muxio wire with nothing but Python's standard library.

    from capstan_muxio import Client, DataStore
    with Client('127.0.0.1', 10124) as client:
        store = DataStore(client)
        store.write(b'hello', b'world')
        print(store.read(b'hello'))
        # any operation of the node, protobuf in and out:
        reply = client.call('capstan.node.v1.NodeRpc/GetVersion', b'')
        # one that streams its answers, or takes a stream of requests:
        for answer in client.stream('capstan.datastore.v1.DataStoreRpc/ListKeys', b''):
            print(len(answer))

With tls=ssl.create_default_context(cafile='ca.pem') the connection is encrypted (wss).
One call at a time; a connection belongs to one thread. The protocol is described in
src/wire/muxio/PROTOCOL.md, bitcode in src/base/bitcode_codec.h.
"""
import base64
import hashlib
import os
import socket
import struct

MASK64 = (1 << 64) - 1
GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
CHUNK = 65536
OPEN, DATA, END, CANCEL = range(4)
CALL, RESPONSE = 0, 1
HEADER = struct.Struct('<IIIBQ')      # size, stream, sequence, kind, time stamp
MESSAGE = struct.Struct('<BIQH')      # type, request, method, size of the metadata
RECORD = struct.Struct('<I')          # size of a message in a stream of them
RECORD_ERROR = 0xFFFFFFFF             # instead of a size: what follows is the error


class MuxioError(Exception):
    """The server refused a call; str() is its reason."""


# --- XXH3-64 of names of up to 240 bytes ---------------------------------------------------------

SECRET = bytes.fromhex(
    'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f'
    'cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c'
    '3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8'
    'a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364'
    'eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e'
    '2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e')
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9


def _read(data, at, size):
    return int.from_bytes(data[at:at + size], 'little')


def _fold(a, b):
    product = a * b
    return (product & MASK64) ^ (product >> 64)


def _mix16(data, at, secret):
    return _fold(_read(data, at, 8) ^ _read(SECRET, secret, 8),
                 _read(data, at + 8, 8) ^ _read(SECRET, secret + 8, 8))


def _avalanche(h):
    h ^= h >> 37
    h = h * 0x165667919E3779F9 & MASK64
    return h ^ h >> 32


def _avalanche64(h):
    h = (h ^ h >> 33) * P64_2 & MASK64
    h = (h ^ h >> 29) * P64_3 & MASK64
    return h ^ h >> 32


def _short(data):
    n = len(data)
    if n == 0:
        return _avalanche64(_read(SECRET, 56, 8) ^ _read(SECRET, 64, 8))
    if n <= 3:
        key = data[0] << 16 | data[n >> 1] << 24 | data[-1] | n << 8
        return _avalanche64(key ^ _read(SECRET, 0, 4) ^ _read(SECRET, 4, 4))
    if n <= 8:
        h = (_read(data, n - 4, 4) + (_read(data, 0, 4) << 32)) ^ (
            _read(SECRET, 8, 8) ^ _read(SECRET, 16, 8))
        h ^= ((h << 49 | h >> 15) ^ (h << 24 | h >> 40)) & MASK64
        h = h * 0x9FB21C651E98DF25 & MASK64
        h ^= (h >> 35) + n
        h = h * 0x9FB21C651E98DF25 & MASK64
        return h ^ h >> 28
    low = _read(data, 0, 8) ^ _read(SECRET, 24, 8) ^ _read(SECRET, 32, 8)
    high = _read(data, n - 8, 8) ^ _read(SECRET, 40, 8) ^ _read(SECRET, 48, 8)
    swapped = int.from_bytes(low.to_bytes(8, 'little'), 'big')
    return _avalanche((n + swapped + high + _fold(low, high)) & MASK64)


def method_id(name):
    """XXH3-64 (seed 0) of the method's name."""
    data = name.encode()
    n = len(data)
    if n <= 16:
        return _short(data)
    if n > 240:
        raise ValueError('names of methods have at most 240 bytes')
    h = n * P64_1
    if n <= 128:
        for i in reversed(range((n + 31) // 32)):
            h += _mix16(data, 16 * i, 32 * i) + _mix16(data, n - 16 * (i + 1), 32 * i + 16)
        return _avalanche(h & MASK64)
    for i in range(8):
        h += _mix16(data, 16 * i, 16 * i)
    h = _avalanche(h & MASK64)
    for i in range(8, n // 16):
        h += _mix16(data, 16 * i, 16 * (i - 8) + 3)
    return _avalanche((h + _mix16(data, n - 16, 136 - 17)) & MASK64)


# --- the connection -------------------------------------------------------------------------------

class Client:
    def __init__(self, host, port, timeout=30, tls=None, headers=None):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        self.received = bytearray()     # from the socket
        self.frames = bytearray()       # Muxio's bytes
        self.last_id = 0
        try:
            self._upgrade(host, port, headers or {})
        except BaseException:
            self.socket.close()
            raise

    def _upgrade(self, host, port, headers):
        key = base64.b64encode(os.urandom(16))
        more = ''.join(f'{name}: {value}\r\n' for name, value in headers.items()).encode()
        self.socket.sendall(b'GET /ws HTTP/1.1\r\nHost: %b:%d\r\nConnection: Upgrade\r\n'
                            b'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'
                            b'Sec-WebSocket-Key: %b\r\n%b\r\n'
                            % (host.encode(), port, key, more))
        while b'\r\n\r\n' not in self.received:
            self._fill()
        head, _, rest = bytes(self.received).partition(b'\r\n\r\n')
        self.received = bytearray(rest)
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        if not head.startswith(b'HTTP/1.1 101') or accept not in head:
            raise ConnectionError(head.decode(errors='replace').splitlines()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self._send_message(8, struct.pack('>H', 1000))
        except OSError:
            pass
        self.socket.close()

    def call(self, method, arguments):
        """The result of the method (a name), with arguments and result as its codec has them."""
        return self._answer(self.send(method, arguments))

    def stream(self, method, arguments):
        """The answers of an operation that takes one request, as they come, until it ends."""
        yield from self.records(self.send(method, arguments))

    def upload(self, method, requests):
        """The answers of an operation that takes a stream of requests."""
        payload = b''.join(RECORD.pack(len(r)) + r for r in requests)
        return list(self.records(self.send(method, payload, True)))

    def send(self, method, arguments, as_payload=False):
        """Begins a call; the answer is for `receive` or `records`."""
        self.last_id += 2
        request, stream = self.last_id, self.last_id + 1
        small = len(arguments) < 65536 and not as_payload
        metadata, payload = (arguments, b'') if small else (b'', arguments)
        message = MESSAGE.pack(CALL, request, method_id(method), len(metadata))
        message += metadata + payload
        pieces = [message[i:i + CHUNK] for i in range(0, len(message), CHUNK)]
        for number, piece in enumerate(pieces):
            frame = HEADER.pack(len(piece), stream, number, DATA if number else OPEN, 0) + piece
            if number == len(pieces) - 1:
                frame += HEADER.pack(0, stream, number + 1, END, 0)
            self._send_message(2, frame)
        return request

    def receive(self, request):
        """The payload of an answer in the pieces in which it arrives."""
        ours = status = None
        failed = b''
        while True:
            size, stream, _, kind, _ = HEADER.unpack(self._take(HEADER.size))
            payload = self._take(size)
            if kind == OPEN:              # the head of a message is never cut
                what, answered, _, metadata = MESSAGE.unpack_from(payload)
                if what == RESPONSE and answered == request:
                    ours, status = stream, payload[MESSAGE.size] if metadata else 0
                    payload = payload[MESSAGE.size + metadata:]
            if stream != ours:            # of a call that was given up
                continue
            if kind == CANCEL:
                raise ConnectionError('the server cancelled an answer')
            if status == 0:
                yield payload
            else:
                failed += payload
            if kind == END:
                break
        if status:
            raise MuxioError(failed.decode(errors='replace') if status != 3 else
                             'the server does not know this method')

    def _answer(self, request):
        return b''.join(self.receive(request))

    def records(self, request):
        """The answers of a call that streams them."""
        got = bytearray()
        for piece in self.receive(request):
            got += piece
            while len(got) >= RECORD.size:
                size = RECORD.unpack_from(got)[0]
                if size == RECORD_ERROR or len(got) < RECORD.size + size:
                    break
                yield bytes(got[RECORD.size:RECORD.size + size])
                del got[:RECORD.size + size]
        if got[:4] == RECORD.pack(RECORD_ERROR):
            raise MuxioError(got[4:].decode(errors='replace'))
        if got:
            raise ConnectionError('an answer ended in the middle of a message')

    # WebSocket
    def _send_message(self, opcode, payload):
        size = len(payload)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += struct.pack('>BH', 0x80 | 126, size)
        else:
            head += struct.pack('>BQ', 0x80 | 127, size)
        mask = os.urandom(4)
        wide = int.from_bytes((mask * (size // 4 + 1))[:size], 'little')
        masked = (int.from_bytes(payload, 'little') ^ wide).to_bytes(size, 'little')
        self.socket.sendall(head + mask + masked)

    def _fill(self):
        got = self.socket.recv(1 << 18)
        if not got:
            raise ConnectionError('the server closed the connection')
        self.received += got

    def _exactly(self, size):
        while len(self.received) < size:
            self._fill()
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    def _take(self, size):
        """Muxio's next bytes."""
        while len(self.frames) < size:
            first, second = self._exactly(2)
            length = second & 127
            if length > 125:
                length = int.from_bytes(self._exactly(2 if length == 126 else 8), 'big')
            payload = self._exactly(length)
            if first & 15 in (0, 2):
                self.frames += payload
            elif first & 15 == 9:
                self._send_message(10, payload)
            elif first & 15 == 8:
                raise ConnectionError('the server closed the WebSocket')
        taken = bytes(self.frames[:size])
        del self.frames[:size]
        return taken


# --- the DataStore --------------------------------------------------------------------------------

class _Bitcode:
    """Takes bitcode's columns off the front of some bytes."""
    BASES = (256, 16, 6, 4, 3, 2)
    GROUPS = {16: 2, 6: 3, 4: 4, 3: 5, 2: 8}

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if self.at + size > len(self.data):
            raise MuxioError('the answer is not valid bitcode')
        self.at += size
        return self.data[self.at - size:self.at]

    def packed(self, base, count, least=0):
        group, out = self.GROUPS[base], bytearray()
        for byte in self.take(-(-count // group)):
            for _ in range(group):
                out.append((byte % base + least) & 255)
                byte //= base
        return bytes(out[:count])

    def column(self, count):
        if count <= 2:
            return self.take(count)
        header = self.take(1)[0]
        least = self.take(1)[0] if header % 2 else 0
        base = self.BASES[(header + 1) // 2]
        return self.take(count) if base == 256 else self.packed(base, count, least)

    def numbers(self, count):
        if count == 0:
            return []
        header = self.take(1)[0]
        least = int.from_bytes(self.take(8), 'little') if header % 2 else 0
        width = 8 >> (header + 1) // 2
        raw = self.column(count) if width == 1 else self.take(count * width)
        return [(int.from_bytes(raw[i:i + width], 'little') + least) & MASK64
                for i in range(0, count * width, width)]

    def lengths(self, count):
        small = self.column(count)
        large = iter(self.numbers(small.count(255)))
        return [next(large) if n == 255 else n for n in small]

    def values(self, count):
        sizes = self.lengths(count)
        joined, out, at = self.column(sum(sizes)), [], 0
        for size in sizes:
            out.append(joined[at:at + size])
            at += size
        return out


def _put_column(data):
    return data if len(data) <= 2 else b'\0' + data


def _put_lengths(lengths):
    large = [n for n in lengths if n >= 255]
    out = _put_column(bytes(min(n, 255) for n in lengths))
    return out + (b'\0' + b''.join(n.to_bytes(8, 'little') for n in large) if large else b'')


def _put_values(values):
    return _put_lengths([len(v) for v in values]) + _put_column(b''.join(values))


class DataStore:
    """The methods that the node's first store has for the released DataStore clients."""

    def __init__(self, client):
        self.client = client

    def _number(self, method, arguments=b''):
        return _Bitcode(self.client.call(method, arguments)).numbers(1)[0]

    def write(self, key, value):
        return self._number('write', _put_values([key]) + _put_values([value]))

    def batch_write(self, entries):
        entries = list(entries)
        return self._number('batch_write', _put_lengths([len(entries)]) +
                            _put_values([k for k, _ in entries]) +
                            _put_values([v for _, v in entries]))

    def read(self, key):
        answer = _Bitcode(self.client.call('read', _put_values([key])))
        return answer.values(1)[0] if answer.take(1)[0] & 1 else None

    def batch_read(self, keys):
        keys = list(keys)
        answer = _Bitcode(self.client.call('batch_read', _put_lengths([len(keys)]) +
                                           _put_values(keys)))
        present = answer.packed(2, answer.lengths(1)[0])
        values = iter(answer.values(sum(present)))
        return [next(values) if p else None for p in present]

    def delete(self, key):
        return self._number('delete', _put_values([key]))

    def exists(self, key):
        return self.client.call('exists', _put_values([key]))[0] & 1 == 1

    def __len__(self):
        return self._number('len')

    def is_empty(self):
        return self.client.call('is_empty', b'')[0] & 1 == 1

    def file_size(self):
        return self._number('file_size')
