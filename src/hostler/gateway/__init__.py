"""ssh through the one public port: logins by key, commands, consoles, and jumps to what boards run."""
