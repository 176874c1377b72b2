/** The command that does what a page does: what is pointed at, or was done last. */
import { signal } from "@preact/signals";
import { Refused } from "../api/call";

export interface Outcome {
  good: boolean;
  text: string;
}

/** The line to be copied. */
export const shown = signal("hostler boards");

/** How the last thing asked for went; null: nothing to tell. */
export const outcome = signal<Outcome | null>(null);

/** Show the line that does something. */
export function show(line: string): void {
  shown.value = line;
}

/** Do something and tell how it went; returns what came of it, or undefined when it was refused. */
export async function act<Answer>(
  line: string,
  work: () => Promise<Answer>,
  said: (answer: Answer) => string = () => "Asked for.",
): Promise<Answer | undefined> {
  show(line);
  outcome.value = null;
  try {
    const answer = await work();
    outcome.value = { good: true, text: said(answer) };
    return answer;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    outcome.value = { good: false, text: error.message };
    return undefined;
  }
}
