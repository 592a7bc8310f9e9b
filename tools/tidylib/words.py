"""Words and calls that the tree does not use, each with what to write instead."""
import re

from tidylib.source import Finding, line_of, namespace_scope, strip

# One word per concept; synonyms live only where a compatible API or format spells them.
SYNONYMS = {'bdev': 'device', 'lvs': 'pool', 'lvol': 'replica'}
_SYNONYM_FREE = ('api/', 'src/services/', 'src/apps/', 'src/client/', 'tests/', 'sim/', 'docs/',
                 'tools/', 'README.md', 'CHANGELOG.md', 'bench/')
# Names of formats, of specification chapters and of URI schemes are spelled as they are.
_FORMAT_NAMES = re.compile(
    r'lvs[-_](?:format|dump|images)|\blvs_\w*codec\w*|Lvs\w*Codec|\b(?:bdev|lvol|lvs)://'
    r'|\bBdevRpc\b|\bk(?:Bdev|Lvol)\b|\bbdev_(?:aio|lvol|malloc)_\w+|#\s*include[^\n]*')
_FORMAT_FOLDER = 'src/storage/pool/'    # "lvs" is the name of the format that lives there
_CAMEL = re.compile(r'(?<=[a-z0-9])(?=[A-Z])')

# Spelled in two halves so that this file passes its own check.
UNFINISHED = re.compile(r'\b(?:TO' 'DO|FIX' 'ME|XX' 'X|HA' 'CK)\\b')
UNFINISHED_PROSE = re.compile(r'\b(?:not implemented ' r'yet|stu' r'b(?:bed)?|for ' r'now)\b')
MACHINE_PATHS = re.compile(r'(?<![\w.])/(?:wo' r'rk|ho' r'me/\w+|ro' r'ot|fa' r'rm)/'
                           r'|\.\./sha' r'red|\bsha' r'red/spec\b')

_CODE = ('.cc', '.h')

# call → what to use instead. Only core/uring_* and core/os_* talk to the operating system.
CALLS = [
    (r'(?<![\w.>:])(?:::|std::)?time\s*\(\s*(?:NULL|nullptr|0|&)', 'core::Env::wall_clock_ns()'),
    (r'\bclock_gettime\b|\bgettimeofday\b|\bstd::chrono::(?:system|steady|high_resolution)_clock\b',
     'Reactor::now() or Env::wall_clock_ns()'),
    (r'\bstd::random_device\b|(?<![\w.>:])s?rand\s*\(|\bgetrandom\s*\(', 'Env::fill_random()'),
    (r'(?<![\w)>])::(?:open|openat|creat|read|write|pread|pwrite|fsync|fdatasync|unlink|rename)'
     r'\s*\(|\bstd::(?:o|i)?fstream\b|(?<![\w.>])fopen\s*\(', 'Env::files()'),
    (r'(?<![\w.>])(?:::)?(?:socket|socketpair|accept4|epoll_\w+)\s*\(', 'Env::network()'),
    (r'\bstd::j?thread\b(?!::id)|\bpthread_create\b', 'a reactor per core (core/uring_env.h)'),
    (r'\bstd::this_thread::(?:sleep|yield)\w*|(?<![\w.>:])(?:::)?(?:u|nano)?sleep\s*\(',
     'core::sleep_for()'),
    (r'\bstd::(?:recursive_|shared_|timed_)?mutex\b|\bstd::condition_variable\b',
     'core::Mutex and messages between cores'),
]
_CALLS = [(re.compile(pattern), instead) for pattern, instead in CALLS]
_OS_FILES = re.compile(r'^src/core/(?:uring|os)_\w+\.(?:cc|h)$')
_TESTS = re.compile(r'(?:_test|_testing|test_support)\.(?:cc|h)$|^(?:tests|sim|fuzz|bench)/')
# A test may use threads and files of its own, but it never sleeps and never reads the clock.
_TEST_CALLS = [pair for pair in _CALLS if 'sleep' in pair[1]]

_THREAD_LOCAL = {'src/core/reactor.cc', 'src/core/frame_pool.cc'}
_STATIC = re.compile(r'\bstatic\s+(?!const\b|constexpr\b|constinit\s+const\b|consteval\b)'
                     r'(?P<type>[^();={}]*?[\w>&*\]])\s+[*&]?(?P<name>\w+)\s*(?:=(?!=)|;|\{|\[)')
