"""A gateway beside a node, both as child processes."""
import os
import re
import subprocess
import urllib.request

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


def descriptors(process):
    """What a process has open, without what its runtime opens once when it is first needed."""
    folder, found = f'/proc/{process.pid}/fd', []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(os.path.join(folder, name)))
        except FileNotFoundError:
            pass
    return sorted(one.split(':')[0] for one in found)


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
