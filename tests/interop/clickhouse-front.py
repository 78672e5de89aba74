#!/usr/bin/env python3
"""clickhouse-front: a small HTTP front for the real ClickHouse engine (chDB).

Why it exists
    shadowtap talks to ClickHouse over HTTP.  A full ClickHouse server cannot
    be installed from Cargo, PyPI, npm or Debian packages in a current version, but
    the engine itself can: the PyPI package `chdb` is ClickHouse built as a
    library.  This script puts the part of ClickHouse's HTTP interface that a
    client library needs in front of that engine, so that the sink's inserts,
    DDL and report queries are tested against the real parser, the real table
    engines and the real data types.

What it is not
    It is a test double for one machine: one process, no users beyond one
    optional user/password pair, no replication, no ON CLUSTER, no native TCP
    protocol, no `session_id`.  Never expose it; it binds loopback by default.

Use
    python3 -m venv .venv && .venv/bin/pip install chdb pyarrow
    .venv/bin/python front.py --port 8123 --path DIR
    # --port 0 takes a free port; the line "listening http://127.0.0.1:PORT"
    # on stdout tells which.  --user/--password switch authentication on.

Covered
    GET /ping, GET /replicas_status
    GET|POST /?query=&database=&default_format=&user=&password=&<setting>=
        body SQL, query-parameter SQL, both joined; multipart/form-data and
        URL parameters `param_NAME` for {NAME:Type} placeholders
    INSERT ... FORMAT X with the rows in the body, streamed into the engine
        (RowBinary, RowBinaryWithNamesAndTypes, Native, JSONEachRow, CSV, ...)
    decompress=1 request bodies: ClickHouse block framing, LZ4, ZSTD, NONE
    Content-Encoding: gzip, lz4, zstd on requests;
    Accept-Encoding: lz4, zstd, gzip on answers (the crate asks for lz4)
    chunked bodies both ways; an upload that breaks off cancels its INSERT
    X-ClickHouse-Exception-Code, -Summary, -Query-Id, -Format, -Timezone and
    the server's mapping from error code to HTTP status

Faults for tests (only with --faults)
    POST /_fault?mode=M&count=N&match=TEXT arms a fault for the next N requests
    whose SQL contains TEXT; DELETE /_fault disarms.  Modes:
        status    answer HTTP `status` (default 503), do not run the query
        delay     wait `ms` milliseconds, then serve normally
        reset     close the connection before anything is run
        lost_ack  run the query to the end, then close without an answer
                  (the client cannot know whether its rows were stored)
    GET /_fault shows what is armed and how often each has fired.
"""

import argparse
import base64
import email.parser
import email.policy
import gzip
import json
import os
import re
import struct
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import chdb
import pyarrow as pa

# Parameters of the HTTP interface that are not engine settings.
NOT_SETTINGS = {
    "query", "database", "default_format", "user", "password", "compress",
    "decompress", "query_id", "quota_key", "session_id", "session_timeout",
    "session_check", "role", "enable_http_compression", "buffer_size",
    "http_zlib_compression_level", "wait_end_of_query", "stacktrace",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms",
    "client_protocol_version", "add_http_cors_header", "close_session",
}
# Error code -> HTTP status, approximately the server's own table; the rest is
# 500.  Let tests assert on the exception code, not on the status.
STATUS = {403: (192, 193, 194, 497, 516), 408: (159,), 501: (48,), 503: (209, 210, 364),
          400: (6, 26, 27, 36, 38, 41, 42, 43, 53, 62, 69, 72, 117, 130, 131, 349,
                386, 456, 457),
          404: (46, 47, 50, 60, 73, 79, 81, 107, 111, 115)}
STATUS_OF = {code: http for http, codes in STATUS.items() for code in codes}
INSERT_FORMAT = re.compile(
    rb"^(?P<head>\s*(?:--[^\n]*\n|/\*.*?\*/|\s)*INSERT\s+INTO\b.*?)\s+FORMAT\s+"
    rb"(?P<format>[A-Za-z0-9_]+)[ \t]*;?(?:\r?\n|[ \t]+|$)(?P<data>.*)$", re.I | re.S)
