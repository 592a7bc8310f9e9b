"""Tables of promises (docs/*-tests.md): every test that their last column names is there.

A name is `Suite.Test` or `Suite` of GoogleTest, a file (`x_test.cc`, `x_test.py`, `fuzz/x.cc`), or
test_… behind the Python file that has it.
"""
import os
import re

from tidylib.source import Finding

_PAGE = re.compile(r'docs/[\w-]+-tests\.md')
_GTEST = re.compile(r'\bTEST(?:_[FP])?\(\s*(\w+),\s*(\w+)\s*\)')
_PYTEST = re.compile(r'^    def (test_\w+)\(', re.M)
_CELL = re.compile(r'`([^`]+)`|\b(test_\w+)')
_SUITE = re.compile(r'[A-Z]\w*(\.[A-Z]\w*)?')
_FILE = re.compile(r'[\w/-]+\.(?:cc|py|sh|js|mjs)')


def is_page(path):
    return bool(_PAGE.fullmatch(path))


def known_tests(paths, read):
    """({suites and Suite.Test}, {base name of a Python file: its tests})"""
    suites, python = set(), {}
    for path in paths:
        name = os.path.basename(path)
        if name.endswith('_test.cc'):
            for suite, test in _GTEST.findall(read(path) or ''):
                suites |= {suite, f'{suite}.{test}'}
        elif name.endswith('_test.py'):
            python.setdefault(name, set()).update(_PYTEST.findall(read(path) or ''))
    return suites, python


def check_page(path, text, paths, tests):
    suites, python = tests
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        if not line.startswith('|') or len(cells) < 2:
            continue
        file = None
        for quoted, test in _CELL.findall(cells[-1]):
            wrong = False
            if test:
                wrong = test not in python.get(file, ())
            elif _FILE.fullmatch(quoted):
                file = os.path.basename(quoted)
                wrong = not any(p == quoted or p.endswith('/' + quoted) for p in paths)
            elif _SUITE.fullmatch(quoted):
                wrong = quoted not in suites
            if wrong:
                found.append(Finding(path, number, 'proofs',
                                     f'no test is called "{quoted or test}"'))
    return found


def check(paths, read):
    pages = [path for path in paths if is_page(path)]
    if not pages:
        return []
    tests = known_tests(paths, read)
    return [one for page in pages for one in check_page(page, read(page) or '', paths, tests)]
