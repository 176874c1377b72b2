/** Asking the API. The browser sends its cookie by itself; nothing here ever sees a token but the log-in. */
import { isObject } from "./documents";

const API = "/api/v1";
const SECONDS = 30;

/** The server said no, or could not be asked; the message says why and what to do. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

let onLoggedOut = (): void => undefined;

/** Say what is to happen when the server does not know this browser any more. */
export function whenLoggedOut(what: () => void): void {
  onLoggedOut = what;
}

/** Return the path of a thing by its parts, each made safe to stand in an address. */
export function path(...parts: string[]): string {
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** What stands behind the question mark; as pairs where one name may come more than once. */
export type Query = Record<string, string> | string[][];

/** Return the address of a path of the API, for what the browser itself opens. */
export function address(at: string, query: Query = {}): string {
  const words = new URLSearchParams(query).toString();
  return `${API}${at}${words && `?${words}`}`;
}

/** Ask for something, or with a method and a body change something; throws Refused, at the latest after so many seconds. */
export async function call<Answer>(at: string, method = "GET", body?: unknown, seconds = SECONDS): Promise<Answer> {
  const request: RequestInit = { method, signal: AbortSignal.timeout(seconds * 1000) };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { "Content-Type": "application/json" };
  }
  let answer: Response;
  try {
    answer = await fetch(`${API}${at}`, request);
  } catch {
    throw new Refused(0, "The server does not answer; is this machine still on its network?");
  }
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as Answer;
  if (answer.status === 401 && !at.startsWith("/login/")) onLoggedOut();
  throw new Refused(answer.status, await reason(answer));
}

async function reason(answer: Response): Promise<string> {
  try {
    const problem: unknown = await answer.json();
    if (isObject(problem) && typeof problem["detail"] === "string") return problem["detail"];
  } catch {
    // Not ours: a proxy answered.
  }
  return `The server answered ${answer.status} ${answer.statusText}`;
}
