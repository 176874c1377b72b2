"""REST, WebSocket and SSE: the only door for people."""
