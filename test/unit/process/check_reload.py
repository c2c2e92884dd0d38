#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reload of the configuration, and what the service manager hears. No endpoint: under load it is tested in e2e/."""

import json
import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from check_aistraced import dead_port, seen, write, write_spans  # noqa: E402
import harness  # noqa: E402
from harness import AISTRACED, ROOT, check, check_equal, free_port, helper, http_get, wait_for  # noqa: E402


def rewrite(sidecar, change=lambda config: None):
    """Changes the sidecar's file from what it was at its start."""
    config = json.loads(json.dumps(sidecar.config))
    change(config)
    with open(sidecar.argv[-1], "w", encoding="utf-8") as file:
        json.dump(config, file)


def reloaded(sidecar, result, count):
    sidecar.signal(harness.signal.SIGHUP)
    wait_for(lambda: sidecar.metrics().value("aistrace_config_reloads_total", result=result) == count,
             what=f"{count} reloads {result}")


def readyz(sidecar):
    return http_get(f"http://{sidecar.metrics_listen}/readyz")


def silent_endpoint(scene):
    """A listener that accepts and says nothing. -> (socket, its port)"""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    scene.held = getattr(scene, "held", []) + [listener]
    return listener, listener.getsockname()[1]


# ---- what changes, and what does not


def test_every_setting_but_where_rings_and_spool_are_changes_at_once(scene):
    sidecar = scene.sidecar(dead_port(scene))
    moved = scene.path("moved")

    def all_of_it(config):
        config["tracing"].update(exporter_endpoint=f"127.0.0.1:{dead_port(scene)}", skip_verify=True, service_name_prefix="p",
                                 attributes={"a": "b"}, sampler_probability="0.5")
        config["aistraced"].update(ring_dir=moved, spool={"dir": moved, "max_bytes": "7MiB", "sync": "never"},
                                   flush_interval="5ms", max_batch_spans=7, max_batch_bytes="64KiB",
                                   max_in_flight=3, timeout="4s", retry={"initial": "1s", "max": "2s"},
                                   drain_deadline="1s", log={"level": "debug", "format": "json"})
    rewrite(sidecar, all_of_it)
    reloaded(sidecar, "ok", 1)
    waiting = re.findall(r"reload: ([a-z_.]+) has changed; it takes effect at the next start", sidecar.stderr())
    check_equal(waiting, ["aistraced.ring_dir", "aistraced.spool.dir", "aistraced.spool.max_bytes",
                          "aistraced.spool.sync"], "settings that wait")
    check_equal(len(re.findall(r"reload: [a-z_.]+ has changed", sidecar.stderr())), 19, "settings that changed")
    write_spans(scene, 10)
    seen(sidecar, '"level":"debug"')
    reloaded(sidecar, "ok", 2)
    check_equal(sidecar.stderr().count("aistraced.ring_dir has changed"), 2, "times it was said")
    inode = os.stat(sidecar.config["aistraced"]["ring_dir"]).st_ino
    os.rename(sidecar.config["aistraced"]["ring_dir"], scene.path("away"))
    seen(sidecar, "was removed; reading the new one")  # which it does at each look at the directory
    check(os.stat(sidecar.config["aistraced"]["ring_dir"]).st_ino != inode, "the directory of the start is made anew")
    check(not os.path.exists(moved), "the new ring directory is not there yet")


def test_another_endpoint_is_connected_to_at_once(scene):
    first, first_port = silent_endpoint(scene)
    second, second_port = silent_endpoint(scene)
    sidecar = scene.sidecar(first_port)
    with first.accept()[0] as old:
        rewrite(sidecar, lambda config: config["tracing"].update(exporter_endpoint=f"http://127.0.0.1:{second_port}"))
        reloaded(sidecar, "ok", 1)
        with second.accept()[0]:
            old.settimeout(10)
            while old.recv(4096):
                pass  # the old connection ends
        check(str(second_port) in readyz(sidecar)[1], readyz(sidecar)[1])


