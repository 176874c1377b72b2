/** What is asked for again and again while somebody looks: for answers that no stream tells of. */
import { useEffect } from "preact/hooks";
import { type Fetched, useFetched } from "./fetched";

/** Fetch a path, and again so many seconds after each answer; a page in the background asks for nothing. */
export function usePolled<Answer>(at: string | null, seconds: number): Fetched<Answer> {
  const fetched = useFetched<Answer>(at);
  const { waiting, again } = fetched;
  useEffect(() => {
    if (waiting) return undefined; // an answer may take longer than the pause
    const look = (): void => {
      if (!document.hidden) again();
    };
    const timer = window.setTimeout(look, seconds * 1000);
    document.addEventListener("visibilitychange", look);
    return () => {
      window.clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [at, seconds, waiting, again]);
  return fetched;
}
