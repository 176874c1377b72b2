/** A day of the calendar in words, and booking a board from a moment of it on. */
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "../api/call";
import type { Claim, Me } from "../api/documents";
import { minute } from "../state/clock";
import { bookable, type Row, within } from "../state/occupancy";
import { mayClaim } from "../state/session";
import { clock, days, lengthOf, local, longDay } from "../words/days";
import { line } from "../words/shell";
import { Act } from "./Act";

const LENGTHS = ["30m", "1h", "2h", "4h", "8h", "1d", "3d"];

interface BookingProps {
  who: Me;
  row: Row;
  day: number;
  start: number;
  /** Whether to go on from here by keyboard. */
  focus: boolean;
  booked: () => void;
}

export function Booking({ who, row, day, start, focus, booked }: BookingProps) {
  const [from, setFrom] = useState(local(start));
  const [length, setLength] = useState("2h");
  const form = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (focus) form.current?.querySelector<HTMLElement>("input, button")?.focus();
  }, []);
  const lengths = LENGTHS.filter((one) => row.longest === null || lengthOf(one) <= row.longest);
  const ttl = lengths.includes(length) ? length : (lengths.at(-1) ?? length);
  const at = new Date(from).getTime();
  const left = Number.isNaN(at) ? 0 : bookable(row, at, at + lengthOf(ttl) * 1000);
  const [, end = 0] = days(0, 1, day);
  const list = within(row.spans, day, end);
  const what = row.claim === null ? [] : "class" in row.claim ? [row.claim.class] : ["--board", row.claim.board];
  return (
    <div class="booking" role="region" aria-label={`${row.title}, ${longDay(day)}`} ref={form}>
      <h3>{row.title}, {longDay(day)}</h3>
      {list.length === 0 ? <p class="quiet">Nothing is held or booked.</p> : (
        <ul>
          {list.map(({ span, from: begin, to }) => (
            <li key={`${span.claim} ${span.board} ${span.start}`}>
              {clock(begin, day)} – {span.end === null ? "?" : clock(to, day)} {span.principal}{" "}
              <span class="quiet">{span.certainty}{span.board && `, ${span.board}`}</span>
            </li>
          ))}
        </ul>
      )}
      {row.claim !== null && mayClaim(who) && end > minute.value && (
        <div class="actions">
          <label>
            From
            <input type="datetime-local" value={from} min={local(minute.value)} step={900}
              onInput={(event) => setFrom(event.currentTarget.value)} />
          </label>
          <label>
            for
            <select value={ttl} onChange={(event) => setLength(event.currentTarget.value)}>
              {lengths.map((one) => <option key={one} value={one}>{one}</option>)}
            </select>
          </label>
          <Act line={line("claim", ...what, "--at", from || "TIME", "--ttl", ttl)} disabled={Number.isNaN(at)}
            work={async () => {
              const made = await call<Claim>("/claims", "POST", { ...row.claim, at: new Date(at).toISOString(), ttl });
              booked();
              return made;
            }}
            said={() => `${row.title} is booked from ${clock(at)} on ${longDay(at)}.`}>
            Book
          </Act>
          <span class={left > 0 ? "quiet" : "warn"}>{left > 0 ? `${left} of ${row.boards} free then` : "none is free all that time"}</span>
        </div>
      )}
    </div>
  );
}
