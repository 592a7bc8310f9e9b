#!/usr/bin/env python3
"""Unit tests of tools/tidy: every rule has one text it refuses and one it accepts."""
import os
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tools'))
sys.dont_write_bytecode = True

from tidylib import layers, markdown, proofs, shape, words  # noqa: E402
from tidylib.source import blocks, strip  # noqa: E402

with open(os.path.join(ROOT, 'tools', 'tidylib', 'layers.txt'), encoding='utf-8') as _file:
    TABLE = layers.load_table(_file.read())
OLD = 'b' 'dev'
BANNER = '// Why this file exists: a test.\n// More.\n'


def messages(findings):
    return [f.message for f in findings]


class Proofs(unittest.TestCase):
    FILES = {'src/a/a_test.cc': 'TEST(Suite, Works) {}\nTEST_F(Other,\n       Too) {}',
             'tests/e2e/b_test.py': 'class B:\n    def test_b(self):\n',
             'fuzz/c_fuzz.cc': ''}

    def found(self, cell):
        table = f'| promise `Nothing` | shown by |\n|---|---|\n| p | {cell} |'
        page = {'docs/x-tests.md': f'# X\n\n{table}'}
        files = {**self.FILES, **page}
        return messages(proofs.check(list(files), files.get))

    def test_names_that_exist(self):
        self.assertEqual(self.found('`Suite.Works`, `Other`, `Other.Too`, `a_test.cc`, `b_test.py` '
                                    'test_b, `fuzz/c_fuzz.cc`, `sim --workload x`'), [])

    def test_names_that_do_not(self):
        for cell, name in (('`Suite.Breaks`', 'Suite.Breaks'), ('`Nobody`', 'Nobody'),
                           ('`d_test.cc`', 'd_test.cc'), ('`b_test.py` test_c', 'test_c'),
                           ('`a_test.cc` test_b', 'test_b'), ('`fuzz/d.cc`', 'fuzz/d.cc')):
            self.assertEqual(self.found(cell), [f'no test is called "{name}"'])

    def test_other_pages_are_left_alone(self):
        self.assertEqual(proofs.check(['docs/x.md'], {'docs/x.md': '| a | `Nobody` |'}.get), [])


class Strip(unittest.TestCase):
    def test_keeps_lines_and_offsets(self):
        text = 'a /* b\nc */ "d//e" // f\ng'
        out = strip(text)
        self.assertEqual(len(out), len(text))
        self.assertEqual(out.count('\n'), 2)
        self.assertNotIn('f', out)
        self.assertNotIn('e', out)
        self.assertIn('g', out)

    def test_raw_strings_and_digit_separators(self):
        self.assertNotIn('socket', strip('auto s = R"x(socket(1))x";'))
        self.assertIn('socket', strip("auto n = 1'000; socket(1); auto m = 2'000;"))


class Blocks(unittest.TestCase):
    def kinds(self, code):
        return sorted((b.kind, b.head.split('(')[0].split()[-1]) for b in blocks(code)
                      if b.kind in ('function', 'type', 'namespace'))

    def test_finds_functions_types_and_namespaces(self):
        code = ('namespace a::b {\nclass C : public D {\n public:\n'
                '  C(int x) : x_{x}, y_(x) { if (x) { go(); } }\n'
                '  int f() const noexcept override { return 1; }\n int y_ = 3;\n};\n'
                'auto g(std::vector<int> v) -> Task<int> {\n for (;;) { co_return 1; }\n}\n}')
        self.assertEqual(self.kinds(code), [('function', 'C'), ('function', 'f'), ('function', 'g'),
                                            ('namespace', 'a::b'), ('type', 'D')])

    def test_lambda_table_is_no_function(self):
        self.assertEqual(self.kinds('const auto kX = [](int a) { return a; };'), [])

    def test_default_argument_braces(self):
        self.assertEqual(self.kinds('void f(Options o = {}, int b = 1) {\n}\n'),
                         [('function', 'f')])


