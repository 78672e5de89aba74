"""An MCP client over httpx: python client.py URL. HTTP/2 with prior knowledge, several calls at a time."""

import asyncio
import sys

import httpx


def message(number, method, params=None):
    out = {"jsonrpc": "2.0", "method": method, "params": params or {}}
    return out if number is None else {**out, "id": number}


async def main(url):
    fields = {"accept": "application/json, text/event-stream"}
    async with httpx.AsyncClient(http1=False, http2=True, headers=fields, timeout=20) as client:

        async def post(number, method, params=None):
            answer = await client.post(url, json=message(number, method, params))
            assert answer.http_version == "HTTP/2" and answer.status_code in (200, 202), answer
            client.headers["mcp-session-id"] = answer.headers["mcp-session-id"]

        hello = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "interop-client", "version": "1"},
        }
        await post(1, "initialize", hello)
        await post(None, "notifications/initialized")
        await post(2, "tools/list")
        calls = [(number, {"name": "tides", "arguments": {"place": "x" * 30000}}) for number in range(3, 15)]
        await asyncio.gather(*(post(number, "tools/call", params) for number, params in calls))


asyncio.run(main(sys.argv[1]))
