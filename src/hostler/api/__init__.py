"""The only door for people: REST, WebSocket and server-sent events over the hub."""
