/** One board, live to the byte. */
import { useEffect, useState } from "preact/hooks";
import type { Board } from "../api/documents";
import { path } from "../api/call";
import { follow } from "../api/stream";
import { rate, type Seen } from "./boards";

/** Follow a board; undefined until it is heard of. */
export function useBoard(name: string): Seen | undefined {
  const [seen, setSeen] = useState<Seen>();
  useEffect(
    () =>
      follow(`${path("boards", name)}/watch`, {}, (_kind, data) => {
        const board = data as Board;
        const at = Date.now();
        setSeen((last) => ({ board, at, rate: last ? rate(last, board.run, at) : null }));
      }),
    [name],
  );
  return seen;
}
