/** The axes of a board in a few signs; a colour never says what no word or sign says, too. */
import type { Board } from "../api/documents";

type Tone = "good" | "busy" | "warn" | "bad" | "quiet";

const LIFECYCLE: Record<string, { sign: string; tone: Tone }> = {
  available: { sign: "✓", tone: "good" },
  claimed: { sign: "●", tone: "busy" },
  releasing: { sign: "↺", tone: "busy" },
  quarantined: { sign: "✗", tone: "bad" },
  maintenance: { sign: "⚒", tone: "warn" },
  discovered: { sign: "?", tone: "warn" },
  retired: { sign: "–", tone: "quiet" },
};
const POWER = {
  on: { sign: "◉", tone: "good" },
  off: { sign: "○", tone: "quiet" },
  unknown: { sign: "?", tone: "warn" },
} as const;

export function Mark({ sign, tone, children }: { sign: string; tone: Tone; children: string }) {
  return <span class={`mark ${tone}`}><span aria-hidden="true">{sign}</span> {children}</span>;
}

export function Lifecycle({ board }: { board: Board }) {
  const { sign, tone } = LIFECYCLE[board.lifecycle] ?? { sign: "?", tone: "warn" as const };
  return <Mark sign={sign} tone={tone}>{board.lifecycle}</Mark>;
}

/** What was read, and what is wanted where that is another thing. */
export function Power({ board }: { board: Board }) {
  const power = board.power;
  const { sign, tone } = POWER[power.observed];
  return (
    <>
      <Mark sign={sign} tone={tone}>{power.observed}</Mark>
      {!power.as_asked && <span class="quiet"> → {power.desired}</span>}
      {power.watts !== null && <span class="quiet"> {power.watts.toFixed(1)} W</span>}
    </>
  );
}

export function Health({ board }: { board: Board }) {
  if (board.health === "bad") return <Mark sign="✗" tone="bad">failed its check</Mark>;
  if (board.health === "looping") return <Mark sign="↻" tone="bad">keeps restarting</Mark>;
  return null;
}
