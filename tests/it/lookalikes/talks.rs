//! Conversations of other protocols that look like MCP, message by message.

/// What is said on a connection of its own, without HTTP or behind a WebSocket; `>` marks what the client says.
pub(super) const TALKS: &[(&str, &[&str])] = &[
    (
        "language server",
        &[
            r#">{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":77,"clientInfo":{"name":"editor","version":"1.9"},"rootUri":null,"capabilities":{"workspace":{}},"trace":"off"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"hoverProvider":true},"serverInfo":{"name":"langd","version":"0.4"}}}"#,
            r#">{"jsonrpc":"2.0","method":"initialized","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":0,"method":"client/registerCapability","params":{"registrations":[]}}"#,
            r#"{"jsonrpc":"2.0","method":"$/progress","params":{"token":"t","value":{"kind":"begin"}}}"#,
            r#"{"jsonrpc":"2.0","method":"textDocument/publishDiagnostics","params":{"uri":"file:///a","diagnostics":[]}}"#,
            r#">{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}"#,
        ],
    ),
    (
        "debug adapter",
        &[
            r#">{"seq":1,"type":"request","command":"initialize","arguments":{"clientID":"editor","adapterID":"x"}}"#,
            r#"{"seq":1,"type":"response","request_seq":1,"success":true,"command":"initialize","body":{"supportsConfigurationDoneRequest":true}}"#,
            r#"{"seq":2,"type":"event","event":"initialized"}"#,
        ],
    ),
    (
        "agent client protocol, version 1",
        &[
            r#">{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":1,"clientCapabilities":{"fs":{"readTextFile":true}},"clientInfo":{"name":"editor","version":"1"}}}"#,
            r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true},"agentInfo":{"name":"agent","version":"1"},"authMethods":[]}}"#,
            r#">{"jsonrpc":"2.0","id":1,"method":"session/new","params":{"cwd":"/src","mcpServers":[{"name":"files","command":"mcp-files","args":[]}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"sessionId":"s1"}}"#,
            r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s1","update":{"sessionUpdate":"tool_call","toolCallId":"c1","title":"Reading"}}}"#,
        ],
    ),
    (
        "agent client protocol, version 2",
        &[
            r#">{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":2,"capabilities":{},"clientInfo":{"name":"editor","version":"1"}}}"#,
            r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":2,"capabilities":{},"agentInfo":{"name":"agent","version":"1"}}}"#,
            r#">{"jsonrpc":"2.0","id":1,"method":"session/prompt","params":{"sessionId":"s1","prompt":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"stopReason":"end_turn"}}"#,
        ],
    ),
    (
        "Codex app-server",
        &[
            r#">{"id":0,"method":"initialize","params":{"clientInfo":{"name":"ide","title":"IDE","version":"0.1"}}}"#,
            r#"{"id":0,"result":{"userAgent":"codex/0.4"}}"#,
            r#">{"method":"initialized"}"#,
            r#">{"id":1,"method":"thread/start","params":{"model":"m"}}"#,
            r#"{"id":1,"result":{"thread":{"id":"t1"}}}"#,
        ],
    ),
    (
        "mining pool",
        &[
            r#">{"id":1,"jsonrpc":"2.0","method":"mining.subscribe","params":[]}"#,
            r#"{"id":1,"jsonrpc":"2.0","result":[["mining.notify","ae68"],"08",4],"error":null}"#,
            r#">{"id":2,"jsonrpc":"2.0","method":"mining.authorize","params":["user","x"]}"#,
            r#"{"id":2,"jsonrpc":"2.0","result":true,"error":null}"#,
            r#"{"id":null,"jsonrpc":"2.0","method":"mining.notify","params":["j1","00",true]}"#,
        ],
    ),
    (
        "mining pool, older",
        &[
            r#">{"id":1,"method":"login","params":{"login":"x","pass":"y","agent":"miner/1"}}"#,
            r#"{"id":1,"jsonrpc":"2.0","error":null,"result":{"id":"w","job":{"job_id":"1"},"status":"OK"}}"#,
        ],
    ),
    (
        "Ethereum subscription",
        &[
            r#">{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":"0xcd0c3e8af590364c09d0fa6a1210faf5"}"#,
            r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xcd0c","result":{"number":"0x1b4"}}}"#,
        ],
    ),
    (
        "browser remote control",
        &[
            r#">{"id":1,"method":"Target.getTargets","params":{}}"#,
            r#"{"id":1,"result":{"targetInfos":[]}}"#,
            r#"{"method":"Network.webSocketFrameReceived","params":{"response":{"opcode":1,"payloadData":"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"}}}"#,
        ],
    ),
    (
        "engine.io around JSON-RPC",
        &[
            "0{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":25000}",
            ">40",
            r#">42["message",{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#,
            r#"42["message",{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","inputSchema":{"type":"object"}}]}}]"#,
        ],
    ),
    (
        "log shipper that quotes MCP",
        &[
            r#">{"level":"info","msg":"rpc","body":{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}}"#,
            r#">{"level":"info","msg":"rpc","body":{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}}"#,
            r#"{"ack":2}"#,
        ],
    ),
    (
        "a client that asks something else",
        &[
            r#">{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"probe","version":"1"}}}"#,
            "-ERR unknown command",
            r#">{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#,
        ],
    ),
    (
        "lines of other protocols",
        &[
            "220 mail.example.test ESMTP",
            ">EHLO a.example.test",
            "250 mail.example.test",
            r#">{"jsonrpc":"2.0","id":1,"method":"initialize"}"#,
            "500 unrecognised command",
        ],
    ),
];
