# SPDX-License-Identifier: MIT
"""Faults inside a running aistraced, by the helper `inject`: kills at chosen points, failing system calls."""

import functools
import subprocess

from harness import AISTRACED, check, helper, wait_for


@functools.lru_cache(maxsize=None)
def symbols():
    """{name: offset in the file, in hex} of the daemon's functions."""
    output = subprocess.run(["nm", AISTRACED], capture_output=True, check=True, text=True).stdout
    return {fields[2]: fields[0] for fields in map(str.split, output.splitlines()) if len(fields) == 3}


def injected(scene, *action):
    """-> (prefix for Scene.sidecar, path of what inject tells at the end)"""
    scene.injections = getattr(scene, "injections", 0) + 1
    out = scene.path(f"inject-{scene.injections}")
    return [helper("inject"), out, symbols()["main"], *map(str, action), "--"], out


def at(function, hit=1, steps=0):
    """Action: SIGKILL in a function of the daemon, so many instructions after its beginning."""
    check(function in symbols(), f"aistraced has no function {function}")
    return "at", symbols()[function], hit, steps


def after(function, call):
    """Action: SIGKILL at the call-th system call after a function of the daemon has been reached."""
    check(function in symbols(), f"aistraced has no function {function}")
    return "after", symbols()[function], call


def told(out):
    """What inject told: {"calls": N, "eligible": N, "failed": N, "last": name}"""
    def read():
        try:
            with open(out, encoding="ascii") as file:
                return file.read().split()
        except FileNotFoundError:
            return None
    fields = wait_for(read, f"the end of {out}")
    return {key: value if key == "last" else int(value) for key, value in zip(fields[::2], fields[1::2])}
