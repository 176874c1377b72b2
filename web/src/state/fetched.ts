/** Something asked of the API once, and again when told to. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { call, Refused } from "../api/call";

export interface Fetched<Answer> {
  value: Answer | undefined;
  /** Why it could not be had; empty: it could. */
  trouble: string;
  again: () => void;
}

/** Fetch a path; null: nothing yet. The last answer stays until the next one is there. */
export function useFetched<Answer>(at: string | null): Fetched<Answer> {
  const [state, setState] = useState<{ at: string | null; value: Answer | undefined; trouble: string }>({
    at, value: undefined, trouble: "",
  });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let wanted = true;
    if (at !== null) {
      call<Answer>(at).then(
        (value) => wanted && setState({ at, value, trouble: "" }),
        (error: unknown) => {
          if (!(error instanceof Refused)) throw error;
          if (wanted) setState({ at, value: undefined, trouble: error.message });
        },
      );
    }
    return () => {
      wanted = false;
    };
  }, [at, turn]);
  const again = useCallback(() => setTurn((last) => last + 1), []);
  return { value: state.at === at ? state.value : undefined, trouble: state.trouble, again };
}
