/** Where each event of a boot stands in its picture. */
import type { TraceEvent } from "../api/documents";

export interface Lane {
  name: string;
  title: string;
  sources: readonly string[];
}

export const LANES: readonly Lane[] = [
  { name: "power", title: "Power", sources: ["power", "bootctl"] },
  { name: "link", title: "Link", sources: ["link"] },
  { name: "dhcp", title: "DHCP", sources: ["dhcp"] },
  { name: "tftp", title: "TFTP", sources: ["tftp"] },
  { name: "http", title: "HTTP", sources: ["http"] },
  { name: "console", title: "Console", sources: ["console"] },
  { name: "agent", title: "Agent", sources: ["agent", "system", "run"] },
];

export type Tone = "plain" | "good" | "bad";

export interface Span {
  index: number;
  lane: number;
  from: number;
  to: number;
  tone: Tone;
}

const BAD = /error|fail|panic|timeout|trouble|refused|ignored|mtu|fault|mismatch|other-|stuck|dropped/;
const GOOD = /^(done|login|done-signal|on)$/;

/** Return the title of the lane an event is in. */
export function laneOf(event: TraceEvent): string {
  return LANES[lane(event)]?.title ?? event.source;
}

/** Return a span for each event; what tells its length, a transfer or power that was cut, is a bar. */
export function layout(events: readonly TraceEvent[]): Span[] {
  return events.map((event, index) => {
    const seconds = event.data["seconds"];
    let from = event.since;
    let to = event.since;
    if (typeof seconds === "number") from = event.since - seconds;
    if (event.source === "power" && event.kind === "on") to = cut(events, index);
    const tone = BAD.test(event.kind) ? "bad" : GOOD.test(event.kind) ? "good" : "plain";
    return { index, lane: lane(event), from: Math.max(0, from), to, tone };
  });
}

/** Return how long a picture must be to show all events. */
export function length(events: readonly TraceEvent[]): number {
  return Math.max(5, ...events.map((event) => event.since * 1.03));
}

function lane(event: TraceEvent): number {
  const found = LANES.findIndex((one) => one.sources.includes(event.source));
  return found < 0 ? LANES.length - 1 : found;
}

function cut(events: readonly TraceEvent[], index: number): number {
  const on = events[index]?.since ?? 0;
  const off = events.find((event) => event.source === "power" && event.kind === "off" && event.since > on);
  return off?.since ?? Math.max(on, ...events.map((event) => event.since));
}
