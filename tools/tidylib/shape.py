"""How files look: banners, columns, sizes of files and functions."""
import re

from tidylib.source import Finding, blocks, strip

COLUMNS = 100
FILE_LINES = 800
FUNCTION_LINES = 70
BANNER_FROM_LINES = 40
BANNER = (2, 15)     # comment lines that say why the file exists
# One line is enough where the story stands elsewhere: in the header, or in what is tested.
_SIZED = ('.cc', '.h', '.py', '.sh', '.cmake')
_CODE = ('.cc', '.h')


def _banner(path, lines, has_header):
    if not path.endswith(_CODE) or len(lines) <= BANNER_FROM_LINES:
        return
    comment = []
    for line in lines:
        if not line.startswith('//'):
            break
        comment.append(line)
    if not comment or 'Why this file exists' not in comment[0]:
        yield Finding(path, 1, 'banner', 'start with "// Why this file exists: …"')
        return
    least = 1 if has_header or path.endswith('_test.cc') else BANNER[0]
    if not least <= len(comment) <= BANNER[1]:
        yield Finding(path, 1, 'banner', f'the first comment has {len(comment)} lines; say why the '
                                         f'file exists in {least} to {BANNER[1]}')


def check(path, text, has_header=False):
    lines = text.splitlines()
    found = list(_banner(path, lines, has_header))
    if path.endswith(_SIZED) or path.endswith(('CMakeLists.txt', '.proto')):
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS:
                found.append(Finding(path, number, 'columns', f'{len(line)} columns, at most '
                                                              f'{COLUMNS}'))
    if path.endswith(_SIZED) and len(lines) > FILE_LINES:
        found.append(Finding(path, FILE_LINES + 1, 'file-size',
                             f'{len(lines)} lines, at most {FILE_LINES}: is there a seam?'))
    if path.endswith(_CODE):
        for block in blocks(strip(text)):
            length = block.end_line - block.start_line + 1
            if block.kind == 'function' and length > FUNCTION_LINES:
                name = re.search(r'([\w:~]+)\s*\(', block.head)
                found.append(Finding(path, block.start_line, 'function-size',
                                     f'{name[1] if name else "function"} has {length} lines, at '
                                     f'most {FUNCTION_LINES}'))
    return found
