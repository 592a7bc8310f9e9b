#!/usr/bin/env python3
"""The node's OpenAPI documents before an independent judge, openapi-spec-validator, and its
describe tree's JSON schemas before another, jsonschema. Whichever Python has them is used:
  pip install openapi-spec-validator jsonschema
Without them these tests are skipped and say so."""
import json
import os
import shutil
import subprocess
import sys
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
from node import Node  # noqa: E402

JUDGES = """
import json, sys
import openapi_spec_validator, jsonschema
given = json.load(sys.stdin)
for document in given['openapi']:
    openapi_spec_validator.validate(document)
for schema in given['schemas']:
    jsonschema.Draft4Validator.check_schema(schema)
"""


def judge():
    """A Python that has both libraries, or None."""
    for name in dict.fromkeys([sys.executable, shutil.which('python3') or '', '/usr/bin/python3']):
        if name and subprocess.run([name, '-c', 'import openapi_spec_validator, jsonschema'],
                                   capture_output=True, check=False).returncode == 0:
            return name
    return None


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.python = judge()
        if not cls.python:
            raise unittest.SkipTest('openapi-spec-validator and jsonschema are not installed')
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def get(self, path):
        with urllib.request.urlopen(f'http://127.0.0.1:{self.node.port}{path}', timeout=60) as got:
            return json.load(got)

    def judged(self, openapi=(), schemas=()):
        text = json.dumps({'openapi': list(openapi), 'schemas': list(schemas)})
        done = subprocess.run([self.python, '-c', JUDGES], input=text, capture_output=True,
                              text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])

    def test_the_judges_refuse_what_is_wrong(self):
        for wrong in ({'openapi': '3.1.0'}, {'openapi': '3.1.0', 'info': {'title': 't'}}):
            with self.assertRaises(AssertionError):
                self.judged(openapi=[wrong])
        with self.assertRaises(AssertionError):
            self.judged(schemas=[{'type': 'sting'}])

    def test_the_native_tree(self):
        document = self.get('/openapi')
        self.assertTrue(document['openapi'].startswith('3.1.'))
        self.assertGreater(len(document['paths']), 30)
        self.judged(openapi=[document])

    def test_the_control_planes_tree(self):
        document = self.get('/v0/api/spec')
        self.assertGreater(len(document['paths']), 20)
        self.judged(openapi=[document])

    def test_every_schema_of_describe(self):
        services = []

        def walk(tree):
            node = tree['static']
            services.extend(value for name, value in node.items() if name.endswith('_service'))
            subdirs = node.get('subdirs', {})
            for suffix in subdirs.get('suffixes', []):
                walk(suffix['tree'])
            if 'dynamic_dispatch' in subdirs:
                walk(subdirs['dynamic_dispatch']['tree'])

        walk(self.get('/describe?recurse'))
        self.assertGreater(len(services), 30)
        bodies = [service[part] for service in services for part in ('input', 'output', 'error')
                  if part in service]
        self.judged(schemas=[body['json_schema'] for body in bodies])
        for body in bodies:
            self.references_lead_somewhere(body['json_schema'])
            names = {field['description']['title'] for field in body['binary_schema']['fields']}
            self.assertTrue(self.binary_references(body['binary_schema']) <= names)

    def references_lead_somewhere(self, schema):
        def walk(value):
            if isinstance(value, dict):
                if '$ref' in value:
                    name = value['$ref'].removeprefix('#/definitions/')
                    self.assertIn(name, schema.get('definitions', {}))
                for member in value.values():
                    walk(member)
            elif isinstance(value, list):
                for member in value:
                    walk(member)
        walk(schema)

    def binary_references(self, value):
        if isinstance(value, dict):
            found = {value['name']} if value.get('kind') == 'Ref' else set()
            return found.union(*map(self.binary_references, value.values()))
        if isinstance(value, list):
            return set().union(*map(self.binary_references, value))
        return set()


if __name__ == '__main__':
    unittest.main()
