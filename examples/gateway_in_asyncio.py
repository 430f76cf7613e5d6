"""A gateway inside an asyncio application: the proxy has a thread and a loop of its own.

The application here is the upstream too, and asks it through the gateway.

    python examples/gateway_in_asyncio.py
"""

import asyncio

import moebridge as mb


class Stamp(mb.HttpFilter):
    """Tell the client which route its request took."""

    def on_response_headers(self, stream: mb.Stream) -> None:
        """Writes the header."""
        stream.response.headers["x-gateway"] = f"{stream.info.cluster}, {stream.request.path}"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The application: one answer on each connection."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n")
    writer.close()
    await writer.wait_closed()


async def get(address: str, path: str) -> str:
    """A client as small as can be."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n".encode())
    text = await reader.read()
    writer.close()
    await writer.wait_closed()
    return text.decode()


async def main() -> None:
    """Runs application, gateway and client on this loop and the gateway's."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    gateway = mb.Proxy(listen="127.0.0.1:0", upstream=f"{host}:{port}", filters=[Stamp()])
    async with server, gateway:
        answers = [get(gateway.addresses["main"], f"/{number}") for number in range(3)]
        for text in await asyncio.gather(*answers):
            print(next(line for line in text.splitlines() if line.startswith("x-gateway")))
    print("requests:", gateway.stats()["http.ingress_http.downstream_rq_total"])


if __name__ == "__main__":
    asyncio.run(main())
