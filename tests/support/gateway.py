"""A gateway beside a node, both as child processes."""
import os
import re
import subprocess
import unittest
import urllib.request

from http_calls import ask
from node import START_SECONDS, Node, Process, free_port, wait_until


def metric(port, name, **labels):
    """The sum of the samples of a metrics listener that have these labels."""
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics', timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    total, found = 0.0, False
    for line in lines:
        if re.match(rf'{name}[{{ ]', line) and all(one in line for one in wanted):
            total, found = total + float(line.rsplit(' ', 1)[1]), True
    return total if found else None


class Gateway(Process):
    def __init__(self, node, *flags):
        self.node, self.flags = node, flags
        self.port, self.metrics_port = free_port(), free_port()
        self.log_path = node.path(f'gateway-{self.port}.log')

    def start(self, ready=True):
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(
                [os.path.join(self.node.bin, 'capstan-gateway'),
                 '--node', f'unix:{self.node.gateway_socket}',
                 '--listen', f'127.0.0.1:{self.port}',
                 '--metrics-addr', f'127.0.0.1:{self.metrics_port}', *self.flags],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if ready:
            self.wait_for('ready')
        return self

    def state(self):
        if self.process.poll() is not None:
            raise AssertionError(f'the gateway ended with {self.process.returncode}:\n{self.log()}')
        try:
            with urllib.request.urlopen(f'http://127.0.0.1:{self.port}/health/ready',
                                        timeout=30) as answer:
                return re.search(r'"state":"(\w+)"', answer.read().decode()).group(1)
        except OSError:
            return 'not listening'

    def wait_for(self, state, seconds=START_SECONDS):
        wait_until(lambda: self.state() == state, seconds,
                   f'the gateway to be {state}; its log:\n{self.log()}')

    def metric(self, name, **labels):
        return metric(self.metrics_port, name, **labels)

    def calls(self, handled, endpoint, method='GET'):
        return self.metric('storage_gateway_calls_count', endpoint=endpoint, method=method,
                           handled=handled) or 0


class GatewayNode(Node):
    """A node with a socket for gateways; behind_gateway() makes its port that of one."""

    def __init__(self, **options):
        super().__init__(**options)
        self.gateway_socket = self.path('gw.sock')
        self.gateway = None

    def command(self, *flags):
        return super().command('--gateway-socket', self.gateway_socket, *flags)

    def behind_gateway(self, *flags):
        self.gateway = Gateway(self, *flags).start()
        self.port = self.gateway.port
        return self

    def close(self):
        if self.gateway:
            self.gateway.close()
        super().close()


class GatewayCase(unittest.TestCase):
    """A node with a store and a gateway before it, new for each test."""
    node_flags = ()
    stores = ('main',)
    gateway_flags = ()

    def setUp(self):
        self.node = GatewayNode()
        self.addCleanup(self.node.close)
        self.node_metrics = free_port()
        self.start_node()
        self.gateway = Gateway(self.node, *self.gateway_flags)
        self.addCleanup(self.gateway.close)
        self.gateway.start()

    def start_node(self):
        stores = [flag for name in self.stores
                  for flag in ('--kv', f'{name}={self.node.path(name + ".kv")}')]
        self.node.start(*stores, '--metrics-addr', f'127.0.0.1:{self.node_metrics}',
                        *self.node_flags)

    def get(self, path, **headers):
        return ask(self.gateway.port, 'GET', path, headers=headers)

    def make_pool(self, name='p1', port=None):
        disk = self.node.disk(f'{name}.img', 64)
        return ask(port or self.gateway.port, 'PUT', f'/pools/{name}', {'disks': [f'aio://{disk}']})

    def mirrored(self, condition, what):
        wait_until(condition, 30, what + '; the log:\n' + self.gateway.log())
