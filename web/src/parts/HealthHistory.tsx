/** How a board did when it was checked: what was said last, each check before, and how long its boots take. */
import { useEffect } from "preact/hooks";
import { call, path } from "../api/call";
import type { Board, BoardHealth, LabEvent, Me } from "../api/documents";
import { useFetched } from "../state/fetched";
import { duration, exactly } from "../words/amounts";
import { line } from "../words/shell";
import { Act } from "./Act";
import { Mark } from "./States";

const MOST = 30;
const VERDICTS = {
  good: { sign: "✓", tone: "good", words: "good" },
  bad: { sign: "✗", tone: "bad", words: "failed its check" },
  looping: { sign: "↻", tone: "busy", words: "checked again and again" },
  unknown: { sign: "?", tone: "quiet", words: "never checked" },
} as const;
const OUTCOMES: Record<string, { sign: string; tone: "good" | "bad" }> = {
  "health.good": { sign: "✓", tone: "good" },
  "health.bad": { sign: "✗", tone: "bad" },
};

export function HealthHistory({ board, who }: { board: Board; who: Me }) {
  const at = `${path("boards", board.name)}/health`;
  const health = useFetched<BoardHealth>(at);
  const events = useFetched<LabEvent[]>(`/events?board=${encodeURIComponent(board.name)}&kind=health.*&last=${MOST}`);
  useEffect(() => {
    health.again();
    events.again();
  }, [board.health, board.lifecycle, board.run?.state]);
  const known = health.value;
  if (!known) return <p class="quiet">{health.trouble || "Asking …"}</p>;
  const { sign, tone, words } = VERDICTS[known.verdict];
  const past = [...(events.value ?? [])].reverse();
  return (
    <>
      <p class="now">
        <Mark sign={sign} tone={tone}>{words}</Mark>
        {known.at && <span class="quiet">{exactly(known.at)}</span>}
        {known.passes > 0 && <span>passed {known.passes} in a row</span>}
        {known.fails > 0 && <span>failed {known.fails} in a row</span>}
        {known.detail && <span>{known.detail}</span>}
      </p>
      {known.checkup && (
        <p class="now">
          <Mark sign="▶" tone="busy">{`under way: ${known.checkup.kind}, ${known.checkup.stage}`}</Mark>
          <span class="quiet">{known.checkup.passed} passed, {known.checkup.failed} failed{known.checkup.of > 0 && `, of ${known.checkup.of}`}</span>
        </p>
      )}
      {who.role === "admin" && (
        <div class="actions">
          <Act line={line("health", board.name, "--check")} said={() => "It is checked as soon as it is free."}
            work={() => call(at, "POST", { action: "check" })}>
            Check its health
          </Act>
        </div>
      )}
      {past.length > 0 && (
        <ol class="events">
          {past.map((event) => (
            <li key={event.seq}>
              <time class="numbers" dateTime={event.at}>{exactly(event.at)}</time>{" "}
              {OUTCOMES[event.kind] && (
                <span class={OUTCOMES[event.kind]?.tone} aria-hidden="true">{OUTCOMES[event.kind]?.sign} </span>
              )}
              {event.text}
            </li>
          ))}
        </ol>
      )}
      {known.training && known.training.stages.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="How long its boots take">
          <table>
            <caption>Its {known.training.boots.length} boots of training, from power-on</caption>
            <thead><tr><th scope="col">until</th><th scope="col">least</th><th scope="col">median</th><th scope="col">most</th></tr></thead>
            <tbody>
              {known.training.stages.map((one) => (
                <tr key={one.stage}>
                  <th scope="row">{one.stage}</th>
                  <td>{duration(one.min)}</td><td>{duration(one.median)}</td><td>{duration(one.max)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
