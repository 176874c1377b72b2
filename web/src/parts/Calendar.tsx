/** Who has boards when, a week at a time; choosing a time in it begins a booking. */
import { useComputed } from "@preact/signals";
import { useCallback, useMemo, useRef, useState } from "preact/hooks";
import type { Board, BoardClass, Me, Span } from "../api/documents";
import { minute } from "../state/clock";
import { useFetched } from "../state/fetched";
import { bookable, type Row, steps, taken, within } from "../state/occupancy";
import { days, longDay, nextQuarter, shortDay } from "../words/days";
import { Booking } from "./Booking";
import { kept } from "./kept";
import "../style/calendar.css";

const DAYS = 7;
const WEEKS = 52; // a booking begins within a year
const HOUR = 3600_000;
const MOST_BOARDS = 100; // rows of one class: more are found by the name of a board

interface CalendarProps {
  who: Me;
  classes: BoardClass[];
  spans: Span[];
  booked: () => void;
}

/** The row and day chosen, and from when the booking is to be. */
interface Choice {
  row: string;
  day: number;
  start: number;
}

export function Calendar({ who, classes, spans, booked }: CalendarProps) {
  const [week, setWeek] = useState(0);
  const [open, setOpen] = useState<readonly string[]>([]);
  const [at, setAt] = useState({ row: 0, day: 0 });
  const [choice, setChoice] = useState<Choice | null>(null);
  const boards = useFetched<Board[]>(open.length > 0 ? "/boards" : null);
  const table = useRef<HTMLTableElement>(null);
  const byBoard = useRef(false);
  const moment = minute.value;
  const [midnight] = days(0, 0, moment);
  const starts = useMemo(() => days(week * DAYS, DAYS, moment), [week, midnight]);
  // Where no end is known it is taken to move on with the time.
  const endless = spans.some((span) => span.end === null) ? moment : 0;
  const times = useMemo(() => taken(spans, moment), [spans, endless]);
  const rows = useMemo(() => rowsOf(classes, open, boards.value ?? [], times), [classes, open, boards.value, times]);
  const chosen = rows.find((row) => row.title === choice?.row);

  function move(event: KeyboardEvent): void {
    const last = { row: rows.length - 1, day: DAYS - 1 };
    const to = { ...at };
    if (event.key === "ArrowRight") to.day = Math.min(at.day + 1, last.day);
    else if (event.key === "ArrowLeft") to.day = Math.max(at.day - 1, 0);
    else if (event.key === "ArrowDown") to.row = Math.min(at.row + 1, last.row);
    else if (event.key === "ArrowUp") to.row = Math.max(at.row - 1, 0);
    else if (event.key === "Home") to.day = 0;
    else if (event.key === "End") to.day = last.day;
    else if (event.key === "PageDown") turn(week + 1);
    else if (event.key === "PageUp") turn(week - 1);
    else return;
    event.preventDefault();
    setAt(to);
    table.current?.querySelector<HTMLElement>(`[data-place="${to.row} ${to.day}"]`)?.focus();
  }
  function turn(to: number): void {
    setWeek(Math.min(Math.max(to, 0), WEEKS - 1));
    setChoice(null);
  }
  const choose = useCallback((event: MouseEvent, row: Row, place: { row: number; day: number }, from: number, to: number): void => {
    byBoard.current = event.detail === 0; // a key was pressed, and not a button of a mouse
    const now = minute.value;
    const cell = event.currentTarget as HTMLElement;
    const pointed = from + Math.floor((event.offsetX / cell.clientWidth) * ((to - from) / HOUR)) * HOUR;
    const start = byBoard.current ? firstFree(row, from, to, now) : pointed;
    setAt(place);
    setChoice({ row: row.title, day: from, start: start > now ? start : nextQuarter(now) });
  }, []);
  const toggle = useCallback((title: string): void => {
    setOpen((last) => last.includes(title) ? last.filter((one) => one !== title) : [...last, title]);
  }, []);
  return (
    <section class="calendar" aria-labelledby="calendar-name">
      <h2 id="calendar-name">Calendar</h2>
      <div class="actions">
        <button type="button" disabled={week === 0} onClick={() => turn(week - 1)}>Earlier</button>
        <button type="button" disabled={week === 0} onClick={() => turn(0)}>This week</button>
        <button type="button" disabled={week === WEEKS - 1} onClick={() => turn(week + 1)}>Later</button>
        <span class="quiet legend">
          <span class="swatch kept" aria-hidden="true" /> held or booked{" "}
          <span class="swatch expected" aria-hidden="true" /> expected by who waits
        </span>
      </div>
      <table role="grid" aria-labelledby="calendar-name" ref={table} onKeyDown={move}>
        <thead>
          <tr>
            <th scope="col"><span class="hidden">Boards</span></th>
            {starts.slice(0, DAYS).map((day) => <th key={day} scope="col">{shortDay(day)}</th>)}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, place) => (
            <Line key={row.title} row={row} place={place} starts={starts} open={open.includes(row.title)}
              reached={at.row === place ? at.day : -1} chosen={choice?.row === row.title ? choice.day : 0}
              choose={choose} toggle={toggle} />
          ))}
        </tbody>
      </table>
      {chosen && choice && (
        <Booking key={`${choice.row} ${choice.start}`} who={who} row={chosen} day={choice.day} start={choice.start}
          focus={byBoard.current} booked={booked} />
      )}
    </section>
  );
}

