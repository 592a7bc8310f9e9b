#!/usr/bin/python3
"""What a gateway takes off its node: the same lists asked of the node and of a gateway before it,
in turns in one run, by h2load over kept connections. CPU time is that of each process as the kernel
counts it, so the load of the machine does not matter. Prints microseconds of CPU for each answered
list and the share of the node's work that is saved, and fails when that is below 90 %.

    bench/gateway_bench.py [LISTS] [POOLS] [ROUNDS]
"""
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'tests', 'support'))
from gateway import Gateway, GatewayNode  # noqa: E402
from node import RELEASE_BIN  # noqa: E402

TARGET = 0.90
CONNECTIONS = 8


def cpu_seconds(process):
    with open(f'/proc/{process.pid}/stat', encoding='ascii') as file:
        fields = file.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def load(port, lists):
    """h2load speaks HTTP/1.1 here: what curl and most programs use."""
    done = subprocess.run(['h2load', '--h1', '-n', str(lists), '-c', str(CONNECTIONS),
                           f'http://127.0.0.1:{port}/pools'], capture_output=True, text=True,
                          check=True)
    ended = re.search(r'status codes: (\d+) 2xx', done.stdout)
    if not ended or int(ended.group(1)) != lists:
        raise AssertionError(f'not every list was answered:\n{done.stdout}')


def main():
    given = sys.argv[1:]
    lists, pools, rounds = map(int, given + ['2000', '100', '3'][len(given):])
    node = GatewayNode(bin_folder=RELEASE_BIN)
    gateway = Gateway(node)
    try:
        node.start()
        for number in range(pools):
            node.cli('pool', 'create', f'p{number}', f'malloc:///p{number}?size_mb=16')
        gateway.start()
        seen = {'node, asked itself': [], 'node, behind the gateway': [], 'gateway': []}
        for _ in range(rounds):
            before = cpu_seconds(node.process)
            load(node.port, lists)
            seen['node, asked itself'].append(cpu_seconds(node.process) - before)
            before = cpu_seconds(node.process), cpu_seconds(gateway.process)
            load(gateway.port, lists)
            seen['node, behind the gateway'].append(cpu_seconds(node.process) - before[0])
            seen['gateway'].append(cpu_seconds(gateway.process) - before[1])
        medians = {who: statistics.median(used) for who, used in seen.items()}
        for who, used in medians.items():
            print(f'{who}: {used / lists * 1e6:.1f} us of CPU for a list of {pools} pools')
        saved = 1 - medians['node, behind the gateway'] / medians['node, asked itself']
        print(f'saved at the node: {saved:.1%} (at least {TARGET:.0%})')
        return 0 if saved >= TARGET else 1
    finally:
        gateway.close()
        node.close()


if __name__ == '__main__':
    sys.exit(main())
