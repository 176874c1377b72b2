/** How far a run is: step, phase, bytes, speed and what is left. */
import type { Run } from "../api/documents";
import { bytes, duration } from "../words/amounts";

const SIGNS: Record<Run["state"], string> = {
  queued: "…",
  running: "▶",
  succeeded: "✓",
  failed: "✗",
  cancelled: "–",
  timed_out: "✗",
};

export function isActive(run: Run | null): boolean {
  return run !== null && (run.state === "queued" || run.state === "running");
}

export function RunBar({ run, rate }: { run: Run; rate: number | null }) {
  const failed = run.state === "failed" || run.state === "timed_out";
  if (!isActive(run)) {
    return (
      <span class={`run ${failed ? "bad" : "quiet"}`}>
        <span aria-hidden="true">{SIGNS[run.state]}</span> {run.plan} {run.state.replace("_", " ")}
        {run.error && `: ${run.error}`}
      </span>
    );
  }
  const step = run.steps[run.step] ?? run.plan;
  const place = run.steps.length > 1 ? ` ${run.step + 1}/${run.steps.length}` : "";
  return (
    <span class="run">
      <span><span aria-hidden="true">{SIGNS[run.state]}</span> {step}{place} {run.phase || run.state}</span>
      {run.total > 0 && (
        <>
          <progress max={run.total} value={run.done} aria-label={`${step} ${run.phase}`} />
          <span class="numbers">{numbers(run, rate)}</span>
        </>
      )}
    </span>
  );
}

function numbers(run: Run, rate: number | null): string {
  const done = `${Math.floor((100 * run.done) / run.total)} %`;
  if (rate === null || rate <= 0) return `${done} of ${bytes(run.total)}`;
  return `${done} of ${bytes(run.total)}, ${bytes(rate)}/s, ${duration((run.total - run.done) / rate)} left`;
}
