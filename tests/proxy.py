"""A TCP proxy of our own that can hold everything up, as a network that is cut does.

While it is cut, nothing passes and nothing is closed: what was sent waits and arrives late when the
network is whole again, which is the nasty half of a partition.
"""

import asyncio
from contextlib import suppress
from typing import Self


class Proxy:
    """Listens on `port` of loopback and passes on to `target`, for the time of a ``with`` block."""

    def __init__(self, port: int, target: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._port = port
        self._target = target
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Let nothing pass, new connections included."""
        self._whole.clear()

    def mend(self) -> None:
        """Let everything pass that has waited, and all that comes."""
        self._whole.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._joined, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _joined(self, near: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        try:
            far, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            answers.close()
            return
        for source, sink in ((near, onward), (far, answers)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await source.read(1 << 16):
                    await self._whole.wait()
                    sink.write(data)
                    await sink.drain()
        except asyncio.CancelledError:
            sink.transport.abort()  # nobody waits any more for what a cut has held up
            raise
        sink.close()
