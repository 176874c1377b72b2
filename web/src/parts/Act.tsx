/** A button that does something, and shows the command that does the same. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { act, show } from "../state/command";

interface ActProps<Answer> {
  line: string;
  work: () => Promise<Answer>;
  said?: (answer: Answer) => string;
  /** Asked before it is done; what cannot be taken back has one. */
  sure?: string;
  plain?: boolean;
  disabled?: boolean;
  children: ComponentChildren;
}

export function Act<Answer>({ line, work, said, sure, plain, disabled, children }: ActProps<Answer>) {
  const [busy, setBusy] = useState(false);
  async function press(): Promise<void> {
    if (sure !== undefined && !window.confirm(sure)) return;
    setBusy(true);
    try {
      await act(line, work, said);
    } finally {
      setBusy(false);
    }
  }
  const point = (): void => show(line);
  // A button may also come to be under a pointer that rests: that points at nothing.
  const move = (event: MouseEvent): void => {
    if (event.movementX !== 0 || event.movementY !== 0) point();
  };
  return (
    <button
      type="button"
      class={plain ? "plain" : ""}
      disabled={busy || disabled}
      aria-busy={busy}
      onClick={() => void press()}
      onFocus={point}
      onMouseMove={move}
    >
      {children}
    </button>
  );
}