def test_disabling_ends_the_connection_and_enabling_makes_another(scene):
    listener, port = silent_endpoint(scene)
    sidecar = scene.sidecar(port)
    with listener.accept()[0] as connection:
        rewrite(sidecar, lambda config: config["tracing"].update(enabled=False))
        reloaded(sidecar, "ok", 1)
        connection.settimeout(10)
        while connection.recv(4096):
            pass
    check_equal(readyz(sidecar), (200, "ok\n"), "/readyz when disabled")
    write_spans(scene, 10)
    rewrite(sidecar)
    reloaded(sidecar, "ok", 2)
    listener.accept()[0].close()
    check_equal(sidecar.metrics().total("aistrace_export_requests_total"), 0, "requests")


def test_disabling_and_enabling_again_keeps_what_was_held(scene):
    sidecar = scene.sidecar(dead_port(scene), aistraced={"drain_deadline": "0s", "flush_interval": "10ms"})
    write_spans(scene, 100)
    wait_for(lambda: sidecar.metrics().value("aistrace_spans_in_flight") == 100, what="spans in flight")
    for count in (1, 3):
        rewrite(sidecar, lambda config: config["tracing"].update(enabled=False, exporter_endpoint=""))
        reloaded(sidecar, "ok", count)
        check_equal(sidecar.metrics().value("aistrace_spans_in_flight"), 100, "in flight while disabled")
        rewrite(sidecar)
        reloaded(sidecar, "ok", count + 1)
    check_equal(sidecar.metrics().value("aistrace_spans_in_flight"), 100, "in flight when enabled again")
    check_equal(sidecar.terminate(), 69, "exit")
    check("left in the rings 100" in sidecar.stderr(), sidecar.stderr())


# ---- metrics


def test_metrics_move_to_a_new_address(scene):
    sidecar = scene.sidecar(dead_port(scene))
    before = sidecar.metrics_listen
    sidecar.metrics_listen = f"127.0.0.1:{free_port()}"
    rewrite(sidecar, lambda config: config["aistraced"].update(metrics_listen=sidecar.metrics_listen))
    sidecar.signal(harness.signal.SIGHUP)
    wait_for(sidecar.try_metrics, what="metrics at the new address")

    def gone():
        try:
            http_get(f"http://{before}/livez")
        except OSError:
            return True
        return False
    wait_for(gone, what="the old address is free")
    rewrite(sidecar, lambda config: config["aistraced"].update(metrics_listen=""))
    sidecar.signal(harness.signal.SIGHUP)
    wait_for(lambda: sidecar.try_metrics() is None, what="no metrics")
    rewrite(sidecar, lambda config: config["aistraced"].update(metrics_listen=before))
    sidecar.metrics_listen = before
    sidecar.signal(harness.signal.SIGHUP)
    check_equal(wait_for(sidecar.try_metrics, what="metrics").value("aistrace_config_reloads_total", result="ok"), 3, "reloads")


def test_a_metrics_address_in_use_fails_the_reload_as_a_whole(scene):
    sidecar = scene.sidecar(dead_port(scene))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        def busy(config):
            config["aistraced"]["metrics_listen"] = address
            config["tracing"].update(enabled=False)
        rewrite(sidecar, busy)
        reloaded(sidecar, "failed", 1)
        for part in (f'aistraced.metrics_listen "{address}" (the file', "in use", "the old configuration stays in force"):
            check(part in sidecar.stderr(), f"{part!r} not in {sidecar.stderr()}")
        check_equal(readyz(sidecar)[0], 503, "/readyz: still enabled")
        check("aistraced.metrics_listen cannot be listened on" in readyz(sidecar)[1], readyz(sidecar)[1])


