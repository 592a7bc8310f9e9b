"""Reading C++ just well enough for tidy: comments, literals and blocks, never a full parse."""
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    check: str
    message: str

    def __str__(self):
        return f'{self.path}:{self.line}: {self.message} [{self.check}]'


_TOKEN = re.compile(
    r'(?P<line>//[^\n]*)'
    r'|(?P<block>/\*.*?\*/)'
    r'|(?P<raw>R"(?P<mark>[^()\s\\]{0,16})\(.*?\)(?P=mark)")'
    r'|(?P<text>"(?:\\.|[^"\\\n])*")'
    r"|(?P<char>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')",
    re.DOTALL)


def _blank(text):
    return re.sub(r'[^\n]', ' ', text)


def strip(text, comments=True, literals=True):
    """The text with comments and/or the inside of literals blanked; offsets and lines stay."""
    def replace(match):
        if match.lastgroup in ('line', 'block'):
            return _blank(match.group()) if comments else match.group()
        if not literals:
            return match.group()
        whole = match.group()
        return whole[0] + _blank(whole[1:-1]) + whole[-1]
    return _TOKEN.sub(replace, text)


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1


def without_preprocessor(code):
    """Blanks # lines with their continuations."""
    return re.sub(r'^[ \t]*#(?:[^\n\\]|\\.|\\\n)*', lambda m: _blank(m.group()), code, flags=re.M)


@dataclass(frozen=True)
class Block:
    kind: str          # namespace, type, function, initializer, other
    head: str          # what stands before the brace
    start_line: int    # of the opening brace
    end_line: int      # of the closing brace


_NAMESPACE = re.compile(r'(?:^|\s)(?:namespace\b|extern\s*"[^"]*"\s*$)')
_TYPE = re.compile(r'(?:^|[\s>])(?:class|struct|union|enum)\b')
_CONTROL = re.compile(r'^\s*(?:if|for|while|switch|else|do|try|catch|return|co_return|case)\b')


def _kind(head):
    head = head.strip()
    if _NAMESPACE.search(head) and '(' not in head:
        return 'namespace'
    if not head or _CONTROL.search(head):
        return 'other'
    # "Foo() : a_(x), b_" opens the initializer of a member, not the body.
    if re.search(r'\)\s*(?:noexcept\s*)?:(?!:)', head) and re.search(r'[\w>]$', head):
        return 'initializer'
    if re.search(r'\)\s*(?:(?:const|noexcept(?:\([^()]*\))?|override|final|mutable|&&?)\s*)*'
                 r'(?:->\s*[\w:<>,&*\s]+)?(?:requires\b.*)?$', head, re.DOTALL):
        if '=' in re.sub(r'\([^()]*\)|operator\s*\S+', '', head):
            return 'other'                      # a variable initialised by a lambda or a call
        return 'function'
    if head.endswith('}') and re.search(r'\)\s*(?:noexcept\s*)?:(?!:)', head):
        return 'function'                       # "Foo() : a_{x} {"
    if _TYPE.search(head) and '(' not in re.sub(r'(?:alignas|__attribute__)\([^)]*\)', '', head):
        return 'type'
    return 'other'


def blocks(code):
    """Every brace block of stripped code that stands outside of functions, functions included."""
    code = without_preprocessor(code)
    found, stack = [], []
    segment_start = 0
    depth_round = 0
    inside_function = 0
    for match in re.finditer(r'[{}();]', code):
        char, at = match.group(), match.start()
        if char == '(':
            depth_round += 1
        elif char == ')':
            depth_round = max(0, depth_round - 1)
        elif char == ';':
            if depth_round == 0 and not inside_function:
                segment_start = at + 1
        elif char == '{':
            head = code[segment_start:at]
            kind = 'other' if inside_function or depth_round else _kind(head)
            head = re.sub(r'^\s*(?:public|private|protected)\s*:', '', head)
            stack.append((kind, head.strip(), at, segment_start, depth_round))
            if kind == 'function':
                inside_function += 1
            if kind != 'initializer' and not inside_function and not depth_round:
                segment_start = at + 1
            depth_round = 0
        elif stack:
            kind, head, start, outer_segment, depth_round = stack.pop()
            if kind == 'function':
                inside_function -= 1
            if not inside_function:
                found.append(Block(kind, head, line_of(code, start), line_of(code, at)))
                # An initialiser's head goes on after its brace, everything else starts anew.
                keep = kind == 'initializer' or (kind == 'other' and depth_round)
                segment_start = outer_segment if keep else at + 1
    return found


def namespace_scope(code):
    """The stripped code with everything inside of types and functions blanked."""
    code = without_preprocessor(code)
    out, stack, segment_start = list(code), [], 0
    for match in re.finditer(r'[{};]', code):
        char, at = match.group(), match.start()
        if char == '{':
            kind = 'other' if any(k != 'namespace' for k, _ in stack) else _kind(
                code[segment_start:at])
            stack.append((kind, at))
            if kind == 'namespace':
                segment_start = at + 1
        elif char == '}' and stack:
            kind, start = stack.pop()
            if kind != 'namespace' and all(k == 'namespace' for k, _ in stack):
                out[start + 1:at] = _blank(code[start + 1:at])
                if kind == 'function':
                    segment_start = at + 1
            elif kind == 'namespace':
                segment_start = at + 1
        elif char == ';' and all(k == 'namespace' for k, _ in stack):
            segment_start = at + 1
    return ''.join(out)
