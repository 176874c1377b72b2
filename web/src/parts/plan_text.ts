/** Plans as people write them: `wipe,install:debian,boot`. */

export const KINDS = ["discover", "wipe", "install", "live", "boot", "capture"] as const;
export type Kind = (typeof KINDS)[number];

/** What stands behind the colon of a step: an image there is, the name of one to be, or nothing. */
export const ARGUMENT: Record<Kind, "image" | "name" | ""> = {
  discover: "", wipe: "", install: "image", live: "image", boot: "", capture: "name",
};

export interface Step {
  kind: string;
  argument: string;
}

/** Read a plan that may be half written; whether it makes sense the server says. */
export function readPlan(text: string): Step[] {
  if (!text.trim()) return [];
  return text.split(",").map((word) => {
    const [kind = "", ...rest] = word.trim().split(":");
    return { kind, argument: rest.join(":") };
  });
}

export function writePlan(steps: readonly Step[]): string {
  return steps.map((one) => (one.argument ? `${one.kind}:${one.argument}` : one.kind)).join(",");
}

/** What a kind takes; of a word that is no kind nothing. */
export function argumentOf(kind: string): "image" | "name" | "" {
  return Object.hasOwn(ARGUMENT, kind) ? ARGUMENT[kind as Kind] : "";
}

/** Return the steps with one at another place. */
export function moved(steps: readonly Step[], from: number, to: number): Step[] {
  const next = [...steps];
  next.splice(to, 0, ...next.splice(from, 1));
  return next;
}
