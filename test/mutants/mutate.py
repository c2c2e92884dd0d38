# SPDX-License-Identifier: MIT
"""Random breaks of one token or statement of a C source."""

import random
import re

SWAPS = [
    (r"(?<=\s)(<=|>=|==|!=|<|>)(?=\s)", {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}),
    (r"(?<=\s)(&&|\|\|)(?=\s)", {"&&": "||", "||": "&&"}),
    (r"(?<=\s)(\+|-)(?=\s)", {"+": "-", "-": "+"}),
    (r"(?<=\s)(\+=|-=|\|=|&=)(?=\s)", {"+=": "-=", "-=": "+=", "|=": "&=", "&=": "|="}),
    (r"(\+\+|--)", {"++": "--", "--": "++"}),
    (r"\b(true|false)\b", {"true": "false", "false": "true"}),
    (r"(?<=return )(-E[A-Z0-9]+)(?=;)", None),
    (r"(?<![\w.])(\d+)(?![\w.])", None),
]
BLANK = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^[ \t]*#(?:\\\n|[^\n])*'
                   r"|static_assert\s*\([^;]*;|^(?:enum|struct)\s*\w*\s*\{.*?^\};", re.S | re.M)
STATEMENT = re.compile(r"^[ \t]+((?:[\w>.\[\]()*&-]+ (?:[-+|&]?=) [^;{}]*|\w+\([^;{}]*\)|return\b[^;{}]*);)[ \t]*$", re.M)
CONDITION = re.compile(r"(?<=\bif )\(([^;{}\n]*)\)(?=[ \n])")


def blanked(text):
    """The same text, offset for offset, without what is no code."""
    return BLANK.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def depths(code):
    """-> how many braces are open before each character"""
    found, depth = [], 0
    for character in code:
        found.append(depth)
        depth += (character == "{") - (character == "}")
    return found


def breaks(text):
    """yields ((begin, end), new text) of every break there is"""
    code = blanked(text)
    depth = depths(code)
    for pattern, table in SWAPS:
        for match in re.finditer(pattern, code):
            word = match.group(1)
            if depth[match.start()]:
                new = table[word] if table else "0" if word.startswith("-E") else str(int(word) + 1)
                yield match.span(1), new
    for match in CONDITION.finditer(code):
        yield match.span(1), f"!({text[slice(*match.span(1))]})"
    for match in STATEMENT.finditer(code):
        last = code[match.end():].lstrip().startswith("}") and depth[match.start(1)] == 1
        if depth[match.start(1)] and not (last and match.group(1).startswith("return")):
            yield match.span(1), ";"


def sample(path, count, seed):
    """-> at most count of a file's breaks, the same for the same seed and file"""
    with open(path, encoding="utf-8") as file:
        found = list(breaks(file.read()))
    random.Random(f"{seed}:{path.rsplit('/', 1)[-1]}").shuffle(found)
    return sorted(found[:count])
