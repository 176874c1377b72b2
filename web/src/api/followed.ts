/** Long work as one request, whose answer tells in lines of JSON how far it is. */
import { address, Refused } from "./call";
import { isObject } from "./documents";

/** How far work is, in bytes; `of` is null when nobody knows. */
export interface Progress {
  phase: "sending" | "waiting" | "working";
  read: number;
  of: number | null;
}

/** Work that goes on; `done` throws Refused. */
export interface FollowedWork {
  done: Promise<Record<string, unknown>>;
  stop: () => void;
}

/** Begin work by a POST. */
export function followed(
  at: string,
  query: Record<string, string>,
  told: (progress: Progress) => void,
): FollowedWork {
  const request = new XMLHttpRequest();
  const done = new Promise<Record<string, unknown>>((resolve, reject) => {
    let seen = 0;
    let last: Record<string, unknown> = {};
    function lines(): void {
      const text = request.responseText;
      for (let end = text.indexOf("\n", seen); end >= 0; end = text.indexOf("\n", seen)) {
        const document: unknown = JSON.parse(text.slice(seen, end));
        seen = end + 1;
        if (!isObject(document)) continue;
        last = document;
        if (document["event"] === "progress") {
          const of = document["of"];
          told({ phase: "working", read: Number(document["read"]), of: typeof of === "number" && of > 0 ? of : null });
        }
      }
    }
    request.open("POST", address(at, query));
    request.onprogress = () => request.status === 200 && lines();
    request.onload = () => {
      if (request.status !== 200) return reject(new Refused(request.status, reason(request)));
      lines();
      if (last["event"] === "done") return resolve(last);
      const problem = last["problem"];
      reject(new Refused(0, isObject(problem) ? String(problem["detail"]) : "The server broke off; look into its log."));
    };
    request.onerror = () => reject(new Refused(0, "The connection broke off: is the server well, and its disk not full?"));
    request.onabort = () => reject(new Refused(0, "Stopped; nothing was kept."));
    request.send();
  });
  return { done, stop: () => request.abort() };
}

function reason(request: XMLHttpRequest): string {
  try {
    const problem: unknown = JSON.parse(request.responseText);
    if (isObject(problem) && typeof problem["detail"] === "string") return problem["detail"];
  } catch {
    // Not ours: a proxy answered.
  }
  return `The server answered ${request.status} ${request.statusText}`;
}
