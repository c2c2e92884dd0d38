#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Files as hexadecimal text, rows of zeros left out: `size N`, then `offset: bytes` for each row of 16 bytes.

    test/golden/hex.py pack DIRECTORY INTO      each file of DIRECTORY as INTO/NAME.hex
    test/golden/hex.py unpack DIRECTORY INTO    and back; nothing in INTO has a hole
"""

import os
import sys

ROW = 16


def pack(data):
    rows = [f"{at:x}: {data[at:at + ROW].hex()}" for at in range(0, len(data), ROW) if data[at:at + ROW].strip(b"\0")]
    return "\n".join([f"size {len(data)}", *rows]) + "\n"


def unpack(text):
    first, *rows = text.splitlines()
    data = bytearray(int(first.removeprefix("size ")))
    for row in rows:
        at, content = row.split(": ")
        content = bytes.fromhex(content)
        data[int(at, 16):int(at, 16) + len(content)] = content
    return bytes(data)


def each(directory):
    """-> (path below directory, whole path) of each file"""
    for where, _, names in os.walk(directory):
        for name in sorted(names):
            path = os.path.join(where, name)
            yield os.path.relpath(path, directory), path


def unpack_tree(directory, into):
    """Writes each DIRECTORY/NAME.hex as INTO/NAME, readable by its owner alone."""
    for name, path in each(directory):
        if not name.endswith(".hex"):
            continue
        target = os.path.join(into, name.removesuffix(".hex"))
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with open(path, encoding="ascii") as file:
            data = unpack(file.read())
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)


def pack_tree(directory, into):
    for name, path in each(directory):
        target = os.path.join(into, name + ".hex")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(path, "rb") as file:
            data = file.read()
        with open(target, "w", encoding="ascii") as file:
            file.write(pack(data))


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
        print(__doc__, file=sys.stderr)
        return 64
    (pack_tree if sys.argv[1] == "pack" else unpack_tree)(sys.argv[2], sys.argv[3])
    return 0


if __name__ == "__main__":
    sys.exit(main())
