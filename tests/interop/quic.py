"""An MCP session over HTTP/3: server and client in one program, on the loopback interface.

quic.py PORT KEYLOG [v2] [retry] [update] [name=HOST]
"""

import asyncio
import datetime
import json
import sys
import tempfile
from pathlib import Path

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated
from aioquic.quic.packet import QuicProtocolVersion
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = next((option[5:] for option in sys.argv[3:] if option.startswith("name=")), "quic.example.test")
TOOLS = [{"name": "get_forecast", "description": "Weather " + "x" * 5000, "inputSchema": {"type": "object"}}]


def certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    signed = builder.sign(key, hashes.SHA256())
    encoding = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(signed.public_bytes(encoding))
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)


def answer(message):
    method, result = message["method"], {}
    if method == "initialize":
        result = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "quic-weather", "version": "3.1"},
        }
    elif method == "tools/list":
        result = {"tools": TOOLS}
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": "rain"}]}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


class Peer(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = None
        self.bodies = {}
        self.done = {}

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        if self.http is None:
            return
        for event in self.http.handle_event(event):
            if isinstance(event, (DataReceived, HeadersReceived)):
                body = self.bodies.setdefault(event.stream_id, bytearray())
                if isinstance(event, DataReceived):
                    body.extend(event.data)
                if event.stream_ended:
                    self.ended(event.stream_id, bytes(self.bodies.pop(event.stream_id)))

    def ended(self, stream, body):
        self.done.pop(stream).set_result(body)


class Server(Peer):
    def ended(self, stream, body):
        message = json.loads(body)
        if "id" not in message:
            self.http.send_headers(stream, [(b":status", b"202")], end_stream=True)
        elif message["method"] == "tools/list":
            head = [(b":status", b"200"), (b"content-type", b"text/event-stream")]
            self.http.send_headers(stream, head)
            text = f"event: message\ndata: {json.dumps(answer(message))}\n\n"
            self.http.send_data(stream, text.encode(), end_stream=True)
        else:
            head = [(b":status", b"200"), (b"content-type", b"application/json"), (b"mcp-session-id", b"s-1")]
            self.http.send_headers(stream, head)
            self.http.send_data(stream, json.dumps(answer(message)).encode(), end_stream=True)
        self.transmit()


class Client(Peer):
    async def post(self, message):
        stream = self._quic.get_next_available_stream_id()
        self.done[stream] = asyncio.get_running_loop().create_future()
        head = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", NAME.encode()),
            (b":path", b"/mcp"),
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"mcp-protocol-version", b"2025-11-25"),
            (b"user-agent", b"quic-client/1.0"),
        ]
        self.http.send_headers(stream, head)
        self.http.send_data(stream, json.dumps(message).encode(), end_stream=True)
        self.transmit()
        return await self.done.get(stream, self.done[stream])


async def main(port, keylog, options):
    folder = Path(tempfile.mkdtemp())
    certificate(folder)
    version = QuicProtocolVersion.VERSION_2 if "v2" in options else QuicProtocolVersion.VERSION_1
    shared = {"alpn_protocols": ["h3"], "supported_versions": [version], "original_version": version}
    server = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with open(keylog, "a") as secrets:
        client = QuicConfiguration(is_client=True, server_name=NAME, secrets_log_file=secrets, **shared)
        client.load_verify_locations(folder / "cert.pem")
        listener = await serve("127.0.0.1", port, configuration=server, create_protocol=Server, retry="retry" in options)
        async with connect("127.0.0.1", port, configuration=client, create_protocol=Client) as peer:
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "quic-probe", "version": "2"}}
            await peer.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})
            await peer.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
            for number in range(1, 4):
                if "update" in options:
                    peer._quic.request_key_update()
                await peer.post({"jsonrpc": "2.0", "id": number, "method": "tools/list"})
                call = {"name": "get_forecast", "arguments": {}}
                await peer.post({"jsonrpc": "2.0", "id": 10 + number, "method": "tools/call", "params": call})
        secrets.flush()
        listener.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
