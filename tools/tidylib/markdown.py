"""Markdown: one title per file, and every relative link leads somewhere."""
import os
import re

from tidylib.source import Finding

_LINK = re.compile(r'(?<!\\)\[[^\]\n]*\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)')
# Files of the tree named in running text; folders and patterns are not meant.
_NAMED = re.compile(r'`((?:src|api|tools|tests|sim|fuzz|bench|cmake|docs)/[\w./-]*\.\w+)`')
_FENCE = re.compile(r'^\s*(```|~~~)')


def prose_lines(text, keep_code=False):
    """(line number, line) outside of fenced code, inline code blanked unless it is wanted."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line if keep_code else re.sub(
                r'`[^`]*`', lambda m: ' ' * len(m.group()), line)


def anchors(text):
    """The anchors that GitHub makes from headings."""
    found = set()
    fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        heading = None if fenced else re.match(r'#{1,6}\s+(.*?)\s*#*$', line)
        if heading:
            slug = re.sub(r'[^\w\- ]', '', heading[1].lower()).replace(' ', '-')
            count = 1
            unique = slug
            while unique in found:
                unique = f'{slug}-{count}'
                count += 1
            found.add(unique)
    return found


def check(path, text, root):
    if not path.endswith('.md'):
        return []
    found, titles = [], 0
    for number, line in prose_lines(text):
        if re.match(r'# \S', line):
            titles += 1
            if titles == 2:
                found.append(Finding(path, number, 'markdown', 'a second title; one per file'))
        for match in _LINK.finditer(line):
            target = match[1]
            if re.match(r'[a-z][a-z0-9+.-]*:', target):
                continue
            file, _, anchor = target.partition('#')
            full = os.path.normpath(os.path.join(root, os.path.dirname(path), file))
            if file and not os.path.exists(full):
                found.append(Finding(path, number, 'markdown', f'link to "{target}": no such file'))
            elif anchor and (not file or file.endswith('.md')):
                other = text
                if file:
                    with open(full, encoding='utf-8') as opened:
                        other = opened.read()
                if anchor not in anchors(other):
                    found.append(Finding(path, number, 'markdown',
                                         f'link to "{target}": no such heading'))
    for number, line in prose_lines(text, keep_code=True):
        for match in _NAMED.finditer(line):
            if not os.path.exists(os.path.join(root, match[1])):
                found.append(Finding(path, number, 'markdown', f'"{match[1]}" does not exist'))
    if titles == 0:
        found.append(Finding(path, 1, 'markdown', 'no title'))
    return found
