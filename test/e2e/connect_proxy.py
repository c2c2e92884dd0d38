#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""An HTTP proxy that knows CONNECT alone, for tests: whatever host it is asked for, the way leads to 127.0.0.1. Prints
"listening PORT", then the head of each request, base64, a line each. --refuse answers that status instead."""

import argparse
import asyncio
import base64


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def serve(options):
    async def on_client(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        print(base64.b64encode(head).decode(), flush=True)
        if options.refuse:
            writer.write(f"HTTP/1.1 {options.refuse} no\r\n\r\n".encode())
            writer.close()
            return
        port = int(head.split()[1].rsplit(b":", 1)[1])
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        # What the server says first comes in the same packet.
        first = b"" if options.wait == 0 else await to_reader.read(65536)
        writer.write(b"HTTP/1.1 200 established\r\nX-Proxy: test\r\n\r\n" + first)
        await asyncio.gather(pump(reader, to_writer), pump(to_reader, writer))

    server = await asyncio.start_server(on_client, "127.0.0.1", 0)
    print(f"listening {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--refuse", type=int, default=0)
    parser.add_argument("--wait", type=int, default=0, help="1: the server speaks first, and what it says comes with the answer")
    asyncio.run(serve(parser.parse_args()))
