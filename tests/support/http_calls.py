"""HTTP/1.1 as a test needs it: an answer as a whole, or read piece by piece."""
import http.client
import json
import re
import socket


class Http:
    """One request over a connection of its own, read piece by piece."""

    def __init__(self, port, method, path, body=None, headers=(), window=0):
        """`window`: bytes that the system takes for a client that does not read; 0: its choice."""
        self.socket = socket.socket()
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(60)
        self.socket.connect(('127.0.0.1', port))
        data = b'' if body is None else json.dumps(body).encode()
        lines = [f'{method} {path} HTTP/1.1', 'Host: x', *headers]
        if body is not None:
            lines += ['content-type: application/json', f'content-length: {len(data)}']
        self.socket.sendall('\r\n'.join([*lines, '', '']).encode() + data)
        self.bytes = bytearray()

    def until(self, pattern):
        """The bytes so far, once they match; an error when the connection ends before."""
        while not re.search(pattern, self.bytes, re.DOTALL):
            got = self.socket.recv(65536)
            if not got:
                raise AssertionError(f'ended after {self.bytes[-300:]!r}')
            self.bytes += got
        return self.bytes

    def rest(self):
        """Everything until the connection ends, however it does."""
        try:
            while True:
                got = self.socket.recv(1 << 20)
                if not got:
                    return self.bytes
                self.bytes += got
        except ConnectionResetError:
            return self.bytes

    def close(self):
        self.socket.close()


def ask(port, method, path, body=None, headers=None):
    """(status, headers, parsed body or bytes)"""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    try:
        data = None if body is None else json.dumps(body)
        sent = {'content-type': 'application/json'} if body is not None else {}
        connection.request(method, path, data, {**sent, **(headers or {})})
        answer = connection.getresponse()
        raw = answer.read()
        is_json = answer.getheader('content-type') == 'application/json'
        return answer.status, dict(answer.getheaders()), json.loads(raw) if is_json and raw else raw
    finally:
        connection.close()
