"""The console broker: log, viewers, one writer."""
