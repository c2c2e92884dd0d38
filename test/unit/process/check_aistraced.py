#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The daemon as a process: flags, exit codes, signals, start errors. No endpoint: delivery is tested in e2e/, reload in
check_reload.py."""

import json
import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "e2e"))
import harness  # noqa: E402
from harness import AISTRACED, ROOT, check, check_equal, free_port, helper, http_get, wait_for  # noqa: E402

for name in [name for name in os.environ if name.startswith(("AIS_TRACING_", "OTEL_"))]:
    del os.environ[name]


def run(*args, env=None, stdout=subprocess.PIPE):
    return subprocess.run([AISTRACED, *args], stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          text=True, timeout=harness.DEADLINE_S, check=False, env={**os.environ, **(env or {})})


def write(scene, name, text):
    path = scene.path(name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text if isinstance(text, str) else json.dumps(text))
    return path


def dead_port(scene):
    """A port that refuses: bound, never listening, for the whole test."""
    scene.held = getattr(scene, "held", [])
    scene.held.append(socket.socket())
    scene.held[-1].bind(("127.0.0.1", 0))
    return scene.held[-1].getsockname()[1]


def write_spans(scene, count, ring_dir=None):
    program = scene.start("write_spans", [helper("write_spans"), ring_dir or scene.ring_dir, count])
    check_equal(program.wait(), 0, "exit of write_spans")
    return program.stdout()


def seen(sidecar, text):
    wait_for(lambda: text in sidecar.stderr(), f"{text!r} in the log")


# ---- flags and exit codes


def test_help_and_version_go_to_stdout(scene):
    for flag in ("--help", "-h"):
        result = run(flag)
        check_equal((result.returncode, result.stderr), (0, ""), flag)
        check(result.stdout.startswith("Usage: aistraced"), result.stdout)
    for flag in ("--version", "-V"):
        result = run(flag)
        check_equal((result.returncode, result.stderr), (0, ""), flag)
        check(result.stdout.startswith("aistraced 0."), result.stdout)


def test_help_names_every_long_option(scene):
    with open(os.path.join(ROOT, "daemon", "aistraced.c"), encoding="utf-8") as file:
        source = file.read()
    table = source.split("static const struct option options[]")[1].split("};")[0]
    names = [line.split('"')[1] for line in table.splitlines() if '{"' in line]
    check(len(names) >= 8, str(names))
    for name in names:
        check(f"--{name}" in run("--help").stdout, name)


def test_wrong_usage_exits_64(scene):
    for args in (["--nonsense"], ["extra"], ["--config"], ["-c", "x", "y"]):
        result = run(*args)
        check_equal((result.returncode, result.stdout), (64, ""), str(args))
        check("--help" in result.stderr, result.stderr)


def test_check_config(scene):
    result = run("--check-config", "--config", os.path.join(ROOT, "conf", "aistraced.json"))
    check_equal((result.returncode, result.stderr), (0, ""), "the reference configuration")
    path = write(scene, "bad.json", '{"tracing": {\n"enabled": true,\n"sampler_probability": "x"},\n"aistraced": {"a": 1}}')
    result = run("--check-config", "-c", path)
    check_equal((result.returncode, result.stdout), (78, ""), "exit")
    for part in (f"{path}:3: tracing.sampler_probability: ", f"{path}:4: aistraced.a: unknown key", "exporter_endpoint"):
        check(part in result.stderr, f"{part!r} not in {result.stderr}")
    check_equal(run("--check-config", "-c", scene.path("missing")).returncode, 78, "exit for a missing file")
    check_equal(run("-c", path).returncode, 78, "exit of a start with it")


def test_check_config_looks_into_the_files(scene):
    spoiled = write(scene, "spoiled", "a\0b")
    auth = {"token_header": "authorization", "token_file": spoiled}
    for keys, tracing, aistraced in ((["tracing.exporter_auth.token_file"], {"exporter_auth": auth}, {}),
                                     (["aistraced.ca_file"], {}, {"ca_file": spoiled}),
                                     (["aistraced.cert_file", "aistraced.key_file"], {},
                                      {"cert_file": spoiled, "key_file": spoiled})):
        config = scene.config(1, {"exporter_endpoint": "collector:4317", **tracing}, aistraced)
        path = write(scene, "a.json", config)
        result = run("--check-config", "-c", path)
        check_equal(result.returncode, 78, f"exit: {result.stderr}")
        lines = result.stderr.splitlines()
        check_equal(len(lines), len(keys), f"lines: {result.stderr}")
        for key, line in zip(keys, lines):
            check(line.startswith(f"{path}:1: {key}: {spoiled}: "), line)
    subprocess.run([helper("certificates"), "authority", scene.directory], check=True)
    subprocess.run([helper("certificates"), "issue", scene.directory, "client", "clientAuth"], check=True)
    good = {key: scene.path(name) for key, name in (("ca_file", "ca.pem"), ("cert_file", "client.pem"),
                                                    ("key_file", "client.key"))}
    config = scene.config(1, {"exporter_endpoint": "https://collector"}, good)
    result = run("--check-config", "-c", write(scene, "a.json", config))
    check_equal((result.returncode, result.stderr), (0, ""), "sound files")


def test_print_config_shows_where_values_come_from(scene):
    path = write(scene, "a.json", {"tracing": {"service_name_prefix": "p"}})
    result = run("--print-config", "-c", path, "-e", "localhost:4317", env={"AIS_TRACING_RING_DIR": "/r"})
    check_equal(result.returncode, 0, result.stderr)
    for line in ('tracing.service_name_prefix = "p"  (file)', 'aistraced.ring_dir = "/r"  (env AIS_TRACING_RING_DIR)',
                 'tracing.exporter_endpoint = "localhost:4317"  (flag --endpoint)', 'aistraced.timeout = "10s"  (default)'):
        check(line in result.stdout.splitlines(), f"{line!r} not in {result.stdout}")


def test_what_the_settings_may_take_is_printed_and_told_at_start(scene):
    limits = {"ring_dir": scene.ring_dir, "max_in_flight": 2, "max_batch_bytes": "2MiB", "metrics_listen": "",
              "spool": {"dir": scene.path("spool"), "max_bytes": "1MiB"}}
    path = write(scene, "a.json", {"aistraced": limits})
    result = run("--print-config", "-c", path)
    check("# memory for requests at most 26.0 MiB; rings in " in result.stdout, result.stdout)
    check(f"# spool {scene.path('spool')} at most 1.0 MiB\n" in result.stdout, result.stdout)
    check(not os.path.exists(scene.path("spool")), "printing makes nothing")
    seen(scene.start("aistraced", [AISTRACED, "-c", path]), "memory for requests at most 26.0 MiB; rings in ")


def test_the_token_is_never_printed(scene):
    token = write(scene, "token", "s3cret-token")
    path = write(scene, "a.json", {"tracing": {"enabled": True, "exporter_endpoint": "localhost:1", "skip_verify": True,
                                               "exporter_auth": {"token_header": "x-t", "token_file": token}}})
    result = run("--print-config", "-c", path)
    check_equal(result.returncode, 0, result.stderr)
    check("s3cret" not in result.stdout + result.stderr, "the token is in the output")


# ---- life


def test_term_and_int_drain_and_exit_0(scene):
    for number in (signal.SIGTERM, signal.SIGINT):
        sidecar = scene.sidecar(dead_port(scene))
        sidecar.signal(number)
        check_equal(sidecar.wait(), 0, "exit")
        check("stopped: exported 0" in sidecar.stderr(), sidecar.stderr())


def test_the_endpoint_flag_alone_is_enough(scene):
    sidecar = scene.start("flags", [AISTRACED, "--endpoint", f"localhost:{dead_port(scene)}", "--ring-dir", scene.ring_dir,
                                    "--metrics-listen", ""])
    seen(sidecar, "sending to localhost")
    check("metrics at" not in sidecar.stderr(), "metrics were turned off")
    check_equal(oct(os.stat(scene.ring_dir).st_mode & 0o777), "0o700", "mode of the ring directory")
    check_equal(sidecar.terminate(), 0, "exit")


def test_exit_69_when_the_deadline_passes_with_spans_left(scene):
    sidecar = scene.sidecar(dead_port(scene), aistraced={"drain_deadline": "300ms", "spool": {"max_bytes": 0}})
    write_spans(scene, 50)
    wait_for(lambda: sidecar.metrics().value("aistrace_spans_committed_total") == 50, what="spans seen")
    check_equal(sidecar.terminate(), 69, "exit")
    check("left in the rings 50" in sidecar.stderr(), sidecar.stderr())
    check("aistraced.drain_deadline has passed" in sidecar.stderr(), sidecar.stderr())


def test_a_second_signal_stops_at_once(scene):
    sidecar = scene.sidecar(dead_port(scene), aistraced={"drain_deadline": "10m"})
    write_spans(scene, 5)
    wait_for(lambda: sidecar.metrics().value("aistrace_spans_committed_total") == 5, what="spans seen")
    sidecar.signal(signal.SIGTERM)
    seen(sidecar, "draining")
    status, body = http_get(f"http://{sidecar.metrics_listen}/readyz")
    check_equal((status, body), (503, "draining\n"), "/readyz while draining")
    sidecar.signal(signal.SIGINT)
    check_equal(sidecar.wait(), 69, "exit")


def test_readiness_tells_of_an_endpoint_that_is_away(scene):
    endpoint = f"[::1]:{dead_port(scene)}"
    sidecar = scene.sidecar(0, tracing={"exporter_endpoint": f"http://{endpoint}"})
    seen(sidecar, f"{endpoint}: cannot connect: ")
    status, body = http_get(f"http://{sidecar.metrics_listen}/readyz")
    check(status == 503 and body.startswith(f"{endpoint}: cannot connect: "), f"{status} {body}")
    check_equal(http_get(f"http://{sidecar.metrics_listen}/livez")[0], 200, "/livez")


def test_what_happens_again_is_told_again_with_a_count(scene):
    sidecar = scene.sidecar(dead_port(scene))
    seen(sidecar, "cannot connect: ")
    seen(sidecar, " more held back)")


def test_disabled_runs_and_sends_nothing(scene):
    sidecar = scene.sidecar(dead_port(scene), tracing={"enabled": False})
    check_equal(http_get(f"http://{sidecar.metrics_listen}/readyz")[0], 200, "/readyz")
    write_spans(scene, 100)

    def disabled():
        metrics = sidecar.metrics()
        return 100 == (metrics.value("aistrace_spans_dropped_total", reason="disabled") +
                       metrics.value("aistrace_spans_producer_dropped_total", reason="disabled"))
    wait_for(disabled, what="100 spans counted as disabled")
    check_equal(sidecar.metrics().total("aistrace_export_requests_total"), 0, "requests")
    check_equal(sidecar.terminate(), 0, "exit")


def test_a_log_nobody_reads_is_survived(scene):
    reader, writer = os.pipe()
    config = write(scene, "a.json", scene.config(dead_port(scene), aistraced={"log": {"level": "debug"}}))
    with subprocess.Popen([AISTRACED, "-c", config], stderr=writer, stdin=subprocess.DEVNULL) as process:
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        try:
            check_equal(process.wait(harness.DEADLINE_S), 0, "exit")
        finally:
            process.kill()


# ---- start errors


def test_two_daemons_on_one_ring_directory(scene):
    first = scene.sidecar(dead_port(scene))
    second = scene.sidecar(dead_port(scene), up=False)
    check_equal(second.wait(), 78, "exit of the second")
    for part in ("aistraced.ring_dir", scene.ring_dir, "the file", "--ring-dir", "another aistraced"):
        check(part in second.stderr(), f"{part!r} not in {second.stderr()}")
    check_equal(http_get(f"http://{first.metrics_listen}/livez")[0], 200, "/livez of the first")
    first.kill()
    third = scene.sidecar(dead_port(scene))
    check_equal(third.terminate(), 0, "exit of one that comes after it")


def test_under_the_journal_a_start_that_fails_says_so_as_an_error(scene):
    path = write(scene, "a.json", {"tracing": {"a": 1, "b": 2}})
    with open(scene.path("journal"), "w+", encoding="utf-8") as journal:
        status = os.fstat(journal.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        result = subprocess.run([AISTRACED, "-c", path], stderr=journal, timeout=harness.DEADLINE_S, check=False, env=environment)
        journal.seek(0)
        lines = journal.read().splitlines()
    check_equal(result.returncode, 78, "exit")
    check_equal([line.split(": ")[:2] for line in lines], [[f"<3>{path}:1", f"tracing.{key}"] for key in "ab"], "lines")


def test_a_metrics_address_in_use_is_named(scene):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        sidecar = scene.sidecar(dead_port(scene), aistraced={"metrics_listen": address}, up=False)
        check_equal(sidecar.wait(), 78, "exit")
        for part in ("aistraced.metrics_listen", address, "in use", "--metrics-listen"):
            check(part in sidecar.stderr(), f"{part!r} not in {sidecar.stderr()}")


def test_a_ring_directory_that_cannot_be_used_is_explained(scene):
    plain = write(scene, "plain", "")
    os.symlink(scene.directory, scene.path("link"))
    for path, words in ((plain, "not a directory"), (scene.path("link"), "symbolic link"),
                        (scene.path("no/where"), "does not exist")):
        sidecar = scene.sidecar(dead_port(scene), aistraced={"ring_dir": path}, up=False)
        check_equal(sidecar.wait(), 78, f"exit with {path}")
        check(path in sidecar.stderr() and words in sidecar.stderr(), f"{words!r} not in {sidecar.stderr()}")


def test_a_spool_directory_that_cannot_be_used_is_explained(scene):
    plain = write(scene, "plain", "")
    sidecar = scene.sidecar(dead_port(scene), aistraced={"spool": {"dir": plain}}, up=False)
    check_equal(sidecar.wait(), 78, f"exit: {sidecar.stderr()}")
    for part in (f'aistraced.spool.dir "{plain}" (the file): ', "not a directory"):
        check(part in sidecar.stderr(), f"{part!r} not in {sidecar.stderr()}")


def test_what_programs_drop_is_told(scene):
    sidecar = scene.sidecar(dead_port(scene), aistraced={"drain_deadline": "0s"})
    generator = scene.gen(log=False, count=5000, ring_size="64KiB")
    check_equal(generator.wait(), 0, "exit of gen")
    check(json.loads(generator.stdout())["dropped"]["ring_full"] > 0, "a small ring is full")
    seen(sidecar, "spans (ring_full): their rings are full")


if __name__ == "__main__":
    harness.main()
