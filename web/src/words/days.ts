/** Days and clock times of whoever looks; a day may have 23 or 25 hours. */

const QUARTER = 15 * 60_000;

// Made once: there are hundreds of days in a calendar.
const SHORT_DAY = new Intl.DateTimeFormat([], { weekday: "short", day: "numeric" });
const LONG_DAY = new Intl.DateTimeFormat([], { weekday: "long", day: "numeric", month: "long" });
const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });

/** Return the first moment of each of so many days, and of the one after them; `from` is days from today. */
export function days(from: number, count: number, now: number): number[] {
  const today = new Date(now);
  return Array.from({ length: count + 1 }, (_, day) =>
    new Date(today.getFullYear(), today.getMonth(), today.getDate() + from + day).getTime());
}

/** Return a day in few letters: `Tue 24`. */
export function shortDay(at: number): string {
  return SHORT_DAY.format(at);
}

/** Return a day in words: `Tuesday, 24 November`. */
export function longDay(at: number): string {
  return LONG_DAY.format(at);
}

/** Return a time of day, with the day where it is another one than that. */
export function clock(at: number, day?: number): string {
  const time = TIME.format(at);
  const same = day === undefined || new Date(at).toDateString() === new Date(day).toDateString();
  return same ? time : `${shortDay(at)} ${time}`;
}

/** Return a moment as an input for date and time has it: `2030-01-31T18:00`, by the local clock. */
export function local(at: number): string {
  const then = new Date(at);
  return new Date(at - then.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Return the first full quarter of an hour after a moment. */
export function nextQuarter(at: number): number {
  return (Math.floor(at / QUARTER) + 1) * QUARTER;
}

/** Return seconds of a length of time such as `30m`, `2h` or `1d`. */
export function lengthOf(text: string): number {
  const unit = { m: 60, h: 3600, d: 86400 }[text.at(-1) ?? ""] ?? 1;
  return Number.parseInt(text, 10) * unit;
}
