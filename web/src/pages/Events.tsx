/** What happened in the lab, newest first, and going on. */
import { useEffect, useState } from "preact/hooks";
import { call, Refused } from "../api/call";
import type { LabEvent } from "../api/documents";
import { follow } from "../api/stream";
import { EventRow } from "../parts/EventRow";
import { act, show } from "../state/command";
import { query, setQuery } from "../state/route";
import { line } from "../words/shell";

const PAGE = 200;
const MOST = 2000; // kept in the page; older ones are fetched again

export function Events() {
  const kind = query.value.get("kind") ?? "";
  const audit = query.value.get("audit") === "yes";
  const [events, setEvents] = useState<LabEvent[]>([]);
  const [trouble, setTrouble] = useState("");
  const words = { ...(kind ? { kind } : {}), ...(audit ? { audit: "true" } : {}) };
  const older = (before?: number): Promise<LabEvent[]> =>
    call<LabEvent[]>(`/events?${new URLSearchParams({ ...words, last: String(PAGE), ...(before ? { before: String(before) } : {}) })}`);

  useEffect(() => {
    show(line("events", "--follow", ...(kind ? ["--kind", kind] : []), audit ? "--audit" : ""));
    setEvents([]);
    let wanted = true;
    const add = (more: LabEvent[]): void => {
      if (wanted) setEvents((last) => merged(last, more));
    };
    const end = follow("/events", { ...words, follow: "true" }, (_kind, data) => add([data as LabEvent]), (live) => {
      if (!live) return;
      // What happened before, or while there was no connection.
      older().then((page) => {
        setTrouble("");
        add(page);
      }, (error: unknown) => {
        if (!(error instanceof Refused)) throw error;
        setTrouble(error.message);
      });
    });
    return () => {
      wanted = false;
      end();
    };
  }, [kind, audit]);

  async function more(): Promise<void> {
    const page = await act(line("events"), () => older(events.at(-1)?.seq), (found) => `${found.length} older ones.`);
    if (page) setEvents((last) => merged(last, page));
  }

  return (
    <>
      <h1>Events</h1>
      <form class="choices" role="search" onSubmit={(event) => event.preventDefault()}>
        <label>
          Kind
          <input type="search" placeholder="claim.* or *.failed" value={kind} spellcheck={false}
            onChange={(event) => setQuery("kind", event.currentTarget.value.trim())} />
        </label>
        <label class="check">
          <input type="checkbox" checked={audit}
            onChange={(event) => setQuery("audit", event.currentTarget.checked ? "yes" : "")} />
          only what somebody caused
        </label>
      </form>
      {trouble && <p class="bad" role="alert">{trouble}</p>}
      <ol class="events long" aria-live="off">
        {events.map((event) => <EventRow key={event.seq} event={event} linked />)}
      </ol>
      {events.length >= PAGE && <button type="button" onClick={() => void more()}>Older</button>}
    </>
  );
}

/** Put events in order, newest first, each once. */
function merged(a: readonly LabEvent[], b: readonly LabEvent[]): LabEvent[] {
  const all = new Map([...a, ...b].map((event) => [event.seq, event]));
  return [...all.values()].sort((one, other) => other.seq - one.seq).slice(0, MOST);
}
