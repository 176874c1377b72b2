/**
 * A boot as a picture: one lane for each who saw something, time from left to right.
 *
 * What took time is a bar, what happened at once a mark. Arrow keys, a click or the pointer choose an event;
 * its text stands below the picture.
 */
import { useState } from "preact/hooks";
import type { TraceEvent } from "../api/documents";
import { useNarrow } from "../state/narrow";
import { LANES, laneOf, layout, type Span } from "./waterfall_layout";

const ROW = 26;
const LEFT = 76;
const WIDE = 1000;
const NARROW = 380;
const AXIS = 22;

interface WaterfallProps {
  title: string;
  events: TraceEvent[];
  /** Seconds from power-on that the picture shows; two of the same length can be compared. */
  seconds: number;
}

export function Waterfall({ title, events, seconds }: WaterfallProps) {
  const [chosen, setChosen] = useState<number | null>(null);
  const narrow = useNarrow();
  const width = narrow ? NARROW : WIDE;
  const spans = layout(events);
  const x = (at: number): number => LEFT + (Math.max(0, at) / seconds) * (width - LEFT - 12);
  const height = LANES.length * ROW + AXIS;
  const event = chosen === null ? undefined : events[chosen];

  function key(pressed: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[pressed.key];
    const end = { Home: 0, End: events.length - 1 }[pressed.key];
    if (step === undefined && end === undefined) return;
    pressed.preventDefault();
    const next = end ?? (chosen === null ? 0 : chosen + (step ?? 0));
    setChosen(Math.min(events.length - 1, Math.max(0, next)));
  }

  return (
    <div class="waterfall" role="group" tabIndex={0} onKeyDown={key}
      aria-label={`${title}: ${events.length} events, the arrow keys go through them`}>
      <svg viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
        {LANES.map((lane, at) => (
          <g key={lane.name}>
            <rect class={at % 2 ? "lane odd" : "lane"} x={0} y={at * ROW} width={width} height={ROW} />
            <text class="lanename" x={6} y={at * ROW + 17}>{lane.title}</text>
          </g>
        ))}
        {ticks(seconds, narrow ? 4 : 8).map((at) => (
          <g key={at}>
            <line class="tick" x1={x(at)} x2={x(at)} y1={0} y2={LANES.length * ROW} />
            <text class="ticktext" x={x(at)} y={height - 6}>{at} s</text>
          </g>
        ))}
        {spans.map((span) => <Shape key={span.index} span={span} x={x} chosen={span.index === chosen}
          choose={() => setChosen(span.index)} />)}
      </svg>
      <p class="detail" role="status">
        {event ? <><b>{event.since.toFixed(2)} s</b> {laneOf(event)} {event.kind}: {event.text}</> : ""}
      </p>
    </div>
  );
}

interface ShapeProps {
  span: Span;
  x: (at: number) => number;
  chosen: boolean;
  choose: () => void;
}

function Shape({ span, x, chosen, choose }: ShapeProps) {
  const top = span.lane * ROW;
  const kind = `${span.tone}${chosen ? " chosen" : ""}`;
  const left = x(span.from);
  const width = x(span.to) - left;
  const common = { class: kind, onMouseEnter: choose, onClick: choose };
  if (width >= 3) return <rect {...common} x={left} y={top + 6} width={width} height={ROW - 12} rx={2} />;
  const middle = top + ROW / 2;
  // What went wrong has another form as well as another colour.
  if (span.tone === "bad") {
    return <path {...common} d={`M${left - 6} ${middle + 6} L${left} ${middle - 7} L${left + 6} ${middle + 6} Z`} />;
  }
  return <circle {...common} cx={left} cy={middle} r={chosen ? 6 : 4} />;
}

/** Return round times, at most so many and the first. */
export function ticks(seconds: number, most: number): number[] {
  const step = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400].find((one) => seconds / one <= most);
  const found = [];
  for (let at = 0; at <= seconds && found.length < 12; at += step ?? seconds) found.push(at);
  return found;
}
