// An MCP server of the TypeScript SDK: node mcp_server.js PACKAGES PORT. Streamable HTTP on /mcp, the older HTTP+SSE on
// /sse and /messages.
const { randomUUID } = require("crypto");
const packages = require("module").createRequire(`${process.argv[2]}/`);
const sdk = (name) => packages(`@modelcontextprotocol/sdk/${name}.js`);
const { McpServer } = sdk("server/mcp");
const { SSEServerTransport } = sdk("server/sse");
const { StreamableHTTPServerTransport } = sdk("server/streamableHttp");
const { z } = packages("zod");

const server = () => {
  const server = new McpServer({ name: "weather", version: "2.1" });
  for (const name of ["forecast", "tides"]) {
    const about = { description: `The ${name} of a place.`, inputSchema: { place: z.string() } };
    server.registerTool(name, about, ({ place }) => ({ content: [{ type: "text", text: `${place}: fair` }] }));
  }
  return server;
};

const sessions = new Map();

async function streamable(request, response) {
  let transport = sessions.get(request.headers["mcp-session-id"]);
  if (!transport) {
    const onsessioninitialized = (id) => sessions.set(id, transport);
    transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized });
    await server().connect(transport);
  }
  await transport.handleRequest(request, response);
}

async function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://here");
  if (pathname === "/mcp") return streamable(request, response);
  if (pathname === "/sse") {
    const transport = new SSEServerTransport("/messages", response);
    sessions.set(transport.sessionId, transport);
    return server().connect(transport);
  }
  const transport = sessions.get(searchParams.get("sessionId"));
  if (pathname === "/messages" && transport) return transport.handlePostMessage(request, response);
  response.writeHead(404).end();
}

require("http").createServer(answer).listen(Number(process.argv[3]), "127.0.0.1");
