#!/usr/bin/python3
"""GETs routed, checked against an access list and written as JSON by a node, against nginx that has
the same bytes ready: CPU time of the server per request, in turns in one run, loaded by wrk. Small
ones on kept connections, and the list of 1 000 pools, of which it also tells bytes a second. Both
have one worker. nginx and wrk are found in the PATH or named by NGINX_PROGRAM and WRK_PROGRAM
(Debian: nginx-core, wrk).

    bench/http_bench.py [ROUNDS] [SECONDS]
"""
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'tests', 'support'))
from node import RELEASE_BIN, Node, free_port, wait_until  # noqa: E402
from usage import cpu_seconds  # noqa: E402

CONNECTIONS, CONNECTIONS_OF_LISTS = 64, 8
POOLS = 1000
SMALL, LIST = ('/health/ready', '/version', '/node'), '/pools'
CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; server_tokens off;
  {temp}
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
"""


class Nginx:
    name = 'nginx'

    def __init__(self, program, pages):
        self.folder = tempfile.TemporaryDirectory(prefix='capstan-bench-')
        self.port = free_port()
        temp = ' '.join(f'{kind}_temp_path {self.folder.name}/{kind};' for kind in
                        ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        locations = ' '.join(self.location(path, text) for path, text in pages.items())
        config = os.path.join(self.folder.name, 'nginx.conf')
        with open(config, 'w', encoding='utf-8') as file:
            file.write(CONFIG.format(folder=self.folder.name, port=self.port, temp=temp,
                                     locations=locations))
        self.process = subprocess.Popen([program, '-c', config, '-p', self.folder.name])
        self.pid = self.process.pid

    def location(self, path, text):
        """Small answers stand in the configuration; a large one is a file, kept open."""
        head = f'location = {path} {{ default_type application/json;'
        if path in SMALL:
            return f"{head} return 200 '{text}'; }}"
        file = os.path.join(self.folder.name, path.strip('/'))
        with open(file, 'w', encoding='utf-8') as out:
            out.write(text)
        return f'{head} open_file_cache max=10; alias {file}; }}'

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


class Ours:
    name = 'io-engine'

    def __init__(self):
        self.node = Node(bin_folder=RELEASE_BIN)
        acl = self.node.path('acl.json')
        with open(acl, 'w', encoding='ascii') as file:
            json.dump({'acl': [{'address': '127.0.0.1',
                                'blacklist': ['DELETE /pools/**', '/kv/**']}]}, file)
        self.node.start('--acl', acl, '--rest-max-connections', 'unlimited')
        self.port = self.node.port
        self.pid = self.node.process.pid

    def make_pools(self):
        client = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        for i in range(POOLS):
            body = json.dumps({'disks': [f'malloc:///disk{i}?size_mb=16']})
            client.request('PUT', f'/pools/pool-{i}', body, {'content-type': 'application/json'})
            answer = client.getresponse()
            said = answer.read()
            if answer.status != 200:
                raise SystemExit(f'pool {i}: {answer.status} {said.decode()}')
        client.close()

    def close(self):
        self.node.stop()
        self.node.close()


def fetch(port, path):
    with urllib.request.urlopen(f'http://127.0.0.1:{port}{path}', timeout=30) as got:
        return got.read().decode()


def answers(port):
    try:
        return fetch(port, '/version') is not None
    except urllib.error.URLError:
        return False


def load(wrk, server, path, seconds):
    """(requests a second, CPU microseconds of the server per request)"""
    before = cpu_seconds(server.pid)
    connections = CONNECTIONS_OF_LISTS if path == LIST else CONNECTIONS
    done = subprocess.run([wrk, '-t1', f'-c{connections}', f'-d{seconds}s', '--timeout', '30s',
                           f'http://127.0.0.1:{server.port}{path}'], text=True,
                          capture_output=True, check=True)
    used = cpu_seconds(server.pid) - before
    found = re.search(r'(\d+) requests in ([0-9.]+)s', done.stdout)
    if 'Non-2xx' in done.stdout or not found or int(found[1]) == 0:
        raise SystemExit(f'{server.name}: {done.stdout}')
    return int(found[1]) / float(found[2]), used / int(found[1]) * 1e6


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    programs = {name: os.environ.get(name.upper() + '_PROGRAM') or shutil.which(name)
                for name in ('nginx', 'wrk')}
    if not all(programs.values()):
        raise SystemExit('nginx and wrk are needed: apt install nginx-core wrk')
    ours = Ours()
    pages = {path: fetch(ours.port, path).rstrip('\n') + '\\n' for path in SMALL}
    ours.make_pools()
    pages[LIST] = fetch(ours.port, LIST)
    nginx = Nginx(programs['nginx'], pages)
    try:
        wait_until(lambda: answers(nginx.port), 30, 'nginx to answer')
        for path in pages:
            cpu = {nginx.name: [], ours.name: []}
            rate = {nginx.name: [], ours.name: []}
            for _ in range(rounds):
                for server in (nginx, ours):
                    per_second, micros = load(programs['wrk'], server, path, seconds)
                    rate[server.name].append(per_second)
                    cpu[server.name].append(micros)
            medians = {name: statistics.median(values) for name, values in cpu.items()}
            print(f'{path}: ' + ', '.join(
                f'{name} {medians[name]:.2f} us CPU, {statistics.median(rate[name]):.0f}/s'
                for name in medians) +
                  f'; ratio {medians[ours.name] / medians[nginx.name]:.2f}', flush=True)
            if path == LIST:
                size = len(pages[path])
                print(f'{path}: {size} bytes, ' + ', '.join(
                    f'{name} {statistics.median(rate[name]) * size / 1e6:.0f} MB/s'
                    for name in medians), flush=True)
    finally:
        nginx.close()
        ours.close()


if __name__ == '__main__':
    main()
