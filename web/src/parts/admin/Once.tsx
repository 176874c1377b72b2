/** A secret that is shown once: the server keeps only its hash. */
import { useState } from "preact/hooks";

export function Once({ what, text, close }: { what: string; text: string; close: () => void }) {
  const [copied, setCopied] = useState(false);
  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      setCopied(false); // no clipboard without HTTPS; the text can be marked
    }
  }
  return (
    <div class="once" role="status">
      <p>{what}, shown only now: keep it where passwords are kept.</p>
      <code>{text}</code>
      <div class="actions">
        <button type="button" onClick={() => void copy()}>{copied ? "Copied the token" : "Copy the token"}</button>
        <button type="button" onClick={close}>I have it</button>
      </div>
    </div>
  );
}
