#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A TCP relay that a test turns into an endpoint in trouble, by what it writes into the --mode file:

    pass      relays
    hole      reads nothing and says nothing; new connections are taken, and treated alike
    trickle   takes in one byte a second from each client
    cut       ends every connection, and each that comes

    proxy.py --listen HOST:PORT --to PORT --mode FILE
"""

import argparse
import asyncio
import socket

LOOK_S = 0.02
CHUNK_BYTES = 64 << 10
SMALL_BUFFER_BYTES = 4096  # so that little is taken before anybody has read it


class Proxy:
    def __init__(self, port, mode_path):
        self.port = port
        self.mode_path = mode_path

    def mode(self):
        with open(self.mode_path, encoding="ascii") as file:
            return file.read().strip()

    async def until_it_flows(self, from_client):
        """-> how many bytes to take, 0: end"""
        while (mode := self.mode()) == "hole":
            await asyncio.sleep(LOOK_S)
        if mode == "cut":
            return 0
        if mode == "trickle" and from_client:
            await asyncio.sleep(1)
            return 1
        return CHUNK_BYTES

    async def pump(self, reader, writer, from_client):
        try:
            while (count := await self.until_it_flows(from_client)) and (data := await reader.read(count)):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(self, reader, writer):
        try:
            if not await self.until_it_flows(False):
                raise ConnectionResetError
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self.pump(reader, to_writer, True), self.pump(to_reader, writer, False))


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--mode", required=True)
    options = parser.parse_args()
    host, port = options.listen.rsplit(":", 1)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    listener.bind((host, int(port)))
    server = await asyncio.start_server(Proxy(options.to, options.mode).serve, sock=listener, limit=SMALL_BUFFER_BYTES)
    print(f"listening {listener.getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
