#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test/tidy: whatever becomes of a test, no process, no mount and no file of it is left."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "e2e"))
import harness  # noqa: E402
from harness import TIDY, check, check_equal, wait_for  # noqa: E402

# A test with everything that is hard to end: a process that loops in a process group of its own, one in a session of its
# own whose parent has ended, one that ignores TERM, one that is stopped; files, also elsewhere; a mount (root only).
MESS = """
import os, signal, subprocess, sys, time
root, note, end = os.environ["AISTRACE_TEST_ROOT"], sys.argv[1], sys.argv[2]
pids = [os.getpid()]
def loops(*preparation):
    program = "import os,signal,sys;" + ";".join(preparation or ["pass"]) + ";print(os.getpid(), flush=True)\\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    pids.append(int(process.stdout.readline()))
loops("os.setpgid(0, 0)")
loops("os.fork() and os._exit(0)", "os.setsid()")
loops("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
loops()
os.kill(pids[-1], signal.SIGSTOP)
os.makedirs(os.path.join(root, "a", "mount"))
if os.geteuid() == 0:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", os.path.join(root, "a", "mount")], check=True)
open(os.path.join(root, "a", "mount", "file"), "w").close()
os.mkdir(note + ".far")
open(os.path.join(note + ".far", "file"), "w").close()
with open(os.path.join(root, "elsewhere"), "w") as file:
    file.write(note + ".far\\n")
with open(note + ".new", "w") as file:
    file.write(" ".join([root, *map(str, pids)]))
os.rename(note + ".new", note)
if end == "ends":
    sys.exit(3)
if end == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    time.sleep(1)
"""


if os.geteuid() != 0:
    print("SKIP a test's mounts: need root", flush=True)


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def make_mess(scene, end, *prefix):
    """-> (process of tidy, root of the test, pids of the test)"""
    note = scene.path("note")
    process = subprocess.Popen([*prefix, TIDY, sys.executable, "-c", MESS, note, end])
    wait_for(lambda: os.path.exists(note) or process.poll() is not None, "the mess")
    with open(note, encoding="ascii") as file:
        root, *pids = file.read().split()
    return process, root, list(map(int, pids))


def mounts():
    with open("/proc/self/mounts", encoding="utf-8") as file:
        return file.read()


def check_nothing_left(scene, root, pids):
    wait_for(lambda: not any(map(lives, pids)), "no process is left")
    wait_for(lambda: not os.path.exists(root), "no directory is left")
    check(root not in mounts(), "no mount is left")
    check(not os.path.exists(scene.path("note.far")), "nothing is left elsewhere")


def test_a_test_that_ends_leaves_nothing_and_its_status_is_told(scene):
    process, root, pids = make_mess(scene, "ends")
    check_equal(process.wait(harness.DEADLINE_S), 3, "status")
    check(not any(map(lives, pids)) and not os.path.exists(root), "everything is gone when tidy has ended")
    check_nothing_left(scene, root, pids)


def test_a_test_that_is_killed_leaves_nothing(scene):
    process, root, pids = make_mess(scene, "stays")
    check(os.path.exists(os.path.join(root, "a", "mount", "file")) and all(map(lives, pids)), "the mess is there")
    os.kill(pids[0], signal.SIGKILL)
    check_equal(process.wait(harness.DEADLINE_S), 128 + signal.SIGKILL, "status")
    check_nothing_left(scene, root, pids)


def test_when_the_one_that_waits_is_killed_nothing_is_left(scene):
    process, root, pids = make_mess(scene, "stays")
    process.kill()
    process.wait()
    check_nothing_left(scene, root, pids)


def test_signals_reach_the_test(scene):
    process, root, pids = make_mess(scene, "stays")
    process.terminate()
    check_equal(process.wait(harness.DEADLINE_S), 128 + signal.SIGTERM, "status")
    check_nothing_left(scene, root, pids)


def test_a_test_that_will_not_end_is_killed_when_its_time_is_up(scene):
    process, root, pids = make_mess(scene, "deaf", "timeout", "-k", "1", "5")
    check(process.wait(harness.DEADLINE_S) != 0, "status")
    check_nothing_left(scene, root, pids)


def test_one_below_another_ends_with_it(scene):
    process, root, pids = make_mess(scene, "stays", TIDY)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    check_nothing_left(scene, root, pids)
    check_nothing_left(scene, os.path.dirname(root), pids)


def test_a_program_that_is_not_there_is_told(scene):
    result = subprocess.run([TIDY, scene.path("nothing")], capture_output=True, text=True, check=False)
    check_equal(result.returncode, 127, "status")
    check("nothing: No such file" in result.stderr, result.stderr)


def test_an_end_to_end_test_that_is_killed_leaves_nothing(scene):
    """A real one, with a sidecar, an endpoint and a producer of its own."""
    before = set(os.listdir("/dev/shm"))
    script = os.path.join(harness.ROOT, "test", "e2e", "test_spool")
    for number in (signal.SIGKILL, signal.SIGTERM):
        environment = {**os.environ, "AISTRACE_TEST_ROOT": scene.path("inner"), "SPOOL_OUTAGE_S": "3600"}
        os.mkdir(scene.path("inner"))
        with open(scene.path("output"), "wb") as out:
            process = subprocess.Popen([TIDY, script, "an_outage"], env=environment, stdout=out)

        def processes():
            return [pid for pid in filter(str.isdigit, os.listdir("/proc")) if of_scene(pid)]

        def of_scene(pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    return scene.path("inner").encode() in file.read()
            except OSError:
                return False
        wait_for(lambda: len(processes()) >= 2, "sidecar and producer run")
        process.send_signal(number)
        check(process.wait(harness.DEADLINE_S) != 0, "status")
        wait_for(lambda: not processes(), "no process is left")
        wait_for(lambda: not os.listdir(scene.path("inner")), "no file is left")
        os.rmdir(scene.path("inner"))
    new = set(os.listdir("/dev/shm")) - before
    check(not any(name.startswith("e2e-") for name in new), f"new on /dev/shm: {new}")


if __name__ == "__main__":
    harness.main()
