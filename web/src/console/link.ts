/** The WebSocket of a console: each message binary, its first byte the channel. */
import { address, path } from "../api/call";
import { isObject } from "../api/documents";

const COMMANDS = 0;
const BYTES = 1;

/** What the server tells besides the console's bytes. */
export interface Notice {
  event: string;
  text?: string;
  writer?: boolean;
  keyboard?: string | null;
  viewers?: Viewer[];
}

/** Somebody joined to the console. */
export interface Viewer {
  viewer: number;
  principal: string;
  writer: boolean;
  you: boolean;
  may_write: boolean;
}

export interface ConsoleLink {
  type: (data: Uint8Array) => void;
  command: (words: Record<string, unknown>) => void;
  close: () => void;
}

interface Heard {
  bytes: (data: Uint8Array) => void;
  notice: (notice: Notice) => void;
  closed: (why: string) => void;
}

/** Join a console; `write` asks for the keyboard, if nobody has it. */
export function join(board: string, write: boolean, columns: number, lines: number, heard: Heard): ConsoleLink {
  const at = address(`${path("boards", board)}/console`, {
    mode: write ? "write" : "read", columns: String(columns), lines: String(lines),
  });
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${at}`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (message: MessageEvent<ArrayBuffer>) => {
    const data = new Uint8Array(message.data);
    if (data[0] === BYTES) heard.bytes(data.subarray(1));
    else if (data[0] === COMMANDS) {
      const notice: unknown = JSON.parse(new TextDecoder().decode(data.subarray(1)));
      if (isObject(notice) && typeof notice["event"] === "string") heard.notice(notice as unknown as Notice);
    }
  };
  socket.onclose = (event) => heard.closed(event.reason || "The server closed the console.");

  function send(channel: number, payload: Uint8Array): void {
    if (socket.readyState !== WebSocket.OPEN) return;
    const message = new Uint8Array(payload.length + 1);
    message[0] = channel;
    message.set(payload, 1);
    socket.send(message);
  }

  return {
    type: (data) => send(BYTES, data),
    command: (words) => send(COMMANDS, new TextEncoder().encode(JSON.stringify(words))),
    close: () => {
      socket.onmessage = null;
      socket.onclose = null;
      // One that is closed before it is open is a fault to the browser.
      if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
      else socket.close();
    },
  };
}
