/** Looking for what a console said, and taking its log along. */
import { useState } from "preact/hooks";
import { address, call, path } from "../api/call";
import type { Matches } from "../api/documents";
import { act, show } from "../state/command";
import { exactly } from "../words/amounts";
import { line } from "../words/shell";

/** The log of a claim from its beginning, for whoever is looking under one; else of the last boot. */
export function LogSearch({ name, claim }: { name: string; claim: string | null }) {
  const [found, setFound] = useState<Matches | null>(null);
  const part: Record<string, string> = claim === null ? {} : { claim };
  const words = claim === null ? [] : ["--claim", claim];
  const log = `${path("boards", name)}/console/log`;
  async function search(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const pattern = String(new FormData(event.currentTarget as HTMLFormElement).get("pattern") ?? "");
    const query = new URLSearchParams({ ...part, search: pattern }).toString();
    const answer = await act(
      line("console", name, "--log", ...words, "--search", pattern),
      () => call<Matches>(`${log}?${query}`),
      (matches) => `${matches.matches.length} lines${matches.complete ? "" : ", and there are more"}.`,
    );
    setFound(answer ?? null);
  }
  return (
    <div class="logsearch">
      <form class="actions" onSubmit={(event) => void search(event)}>
        <label>
          In the log of {claim === null ? "the last boot" : "this claim"}
          <input name="pattern" type="search" required placeholder="error|panic" spellcheck={false} />
        </label>
        <button type="submit">Search</button>
        <a href={address(log, part)} download={`${name}.log`}
          onFocus={() => show(line("console", name, "--log", ...words))}>
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
