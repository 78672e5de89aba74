"""An MCP client over TLS: python tls_client.py PORT KEYLOG VERSION. Two connections, the second one resumed."""

import http.client
import json
import ssl
import sys

port, keylog, version = sys.argv[1:4]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.keylog_filename = keylog
wanted = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
context.minimum_version = context.maximum_version = wanted
hello = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "interop-client", "version": "1"},
}
session = None


def connect():
    connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=20)
    plain = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
    plain.connect()
    connection.sock = context.wrap_socket(plain.sock, server_hostname="mcp.example.test", session=session)
    return connection


def post(connection, message):
    fields = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", **message}), fields)
    answer = connection.getresponse()
    assert answer.status in (200, 202), answer.status
    answer.read()


first = connect()
post(first, {"id": 1, "method": "initialize", "params": hello})
post(first, {"method": "notifications/initialized"})
post(first, {"id": 2, "method": "tools/list"})
session = first.sock.session
first.close()
second = connect()
assert second.sock.session_reused, "the session was not resumed"
for number in range(3, 6):
    post(second, {"id": number, "method": "tools/call", "params": {"name": "tides", "arguments": {"place": "x" * 40000}}})
second.close()