interface LineProps {
  row: Row;
  place: number;
  starts: readonly number[];
  open: boolean;
  /** Which of its days the keyboard is at; -1: none. */
  reached: number;
  /** Which of its days is chosen, by its start; 0: none. */
  chosen: number;
  choose: (event: MouseEvent, row: Row, place: { row: number; day: number }, from: number, to: number) => void;
  toggle: (title: string) => void;
}

/** A row: drawn again only when it is another one, as there may be hundreds. */
const Line = kept(({ row, place, starts, open, reached, chosen, choose, toggle }: LineProps) => (
  <tr>
    <th scope="row">
      {row.claim && "class" in row.claim ? (
        <button type="button" class="plain" aria-expanded={open} tabIndex={0} onClick={() => toggle(row.title)}>
          {row.title}
        </button>
      ) : <span class="one">{row.title}</span>}
      {row.claim && "class" in row.claim && <span class="quiet"> {row.boards}</span>}
    </th>
    {starts.slice(0, DAYS).map((day, column) => {
      const to = starts[column + 1] ?? day;
      return (
        <td key={day}>
          <button type="button" data-place={`${place} ${column}`} class="day" tabIndex={reached === column ? 0 : -1}
            aria-pressed={chosen === day} onClick={(event) => choose(event, row, { row: place, day: column }, day, to)}>
            <Day row={row} from={day} to={to} />
          </button>
        </td>
      );
    })}
  </tr>
));

/** A day of a row: how much of it is taken, hour by hour, and the same in words. */
const Day = kept(({ row, from, to }: { row: Row; from: number; to: number }) => {
  const across = (at: number): number => ((at - from) / (to - from)) * 24;
  const high = Math.max(row.boards, 1);
  const pieces = steps(row.spans, from, to);
  const most = Math.max(0, ...pieces.map((step) => step.kept));
  const names = pieces.length === 0 ? [] : [...new Set(within(row.spans, from, to).map((one) => one.span.principal))];
  return (
    <>
      <svg viewBox={`0 0 24 ${high}`} preserveAspectRatio="none" aria-hidden="true">
        <Past from={from} to={to} high={high} />
        {pieces.map((step) => {
          const x = across(step.from);
          const width = across(step.to) - x;
          return (
            <g key={step.from}>
              <rect class="kept" x={x} width={width} y={high - step.kept} height={step.kept} />
              <rect class="expected" x={x} width={width} y={high - step.kept - step.expected} height={step.expected} />
            </g>
          );
        })}
      </svg>
      <span class="hidden">
        {row.title}, {longDay(from)}: {names.length === 0 ? "nothing taken" : `at most ${most} of ${row.boards} taken, ${names.join(", ")}`}
      </span>
    </>
  );
});

/** What is over of a day; apart from it, as only that of today grows. */
function Past({ from, to, high }: { from: number; to: number; high: number }) {
  const part = useComputed(() => Math.min(Math.max((minute.value - from) / (to - from), 0), 1)).value;
  return part > 0 ? <rect class="past" width={part * 24} height={high} /> : null;
}

function rowsOf(classes: BoardClass[], open: readonly string[], boards: Board[], spans: ReturnType<typeof taken>): Row[] {
  const rows: Row[] = [];
  for (const one of classes) {
    const own = spans.filter(({ span }) => span.class === one.name);
    rows.push({ title: one.name, claim: { class: one.name }, boards: one.boards, longest: one.max_ttl, spans: own });
    if (!open.includes(one.name)) continue;
    for (const board of boards.filter((each) => each.class === one.name).slice(0, MOST_BOARDS)) {
      rows.push({
        title: board.name, claim: { board: board.name }, boards: 1, longest: one.max_ttl,
        spans: own.filter(({ span }) => span.board === board.name),
      });
    }
  }
  const rest = spans.filter(({ span }) => span.class === null);
  if (rest.length > 0) rows.push({ title: "by labels", claim: null, boards: rest.length, longest: null, spans: rest });
  return rows;
}

/** The first full hour of a day at which a board is free for an hour; its first one if there is none. */
function firstFree(row: Row, from: number, to: number, now: number): number {
  for (let hour = from; hour < to; hour += HOUR) {
    if (hour > now && bookable(row, hour, hour + HOUR) > 0) return hour;
  }
  return from;
}
