/** Sending files so that they go on where they stopped: tus 1.0.0 (https://tus.io), the client's side. */
import { address, call, path, Refused } from "./call";
import { followed } from "./followed";
import type { FollowedWork, Progress } from "./followed";
import type { components } from "./schema";

type Upload = components["schemas"]["UploadDocument"];

/** Bytes of one request: a proxy that gathers requests hands on whole ones. */
const PIECE = 64 * 1024 * 1024;
/** How long it is tried again while nothing comes through. */
const PATIENCE_MS = 600_000;
const SHORTEST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** A connection over which nothing moves for so long is given up. */
const SILENCE_MS = 60_000;
/** After these it can go on: elsewhere than was thought, or once a server is behind the proxy again. */
const PASSING = [0, 409, 423, 502, 503, 504];
const TUS = { "Tus-Resumable": "1.0.0" };
const STOPPED = "Stopped; import the same file again within a day, and it goes on where it stopped.";

/**
 * Import what is sent: look at the terms, send the files, then have the server work; `files` by the parameter that
 * names them.
 */
export function imported(
  at: string,
  query: Record<string, string>,
  files: Record<string, File>,
  told: (progress: Progress) => void,
): FollowedWork {
  const stopping = new AbortController();
  let working: FollowedWork | null = null;
  async function work(): Promise<Record<string, unknown>> {
    await call(`${at}?${new URLSearchParams({ ...query, dry_run: "true" }).toString()}`, "POST");
    const sent: Record<string, string> = {};
    for (const [key, file] of Object.entries(files)) {
      sent[key] = await send(file, `${key} of ${query["name"] ?? ""}`, told, stopping.signal);
    }
    if (stopping.signal.aborted) throw new Refused(0, STOPPED);
    working = followed(at, { ...query, ...sent }, told);
    return working.done;
  }
  return {
    done: work(),
    stop: () => {
      stopping.abort();
      working?.stop();
    },
  };
}

/** Send a file from where an earlier attempt for the same purpose stopped; returns the id of the upload. */
async function send(
  file: File, purpose: string, told: (progress: Progress) => void, stopping: AbortSignal,
): Promise<string> {
  const fingerprint = [purpose, file.name, file.size, file.lastModified].join(" ");
  const known = (await call<Upload[]>("/uploads")).find(
    (one) => one.fingerprint === printed(fingerprint) && one.length === file.size,
  );
  const at = path("uploads", known?.id ?? (await begun(file, fingerprint)));
  let offset = known?.offset ?? 0;
  let until = Date.now() + PATIENCE_MS;
  let pause = SHORTEST_PAUSE_MS;
  let reached = true;
  while (offset < file.size) {
    const before = offset;
    try {
      if (!reached) offset = Number((await asked("HEAD", at)).headers.get("Upload-Offset"));
      reached = true;
      const from = offset;
      offset = await piece(at, file, from, stopping, (sent) => {
        told({ phase: "sending", read: from + sent, of: file.size });
      });
    } catch (error) {
      if (stopping.aborted) throw new Refused(0, STOPPED);
      if (!(error instanceof Refused) || !PASSING.includes(error.status)) throw error;
      if (Date.now() > until) throw new Refused(0, `${error.message} Import the same file again: it goes on where it stopped.`);
      reached = false;
      told({ phase: "waiting", read: offset, of: file.size });
      await rest(pause, stopping);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
    if (offset > before) [until, pause] = [Date.now() + PATIENCE_MS, SHORTEST_PAUSE_MS];
  }
  return decodeURIComponent(at.split("/").pop() ?? "");
}

async function begun(file: File, fingerprint: string): Promise<string> {
  const metadata = `filename ${base64(file.name)},fingerprint ${base64(printed(fingerprint))}`;
  const answer = await asked("POST", "/uploads", { "Upload-Length": String(file.size), "Upload-Metadata": metadata });
  return (answer.headers.get("Location") ?? "").split("/").pop() ?? "";
}

async function asked(method: string, at: string, headers: Record<string, string> = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(address(at), { method, headers: { ...TUS, ...headers }, signal: AbortSignal.timeout(SILENCE_MS) });
  } catch {
    throw new Refused(0, "The server does not answer.");
  }
  if (answer.ok) return answer;
  throw new Refused(answer.status, detail(await answer.text()) ?? `The server answered ${answer.status}`);
}

/** Send one piece; returns the new offset. By XMLHttpRequest, as fetch does not tell how much of a body was sent. */
function piece(
  at: string, file: File, offset: number, stopping: AbortSignal, sent: (bytes: number) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = (): void => request.abort();
    let silence = setTimeout(stop, SILENCE_MS);
    const end = (): void => {
      clearTimeout(silence);
      stopping.removeEventListener("abort", stop);
    };
    request.open("PATCH", address(at));
    for (const [name, value] of Object.entries(TUS)) request.setRequestHeader(name, value);
    request.setRequestHeader("Upload-Offset", String(offset));
    request.setRequestHeader("Content-Type", "application/offset+octet-stream");
    request.upload.onprogress = (event) => {
      clearTimeout(silence);
      silence = setTimeout(stop, SILENCE_MS);
      sent(event.loaded);
    };
    request.onloadend = () => {
      end();
      if (request.status === 204) return resolve(Number(request.getResponseHeader("Upload-Offset")));
      reject(new Refused(request.status, detail(request.responseText) ?? "The connection broke off."));
    };
    stopping.addEventListener("abort", stop);
    if (stopping.aborted) stop();
    request.send(file.slice(offset, offset + PIECE));
  });
}

/** Wait, or go on as soon as the network is back. */
function rest(milliseconds: number, stopping: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      clearTimeout(timer);
      window.removeEventListener("online", go);
      stopping.removeEventListener("abort", go);
      resolve();
    };
    const timer = setTimeout(go, milliseconds);
    window.addEventListener("online", go);
    stopping.addEventListener("abort", go);
  });
}

function detail(body: string): string | null {
  try {
    const problem = JSON.parse(body) as { detail?: unknown };
    return typeof problem.detail === "string" ? problem.detail : null;
  } catch {
    return null;
  }
}

/** As much of a fingerprint as the server keeps, of signs that it keeps as they are. */
function printed(fingerprint: string): string {
  return encodeURIComponent(fingerprint).slice(-250);
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