class Layers(unittest.TestCase):
    def refuse(self, path, include):
        self.assertEqual(len(layers.check(path, f'#include {include}\n', TABLE)), 1,
                         f'{path} must not include {include}')

    def accept(self, path, include):
        self.assertEqual(layers.check(path, f'#include {include}\n', TABLE), [])

    def test_table(self):
        self.refuse('src/base/x.h', '"core/task.h"')
        self.refuse('src/core/x.h', '<google/protobuf/message.h>')
        self.refuse('src/rpc/x.cc', '"wire/grpc/server.h"')
        self.refuse('src/wire/grpc/x.cc', '"storage/pool/pool.h"')
        self.refuse('src/wire/grpc/x.cc', '"wire/jsonrpc/server.h"')
        self.refuse('src/wire/http2/x.cc', '"core/task.h"')
        self.refuse('src/storage/pool/x.cc', '"storage/nexus/nexus.h"')
        self.refuse('src/storage/kv/x.cc', '"storage/device/device.h"')
        self.refuse('src/storage/device/x.cc', '"pool.pb.h"')
        self.refuse('src/services/x.cc', '"wire/grpc/server.h"')
        self.refuse('src/apps/capstan/x.cc', '"services/pool_v1.h"')
        self.accept('src/core/x.h', '"base/result.h"')
        self.accept('src/rpc/x.h', '"pool.pb.h"')
        self.accept('src/wire/grpc/x.cc', '"wire/http2/session.h"')
        self.accept('src/storage/pool/x.cc', '"storage/device/device.h"')
        self.accept('src/services/x.cc', '"storage/pool/pool.h"')
        self.accept('src/apps/io_engine/main.cc', '"services/pool_v1.h"')
        self.accept('src/base/x.h', '<vector>')

    def test_codecs_do_no_io(self):
        self.refuse('src/storage/pool/page_codec.cc', '"storage/device/device.h"')
        self.refuse('src/wire/grpc/frame_codec.h', '"core/task.h"')
        self.refuse('src/rpc/x_codec.cc', '"pool.pb.h"')
        self.accept('src/storage/pool/page_codec.cc', '"base/bytes.h"')
        self.accept('src/storage/pool/page_codec.cc', '"storage/pool/page_codec.h"')

    def test_codec_may_use_plain_headers_of_its_folder(self):
        files = {'src/storage/pool/bits.h': '#include "base/bytes.h"\n',
                 'src/storage/pool/deep.h': '#include "storage/pool/bits.h"\n',
                 'src/storage/pool/io.h': '#include "core/task.h"\n'}
        for header, count in (('bits', 0), ('deep', 0), ('io', 1)):
            text = f'#include "storage/pool/{header}.h"\n'
            found = layers.check('src/storage/pool/page_codec.h', text, TABLE, files.get)
            self.assertEqual(len(found), count, header)

    def test_unknown_folder(self):
        self.assertTrue(layers.check('src/misc/x.h', '', TABLE))

    def test_comment_is_no_include(self):
        self.assertEqual(layers.check('src/base/x.h', '// #include "core/task.h"\n', TABLE), [])

    def test_codec_needs_fuzz_target(self):
        paths = ['src/wire/grpc/frame_codec.cc']
        self.assertEqual(len(layers.check_codecs_fuzzed(paths)), 1)
        self.assertEqual(layers.check_codecs_fuzzed(paths + ['fuzz/frame_codec_fuzz.cc']), [])

    def test_parts_of_a_codec_share_its_fuzz_target(self):
        part = {'src/wire/grpc/frame_zip_codec.cc': '#include "wire/grpc/frame_codec.h"\n'}
        paths = list(part)
        self.assertEqual(len(layers.check_codecs_fuzzed(paths, part.get)), 1)
        paths.append('fuzz/frame_codec_fuzz.cc')
        self.assertEqual(layers.check_codecs_fuzzed(paths, part.get), [])
        paths.append('src/wire/grpc/frame_zip_codec.h')
        self.assertEqual(len(layers.check_codecs_fuzzed(paths, part.get)), 1)


class Shape(unittest.TestCase):
    def checks(self, path, text, **more):
        return [f.check for f in shape.check(path, text, **more)]

    def test_banner(self):
        code = 'int x();\n' * 50
        self.assertEqual(self.checks('src/a/b.h', code), ['banner'])
        self.assertEqual(self.checks('src/a/b.h', BANNER + code), [])
        short = '// Why this file exists: see b.h.\n' + code
        self.assertEqual(self.checks('src/a/b.cc', short), ['banner'])
        self.assertEqual(self.checks('src/a/b.cc', short, has_header=True), [])
        self.assertEqual(self.checks('src/a/b.h', 'int x();\n' * 40), [])

    def test_columns(self):
        self.assertEqual(self.checks('a.cc', '/' * 101 + '\n'), ['columns'])
        self.assertEqual(self.checks('a.cc', '/' * 98 + 'µµ\n'), [])

    def test_file_size(self):
        self.assertEqual(self.checks('a.py', 'x\n' * 801), ['file-size'])
        self.assertEqual(self.checks('a.py', 'x\n' * 800), [])

    def test_function_size(self):
        def function(lines):
            return BANNER + 'void f() {\n' + '  g();\n' * (lines - 2) + '}\n'
        self.assertEqual(self.checks('src/a.cc', function(71)), ['function-size'])
        self.assertEqual(self.checks('src/a.cc', function(70)), [])

    def test_long_class_is_no_function(self):
        text = BANNER + 'class A {\n' + '  int x_;\n' * 90 + '};'
        self.assertEqual(self.checks('src/a.cc', text), [])


