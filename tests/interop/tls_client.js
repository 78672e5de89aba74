// An MCP client over TLS: node --tls-keylog=FILE tls_client.js PORT. Several calls at a time, on connections that are kept.
const https = require("https");

const agent = new https.Agent({ keepAlive: true, maxSockets: 2, rejectUnauthorized: false });
const post = (message) =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify({ jsonrpc: "2.0", ...message });
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const options = { host: "127.0.0.1", servername: "mcp.example.test", port: process.argv[2], path: "/mcp" };
    const request = https.request({ ...options, method: "POST", headers, agent }, (answer) => {
      answer.resume().on("end", resolve).on("error", reject);
    });
    request.on("error", reject).end(body);
  });

(async () => {
  const clientInfo = { name: "interop-client", version: "1" };
  const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo };
  await post({ id: 1, method: "initialize", params });
  await post({ method: "notifications/initialized" });
  await post({ id: 2, method: "tools/list" });
  const call = (id) => post({ id, method: "tools/call", params: { name: "tides" } });
  await Promise.all([3, 4, 5].map(call));
  agent.destroy();
})();
