/** A button that begins long work, how far that is, and a way to stop it. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { FollowedWork, Progress } from "../api/followed";
import { act, show } from "../state/command";
import { bytes } from "../words/amounts";

interface FollowedProps {
  line: string;
  begin: (told: (progress: Progress) => void) => FollowedWork;
  said: (found: Record<string, unknown>) => string;
  disabled?: boolean;
  children: ComponentChildren;
}

export function Followed({ line, begin, said, disabled, children }: FollowedProps) {
  const [progress, setProgress] = useState<Progress | null>(null);
  const work = useRef<FollowedWork | null>(null);
  useEffect(() => {
    // The work ends with the page; say so before that happens by accident.
    const ask = (event: BeforeUnloadEvent): void => {
      if (work.current) event.preventDefault();
    };
    window.addEventListener("beforeunload", ask);
    return () => {
      window.removeEventListener("beforeunload", ask);
      work.current?.stop();
    };
  }, []);
  async function press(): Promise<void> {
    setProgress({ phase: "sending", read: 0, of: null });
    const begun = begin(setProgress);
    work.current = begun;
    await act(line, () => begun.done, said);
    work.current = null;
    setProgress(null);
  }
  return (
    <span class="followed">
      <button type="button" disabled={disabled || progress !== null} onClick={() => void press()}
        onFocus={() => show(line)} onMouseMove={() => show(line)}>
        {children}
      </button>
      {progress && (
        <>
          <progress aria-label="How far it is" {...(progress.of ? { max: progress.of, value: progress.read } : {})} />
          <span class="quiet numbers">
            {progress.phase === "working" ? "read" : "sent"} {bytes(progress.read)}
            {progress.of !== null && ` of ${bytes(progress.of)}`}
            {progress.phase === "waiting" && <span role="status">: the server is away; it goes on when it is back</span>}
          </span>
          <button type="button" onClick={() => work.current?.stop()}>Stop</button>
        </>
      )}
    </span>
  );
}
