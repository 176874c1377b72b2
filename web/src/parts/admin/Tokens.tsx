/** Tokens: one's own, of everybody for admins; made, shown once, ended. */
import { useState } from "preact/hooks";
import { call, path } from "../../api/call";
import type { Me, Token } from "../../api/documents";
import { now } from "../../state/clock";
import { useFetched } from "../../state/fetched";
import { exactly, until } from "../../words/amounts";
import { line } from "../../words/shell";
import { Act } from "../Act";
import { Once } from "./Once";
import { ROLES } from "./People";

const ENDS = ["8h", "1d", "30d", "90d", "365d", ""] as const;

export function Tokens({ who }: { who: Me }) {
  const [everybody, setEverybody] = useState(false);
  const tokens = useFetched<Token[]>(everybody ? "/tokens?principal=*" : "/tokens");
  return (
    <section aria-labelledby="tokens">
      <h2 id="tokens">Tokens <span class="quiet">{tokens.value?.length ?? ""}</span></h2>
      {tokens.trouble && <p class="bad" role="alert">{tokens.trouble}</p>}
      <Make who={who} again={tokens.again} />
      {who.role === "admin" && (
        <label class="check">
          <input type="checkbox" checked={everybody} onChange={(event) => setEverybody(event.currentTarget.checked)} /> of everybody
        </label>
      )}
      <ul class="plainrows">
        {(tokens.value ?? []).map((one) => (
          <li key={one.id}>
            <span class="name">{one.name || one.id}{one.id === who.login?.id && <span class="quiet"> (this browser)</span>}</span>
            <span>{one.principal}</span>
            <span class="quiet">{limits(one)}</span>
            <span class="actions">
              <Act line={line("token", "revoke", one.id)} sure={`End the token “${one.name || one.id}” of ${one.principal}?`}
                work={async () => {
                  await call(path("tokens", one.id), "DELETE");
                  tokens.again();
                }}
                said={() => "It is ended."}>
                Revoke <span class="hidden">{one.name || one.id}</span>
              </Act>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function limits(one: Token): string {
  return [
    one.role ? `at most ${one.role}` : "",
    one.project ? `only for ${one.project}` : "",
    one.once ? "once" : "",
    one.expires ? `ends in ${until(one.expires, now.value)}` : "never ends",
    one.used ? `last used ${exactly(one.used)}` : "never used",
  ].filter(Boolean).join(" · ");
}

function Make({ who, again }: { who: Me; again: () => void }) {
  const [name, setName] = useState("");
  const [ends, setEnds] = useState<string>("30d");
  const [role, setRole] = useState("");
  const [project, setProject] = useState("");
  const [owner, setOwner] = useState("");
  const [made, setMade] = useState<Token | null>(null);
  const terms = {
    name, ...(ends ? { expires: ends } : {}), ...(role ? { role } : {}), ...(project ? { project } : {}), ...(owner ? { for: owner } : {}),
  };
  const command = line("token", "add", name || "NAME", ...(ends ? ["--expires", ends] : []),
    ...(role ? ["--role", role] : []), ...(project ? ["--project", project] : []), ...(owner ? ["--for", owner] : []));
  async function make(): Promise<void> {
    setMade(await call<Token>("/tokens", "POST", terms));
    again();
  }
  return (
    <>
      <div class="actions">
        <label>
          For what
          <input value={name} spellcheck={false} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <label>
          ends
          <select value={ends} onChange={(event) => setEnds(event.currentTarget.value)}>
            {ENDS.map((end) => <option key={end} value={end}>{end || "never"}</option>)}
          </select>
        </label>
        <label>
          may
          <select value={role} onChange={(event) => setRole(event.currentTarget.value)}>
            <option value="">what you may</option>
            {ROLES.map((word) => <option key={word} value={word}>at most {word}</option>)}
          </select>
        </label>
        {who.projects.length > 0 && (
          <label>
            for
            <select value={project} onChange={(event) => setProject(event.currentTarget.value)}>
              <option value="">all your projects</option>
              {who.projects.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
            </select>
          </label>
        )}
        {who.role === "admin" && (
          <label>
            whose
            <input value={owner} placeholder={who.name} spellcheck={false} autocapitalize="off"
              onInput={(event) => setOwner(event.currentTarget.value.trim())} />
          </label>
        )}
        <Act line={command} disabled={!name} work={make} said={() => "It is made."}>Make a token</Act>
      </div>
      {made?.token && <Once what={`Token “${made.name}” of ${made.principal}`} text={made.token} close={() => setMade(null)} />}
    </>
  );
}
