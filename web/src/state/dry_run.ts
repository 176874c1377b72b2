/** Whether something could be done, asked of the server while it is being written. */
import { useEffect, useState } from "preact/hooks";
import { call, Refused } from "../api/call";
import type { Run } from "../api/documents";

const PAUSE_MILLISECONDS = 400; // longer than between two keys
const AGAIN_MILLISECONDS = 10_000; // what stood in the way may be gone by then

export interface Verdict {
  /** Whether it could be done; null: not known, or nothing was asked. */
  good: boolean | null;
  /** What would be done, or why it could not. */
  text: string;
}

const NOTHING: Verdict = { good: null, text: "" };

/** Ask for a dry run whenever the path or the body changes, and until it is a yes; null: there is nothing to ask. */
export function useDryRun(at: string, body: Record<string, unknown> | null): Verdict {
  const asked = body === null ? null : JSON.stringify(body);
  const [known, setKnown] = useState<{ asked: string; verdict: Verdict } | null>(null);
  useEffect(() => {
    if (asked === null) return undefined;
    let wanted = true;
    const tell = (verdict: Verdict): void => {
      if (wanted) setKnown({ asked, verdict });
    };
    let timer = 0;
    const later = (milliseconds: number): void => {
      if (wanted) timer = window.setTimeout(() => (document.hidden ? later(milliseconds) : ask()), milliseconds);
    };
    const ask = (): void => {
      call<Run>(at, "POST", { ...(JSON.parse(asked) as object), dry_run: true }).then(
        (run) => tell({ good: true, text: `It would ${run.steps.join(", ")}.` }),
        (error: unknown) => {
          if (!(error instanceof Refused)) throw error;
          // A server that is away or busy has not said no.
          tell(error.status >= 400 && error.status < 500 ? { good: false, text: error.message } : NOTHING);
          later(AGAIN_MILLISECONDS);
        },
      );
    };
    later(PAUSE_MILLISECONDS);
    return () => {
      wanted = false;
      window.clearTimeout(timer);
    };
  }, [at, asked]);
  return known !== null && known.asked === asked ? known.verdict : NOTHING;
}
