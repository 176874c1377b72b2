"""A TCP relay that holds everything for a while, each way: a long line for kernels without netem.

python benchmarks/delay_relay.py PORT HOST HOST_PORT SECONDS    listens on 127.0.0.1:PORT

It delays bytes, not acknowledgements: who asks and waits for an answer sees a long line, TCP does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

PIECE = 256 * 1024


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Carry bytes one way until there are no more."""
    loop = asyncio.get_running_loop()
    late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await late.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    with contextlib.suppress(OSError, ExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deliver())
            while data := await reader.read(PIECE):
                late.put_nowait((loop.time() + delay, data))
            late.put_nowait((loop.time() + delay, b""))


async def main(port: int, host: str, host_port: int, delay: float) -> None:
    """Relay for ever."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, host_port, limit=PIECE)
        await asyncio.gather(carry(reader, far_writer, delay), carry(far_reader, writer, delay))
        writer.close()
        far_writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", port, limit=PIECE) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
