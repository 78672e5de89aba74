"""MCP over WebSocket, both ends: python sockets.py PORT FORM. FORM is plain, packed or fresh."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

TOOLS = [{"name": name, "description": "Of a place.", "inputSchema": {"type": "object"}} for name in ("tides", "history")]
CALLS = 40


def answer(message):
    method, params = message["method"], message.get("params") or {}
    if method == "initialize":
        return {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "weather", "version": "1.0"},
        }
    if method == "tools/list":
        return {"tools": TOOLS}
    return {"content": [{"type": "text", "text": f"{params['name']}: " + "sunny " * params["arguments"]["days"]}]}


async def server(socket):
    async for text in socket:
        message = json.loads(text)
        if "id" not in message:
            continue
        reply = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)})
        if message["id"] % 3 == 0:
            # In fragments, with a ping among them.
            size = max(len(reply) // 4, 1)
            await socket.send(reply[at : at + size] for at in range(0, len(reply), size))
            await socket.ping()
        else:
            await socket.send(reply)


def factories(form):
    if form == "plain":
        return {"compression": None}, {"compression": None}
    if form == "packed":
        return {}, {}
    fresh = {"server_no_context_takeover": True, "client_no_context_takeover": True}
    return (
        {"extensions": [ServerPerMessageDeflateFactory(**fresh)], "compression": None},
        {"extensions": [ClientPerMessageDeflateFactory(**fresh)], "compression": None},
    )


async def client(port, options):
    url = f"ws://127.0.0.1:{port}/message"
    fields = {"Authorization": "Bearer interop"}
    async with connect(url, subprotocols=["mcp"], additional_headers=fields, **options) as socket:

        async def say(method, number=None, **params):
            message = {"jsonrpc": "2.0", "method": method, "params": params}
            await socket.send(json.dumps(message if number is None else {**message, "id": number}))
            return None if number is None else json.loads(await socket.recv())

        hello = {"name": "interop-client", "version": "1"}
        await say("initialize", 0, protocolVersion="2025-06-18", capabilities={}, clientInfo=hello)
        await say("notifications/initialized")
        await say("tools/list", 1)
        await socket.send(bytes(range(256)) * 300)
        for number in range(2, 2 + CALLS):
            days = 20000 if number == 5 else number
            await say("tools/call", number, name="tides", arguments={"days": days, "place": "x" * number * 50})


async def server_of_json(socket):
    """Binary messages are somebody else's."""

    class Texts:
        def __getattr__(self, name):
            return getattr(socket, name)

        async def __aiter__(self):
            async for text in socket:
                if isinstance(text, str):
                    yield text

    await server(Texts())


async def main(port, form):
    of_server, of_client = factories(form)
    async with serve(server_of_json, "127.0.0.1", port, subprotocols=["mcp"], max_size=None, **of_server):
        await client(port, {"max_size": None, **of_client})


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
