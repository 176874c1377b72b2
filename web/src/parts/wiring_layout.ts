/** What hangs on a board: each wire with where it begins, and how it is as far as anybody knows. */
import type { Board, Check, Lease } from "../api/documents";

export type WireState = "good" | "bad" | "quiet" | "unknown";

export interface Wire {
  kind: string;
  /** Whose end it is: equipment, a network, or a driver alone. */
  from: string;
  /** Which end there, and by which driver; both may be empty. */
  place: string;
  driver: string;
  state: WireState;
  /** How it is, in words. */
  text: string;
  /** What to do about it, or empty. */
  advice: string;
}

const KINDS: Record<string, string> = { power: "Power", console: "Console", bootctl: "Boot control" };

/** Return the wires of a board: its network first, then those of `lab.toml`; a check knows better than the rest. */
export function wiresOf(board: Board, leases: readonly Lease[], checks: readonly Check[]): Wire[] {
  const leased = leases.filter((lease) => lease.state === "bound").map((lease) => lease.address);
  const network: Wire = {
    kind: "Network", from: board.network, place: board.macs.join(", "), driver: "", advice: "",
    ...(leased.length > 0 ? { state: "good", text: `has ${leased.join(", ")}` }
      : { state: "quiet", text: board.address ? `is given ${board.address} when it asks` : "has no address now" }),
  };
  const wires = board.bindings.map((one): Wire => ({
    kind: KINDS[one.kind] ?? one.kind,
    from: one.equipment ?? one.driver,
    place: one.place,
    driver: one.equipment ? one.driver : "",
    advice: "",
    ...(one.kind === "power" ? power(board) : one.kind === "console" ? line(board)
      : { state: "unknown", text: "was not asked yet; check it" }),
  }));
  return [network, ...wires].map((wire) => {
    const found = checks.filter((check) => isAbout(check, wire, board));
    const worst = found.find((check) => !check.ok) ?? found[0];
    if (worst === undefined) return wire;
    return { ...wire, state: worst.ok ? "good" : "bad", text: worst.text || "works", advice: worst.advice };
  });
}

function power(board: Board): { state: WireState; text: string } {
  const { observed, error, detail } = board.power;
  if (error) return { state: "bad", text: error };
  if (observed === "unknown") return { state: "unknown", text: detail || "cannot be read" };
  return { state: "good", text: `reads ${observed}${detail ? ` (${detail})` : ""}` };
}

function line(board: Board): { state: WireState; text: string } {
  return board.console ? { state: "good", text: "connected" } : { state: "bad", text: "not connected" };
}

/** The words a check begins with are those of `hostler check`. */
function isAbout(check: Check, wire: Wire, board: Board): boolean {
  switch (wire.kind) {
    case "Network": return check.what === `network ${wire.from}`;
    case "Power": return check.what === `power of ${board.name}`;
    case "Console": return check.what === `console of ${board.name}`;
    default: return [`bootctl of ${board.name}`, `bootctl of ${board.name}, ${wire.driver || wire.from}`].includes(check.what);
  }
}
