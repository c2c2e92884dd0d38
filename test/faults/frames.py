#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A relay that knows HTTP/2 frames, between sidecar and server, and breaks in at a frame boundary.

    frames.py --to PORT --kinds KIND,... --boundaries N

The first connection is broken into after the 1st frame of the client, by the first kind; then the next kind has its turn,
on the same connection if that is still of use; when all had theirs, after the 2nd frame, and so on up to N. After that
there is only relaying. Kinds:

    goaway     GOAWAY that names the newest stream as the last; older ones are answered, newer ones not passed on
    behind     GOAWAY that excludes the newest stream, if the server has not got it whole
    refused    RST_STREAM with REFUSED_STREAM for the next request, which the server does not get
    cancelled  the same with CANCEL
    cut        the connection ends

The server on the other side never sees a request whole that the client is told to have failed. So but for `cut`, what
the client sends again arrives once. Prints `listening PORT`, and a line `KIND BOUNDARY` when it has broken in.
"""

import argparse
import asyncio
import itertools
import struct

PREFACE_BYTES = 24
DATA, HEADERS, RST_STREAM, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 7, 8
END_STREAM = 1
REFUSED_STREAM, CANCEL = 7, 8


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + struct.pack(">I", stream) + payload


class Connection:
    def __init__(self, client, server, plans):
        self.client_reader, self.client = client
        self.server_reader, self.server = server
        self.plans = plans
        self.next_plan()
        self.newest = 0
        self.last = None  # after a GOAWAY
        self.whole = set()  # streams the server has got to their end
        self.open = set()  # streams passed on and not answered
        self.dropped = set()  # streams the server shall not get

    def next_plan(self):
        self.boundary, self.kind = next(self.plans, (0, None))  # None: only relay
        self.seen = 0

    async def read_frame(self, reader):
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], struct.unpack(">I", head[5:])[0] & 0x7FFFFFFF, payload

    def tell_client(self, kind, stream, payload):
        self.client.write(frame(kind, 0, stream, payload))

    def goaway(self, last):
        self.last = last
        self.tell_client(GOAWAY, 0, struct.pack(">II", last, 0))

    def forget(self, stream):
        """The server has begun to get it, and shall not get the rest."""
        self.server.write(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
        self.open.discard(stream)
        self.dropped.add(stream)

    def give_back(self, count):
        """Room for the bytes of a request that went nowhere."""
        if count:
            self.tell_client(WINDOW_UPDATE, 0, struct.pack(">I", count))

    def told(self):
        print(self.kind, self.boundary, flush=True)
        self.kind = None

    def break_in(self):
        """At the boundary, before the next frame of the client is passed on. -> True: the end"""
        if self.kind == "cut":
            self.told()
            return True
        if self.kind == "goaway":
            self.goaway(self.newest)
            self.told()
        elif self.kind == "behind" and self.newest in self.open and self.newest not in self.whole:
            self.forget(self.newest)
            self.goaway(self.newest - 2 if self.newest > 1 else 0)
            self.told()
        return False

    def take(self, kind, flags, stream, payload):
        """A frame of the client."""
        if stream and (stream in self.dropped or (self.last is not None and stream > self.last)):
            self.give_back(len(payload) if kind == DATA else 0)
            return
        self.server.write(frame(kind, flags, stream, payload))
        if kind == HEADERS:
            self.newest = max(self.newest, stream)
            self.open.add(stream)
            if self.kind in ("refused", "cancelled") and self.boundary <= self.seen and not flags & END_STREAM:
                self.forget(stream)
                code = REFUSED_STREAM if self.kind == "refused" else CANCEL
                self.tell_client(RST_STREAM, stream, struct.pack(">I", code))
                self.told()
                self.next_plan()
        if stream and flags & END_STREAM and kind in (DATA, HEADERS):
            self.whole.add(stream)

    async def from_client(self):
        self.server.write(await self.client_reader.readexactly(PREFACE_BYTES))
        while True:
            one = await self.read_frame(self.client_reader)
            if self.kind and self.seen >= self.boundary and self.break_in():
                return
            self.seen += 1
            self.take(*one)
            await self.server.drain()

    async def from_server(self):
        while self.last is None or any(stream <= self.last for stream in self.open):
            kind, flags, stream, payload = await self.read_frame(self.server_reader)
            if stream in self.dropped:
                continue
            self.client.write(frame(kind, flags, stream, payload))
            await self.client.drain()
            if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                self.open.discard(stream)

    async def run(self):
        tasks = [asyncio.ensure_future(self.from_client()), asyncio.ensure_future(self.from_server())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.client.close()
        self.server.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--kinds", required=True)
    parser.add_argument("--boundaries", type=int, required=True)
    options = parser.parse_args()
    plans = itertools.product(range(1, options.boundaries + 1), options.kinds.split(","))

    async def serve(reader, writer):
        server = await asyncio.open_connection("127.0.0.1", options.to)
        await Connection((reader, writer), server, plans).run()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"listening {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
