#!/usr/bin/env python3
"""Unit tests of tools/ctest-report and tools/run-python-tests: nothing that failed is lost."""
import os
import subprocess
import sys
import tempfile
import unittest

TOOLS = os.path.dirname(os.path.abspath(__file__))

GTEST = '''<testsuites><testsuite name="A">
<testcase name="good" classname="A" status="run" result="completed"/>
<testcase name="bad" classname="A" status="run" result="completed"><failure message="x"/></testcase>
<testcase name="off" classname="A" status="notrun" result="suppressed"/>
<testcase name="gone" classname="A" status="run" result="skipped"/>
</testsuite></testsuites>'''

PYTHON = '''
import unittest
class A(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail('no')
    def test_subs(self):
        for i in range(3):
            with self.subTest(i): self.fail('no')
    @unittest.skip('because')
    def test_skipped(self): pass
class B(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest('no such program')
    def test_one(self): pass
class C(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError('broken')
    def test_one(self): pass
'''

MODULE = '''
import unittest
def setUpModule(): raise unittest.SkipTest('no machine for it')
class X(unittest.TestCase):
    def test_a(self): self.fail('must not run')
    def test_b(self): self.fail('must not run')
'''
HANGS = '''
import threading, unittest
class A(unittest.TestCase):
    def test_hangs(self):
        thread = threading.Thread(target=threading.Event().wait)
        thread.start()
        thread.join()
    def test_next(self): pass
'''


def last_line(*command, **variables):
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False,
                          env={**os.environ, **variables})
    return done.stdout.strip().splitlines()[-1], done.returncode


class Reports(unittest.TestCase):
    def report(self, cases, **gtest):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in gtest.items():
                with open(os.path.join(folder, name + '.xml'), 'w', encoding='utf-8') as file:
                    file.write(text)
            junit = os.path.join(folder, 'ctest.junit')
            with open(junit, 'w', encoding='utf-8') as file:
                file.write('<testsuite>' + ''.join(
                    f'<testcase name="{n}" status="{s}"/>' for n, s in cases) + '</testsuite>')
            return last_line(os.path.join(TOOLS, 'ctest-report'), junit, folder)

    def test_cases_are_counted(self):
        self.assertEqual(self.report([('a', 'fail')], a=GTEST),
                         ('1 passed, 1 failed, 2 skipped', 1))

    def test_a_crash_without_results_is_a_failure(self):
        self.assertEqual(self.report([('a', 'fail')]), ('0 passed, 1 failed, 0 skipped', 1))

    def test_a_sanitizer_complaint_after_good_cases_is_a_failure(self):
        good = GTEST.replace('<failure message="x"/>', '')
        self.assertEqual(self.report([('a', 'fail')], a=good),
                         ('2 passed, 1 failed, 2 skipped', 1))

    def test_plain_programs(self):
        self.assertEqual(self.report([('a', 'run'), ('b', 'notrun')]),
                         ('1 passed, 1 failed, 0 skipped', 1))

    def run_tests(self, text, **variables):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'x_test.py')
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
            return last_line(os.path.join(TOOLS, 'run-python-tests'), path, **variables)

    def test_python_tests(self):
        self.assertEqual(self.run_tests(PYTHON), ('1 passed, 3 failed, 2 skipped', 1))

    def test_a_module_that_cannot_run_here_is_skipped(self):
        self.assertEqual(self.run_tests(MODULE), ('0 passed, 0 failed, 1 skipped', 0))

    def test_a_test_that_hangs_is_a_failure_and_the_others_run(self):
        self.assertEqual(self.run_tests(HANGS, CAPSTAN_TEST_LIMIT='1'),
                         ('1 passed, 1 failed, 0 skipped', 1))


if __name__ == '__main__':
    unittest.main()
