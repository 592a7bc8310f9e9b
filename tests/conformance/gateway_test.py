#!/usr/bin/python3
"""The same calls through a gateway: what the node answers, the gateway answers.

The story of wires_test.py runs against a node and, on every wire that a gateway has, against a node
behind a gateway; the same tests hold what they saw against each other.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from gateway import GatewayNode  # noqa: E402
from node import Node  # noqa: E402
from wires import GrpcWire, MuxioWire, RestWire  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wires_test  # noqa: E402


class Story(wires_test.Story):
    @classmethod
    def setUpClass(cls):
        cls.seen = {}
        places = [('grpc', GrpcWire, False), ('grpc through a gateway', GrpcWire, True),
                  ('http through a gateway', RestWire, True),
                  ('muxio through a gateway', MuxioWire, True)]
        for label, driver, through in places:
            node = GatewayNode() if through else Node()
            cls.addClassCleanup(node.close)
            wires_test.start_with_stores(node)
            if through:
                node.behind_gateway()
            wire = driver(node)
            cls.addClassCleanup(wire.close)
            outcomes = [(name, wire.call(name, fields)) for name, fields in
                        wires_test.story(node)]
            cls.seen[label] = (node, wire, outcomes)
        cls.matrix = wires_test.error_matrix()


if __name__ == '__main__':
    unittest.main()
