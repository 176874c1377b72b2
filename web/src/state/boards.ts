/** Every board, live. Each has a signal of its own: when one changes only its row is drawn again. */
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { Board, Run } from "../api/documents";
import { follow } from "../api/stream";

/** A board and how fast its run goes. */
export interface Seen {
  board: Board;
  /** Bytes a second, or null: not known. */
  rate: number | null;
  /** When this was heard, Unix time in milliseconds. */
  at: number;
}

const known = new Map<string, Signal<Seen>>();
const lines = new Map<string, Signal<string>>();
const names = signal<readonly string[]>([]);

/** Whether the page is connected, and has heard of all boards. */
export const live = signal(false);

/** The names of all boards, in order; changes only when one comes or goes. */
export const boardNames: ReadonlySignal<readonly string[]> = names;

/** Return a board's signal, if there is one of that name. */
export function seen(name: string): Signal<Seen> | undefined {
  return known.get(name);
}

/** The last line of a board's console; empty: none, or none that is ours to read. A signal of its own, as a
 * board that talks is not to have all its row drawn again. */
export function lastLine(name: string): Signal<string> {
  let line = lines.get(name);
  if (line === undefined) {
    line = signal("");
    lines.set(name, line);
  }
  return line;
}

/** All boards as they are now; whoever reads this is drawn again with each change. */
export const allBoards = computed(() =>
  names.value.flatMap((name) => {
    const one = known.get(name);
    return one ? [one.value.board] : [];
  }),
);

/** Follow the boards until the returned function is called. */
export function followBoards(): () => void {
  let heard = new Set<string>();
  let whole = false;
  const end = follow(
    "/boards",
    { follow: "true", lines: "true" },
    (kind, data) => {
      if (kind === "board") {
        const board = data as Board;
        const isNew = !known.has(board.name);
        heard.add(board.name);
        put(board);
        if (whole && isNew) order();
      } else if (kind === "said") {
        const { name, line } = data as { name: string; line: string };
        lastLine(name).value = line;
      } else if (kind === "gone") {
        const { name } = data as { name: string };
        known.delete(name);
        lines.delete(name);
        order();
      } else if (kind === "complete") {
        for (const name of known.keys()) if (!heard.has(name)) known.delete(name);
        whole = true;
        order();
        live.value = true;
      }
    },
    (connected) => {
      if (!connected) live.value = false;
      heard = new Set();
      whole = false;
      // They are told anew; those that are not ours any more are told no more.
      if (connected) for (const line of lines.values()) line.value = "";
    },
  );
  return () => {
    end();
    live.value = false;
  };
}

function put(board: Board): void {
  const at = Date.now();
  const before = known.get(board.name);
  if (before === undefined) {
    known.set(board.name, signal({ board, rate: null, at }));
    return;
  }
  before.value = { board, rate: rate(before.value, board.run, at), at };
}

/** Smooth the speed of a phase over some seconds; a new phase starts anew. */
export function rate(before: Seen, run: Run | null, at: number): number | null {
  const last = before.board.run;
  const seconds = (at - before.at) / 1000;
  if (!run || !last || run.id !== last.id || run.phase !== last.phase || run.step !== last.step) return null;
  if (run.done < last.done || seconds <= 0) return null;
  if (run.done === last.done) return before.rate;
  const speed = (run.done - last.done) / seconds;
  if (before.rate === null) return speed;
  const weight = Math.min(1, seconds / 3);
  return before.rate * (1 - weight) + speed * weight;
}

const order = (): void => {
  names.value = [...known.keys()].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
};
