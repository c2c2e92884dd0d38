# SPDX-License-Identifier: MIT
"""A memory limit for programs of a test."""

import os

import harness
from harness import Skip


class MemoryLimit:
    """A cgroup with a memory limit for what is started within it. Needs root."""

    def __init__(self, limit_bytes):
        self.path = None
        if os.geteuid() != 0:
            raise Skip("a memory limit needs root")
        for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            path = harness.elsewhere(os.path.join(root, f"aistrace-test-{os.getpid()}"))
            try:
                os.mkdir(path)
                self.path = path
                with open(os.path.join(path, limit), "w", encoding="ascii") as file:
                    file.write(str(limit_bytes))
                with open("/proc/self/cgroup", encoding="ascii") as file:
                    fields = [line.rstrip("\n").split(":", 2) for line in file]
                mine = next(field[2] for field in fields if field[1] == ("memory" if "limit" in limit else ""))
                self.before = root + mine if os.path.isdir(root + mine) else root
                return
            except OSError:
                self.remove()
        raise Skip("this machine lets us make no memory cgroup")

    def __enter__(self):
        self._join(self.path)

    def __exit__(self, *_):
        self._join(self.before)

    @staticmethod
    def _join(path):
        with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(os.getpid()))

    def remove(self):
        if self.path:
            os.rmdir(self.path)
        self.path = None
