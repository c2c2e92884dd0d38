# SPDX-License-Identifier: MIT
"""npm packages, for tests only: each in a folder of its own below build/npm/, fetched once."""

import functools
import json
import os
import shutil
import subprocess

import harness
from harness import check


@functools.lru_cache(maxsize=None)
def _install(name, version):
    """Tried once for all tests of a program. -> (folder, what went wrong or None)"""
    folder = os.path.join(harness.ROOT, "build", "npm", name.replace("/", "_"))
    package = os.path.join(folder, "node_modules", name, "package.json")
    try:
        with open(package, encoding="utf-8") as file:
            if json.load(file)["version"] == version:
                return folder, None
    except OSError:
        pass
    if not shutil.which("npm"):
        return folder, "npm is missing: run `make deps-test`"
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "package.json"), "w", encoding="utf-8") as file:
        file.write('{"private": true}\n')
    result = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-save", f"{name}@{version}"], cwd=folder,
                            env={**os.environ, "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"}, capture_output=True, text=True,
                            timeout=200, check=False)
    if result.returncode == 0 and os.path.exists(package):
        return folder, None
    return folder, f"npm install {name}@{version}: {result.stderr[-2000:]}"


def modules(name, version):
    """-> the folder from which Node.js finds the package"""
    check(shutil.which("node"), "node is missing: run `make deps-test`")
    folder, problem = _install(name, version)
    check(problem is None, problem)
    return folder
