#!/bin/sh
# The cheapest MCP server over stdio: shakes hands and answers every call. For tests that start hundreds of them.
while read -r line; do
  id=${line##*\"id\":}
  id=${id%%[,\}]*}
  case "$line" in
    *server/discover*) printf '{"jsonrpc":"2.0","id":"mcp-valet-discover","error":{"code":-32601,"message":"no"}}\n' ;;
    *'"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"tiny","version":"1"}}}\n' "$id" ;;
    *tools/call*) printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"ok"}]}}\n' "$id" ;;
  esac
done
