#!/usr/bin/python3
"""Changes on a condition (If-Match, If-None-Match): clients that race for one object, against a
node and through a gateway before it. What one of them wrote is never undone by another that had
not seen it."""
import http.client
import json
import os
import sys
import threading
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from gateway import Gateway, GatewayNode  # noqa: E402
from node import MIB  # noqa: E402

CLIENTS, TURNS = 4, 25
HEADERS = '--enable-http-cache-headers'


class Client:
    """One kept connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)

    def __call__(self, method, path, body=None, **headers):
        """(status, tag, parsed body)"""
        data = None if body is None else json.dumps(body)
        sent = {name.replace('_', '-'): value for name, value in headers.items()}
        if body is not None:
            sent['content-type'] = 'application/json'
        self.connection.request(method, path, data, sent)
        answer = self.connection.getresponse()
        raw = answer.read()
        is_json = answer.getheader('content-type') == 'application/json'
        return answer.status, answer.getheader('etag'), json.loads(raw) if is_json and raw else raw

    def close(self):
        self.connection.close()


class OfANode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = GatewayNode()
        cls.addClassCleanup(cls.node.close)
        cls.node.start(HEADERS, '--kv', f'main={cls.node.path("main.kv")}')
        cls.port = cls.node.port

    def client(self):
        made = Client(self.port)
        self.addCleanup(made.close)
        return made

    def refused(self, answer, domain):
        status, _, error = answer
        self.assertEqual((status, error[0]['id']), (412, f'{domain}.condition_not_met'), answer)

    def test_a_counter_that_many_raise(self):
        """Each client reads, adds one, and writes only if nobody else did. None is lost."""
        path, lost = '/kv/main/entries/counter', []
        self.assertEqual(self.client()('PUT', path, '00000001', if_none_match='*')[0], 200)
        self.refused(self.client()('PUT', path, '00000009', if_none_match='*'), 'data_store')

        def raise_it():
            client, done = Client(self.port), 0
            while done < TURNS:
                _, tag, value = client('GET', path)
                wanted = f'{int(value, 16) + 1:08x}'
                status, _, error = client('PUT', path, wanted, if_match=tag)
                if status == 200:
                    done += 1
                elif status == 412:
                    lost.append(1)
                else:
                    raise AssertionError((status, error))
            client.close()

        threads = [threading.Thread(target=raise_it) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status, tag, value = self.client()('GET', path)
        self.assertEqual(int(value, 16), 1 + CLIENTS * TURNS, (status, len(lost)))
        self.refused(self.client()('DELETE', path, if_match='"of another time"'), 'data_store')
        self.assertEqual(self.client()('DELETE', path, if_match=tag)[0], 204)
        self.refused(self.client()('DELETE', path, if_match='*'), 'data_store')

    def test_two_that_destroy_what_both_have_seen(self):
        client, name = self.client(), 'p' + uuid.uuid4().hex[:8]
        disk, path = f'aio://{self.node.disk(name, 64)}', f'/pools/{name}'
        self.refused(client('PUT', path, {'disks': [disk]}, if_match='*'), 'pool')
        self.assertEqual(client('PUT', path, {'disks': [disk]}, if_none_match='*')[0], 200)
        old = self.tag(path)
        replica = str(uuid.uuid4())
        self.assertEqual(client('PUT', f'{path}/replicas/{replica}',
                                {'name': name, 'size': str(8 * MIB)}, if_none_match='*')[0], 200)
        self.refused(client('DELETE', path, if_match=old), 'pool')

        # A change of a part is a change of the whole.
        seen = self.tag(f'/replicas/{replica}')
        size = f'/replicas/{replica}/size'
        self.assertEqual(client('PUT', size, {'requested_size': str(12 * MIB)}, if_match=seen)[0],
                         200)
        self.refused(client('PUT', size, {'requested_size': str(16 * MIB)}, if_match=seen),
                     'replica')
        self.race('DELETE', f'/replicas/{replica}')
        self.race('DELETE', path)

    def tag(self, path):
        """As of now: a gateway's copy of the node's state may be a moment late."""
        node = Client(self.node.port)
        self.addCleanup(node.close)
        status, tag, _ = node('GET', path)
        self.assertEqual(status, 200)
        return tag

    def race(self, method, path):
        tag, statuses = self.tag(path), []
        clients = [self.client() for _ in range(CLIENTS)]
        start = threading.Barrier(CLIENTS)

        def go(client):
            start.wait()
            statuses.append(client(method, path, if_match=tag)[0])

        threads = [threading.Thread(target=go, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(statuses), [204] + [412] * (CLIENTS - 1))

    def test_what_has_no_tag_takes_no_condition(self):
        client = self.client()
        for method, path, body in (('PUT', '/kv/main/raw/k', 'x'), ('POST', '/bdevs', {}),
                                   ('DELETE', '/v0/pools/p', None)):
            self.assertEqual(client(method, path, body, if_match='*')[0], 501, path)


class ThroughAGateway(OfANode):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        gateway = Gateway(cls.node, HEADERS)
        cls.addClassCleanup(gateway.close)
        cls.port = gateway.start().port


if __name__ == '__main__':
    unittest.main()
