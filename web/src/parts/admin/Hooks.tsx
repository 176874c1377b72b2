/** Hooks: where events are told, how far each has come, and whether it works. For admins: an address may be a secret. */
import { useState } from "preact/hooks";
import { call, path } from "../../api/call";
import type { Hook, HookTest } from "../../api/documents";
import { usePolled } from "../../state/polled";
import { exactly } from "../../words/amounts";
import { line } from "../../words/shell";
import { Act } from "../Act";
import { Mark } from "../States";

const SECONDS = 10; // how far a hook has come, no stream tells
const TEST_SECONDS = 60; // the server gives up on a listener before that

export function Hooks() {
  const hooks = usePolled<Hook[]>("/hooks", SECONDS);
  return (
    <section aria-labelledby="hooks">
      <h2 id="hooks">Hooks <span class="quiet">{hooks.value?.length ?? ""}</span></h2>
      <p class="quiet">What happens in the lab is posted to an address, in order and until it was taken. Commands are in lab.toml.</p>
      {hooks.trouble && <p class="bad" role="alert">{hooks.trouble}</p>}
      <Add again={hooks.again} />
      {hooks.value?.length === 0 && <p class="quiet">No hook yet.</p>}
      <ul class="plainrows">
        {(hooks.value ?? []).map((one) => <Row key={one.id} one={one} again={hooks.again} />)}
      </ul>
    </section>
  );
}

function Row({ one, again }: { one: Hook; again: () => void }) {
  return (
    <li>
      <span class="name">{one.url || one.command.join(" ")}</span>
      <span>{one.kinds.join(" ") || "all that happens"}</span>
      <span class="quiet">{words(one)}{one.error && <> <Mark sign="✗" tone="bad">{one.error}</Mark></>}</span>
      <span class="actions">
        <TestIt one={one} again={again} />
        {!one.in_lab_toml && (
          <Act line={line("hook", "remove", one.id)} sure={`Tell ${one.url} nothing more?`}
            work={async () => {
              await call(path("hooks", one.id), "DELETE");
              again();
            }}
            said={() => "It is told nothing more."}>
            Remove <span class="hidden">{one.id}</span>
          </Act>
        )}
      </span>
    </li>
  );
}

function TestIt({ one, again }: { one: Hook; again: () => void }) {
  const [came, setCame] = useState<HookTest | null>(null);
  return (
    <>
      <Act line={line("hook", "test", one.id)}
        work={async () => {
          setCame(null);
          setCame(await call<HookTest>(`${path("hooks", one.id)}/test`, "POST", {}, TEST_SECONDS));
          again();
        }}
        said={() => "It was told something that means nothing; beside it stands what came of it."}>
        Test <span class="hidden">{one.id}</span>
      </Act>
      {came && (
        <span role="status"><Mark sign={came.ok ? "✓" : "✗"} tone={came.ok ? "good" : "bad"}>{came.text}</Mark></span>
      )}
    </>
  );
}

function words(one: Hook): string {
  return [
    one.id,
    one.in_lab_toml ? "in lab.toml" : `of ${one.principal}`,
    one.secret && `signed with ${one.secret}`,
    one.told_at === null ? "told nothing yet" : `told ${one.told}, last ${exactly(one.told_at)}`,
    one.trying_since !== null ? `${one.behind} wait since ${exactly(one.trying_since)}` : "",
    one.given_up > 0 ? `${one.given_up} given up` : "",
  ].filter(Boolean).join(" · ");
}

function Add({ again }: { again: () => void }) {
  const [url, setUrl] = useState("");
  const [kinds, setKinds] = useState("");
  const [secret, setSecret] = useState("");
  const patterns = kinds.split(/[\s,]+/).filter(Boolean);
  const command = line("hook", "add", url || "URL", ...patterns.flatMap((kind) => ["--kind", kind]), ...(secret ? ["--secret", secret] : []));
  return (
    <div class="actions">
      <label class="wide">
        Address
        <input type="url" value={url} spellcheck={false} autocapitalize="off" placeholder="https://"
          onInput={(event) => setUrl(event.currentTarget.value.trim())} />
      </label>
      <label>
        only kinds
        <input value={kinds} spellcheck={false} autocapitalize="off" placeholder="claim.* *.failed" onInput={(event) => setKinds(event.currentTarget.value)} />
      </label>
      <label>
        signed with
        <input value={secret} spellcheck={false} autocapitalize="off" placeholder="env:NAME or file:PATH"
          onInput={(event) => setSecret(event.currentTarget.value.trim())} />
      </label>
      <Act line={command} disabled={!url}
        work={async () => {
          await call<Hook>("/hooks", "POST", { url, kinds: patterns, secret });
          setUrl("");
          again();
        }}
        said={() => "It is told from now on; test it."}>
        Add a hook
      </Act>
    </div>
  );
}
