"""Who may include whom: the table of layers.txt held against every #include of the tree."""
import re

from tidylib.source import Finding, line_of, strip

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)
# Protobuf and everything generated from api/.
_API = re.compile(r'\.pb\.h$|^google/protobuf/')


def load_table(text):
    """Lines "folder: allowed allowed …"; "api" stands for generated messages, "*" for all."""
    table = {}
    for line in text.splitlines():
        line = line.split('#', 1)[0].strip()
        if line:
            folder, allowed = line.split(':')
            table[folder.strip()] = allowed.split()
    return table


def layer_of(path, table):
    """The most specific row for a path below src/, or None."""
    matches = [f for f in table if path == f or path.startswith(f + '/')]
    return max(matches, key=len) if matches else None


def _is_codec(path):
    return re.search(r'_codec\.(?:h|cc|inl\.h)$', path) is not None


def _includes_only_base(target, table, read, seen):
    """Whether a header reaches nothing of ours but base and its own folder's like."""
    text = read('src/' + target) if target not in seen else ''
    if text is None:
        return False
    seen.add(target)
    for quoted, angle in _INCLUDE.findall(strip(text, literals=False)):
        layer, own = layer_of(quoted, table), layer_of(target, table)
        if _API.search(quoted or angle):
            return False
        if layer not in (None, 'base') and not (
                layer == own and _includes_only_base(quoted, table, read, seen)):
            return False
    return True


def check(path, text, table, read=lambda path: None):
    """`read` gives the text of a file of the tree, or None."""
    if not path.startswith('src/'):
        return []
    inside = path[len('src/'):]
    layer = layer_of(inside, table)
    if layer is None:
        return [Finding(path, 1, 'layers', 'this folder has no row in tools/tidylib/layers.txt')]
    allowed = table[layer]
    codec = _is_codec(inside)
    found = []
    code = strip(text, literals=False)
    for match in _INCLUDE.finditer(code):
        quoted, angle = match.groups()
        target = quoted or angle
        line = line_of(code, match.start())
        if _API.search(target):
            if ('api' not in allowed and '*' not in allowed) or codec:
                found.append(Finding(path, line, 'layers',
                                     f'{layer} may not include generated or protobuf headers '
                                     f'({target})'))
            continue
        if not quoted:
            continue
        target_layer = layer_of(target, table)
        if target_layer is None:
            if '/' in target:
                found.append(Finding(path, line, 'layers',
                                     f'"{target}" is no folder of src/; use <> for libraries'))
            continue
        if codec:
            plain = target_layer == layer and (_is_codec(target) or _includes_only_base(
                target, table, read, set()))
            if target_layer != 'base' and not plain:
                found.append(Finding(path, line, 'layers',
                                     f'a codec does no I/O: "{target}" reaches more than base'))
        elif '*' not in allowed and target_layer != layer and not any(
                target_layer == a or target_layer.startswith(a + '/') for a in allowed):
            found.append(Finding(path, line, 'layers',
                                 f'{layer} may not include "{target}" (allowed: '
                                 f'{" ".join(allowed) or "nothing of ours"})'))
    return found


def check_codecs_fuzzed(paths, read=lambda path: None):
    """Every *_codec.cc has a fuzz target fuzz/<name>_fuzz.cc; one without a header of its own is
    part of the codec whose header it includes."""
    have = set(paths)

    def fuzzed(path):
        name = re.search(r'(\w+)_codec\.', path)[1]
        return {f'fuzz/{name}_fuzz.cc', f'fuzz/{name}_codec_fuzz.cc'} & have
    found = []
    for path in paths:
        if not re.search(r'^src/.*_codec\.cc$', path) or fuzzed(path):
            continue
        own_header = path[:-3] + '.h' in have
        parts = re.findall(r'^#include "([\w/]+_codec\.h)"', read(path) or '', re.M)
        if own_header or not any(fuzzed(part) for part in parts):
            name = re.search(r'(\w+)\.cc$', path)[1]
            found.append(Finding(path, 1, 'fuzz', f'this codec has no fuzz target '
                                                  f'fuzz/{name}_fuzz.cc'))
    return found
