/**
 * What hangs on a board, as a picture: each wire from its end at a switch, PDU or serial server to the board.
 *
 * How a wire is says its line, drawn whole, dashed or cut, and a sign on it; never a colour alone. Arrow keys, a
 * click or the pointer choose a wire; its words stand below, and all of them in a list.
 */
import { useEffect, useState } from "preact/hooks";
import { call } from "../api/call";
import type { Board, Check, Checks, Lease } from "../api/documents";
import { useFetched } from "../state/fetched";
import { show } from "../state/command";
import { useNarrow } from "../state/narrow";
import { line } from "../words/shell";
import { Act } from "./Act";
import { type Wire, type WireState, wiresOf } from "./wiring_layout";

const ROW = 52;
const BOX = 40;
const CHECK_SECONDS = 120; // the server's own deadline, and some: each end that is dead takes its time
const SIGNS: Record<WireState, string> = { good: "✓", bad: "✗", quiet: "–", unknown: "?" };
const MEANING: Record<WireState, string> = { good: "works", bad: "wrong", quiet: "idle", unknown: "not known" };

export function Wiring({ board }: { board: Board }) {
  const [checked, setChecked] = useState<Check[] | null>(null);
  const leases = useFetched<Lease[]>(`/leases?board=${encodeURIComponent(board.name)}`);
  useEffect(() => {
    leases.again();
    setChecked(null); // what a check said of the wires of before
  }, [board.boot?.id, board.power.observed, board.console]);
  const wires = wiresOf(board, leases.value ?? [], checked ?? []);
  const others = (checked ?? []).filter((check) => !check.ok && !wires.some((wire) => wire.text === check.text));
  return (
    <>
      <Picture board={board} wires={wires} />
      <div class="actions">
        <Act line={line("check", board.name)} said={(found) => (found.ok ? "Every wire answers." : "Something is wrong.")}
          work={async () => {
            const found = await call<Checks>("/check", "POST", { board: board.name }, CHECK_SECONDS);
            setChecked(found.checks);
            return found;
          }}>
          Ask every wire
        </Act>
      </div>
      {others.length > 0 && (
        <ul class="plainlist">
          {others.map((check) => <li key={check.what} class="bad">✗ {check.what}: {check.text}. {check.advice}</li>)}
        </ul>
      )}
      <details onToggle={() => show(line("show", board.name))}>
        <summary>All wires in words</summary>
        <ul class="plainlist">
          {wires.map((wire, at) => <li key={at}>{words(wire)}</li>)}
        </ul>
      </details>
    </>
  );
}

function Picture({ board, wires }: { board: Board; wires: readonly Wire[] }) {
  const [chosen, setChosen] = useState<number | null>(null);
  const narrow = useNarrow();
  const [width, left, right] = narrow ? [320, 150, 96] : [640, 250, 180];
  const height = wires.length * ROW;
  const wire = chosen === null ? undefined : wires[chosen];

  function key(pressed: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[pressed.key];
    const end = { Home: 0, End: wires.length - 1 }[pressed.key];
    if (step === undefined && end === undefined) return;
    pressed.preventDefault();
    const next = end ?? (chosen === null ? 0 : chosen + (step ?? 0));
    setChosen(Math.min(wires.length - 1, Math.max(0, next)));
  }

  return (
    <div class="wiring" role="group" tabIndex={0} onKeyDown={key}
      aria-label={`${wires.length} wires of ${board.name}, the arrow keys go through them`}>
      <svg viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
        <rect class="unit" x={width - right} y={6} width={right - 4} height={height - 12} rx={4} />
        <text class="unitname" x={width - right / 2 - 2} y={height / 2 + 5}>{cut(board.name, narrow ? 11 : 22)}</text>
        {wires.map((one, at) => {
          const middle = at * ROW + ROW / 2;
          return (
            <g key={at} class={`wire ${one.state}${at === chosen ? " chosen" : ""}`}
              onMouseEnter={() => setChosen(at)} onClick={() => setChosen(at)}>
              <rect class="end" x={2} y={middle - BOX / 2} width={left} height={BOX} rx={4} />
              <text class="from" x={10} y={middle - 3}>{cut(one.from, narrow ? 18 : 32)}</text>
              <text class="place" x={10} y={middle + 13}>{cut([one.kind, one.place].filter(Boolean).join(" · "), narrow ? 22 : 40)}</text>
              <line x1={left + 2} x2={width - right} y1={middle} y2={middle} />
              <circle cx={(left + width - right) / 2} cy={middle} r={10} />
              <text class="sign" x={(left + width - right) / 2} y={middle + 5}>{SIGNS[one.state]}</text>
            </g>
          );
        })}
      </svg>
      <p class="detail" role="status">{wire ? words(wire) : ""}</p>
    </div>
  );
}

function words(wire: Wire): string {
  const end = [wire.from, wire.place, wire.driver].filter(Boolean).join(", ");
  return `${wire.kind}: ${end}: ${MEANING[wire.state]}, ${wire.text}.${wire.advice ? ` ${wire.advice}.` : ""}`;
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
