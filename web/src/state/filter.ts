/** Which boards of the wall are looked at, and in which order. */
import type { Board, Me } from "../api/documents";

export interface Choice {
  words: string;
  boardClass: string;
  lifecycle: string;
  owner: string;
}

export const GROUPS = ["class", "switch", "rack", "network", "owner"] as const;

/** Tell whether a board is one of those chosen; the words are parts of names, or `key=value` of labels. */
export function fits(board: Board, choice: Choice, who: Me): boolean {
  if (choice.boardClass && board.class !== choice.boardClass) return false;
  if (choice.lifecycle && board.lifecycle !== choice.lifecycle) return false;
  const owner = board.claim?.principal ?? "";
  if (choice.owner === "me" ? owner !== who.name : choice.owner === "nobody" ? owner !== "" : false) return false;
  return choice.words.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text(board).includes(word));
}

function text(board: Board): string {
  const labels = Object.entries(board.labels).map(([key, value]) => `${key}=${value}`);
  return [
    board.name, board.class, board.platform, board.claim?.principal, board.claim?.name, board.reason,
    board.power.observed, board.address, ...board.macs, ...labels,
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
