/** How many boards of a row of the calendar are taken when. */
import type { Span } from "../api/documents";

const WIPE = 3600_000; // a board that is being wiped is shown as taken for an hour: nobody knows how long it takes

const GAP = 600_000; // between two claims a board is wiped: the server knows how long that takes, this is a guess

/** A line of the calendar: a class, or one board. */
export interface Row {
  title: string;
  /** What is claimed; null: nothing can be. */
  claim: { class: string } | { board: string } | null;
  boards: number;
  longest: number | null;
  spans: Taken[];
}

/** A span with its times as numbers. */
export interface Taken {
  span: Span;
  from: number;
  to: number;
}

/** So many boards are taken from a moment to another, by what is known of it. */
export interface Step {
  from: number;
  to: number;
  kept: number;
  expected: number;
}

/** Return spans with their times in milliseconds. */
export function taken(spans: Span[], now: number): Taken[] {
  return spans.map((span) => ({
    span,
    from: Date.parse(span.start),
    to: span.end === null ? now + WIPE : Date.parse(span.end),
  }));
}

/** Return those of a row that touch a time. */
export function within(spans: Taken[], from: number, to: number): Taken[] {
  return spans.filter((one) => one.from < to && one.to > from);
}

/** Return how many boards are taken, piece by piece from a moment to another; pieces with none are left out. */
export function steps(spans: Taken[], from: number, to: number): Step[] {
  // By what begins and ends in the order of time: a class of a thousand boards has thousands of spans a day.
  const edges: { at: number; by: number; expected: boolean }[] = [];
  for (const one of within(spans, from, to)) {
    const expected = one.span.certainty === "expected";
    edges.push({ at: Math.max(one.from, from), by: 1, expected }, { at: Math.min(one.to, to), by: -1, expected });
  }
  edges.sort((a, b) => a.at - b.at);
  const found: Step[] = [];
  let kept = 0;
  let expected = 0;
  edges.forEach((edge, place) => {
    if (edge.expected) expected += edge.by;
    else kept += edge.by;
    const next = edges[place + 1]?.at ?? to;
    if (next > edge.at && kept + expected > 0) found.push({ from: edge.at, to: next, kept, expected });
  });
  return found;
}

/** Return how many boards of a row are free all the time from a moment to another, as far as is known. */
export function free(row: Row, from: number, to: number): number {
  return row.boards - Math.max(0, ...steps(row.spans, from, to).map((step) => step.kept));
}

/** Return how many of them could be booked for that time: a wipe must fit in before and after. */
export function bookable(row: Row, from: number, to: number): number {
  return free(row, from - GAP, to + GAP);
}