class Words(unittest.TestCase):
    def checks(self, path, text):
        return [f.check for f in words.check(path, text)]

    def test_synonyms(self):
        for text in (f'void {OLD}_count();', f'class {OLD.capitalize()}List;', f'// the {OLD} here',
                     'void lvol_size();', 'Lvs* store();'):
            self.assertEqual(self.checks('src/core/a.h', text), ['words'], text)
        for text in ('#include "storage/pool/lvs_codec.h"', '// lvs-format section 5',
                     f'f("{OLD}");', f'// {OLD}:///name', 'int device();', '// the lvstore'):
            self.assertEqual(self.checks('src/core/a.h', text), [], text)
        self.assertEqual(self.checks('src/services/a.h', f'void {OLD}_count();'), [])

    def test_unfinished(self):
        self.assertEqual(self.checks('docs/a.md', 'TO' 'DO: more'), ['words'])
        self.assertEqual(self.checks('src/core/a.h', '// good enough for ' 'now'), ['words'])
        self.assertEqual(self.checks('docs/a.md', 'enough for ' 'now'), [])

    def test_machine_paths(self):
        self.assertEqual(self.checks('docs/a.md', 'see /wo' 'rk/main/x'), ['words'])
        self.assertEqual(self.checks('docs/a.md', 'see ../sha' 'red/spec'), ['words'])
        self.assertEqual(self.checks('docs/a.md', 'see docs/work/x'), [])

    def test_calls(self):
        for text in ('auto t = time(nullptr);', 'std::random_device d;', 'int f = ::open(p, 0);',
                     'int s = socket(AF_INET, 0, 0);', 'std::thread t(f);', 'usleep(3);',
                     'std::this_thread::sleep_for(x);', 'std::mutex m_;',
                     'auto n = std::chrono::steady_clock::now();'):
            self.assertIn('calls', self.checks('src/rpc/a.cc', f'void f() {{ {text} }}'), text)
            self.assertEqual(self.checks('src/core/os_a.cc', f'void f() {{ {text} }}'), [], text)
        for text in ('core::sleep_for(1);', 'uptime(1);', 'files.open(p);', 'env.socket(1);',
                     'runtime(nullptr);', 'co_await listener->accept();'):
            self.assertEqual(self.checks('src/rpc/a.cc', f'void f() {{ {text} }}'), [], text)

    def test_tests_may_use_threads_but_not_sleep(self):
        self.assertEqual(self.checks('src/core/a_test.cc', 'void f() { std::thread t(g); }'), [])
        self.assertEqual(self.checks('src/core/a_test.cc', 'void f() { usleep(1); }'), ['calls'])

    def test_globals(self):
        for text in ('static int counter = 0;', 'thread_local int x = 0;', 'int counter = 0;',
                     'namespace a { std::map<int, int> table; }', 'inline bool ready{false};',
                     'void f() { static std::string cache; }', 'static Foo* head = nullptr;',
                     'const bool registered = do_it();', 'const int kX = register_me();'):
            self.assertIn('globals', self.checks('src/rpc/a.cc', text), text)
        for text in ('static constexpr int kX = 1;', 'static const Table kTable = make();',
                     'static int f(int x);', 'static int f(int x) { return x; }', 'int f();',
                     'class A { static A make(); int x_ = 0; };', 'struct A { int x = 0; };',
                     'void f() { int x = 0; }', 'using X = int;', 'constexpr int kX = 1;',
                     'static const char* const kNames[] = {"a"};', 'enum class A { kB };',
                     'template <class T> struct A { T x{}; };', 'extern template class A<int>;',
                     'const std::map<int, int> kTable = {{1, 2}};', 'friend class X;'):
            self.assertEqual(self.checks('src/rpc/a.cc', text), [], text)
        self.assertEqual(self.checks('src/core/reactor.cc', 'thread_local int x = 0;'
                                     .replace('int x', 'const int x')), [])


class Markdown(unittest.TestCase):
    def test_links_and_titles(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, 'b.md'), 'w', encoding='utf-8') as file:
                file.write('# B\n## Two words\n')

            def check(text):
                return messages(markdown.check('a.md', text, root))
            self.assertEqual(check('# A\n[x](b.md) [y](b.md#two-words) [z](#a) [w](https://x.y)\n'),
                             [])
            self.assertEqual(check('# A\n[x](c.md)\n'), ['link to "c.md": no such file'])
            self.assertEqual(check('# A\n[x](b.md#no)\n'), ['link to "b.md#no": no such heading'])
            self.assertEqual(check('# A\n`src/no.cc` `src/*.cc` `no.cc` `src/no/`\n'),
                             ['"src/no.cc" does not exist'])
            self.assertEqual(check('# A\n# B\n'), ['a second title; one per file'])
            self.assertEqual(check('text\n'), ['no title'])
            self.assertEqual(check('# A\n```\n# not a title [x](c.md)\n```\n`[x](d.md)`\n'), [])


if __name__ == '__main__':
    unittest.main()
