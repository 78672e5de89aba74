"""An MCP server over TLS and HTTP/1.1: python tls_server.py PORT CERT KEY [no-etm]. Standard library alone."""

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app import answer

# SSL_OP_NO_ENCRYPT_THEN_MAC, which Python has no name for.
NO_ENCRYPT_THEN_MAC = 1 << 19


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = b""
        if "id" in message:
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)}).encode()
        self.send_response(200 if body else 202)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


port, cert, key = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1_2
context.set_ciphers("ALL:@SECLEVEL=0")
if "no-etm" in sys.argv:
    context.options |= NO_ENCRYPT_THEN_MAC
context.load_cert_chain(cert, key)
server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
server.daemon_threads = True
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
