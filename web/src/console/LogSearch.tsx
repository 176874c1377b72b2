/** Looking for what a console said, and taking its log along. */
import { useState } from "preact/hooks";
import { address, call, path } from "../api/call";
import type { Matches } from "../api/documents";
import { act, show } from "../state/command";
import { exactly } from "../words/amounts";
import { line } from "../words/shell";

export function LogSearch({ name }: { name: string }) {
  const [found, setFound] = useState<Matches | null>(null);
  const log = `${path("boards", name)}/console/log`;
  async function search(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const pattern = String(new FormData(event.currentTarget as HTMLFormElement).get("pattern") ?? "");
    const words = new URLSearchParams({ search: pattern }).toString();
    const answer = await act(
      line("console", name, "--log", "--search", pattern),
      () => call<Matches>(`${log}?${words}`),
      (matches) => `${matches.matches.length} lines${matches.complete ? "" : ", and there are more"}.`,
    );
    setFound(answer ?? null);
  }
  return (
    <div class="logsearch">
      <form class="actions" onSubmit={(event) => void search(event)}>
        <label>
          In the log of the last boot
          <input name="pattern" type="search" required placeholder="error|panic" spellcheck={false} />
        </label>
        <button type="submit">Search</button>
        <a href={address(log)} download={`${name}.log`} onFocus={() => show(line("console", name, "--log"))}>
          Download the log
        </a>
      </form>
      {found && (
        <ol class="events">
          {found.matches.map((one, at) => (
            <li key={at}><time class="numbers">{exactly(one.time)}</time> <code>{one.line}</code></li>
          ))}
        </ol>
      )}
    </div>
  );
}
