/** Something asked of the API once, and again when told to. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { call, Refused } from "../api/call";

export interface Fetched<Answer> {
  value: Answer | undefined;
  /** Why it could not be had; empty: it could. */
  trouble: string;
  /** Whether it is being asked for just now. */
  waiting: boolean;
  again: () => void;
}

/** Fetch a path; null: nothing yet. The last answer stays until the next one is there. */
export function useFetched<Answer>(at: string | null): Fetched<Answer> {
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<{ at: string | null; turn: number; value: Answer | undefined; trouble: string }>({
    at, turn: -1, value: undefined, trouble: "",
  });
  useEffect(() => {
    let wanted = true;
    if (at !== null) {
      call<Answer>(at).then(
        (value) => wanted && setState({ at, turn, value, trouble: "" }),
        (error: unknown) => {
          if (!(error instanceof Refused)) throw error;
          if (wanted) setState({ at, turn, value: undefined, trouble: error.message });
        },
      );
    }
    return () => {
      wanted = false;
    };
  }, [at, turn]);
  const again = useCallback(() => setTurn((last) => last + 1), []);
  const waiting = at !== null && (state.at !== at || state.turn !== turn);
  return { value: state.at === at ? state.value : undefined, trouble: state.trouble, waiting, again };
}