OUT_FORMAT = re.compile(r"\bFORMAT\s+([A-Za-z0-9_]+)\s*(?:SETTINGS\b.*)?;?\s*$", re.I | re.S)
BLOCK_CODECS = {0x82: "lz4_raw", 0x90: "zstd"}
HTTP_CODECS = {"lz4": "lz4", "zstd": "zstd"}  # pyarrow names of the frame codecs


class Refused(Exception):
    """An answer in the shape of a ClickHouse exception."""

    def __init__(self, code, name, text, http=None):
        super().__init__(text)
        self.code = code
        self.http = http or STATUS_OF.get(code, 500)
        self.text = text if text.startswith("Code:") else f"Code: {code}. DB::Exception: {text}. ({name})"

    @classmethod
    def from_engine(cls, error):
        text = str(error)
        at = text.find("Code: ")
        text = text[at:] if at >= 0 else text
        found = re.match(r"Code: (\d+)", text)
        return cls(int(found.group(1)) if found else 1002, "UNKNOWN_EXCEPTION", text)


class Aborted(Exception):
    """The client went away in the middle of its body."""


def unframe(chunks):
    """ClickHouse's compressed block stream -> plain bytes.

    A block: 16 bytes CityHash128 (not checked here), 1 byte method, u32 size
    of the block with its 9-byte header, u32 plain size, then the payload.
    """
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= 25:
            method, size, plain = struct.unpack_from("<BII", held, 16)
            if len(held) < 16 + size:
                break
            payload = bytes(held[25:16 + size])
            del held[:16 + size]
            if method == 0x02:
                yield payload
            elif method in BLOCK_CODECS:
                yield pa.decompress(payload, decompressed_size=plain,
                                    codec=BLOCK_CODECS[method], asbytes=True)
            else:
                raise Refused(432, "UNKNOWN_CODEC", f"Unknown compression method {method:#x}")
    if held:
        raise Refused(33, "CANNOT_READ_ALL_DATA", "Compressed block cut short")


