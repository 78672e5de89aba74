// An MCP client of the TypeScript SDK: node mcp_client.js PACKAGES FORM TARGET..., where FORM is `http` or `sse` with a URL
// and perhaps a token for the Inspector's proxy, or `stdio` with a program and its arguments.
const [, , folder, form, target, ...rest] = process.argv;
const packages = require("module").createRequire(`${folder}/`);
const sdk = (name) => packages(`@modelcontextprotocol/sdk/${name}.js`);
const { Client } = sdk("client/index");
const { SSEClientTransport } = sdk("client/sse");
const { StdioClientTransport } = sdk("client/stdio");
const { StreamableHTTPClientTransport } = sdk("client/streamableHttp");

const headers = rest[0] ? { "x-mcp-proxy-auth": `Bearer ${rest[0]}` } : {};
const withToken = (url, init) => fetch(url, { ...init, headers: { ...Object.fromEntries(new Headers(init?.headers)), ...headers } });
const transports = {
  http: () => new StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } }),
  sse: () => new SSEClientTransport(new URL(target), { requestInit: { headers }, eventSourceInit: { fetch: withToken } }),
  stdio: () => new StdioClientTransport({ command: target, args: rest, env: process.env, stderr: "inherit" }),
};

(async () => {
  const client = new Client({ name: "interop-client", version: "1" });
  await client.connect(transports[form]());
  const { tools } = await client.listTools();
  for (const tool of tools) await client.callTool({ name: tool.name, arguments: { place: "Cuxhaven" } });
  await client.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
