"""The members' connections to each other run through here, and can be cut in each direction. As in a real network nobody is told: what is sent waits."""
import asyncio
import contextlib
import itertools
import threading

HEADER = 9  # of a frame: raft/transport/wire.h
FROM = slice(HEADER + 10, HEADER + 18)  # of the greeting that a connection begins with: raft/proto/peer.proto


class Network(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.loop = asyncio.new_event_loop()
        self.blocked = frozenset()  # pairs of member ids: from, to
        self.ids = {}  # of the members, by the address that they listen on; to be filled in before the first cut
        self.carried = 0
        self.start()

    def run(self):
        self.loop.run_forever()

    def way_to(self, peer):
        """Another address of the member that listens on `peer`."""
        async def listen():
            server = await asyncio.start_server(lambda r, w: self.connected(peer, r, w), "127.0.0.1", 0)
            return "%s:%d" % server.sockets[0].getsockname()[:2]
        return asyncio.run_coroutine_threadsafe(listen(), self.loop).result(10)

    def cut(self, froms, tos):
        self.blocked |= {(f, t) for f, t in itertools.product(froms, tos) if f != t}

    def mend(self):
        self.blocked = frozenset()

    async def connected(self, peer, reader, writer):
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            greeting = await reader.readexactly(FROM.stop)
            dialer = int.from_bytes(greeting[FROM], "little")
            await self.way(lambda: (dialer, self.ids.get(peer)))
            host, port = peer.split(":")
            there, to = await asyncio.open_connection(host, int(port))
            with contextlib.closing(to):
                to.write(greeting)
                await asyncio.gather(self.carry(lambda: (dialer, self.ids.get(peer)), reader, to),
                                     self.carry(lambda: (self.ids.get(peer), dialer), there, writer))

    async def carry(self, ends, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                await self.way(ends)
                writer.write(data)
                await writer.drain()
                self.carried += len(data)
        finally:
            writer.close()

    async def way(self, ends):
        while ends() in self.blocked:
            await asyncio.sleep(0.02)
