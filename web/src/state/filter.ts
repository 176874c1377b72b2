/** Which boards of the wall are looked at, and in which order. */
import type { Board, Me } from "../api/documents";

export interface Choice {
  words: string;
  boardClass: string;
  lifecycle: string;
  owner: string;
  /** One of `key=value`, whole. */
  label: string;
}

export const GROUPS = ["class", "switch", "rack", "network", "owner"] as const;

/** Tell whether a board is one of those chosen; the words are parts of names, or `key=value` of labels. */
export function fits(board: Board, choice: Choice, who: Me): boolean {
  if (choice.boardClass && board.class !== choice.boardClass) return false;
  if (choice.lifecycle && board.lifecycle !== choice.lifecycle) return false;
  const owner = board.claim?.principal ?? "";
  const wanted = { me: who.name, nobody: "" }[choice.owner] ?? choice.owner;
  if (choice.owner && owner !== wanted) return false;
  if (choice.label && !labels(board).includes(choice.label)) return false;
  return choice.words.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text(board).includes(word));
}

/** Return a board's labels as `key=value`. */
export function labels(board: Board): string[] {
  return Object.entries(board.labels).map(([key, value]) => `${key}=${value}`);
}

function text(board: Board): string {
  return [
    board.name, board.class, board.platform, board.claim?.principal, board.claim?.name, board.reason,
    board.power.observed, board.address, ...board.macs, ...labels(board),
  ].join(" ").toLowerCase(); // prettier-ignore
}

/** Return what group a board is in. */
export function groupOf(board: Board, by: string): string {
  switch (by) {
    case "class": return board.class;
    case "switch": return board.bindings.find((wire) => wire.kind === "power")?.equipment ?? "no switch";
    case "rack": return board.labels["rack"] ?? "no label rack";
    case "network": return board.network;
    case "owner": return board.claim?.principal ?? "nobody";
    default: return "";
  }
}
