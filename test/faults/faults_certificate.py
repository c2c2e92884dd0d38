# SPDX-License-Identifier: MIT
"""Fault 16 and the rotations of fault 8: certificates that are bad, and such that change, as do tokens."""

import os
import socket
import ssl
import threading

from accounting import wait_settled
from faults_protocol import end_to_end_test
from harness import check, check_equal, gen_result, wait_for
from oracle import Oracle, Producer
from rows import check_nothing_dropped, fault

DAY = 86400
LOCAL = "DNS:localhost"
TOKEN = "a-token-that-nobody-may-see"
SPANS = 200

# name: (alternative names, words of the helper `certificates`, what the daemon says)
BAD = {
    "expired": (LOCAL, [f"from={-2 * DAY}", f"until={-DAY}"], "has expired"),
    "not yet valid": (LOCAL, [f"from={DAY}", f"until={2 * DAY}"], "not valid yet"),
    "another host": ("DNS:a.example", [], "not for localhost"),
    "a host below": ("DNS:a.localhost", [], "not for localhost"),
    "an address, where a name is asked for": ("IP:127.0.0.1", [], "not for localhost"),
    "wildcard of everything": ("DNS:*", [], "not for localhost"),
    "common name only": ("", ["cn=localhost"], "subjectAltName"),
    "common name beside an alternative name": ("DNS:a.example", ["cn=localhost"], "not for localhost"),
    "unknown authority": (LOCAL, ["by=outsider"], "unknown authority"),
    "an authority that calls itself as ours does": (LOCAL, ["by=stranger"], "not its issuer's"),
    "self-signed": (LOCAL, ["by=self"], "self-signed"),
    "missing intermediate": (LOCAL, ["by=intermediate"], "intermediate"),
    "signed by one that is no authority": (LOCAL, ["by=leaf", "with_signer"], "used as an authority and is none"),
    "name constraints": (LOCAL, ["by=constrained", "with_signer"], "may not vouch for"),
    "expired authority": (LOCAL, ["by=expired-authority", "with_signer"], "has expired"),
    "for clients only": (LOCAL, ["usage"], "not made for a server"),
    "short key": (LOCAL, ["rsa=1024"], "too weak"),
    "signed with SHA-1": (LOCAL, ["digest=SHA1"], "broken hash"),
}


class Listener:
    """A TLS server that writes down every byte that comes through."""

    def __init__(self, certificate, key):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_ciphers("DEFAULT@SECLEVEL=0")
        self.context.set_alpn_protocols(["h2"])
        self.context.load_cert_chain(certificate, key)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.attempts = 0
        self.plain = b""  # what a client has told
        self.raw = b""  # what a client has sent in clear: not even a handshake may carry the token
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.attempts += 1
            connection.settimeout(5)
            try:
                self.raw += connection.recv(64 << 10, socket.MSG_PEEK)
                with self.context.wrap_socket(connection, server_side=True) as tls:
                    while data := tls.recv(64 << 10):
                        self.plain += data
            except OSError:
                connection.close()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


def make_authorities(tests, directory):
    os.makedirs(directory)
    tests.certificates("authority", directory)
    stranger = os.path.join(directory, "strangers")
    os.makedirs(stranger)
    tests.certificates("authority", stranger)
    for suffix in ("pem", "key"):
        os.rename(f"{stranger}/ca.{suffix}", f"{directory}/stranger.{suffix}")
    for name, words in (("intermediate", ["authority"]), ("leaf", []), ("outsider", ["authority", "by=self"]),
                        ("constrained", ["authority", "constraints=permitted;DNS:a.example"]),
                        ("expired-authority", ["authority", f"from={-2 * DAY}", f"until={-DAY}"])):
        tests.certificates("issue", directory, name, "serverAuth", "", *words)


def make(tests, directory, name):
    alt_names, words, _ = BAD[name]
    usage = "clientAuth" if "usage" in words else "serverAuth"
    tests.certificates("issue", directory, "bad", usage, alt_names, *(word for word in words if word != "usage"))


@fault(16)
def test_bad_certificates_get_neither_a_request_nor_a_token(scene, row):
    tests = end_to_end_test("test_tls")
    directory = scene.path("certificates")
    make_authorities(tests, directory)
    token_file = scene.path("token")
    with open(token_file, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(TOKEN)
    tracing = {"exporter_auth": {"token_header": "x-token", "token_file": token_file}}
    oracle = scene.oracle()
    generator = scene.gen(threads=2, count=SPANS)
    check_equal(gen_result(generator)["committed"], SPANS, "committed without a daemon")
    for name, (_, _, says) in BAD.items():
        make(tests, directory, name)
        listener = Listener(f"{directory}/bad.pem", f"{directory}/bad.key")
        sidecar = scene.sidecar(0, {**tracing, "exporter_endpoint": f"https://localhost:{listener.port}"},
                                {"ca_file": f"{directory}/ca.pem", "drain_deadline": "0s",
                                 "spool": {"max_bytes": 0}}, up=False)
        wait_for(lambda s=sidecar, words=says: words in s.stderr(), f"{name}: {says!r} said")
        check_equal(sidecar.terminate(), 69, f"{name}: exit of a daemon with spans left")
        listener.close()
        check(listener.attempts > 0, f"{name}: it connected")
        check_equal(listener.plain, b"", f"{name}: bytes told")
        check(TOKEN.encode() not in listener.raw, f"{name}: the token in clear")
        row.attempts += 1
    tests.certificates("issue", directory, "server", "serverAuth", LOCAL)
    server = tests.tls_server(scene, directory)
    sidecar = scene.sidecar(0, {**tracing, "exporter_endpoint": f"https://localhost:{server.port}"},
                            {"ca_file": f"{directory}/ca.pem"})
    report = oracle.report([Producer.of_gen(generator)], [server], wait_settled(sidecar, SPANS))
    row.add(report)
    check_nothing_dropped(report)


@fault(8)
def test_certificates_and_tokens_that_change_lose_nothing(scene, row):
    """test_tls's rotation, with the oracle looking on."""
    tests = end_to_end_test("test_tls")
    oracle = Oracle(scene)
    started, servers, sidecars = [], [], []
    for kind, kept in (("gen", started), ("server", servers), ("sidecar", sidecars)):
        def start(*arguments, original=getattr(scene, kind), kept=kept, **options):
            kept.append(original(*arguments, **options))
            return kept[-1]
        setattr(scene, kind, start)
    tests.test_certificates_and_token_change_every_second_under_load(scene)
    with open(scene.path("seen"), encoding="utf-8") as file:
        row.attempts = len(file.read().splitlines())
    report = oracle.report([Producer.of_gen(generator) for generator in started], servers, sidecars[0].metrics())
    oracle.close()
    row.add(report)
    check_nothing_dropped(report)
