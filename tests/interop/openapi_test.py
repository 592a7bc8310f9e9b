#!/usr/bin/env python3
"""The node's OpenAPI documents before an independent judge, openapi-spec-validator, and its
describe tree's JSON schemas before another, jsonschema. Whichever Python has them is used:
  pip install openapi-spec-validator jsonschema
And a client that openapi-typescript and openapi-fetch (npm registry, versions as in the
package-lock.json of openapi_client) make of the documents. What is not there is skipped and says
so."""
import json
import os
import shutil
import subprocess
import sys
import unittest
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'support'))
from limited import last_line, run_limited  # noqa: E402
from node import ROOT, Node  # noqa: E402

NPM_SECONDS = 600

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


class GeneratedClient(unittest.TestCase):
    def folder(self):
        """With the generators and the program, which is openapi_client/client.ts."""
        npm = shutil.which('npm')
        if not npm or not shutil.which('node'):
            self.skipTest('node and npm are not installed; no client is generated')
        folder = os.path.join(ROOT, 'build', 'tools', 'openapi-client')
        shutil.copytree(os.path.join(HERE, 'openapi_client'), folder, dirs_exist_ok=True)
        if not os.path.isdir(os.path.join(folder, 'node_modules', 'openapi-fetch')):
            code, said = run_limited([npm, 'ci', '--no-audit', '--no-fund'], NPM_SECONDS,
                                     cwd=folder)
            if code != 0:
                self.skipTest(f'openapi-typescript cannot be installed: {last_line(said)}')
        return folder

    def test_a_program_with_it(self):
        folder = self.folder()
        node = Node()
        self.addCleanup(node.close)
        node.start()
        for path, name in (('/openapi', 'openapi.json'), ('/v0/api/spec', 'v0.json')):
            with urllib.request.urlopen(f'http://127.0.0.1:{node.port}{path}', timeout=60) as got:
                document = got.read()
            with open(os.path.join(folder, name), 'wb') as file:
                file.write(document)
        for step in ('generate', 'build'):
            code, said = run_limited(['npm', 'run', step], NPM_SECONDS, cwd=folder)
            self.assertEqual(code, 0, said)
        code, said = run_limited(['node', 'dist/client.js', f'http://127.0.0.1:{node.port}',
                                  f'aio://{node.disk(mebibytes=64)}'], 120, cwd=folder)
        self.assertEqual((code, last_line(said)), (0, 'ok'), said)


if __name__ == '__main__':
    unittest.main()
