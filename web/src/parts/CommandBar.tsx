/** At the foot of each page: the command that does the same, and how the last one went. */
import { useState } from "preact/hooks";
import { outcome, shown } from "../state/command";

export function CommandBar() {
  const [copied, setCopied] = useState("");
  const line = shown.value;
  const last = outcome.value;
  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(line);
      setCopied(line);
    } catch {
      setCopied(""); // no clipboard without HTTPS; the text can be marked
    }
  }
  return (
    <footer class="commandbar">
      <p class="outcome" role="status">
        {last && <span class={last.good ? "good" : "bad"}>{last.good ? "✓ " : "✗ "}{last.text}</span>}
      </p>
      <code aria-label="The same on the command line">{line}</code>
      <button type="button" onClick={() => void copy()}>{copied === line ? "Copied" : "Copy"}</button>
    </footer>
  );
}