def test_a_file_behind_a_link_that_changes_is_read_again(scene):
    """As Kubernetes replaces a ConfigMap: all of a directory at once, by a link to it."""
    sidecar = scene.sidecar(dead_port(scene))
    path = sidecar.argv[-1]

    def publish(name, probability):
        os.mkdir(scene.path(name))
        sidecar.config["tracing"]["sampler_probability"] = probability
        write(scene, os.path.join(name, "config"), sidecar.config)
        os.symlink(name, scene.path("..tmp"))
        os.rename(scene.path("..tmp"), scene.path("..data"))
    publish("..1", "0.5")
    os.unlink(path)
    os.symlink(os.path.join("..data", "config"), path)
    for number, name in enumerate(("..2", "..3"), 2):
        wait_for(lambda: sidecar.metrics().value("aistrace_config_reloads_total", result="ok") == number - 1, what=name)
        publish(name, f"0.{number}")
    wait_for(lambda: sidecar.metrics().value("aistrace_config_reloads_total", result="ok") == 3, what="the last")
    check_equal(sidecar.stderr().count("sampler_probability has changed"), 3, "changes")


# ---- what is not valid


def test_an_invalid_file_changes_nothing_and_is_told(scene):
    sidecar = scene.sidecar(dead_port(scene), tracing={"enabled": False})

    def spoil(config):
        config["tracing"].update(enabled=True, sampler_probability="often")
        config["aistraced"]["ring"] = 1
    rewrite(sidecar, spoil)
    reloaded(sidecar, "failed", 1)
    for part in ('tracing.sampler_probability: "often"', "aistraced.ring: unknown key", "the old one stays in force"):
        check(part in sidecar.stderr(), f"{part!r} not in {sidecar.stderr()}")
    status, body = readyz(sidecar)
    check_equal(status, 200, "still disabled, so nothing hinders delivery")
    check(re.match(r"ok; the configuration on disk is not in force since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: .*"
                   r"tracing.sampler_probability: \"often\" is not a number.*\n$", body), body)
    os.unlink(sidecar.argv[-1])
    reloaded(sidecar, "failed", 2)
    check("cannot be read" in readyz(sidecar)[1], readyz(sidecar)[1])
    rewrite(sidecar)
    reloaded(sidecar, "ok", 1)
    check_equal(readyz(sidecar), (200, "ok\n"), "/readyz after the correction")
    check_equal(sidecar.terminate(), 0, "exit")


def test_a_token_file_that_is_gone_fails_the_reload(scene):
    token = write(scene, "token", "abc")
    sidecar = scene.sidecar(dead_port(scene),
                            tracing={"exporter_auth": {"token_header": "authorization", "token_file": token}})
    os.unlink(token)
    reloaded(sidecar, "failed", 1)
    check("tracing.exporter_auth.token_file" in sidecar.stderr(), sidecar.stderr())


def reload_fails_until(sidecar, path, text, number):
    """path is at fault: a reload fails for the number-th time, and is tried again when text is there."""
    reloaded(sidecar, "failed", number)
    check(path in readyz(sidecar)[1], readyz(sidecar)[1])
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    wait_for(lambda: sidecar.metrics().value("aistrace_config_reloads_total", result="ok") == number, what=path)
    check("not in force" not in readyz(sidecar)[1], readyz(sidecar)[1])
    check_equal(sidecar.metrics().value("aistrace_config_reloads_total", result="failed"), number, "failed reloads")


