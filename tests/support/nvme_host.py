"""A small NVMe/TCP host, written from the protocol alone and sharing no code with the target."""
import socket
import struct
import uuid

ICREQ, ICRESP, TERM, COMMAND, RESPONSE, H2C_DATA, C2H_DATA, R2T = 0, 1, 3, 4, 5, 6, 7, 9
FABRICS, SET_PROPERTY, CONNECT, GET_PROPERTY = 0x7F, 0, 1, 4
HOST_NQN = 'nqn.2014-08.org.example:python'
DISCOVERY = 'nqn.2014-08.org.nvmexpress.discovery'
TIMEOUT = 60


class Refused(Exception):
    def __init__(self, status):
        super().__init__(f'status {status >> 8 & 7}.{status & 0xFF:02x}')
        self.code = (status >> 8 & 7, status & 0xFF)


class Queue:
    """One connection: Connect makes it the admin queue (0) or an I/O queue of a controller."""

    def __init__(self, address, nqn, queue=0, controller=0xFFFF, host_nqn=HOST_NQN, host_id=None):
        self.socket = socket.create_connection(address, TIMEOUT)
        self.next_id = 0
        try:
            self._connect(nqn, queue, controller, host_nqn, host_id)
        except BaseException:
            self.socket.close()
            raise

    def _connect(self, nqn, queue, controller, host_nqn, host_id):
        self._send(ICREQ, struct.pack('<HBBI', 0, 0, 0, 0) + bytes(112))
        kind = self._receive()[0]
        if kind != ICRESP:
            raise AssertionError(f'PDU {kind} instead of ICResp')
        data = bytearray(1024)
        data[0:16] = (host_id or uuid.uuid5(uuid.NAMESPACE_URL, host_nqn)).bytes
        data[16:18] = struct.pack('<H', controller)
        data[256:256 + len(nqn)] = nqn.encode()
        data[512:512 + len(host_nqn)] = host_nqn.encode()
        fields = struct.pack('<HHHBxI', 0, queue, 31, 0, 120000 if queue == 0 else 0)
        self.controller = self.command(FABRICS, CONNECT, fields, data=bytes(data))[0] & 0xFFFF
        if queue == 0:
            self.command(FABRICS, SET_PROPERTY, struct.pack('<B3xIQ', 0, 0x14, 0x00460001))

    def close(self):
        self.socket.close()

    def closed(self):
        """Waits for the target to end the connection."""
        return self.socket.recv(1) == b''

    # --- PDUs ---
    def _send(self, kind, header, data=b'', flags=0):
        length = 8 + len(header)
        offset = length if data else 0
        self.socket.sendall(struct.pack('<BBBBI', kind, flags, length, offset, length + len(data))
                            + header + data)

    def _exactly(self, count):
        out = bytearray()
        while len(out) < count:
            part = self.socket.recv(count - len(out))
            if not part:
                raise ConnectionError('the target closed the connection')
            out += part
        return bytes(out)

    def _receive(self):
        kind, flags, header, offset, total = struct.unpack('<BBBBI', self._exactly(8))
        body = self._exactly(total - 8)
        if kind == TERM:
            raise AssertionError(f'the target ended the connection: {body.hex()}')
        del flags
        return kind, body[:header - 8], body[offset - 8:] if offset else b''

    # --- commands ---
    def command(self, opcode, nsid, rest, data=None, read=0):
        """`rest` is what stands from byte 40 on. Answers dword 0 and what was read."""
        self.next_id = self.next_id % 1000 + 1
        data = data or b''
        inline = len(data) <= 8192
        length, kind = (read or len(data)), (0x01 if data and inline else 0x5A)
        sgl = struct.pack('<QI3xB', 0, length, kind)
        entry = struct.pack('<BBHI16x', opcode, 0x40, self.next_id, nsid) + sgl + rest
        self._send(COMMAND, entry.ljust(64, b'\0'), data if inline else b'')
        got = bytearray()
        while True:
            kind, header, payload = self._receive()
            if kind == C2H_DATA:
                got += payload
            elif kind == R2T:
                cid, tag, at, count = struct.unpack_from('<HHII', header)
                self._send(H2C_DATA, struct.pack('<HHII4x', cid, tag, at, count),
                           data[at:at + count], flags=4)
            elif kind == RESPONSE:
                dword0, _, _, cid, status = struct.unpack('<IIIHH', header)
                if cid != self.next_id:
                    raise AssertionError(f'answer to {cid}, not {self.next_id}')
                if status >> 1:
                    raise Refused(status >> 1)
                return dword0, bytes(got)
            else:
                raise AssertionError(f'PDU {kind}')

    def identify(self, structure, nsid=0):
        return self.command(0x06, nsid, struct.pack('<II', structure, 0), read=4096)[1]

    def log(self, page, length):
        dwords = length // 4 - 1
        return self.command(0x02, 0, struct.pack('<II', page | dwords << 16, 0), read=length)[1]


class Host:
    """Admin queue and one I/O queue on namespace 1."""

    def __init__(self, address, nqn, **who):
        self.admin = Queue(address, nqn, **who)
        self.io = Queue(address, nqn, queue=1, controller=self.admin.controller, **who)
        space = self.admin.identify(0, 1)
        self.blocks = struct.unpack_from('<Q', space)[0]
        self.nguid = uuid.UUID(bytes=space[104:120])
        self.block_size = 1 << space[128 + 4 * (space[26] & 15) + 2]
        controller = self.admin.identify(1)
        self.serial = controller[4:24].decode().strip()
        self.model = controller[24:64].decode().strip()

    def close(self):
        self.admin.close()
        self.io.close()

    def _range(self, offset, length):
        return struct.pack('<QI', offset // self.block_size, length // self.block_size - 1)

    def write(self, offset, data):
        self.io.command(0x01, 1, self._range(offset, len(data)), data=data)

    def read(self, offset, length):
        return self.io.command(0x02, 1, self._range(offset, length), read=length)[1]

    def flush(self):
        self.io.command(0x00, 1, b'')


def discover(address):
    """The subsystems that the discovery service names, as {nqn: (address, port)}."""
    queue = Queue(address, DISCOVERY)
    try:
        count = struct.unpack_from('<8xQ', queue.log(0x70, 1024))[0]
        page = queue.log(0x70, 1024 * (1 + count))
    finally:
        queue.close()
    out = {}
    for index in range(count):
        entry = page[1024 * (index + 1):1024 * (index + 2)]
        nqn = entry[256:512].split(b'\0')[0].decode()
        out.setdefault(nqn, []).append((entry[512:768].rstrip(b'\0 ').decode(),
                                        int(entry[32:64].rstrip(b'\0 '))))
    return out
