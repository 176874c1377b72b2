/**
 * Server-sent events: one stream a page, closed while nobody looks at it.
 *
 * Read by fetch and not by EventSource, which hears only kinds it was told of and hides why it was refused.
 */
import { address, call, type Query } from "./call";
import { isObject } from "./documents";
import { EventReader } from "./event_reader";

const RETRY_SECONDS = 2;
const SILENCE_SECONDS = 40; // the server says something every 15; a network that is gone says nothing

/** What is told of one event: its kind and its data. */
export type Heard = (kind: string, data: unknown) => void;

/**
 * Follow a path of the API until the returned function is called.
 *
 * A browser has six connections to a server, so that a tab in the background holds none. `connected` is told
 * of each connection and of its end: what happened in between is not told.
 */
export function follow(
  at: string,
  query: Query,
  heard: Heard,
  connected: (live: boolean) => void = () => undefined,
): () => void {
  let current: AbortController | undefined;
  let retry: number | undefined;

  function open(): void {
    close();
    if (document.hidden) return;
    const control = new AbortController();
    current = control;
    read(at, query, heard, connected, control).then(
      () => again(control),
      () => again(control),
    );
  }

  function again(control: AbortController): void {
    if (control !== current) return;
    connected(false);
    // Whether we are still logged in, this call finds out.
    retry = window.setTimeout(() => {
      const next = (): void => {
        if (control === current) open();
      };
      call("/me").then(next, next);
    }, RETRY_SECONDS * 1000);
  }

  function close(): void {
    window.clearTimeout(retry);
    current?.abort();
    current = undefined;
  }

  document.addEventListener("visibilitychange", open);
  open();
  return () => {
    document.removeEventListener("visibilitychange", open);
    close();
  };
}

async function read(
  at: string,
  query: Query,
  heard: Heard,
  connected: (live: boolean) => void,
  control: AbortController,
): Promise<void> {
  const answer = await fetch(address(at, query), { signal: control.signal });
  if (!answer.ok || !answer.body) throw new Error(`the stream was refused: ${answer.status}`);
  connected(true);
  const events = new EventReader();
  const bytes = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let silence = window.setTimeout(() => control.abort(), SILENCE_SECONDS * 1000);
  try {
    for (let part = await bytes.read(); !part.done; part = await bytes.read()) {
      window.clearTimeout(silence);
      silence = window.setTimeout(() => control.abort(), SILENCE_SECONDS * 1000);
      for (const { kind, data } of events.feed(part.value)) {
        const told: unknown = JSON.parse(data);
        if (isObject(told)) heard(kind, told);
      }
    }
  } finally {
    window.clearTimeout(silence);
  }
}