def test_a_reload_is_tried_again_when_the_file_at_fault_changes(scene):
    subprocess.run([helper("certificates"), "authority", scene.directory], check=True)
    authority, token = scene.path("ca.pem"), scene.path("token")
    with open(authority, encoding="utf-8") as file:
        certificate = file.read()
    sidecar = scene.sidecar(dead_port(scene), aistraced={"ca_file": authority}, tracing={
        "exporter_endpoint": f"https://127.0.0.1:{dead_port(scene)}", "skip_verify": False})
    write(scene, "ca.pem", certificate[:len(certificate) // 2])  # half replaced, and the settings are the same
    reload_fails_until(sidecar, authority, certificate, 1)
    rewrite(sidecar, lambda config: config["tracing"].update(
        exporter_auth={"token_header": "authorization", "token_file": token}))  # which comes later
    reload_fails_until(sidecar, token, "abc", 2)


def test_a_pipe_in_the_files_place_holds_nothing_up(scene):
    sidecar = scene.sidecar(dead_port(scene))
    os.unlink(sidecar.argv[-1])
    os.mkfifo(sidecar.argv[-1])
    reloaded(sidecar, "failed", 1)
    check("cannot be read: Connection timed out" in sidecar.stderr(), sidecar.stderr())


def test_a_certificate_that_is_none_fails_the_reload_before_anything_changes(scene):
    sidecar = scene.sidecar(dead_port(scene))
    spoiled = write(scene, "ca.pem", "no certificate")

    def spoil(config):
        config["tracing"]["exporter_endpoint"] = f"https://127.0.0.1:{dead_port(scene)}"
        config["aistraced"]["ca_file"] = spoiled
    rewrite(sidecar, spoil)
    reloaded(sidecar, "failed", 1)
    words = f"aistraced.ca_file: {spoiled}: certificate 1 in it cannot be read"
    for text in (sidecar.stderr(), readyz(sidecar)[1]):
        check(words in text, f"{words!r} not in {text}")
    check("the configuration is in force" not in sidecar.stderr(), sidecar.stderr())


# ---- the service manager


def manager(scene, name):
    """-> (socket that hears, value of NOTIFY_SOCKET)"""
    hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    hearing.bind(name.replace("@", "\0", 1))
    hearing.settimeout(10)
    scene.held = getattr(scene, "held", []) + [hearing]
    return hearing


def test_the_service_manager_hears_of_every_change(scene):
    for number, name in enumerate((scene.path("notify"), f"@{scene.path('abstract')}")):
        hearing = manager(scene, name)

        def heard():
            return hearing.recv(4096).decode().splitlines()
        config = scene.config(dead_port(scene))
        config["aistraced"].update(ring_dir=scene.path(f"rings-{number}"), metrics_listen="")
        path = write(scene, f"{number}.json", config)
        daemon = scene.start("notified", [AISTRACED, "--config", path], env={"NOTIFY_SOCKET": name})
        endpoint = config["tracing"]["exporter_endpoint"]
        check_equal(heard(), ["READY=1", f"STATUS=sending to {endpoint}"], "at start")
        daemon.signal(harness.signal.SIGHUP)
        reloading = heard()
        check_equal((reloading[0], reloading[1].split("=")[0]), ("RELOADING=1", "MONOTONIC_USEC"), "at HUP")
        check_equal(heard(), ["READY=1", f"STATUS=sending to {endpoint}"], "after it")
        write(scene, f"{number}.json", "{")
        daemon.signal(harness.signal.SIGHUP)
        check_equal(heard()[0], "RELOADING=1", "at a bad reload")
        failed = heard()
        check_equal(failed[0], "READY=1", "after it")
        check("not in force since" in failed[1], failed[1])
        daemon.signal(harness.signal.SIGTERM)
        check_equal(heard(), ["STOPPING=1", "STATUS=draining"], "at the end")
        check_equal(daemon.wait(), 0, "exit")


def test_a_service_manager_that_is_gone_is_survived(scene):
    config = write(scene, "a.json", scene.config(dead_port(scene)))
    for name in ("/nonexistent/notify", "relative", "@" + "x" * 200, ""):
        daemon = scene.start("unheard", [AISTRACED, "-c", config], env={"NOTIFY_SOCKET": name})
        seen(daemon, "sending to")
        check_equal(daemon.terminate(), 0, "exit")


def test_the_unit_is_hardened(scene):
    unit = os.path.join(ROOT, "conf", "aistraced.service")
    try:
        result = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=13", "--no-pager", unit],
                                capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise harness.Skip("needs systemd-analyze") from None
    lines = [line for line in (result.stdout + result.stderr).splitlines() if "exposure level" in line]
    check(lines, result.stdout + result.stderr)
    check_equal(result.returncode, 0, lines[0])
    with open(unit, encoding="utf-8") as file:
        text = file.read()
    for line in ("Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "RemoveIPC=no"):
        check(f"\n{line}\n" in text, f"{line!r} is not in the unit")
    check(text.index("--check-config") < text.index("kill -HUP"), "a reload checks before it signals")


if __name__ == "__main__":
    harness.main()
