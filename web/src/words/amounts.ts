/** Times and sizes for people. */

// Made once: what makes them takes longer than all else in a row.
const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });
const EXACTLY = new Intl.DateTimeFormat([], { dateStyle: "short", timeStyle: "medium" });

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Return a number of bytes, by powers of ten as disks are sold. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit] ?? ""}`;
}

/** Return a length of time in its two largest units: `3 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole < 600 ? ` ${whole % 60} s` : ""}`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** Return a moment by the clock of whoever looks, with the day if it is another one. */
export function moment(iso: string, now: number = Date.now()): string {
  const then = new Date(iso);
  const time = TIME.format(then);
  if (then.toDateString() === new Date(now).toDateString()) return time;
  return `${DAY.format(then)} ${time}`;
}

/** Return a moment to the second. */
export function exactly(iso: string): string {
  return EXACTLY.format(new Date(iso));
}

/** Return how long it is until a moment, or that it is over. */
export function until(iso: string, now: number): string {
  const left = (Date.parse(iso) - now) / 1000;
  return left > 0 ? duration(left) : "over";
}