_GLOBAL = re.compile(r'(?:^|(?<=[;{}]))\s*(?P<type>(?:static\s+|inline\s+)*[A-Za-z_][\w:]*'
                     r'(?:<[^;{}()=]*>)?(?:\s*[*&]+\s*|\s+))(?P<name>[a-z]\w*)\s*'
                     r'(?P<end>=(?!=)|;|\{)')
_NOT_A_VARIABLE = re.compile(r'^\s*(?:(?:static|inline)\s+)*(?:const\b|constexpr\b|constinit\b'
                             r'|using\b|typedef\b|namespace\b|class\b|struct\b|union\b|enum\b'
                             r'|template\b|friend\b|extern\b|return\b|co_\w+|goto\b'
                             r'|export\b|concept\b|static_assert\b|requires\b'
                             r'|public\b|private\b|protected\b)')
_REGISTRATION = re.compile(r'\b(?:const|constexpr|static|auto|bool)\b[^;(){}]*'
                           r'\bregist(?:er|rar|ration)\w*\s*(?:=|\{|\()'
                           r'|=\s*(?:\w+::)*regist(?:er|ration)\w*\s*\(', re.I)


def _synonyms(path, text):
    if path.startswith(_SYNONYM_FREE) or not path.endswith(_CODE) or _TESTS.search(path):
        return
    code = _FORMAT_NAMES.sub(lambda m: ' ' * len(m.group()), strip(text, comments=False))
    for match in re.finditer(r'[A-Za-z_]\w*', code):
        for part in _CAMEL.sub('_', match.group()).lower().split('_'):
            word = part[:-1] if part.endswith('s') and part[:-1] in SYNONYMS else part
            if word in SYNONYMS and not (word == 'lvs' and path.startswith(_FORMAT_FOLDER)):
                yield Finding(path, line_of(code, match.start()), 'words',
                              f'"{match.group()}": write {SYNONYMS[word]}, not {word}')


def _unfinished(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        match = UNFINISHED.search(line)
        if not match and path.endswith(_CODE + ('.sh', '.py', '.proto', '.cmake')):
            match = UNFINISHED_PROSE.search(line)
        if match:
            yield Finding(path, number, 'words', f'"{match.group()}": finish it or leave it out')
        match = MACHINE_PATHS.search(line)
        if match:
            yield Finding(path, number, 'words',
                          f'"{match.group()}": a path of one machine; use relative paths')


def _calls(path, code):
    if not path.startswith('src/') and not _TESTS.search(path):
        return
    if _OS_FILES.search(path):
        return
    for pattern, instead in (_TEST_CALLS if _TESTS.search(path) else _CALLS):
        for match in pattern.finditer(code):
            yield Finding(path, line_of(code, match.start()), 'calls',
                          f'"{match.group().strip()}" belongs in core/uring_* or core/os_*; '
                          f'use {instead}')


def _globals(path, code):
    if not path.startswith('src/') or _TESTS.search(path):
        return
    if path not in _THREAD_LOCAL:
        for match in re.finditer(r'\bthread_local\b', code):
            yield Finding(path, line_of(code, match.start()), 'globals',
                          'thread_local is for core/reactor.cc and core/frame_pool.cc only')
        for match in _STATIC.finditer(code):
            if 'thread_local' not in match.group() and not re.search(
                    r'\bconst(?:expr)?\b\s*$|\boperator\b', match['type']):
                yield Finding(path, line_of(code, match.start()), 'globals',
                              f'mutable static "{match["name"]}": make it a field of an object')
    outer = namespace_scope(code)
    for match in _GLOBAL.finditer(outer):
        declaration = match.group().lstrip()
        at = match.end() - len(declaration)
        if _NOT_A_VARIABLE.search(declaration) or declaration.startswith('static '):
            continue
        yield Finding(path, line_of(outer, at), 'globals',
                      f'mutable global "{match["name"]}": make it a field of an object')
    for match in _REGISTRATION.finditer(outer):
        yield Finding(path, line_of(outer, match.start()), 'globals',
                      'no registration by static constructors: bind it in a main.cc')


def check(path, text):
    found = list(_unfinished(path, text))
    if path.endswith(_CODE):
        code = strip(text)
        found += [*_synonyms(path, text), *_calls(path, code), *_globals(path, code)]
    return found
