/** Whether the page is as narrow as on a phone: pictures are then drawn smaller, so that their words stay readable. */
import { useEffect, useState } from "preact/hooks";

const NARROW = "(max-width: 44rem)"; // as in the style sheet

export function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const asked = matchMedia(NARROW);
    const change = (): void => setNarrow(asked.matches);
    asked.addEventListener("change", change);
    return () => asked.removeEventListener("change", change);
  }, []);
  return narrow;
}
