/** The API's documents by short names; their shapes come from the server's own description. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Board = Schemas["BoardDocument"];
export type Claim = Schemas["ClaimDocument"];
export type BoardClass = Schemas["ClassDocument"];
export type Run = Schemas["RunDocument"];
export type Image = Schemas["ImageDocument"];
export type LabEvent = Schemas["EventDocument"];
export type Trace = Schemas["TraceDocument"];
export type Verdict = Schemas["VerdictDocument"];
export type BootRecord = Schemas["BootDocument"];
export type Me = Schemas["MeDocument"];
export type Session = Schemas["SessionDocument"];
export type Ways = Schemas["WaysDocument"];
export type Span = Schemas["SpanDocument"];
export type Difference = Schemas["DiffDocument"];
export type Lease = Schemas["LeaseDocument"];
export type Check = Schemas["CheckDocument"];
export type Checks = Schemas["ChecksDocument"];
export type BoardHealth = Schemas["HealthReportDocument"];
export type Matches = Schemas["MatchesDocument"];
export type Problem = Schemas["Problem"];

export type EquipmentRow = Schemas["EquipmentDocument"];
/** What a stream of fronts tells, which the description has no place for: an end, and the rest with the ends' ids. */
export type LiveEnd = Schemas["EndDocument"] & { equipment: string; id: string };
export type Front = Omit<Schemas["PanelDocument"], "ends" | "under_way"> & { ends: string[] };
export type PanelEnd = Schemas["EndDocument"];
export type WiredBoard = Schemas["WiredBoardDocument"];
export type LabCheck = Schemas["LabCheckDocument"];
export type CheckSlot = Schemas["SlotDocument"];
export type Finding = Schemas["CheckDocument"];
export type Principal = Schemas["PrincipalDocument"];
export type Project = Schemas["ProjectDocument"];
export type Key = Schemas["SshKeyDocument"];
export type Hook = Schemas["HookDocument"];
export type HookTest = Schemas["HookTestDocument"];
export type Token = Schemas["TokenDocument"];

/** One thing seen during a boot, as `hostler trace --json` prints it. */
export interface TraceEvent {
  at: number;
  since: number;
  source: string;
  kind: string;
  text: string;
  data: Record<string, unknown>;
}

/** Read the events of a trace, which the API describes only as objects. */
export function traceEvents(rows: Trace["events"]): TraceEvent[] {
  return rows.map((row) => ({
    at: Number(row["at"]),
    since: Number(row["since"]),
    source: String(row["source"]),
    kind: String(row["kind"]),
    text: String(row["text"]),
    data: isObject(row["data"]) ? row["data"] : {},
  }));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
