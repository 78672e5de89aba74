"""An MCP server as a plain ASGI application: JSON, event streams, errors. Any ASGI server can carry it."""

import asyncio
import json

TOOLS = [
    {"name": name, "description": f"The {name} of a place.", "inputSchema": {"type": "object"}}
    for name in ("forecast", "tides", "history")
]


def answer(message):
    method, params = message.get("method"), message.get("params") or {}
    if method == "initialize":
        return {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "weather", "version": "1.0"},
        }
    if method == "tools/list":
        return {"tools": TOOLS}
    return {"content": [{"type": "text", "text": f"{params.get('name')}: " + "sunny " * 2000}]}


async def body(receive):
    read, more = b"", True
    while more:
        event = await receive()
        read += event.get("body", b"")
        more = event.get("more_body", False)
    return read


async def app(scope, receive, send):
    if scope["type"] != "http":
        return

    async def start(status, kind, fields=()):
        headers = [(b"content-type", kind), (b"mcp-session-id", b"s-1"), *fields]
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def say(text=b"", more=False):
        await send({"type": "http.response.body", "body": text, "more_body": more})

    if scope["method"] == "GET":
        await start(200, b"text/event-stream")
        note = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        await say(b"event: message\r\ndata: " + json.dumps(note).encode() + b"\r\n\r\n", True)
        return await say()
    message = json.loads(await body(receive))
    if "id" not in message:
        await start(202, b"application/json")
        return await say()
    reply = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)}).encode()
    if message["method"] != "tools/call":
        await start(200, b"application/json")
        return await say(reply)
    # Answers that overtake each other, in several writes.
    await start(200, b"text/event-stream")
    await asyncio.sleep(0.02 * (3 - message["id"] % 3))
    event = b"event: message\r\ndata: " + reply + b"\r\n\r\n"
    for at in range(0, len(event), 5000):
        await say(event[at : at + 5000], True)
    await say()