class Faults:
    def __init__(self):
        self.lock, self.armed = threading.Lock(), []

    def arm(self, args):
        with self.lock:
            self.armed.append({"mode": args.get("mode", "status"), "left": int(args.get("count", 1)),
                               "status": int(args.get("status", 503)), "ms": int(args.get("ms", 500)),
                               "match": args.get("match", ""), "fired": 0})

    def clear(self):
        with self.lock:
            self.armed.clear()

    def take(self, sql):
        with self.lock:
            for fault in self.armed:
                if fault["left"] > 0 and fault["match"] in sql:
                    fault["left"] -= 1
                    fault["fired"] += 1
                    return dict(fault)
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "clickhouse-front/1"
    disable_nagle_algorithm = True
    timeout = 300

    def log_message(self, form, *args):
        if self.server.args.verbose:
            sys.stderr.write("%s %s\n" % (time.strftime("%H:%M:%S"), form % args))

    # ---- bodies -------------------------------------------------------
    def raw_body(self):
        """The request body as it arrives, in pieces."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            pass  # BaseHTTPRequestHandler has answered it already
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while True:
                line = self.rfile.readline(1024)
                if not line.strip():
                    raise Aborted()
                size = int(line.split(b";")[0], 16)
                data = self.rfile.read(size)
                if len(data) < size:
                    raise Aborted()
                self.rfile.readline(8)
                if size == 0:
                    self.body_done = True
                    return
                yield data
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            data = self.rfile.read(min(left, 1 << 20))
            if not data:
                raise Aborted()
            left -= len(data)
            yield data
        self.body_done = True

    def body(self, args):
        self.body_done = False
        chunks = self.raw_body()
        coding = self.headers.get("Content-Encoding", "").lower()
        if coding == "gzip":
            chunks = iter([gzip.decompress(b"".join(chunks))])
        elif coding in HTTP_CODECS:
            with pa.CompressedInputStream(pa.BufferReader(b"".join(chunks)), HTTP_CODECS[coding]) as plain:
                chunks = iter([plain.read()])
        return unframe(chunks) if args.get("decompress") == "1" else chunks

    def answer(self, status, data, kind="text/plain; charset=UTF-8", headers=()):
        if not getattr(self, "body_done", True):  # an upload was refused early
            self.close_connection = True
        accepted = self.headers.get("Accept-Encoding", "").lower()
        coding = next((c for c in ("lz4", "zstd", "gzip") if c in accepted), None)
        if data and coding and self.compress_answer:
            if coding == "gzip":
                data = gzip.compress(data, 1)
            else:
                sink = pa.BufferOutputStream()
                with pa.CompressedOutputStream(sink, HTTP_CODECS[coding]) as out:
                    out.write(data)
                data = sink.getvalue().to_pybytes()
            headers = [*headers, ("Content-Encoding", coding)]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # ---- routes -------------------------------------------------------
    def do_GET(self):
        self.serve()

    def do_HEAD(self):
        self.serve()

    def do_POST(self):
        self.serve()

    def do_DELETE(self):
        self.serve()

    def serve(self):
        self.compress_answer = False
        url = urllib.parse.urlsplit(self.path)
        args = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        try:
            if url.path in ("/ping", "/replicas_status"):
                return self.answer(200, b"Ok.\n")
            if url.path == "/_fault" and self.server.args.faults:
                return self.fault(args)
            if url.path != "/":
                return self.answer(404, b"There is no handle " + url.path.encode() + b"\n")
            self.query(args)
        except Aborted:
            self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Refused as refused:
            self.answer(refused.http, refused.text.encode() + b"\n", headers=[
                ("X-ClickHouse-Exception-Code", str(refused.code)),
                ("X-ClickHouse-Query-Id", args.get("query_id", ""))])

    def fault(self, args):
        faults = self.server.faults
        if self.command == "POST":
            faults.arm(args)
        elif self.command == "DELETE":
            faults.clear()
        self.answer(200, json.dumps(faults.armed).encode() + b"\n", "application/json")

    def authenticate(self, args):
        want = (self.server.args.user, self.server.args.password)
        if want == (None, None):
            return
        user = self.headers.get("X-ClickHouse-User", args.get("user"))
        password = self.headers.get("X-ClickHouse-Key", args.get("password"))
        header = self.headers.get("Authorization", "")
        if header.startswith("Basic "):
            user, _, password = base64.b64decode(header[6:]).decode().partition(":")
        if (user or "default", password or "") != (want[0] or "default", want[1] or ""):
            raise Refused(516, "AUTHENTICATION_FAILED", f"{user or 'default'}: Authentication failed: "
                          "password is incorrect, or there is no user with such name")

    # ---- the query interface ------------------------------------------
    def query(self, args):
        body = self.body(args)
        self.authenticate(args)
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            text = b"Content-Type: " + kind.encode() + b"\r\n\r\n" + b"".join(body)
            form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(text)
            for part in form.iter_parts():
                name = part.get_param("name", header="content-disposition")
                args[name] = part.get_payload(decode=True).decode()
            body = iter(())
        self.compress_answer = args.get("enable_http_compression", "1") == "1"
        params = {k[6:]: v for k, v in args.items() if k.startswith("param_")}
        settings = {k: v for k, v in args.items() if k not in NOT_SETTINGS and not k.startswith("param_")}
        query_id = args.get("query_id") or str(uuid.uuid4())

        # The SQL is the query parameter, then the body; with INSERT ... FORMAT
        # what follows the format name is data, and is not read into memory.
        sql = args.get("query", "").encode()
        insert = INSERT_FORMAT.match(sql) if sql else None
        if not insert:
            rest = b"".join(body)
            body = iter(())
            sql = sql + b"\n" + rest if sql and rest else sql + rest
            insert = INSERT_FORMAT.match(sql)
        if not sql.strip():
            raise Refused(62, "SYNTAX_ERROR", "Syntax error: Empty query")
        shown = sql[:4096].decode("utf-8", "replace")
        self.log_message("%s", shown[:200].replace("\n", " "))

        fault = self.server.faults.take(shown)
        if fault and fault["mode"] == "reset":
            self.close_connection = True
            return
        if fault and fault["mode"] == "status":
            for _ in body:
                pass
            return self.answer(fault["status"], b"armed fault\n")
        if fault and fault["mode"] == "delay":
            time.sleep(fault["ms"] / 1000)

        started = time.perf_counter()
        with self.engine(args.get("database"), settings) as conn:
            if insert:
                summary, data, shape = self.insert(conn, insert, body), b"", None
            else:
                summary, data, shape = self.select(conn, sql, args, params)
        summary["elapsed_ns"] = str(int((time.perf_counter() - started) * 1e9))
        if fault and fault["mode"] == "lost_ack":
            self.close_connection = True
            return
        headers = [("X-ClickHouse-Query-Id", query_id), ("X-ClickHouse-Summary", json.dumps(summary)),
                   ("X-ClickHouse-Server-Display-Name", "clickhouse-front"), ("X-ClickHouse-Timezone", "UTC")]
        if shape:
            headers.append(("X-ClickHouse-Format", shape))
        self.answer(200, data, "application/octet-stream" if data else "text/plain; charset=UTF-8", headers)

    def engine(self, database, settings):
        """A fresh engine connection: as on a server, nothing leaks between requests."""
        conn = chdb.connect(self.server.args.path)
        try:
            if database:
                conn.query("USE `%s`" % database.replace("`", ""), "TSV")
            if settings:
                conn.query("SET " + ", ".join(
                    f"{re.sub(r'[^A-Za-z0-9_]', '', k)} = '%s'" % v.replace("\\", "\\\\").replace("'", "\\'")
                    for k, v in settings.items()), "TSV")
        except Exception as error:
            conn.close()
            raise Refused.from_engine(error) from None
        return conn

    @staticmethod
    def insert(conn, found, body):
        stream = None
        try:
            stream = conn.send_insert(found["head"].decode(), found["format"].decode())
            if found["data"]:
                stream.append(found["data"])
            for chunk in body:
                stream.append(chunk)
            done, stream = stream, None
            result = done.finish()
        except (Aborted, Refused):
            raise
        except Exception as error:
            raise Refused.from_engine(error) from None
        finally:
            if stream is not None:
                stream.cancel()
        return {"read_rows": str(result.rows_written), "read_bytes": str(result.bytes_written),
                "written_rows": str(result.rows_written), "written_bytes": str(result.bytes_written)}

    @staticmethod
    def select(conn, sql, args, params):
        text = sql.decode("utf-8", "replace")
        found = OUT_FORMAT.search(text)
        shape = found.group(1) if found else args.get("default_format") or "TabSeparated"
        try:
            result = conn.query(text, shape, params=params)
        except Exception as error:
            raise Refused.from_engine(error) from None
        data = bytes(result.bytes() or b"")
        return {"read_rows": str(result.storage_rows_read()), "read_bytes": str(result.storage_bytes_read()),
                "written_rows": str(result.rows_written()), "written_bytes": str(result.bytes_written()),
                "result_rows": str(result.rows_read())}, data, shape


class Front(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True


def leash():
    """Whoever started it is gone when nobody holds the other end of standard input."""
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123, help="0 takes a free port")
    parser.add_argument("--path", required=True, help="directory that keeps the data between runs")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--faults", action="store_true", help="switch /_fault on")
    parser.add_argument("--verbose", action="store_true", help="log requests to stderr")
    parser.add_argument("--leash", action="store_true", help="end when standard input does")
    args = parser.parse_args()
    front = Front((args.host, args.port), Handler)
    front.args, front.faults = args, Faults()
    front.keep = chdb.connect(args.path)  # holds the engine open between requests
    version = bytes(front.keep.query("SELECT version()", "TSV").bytes()).decode().strip()
    if args.leash:
        threading.Thread(target=leash, daemon=True).start()
    print(f"listening http://{args.host}:{front.server_address[1]} engine {version}", flush=True)
    try:
        front.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        front.keep.close()


if __name__ == "__main__":
    main()
