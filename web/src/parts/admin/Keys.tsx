/** ssh keys that log somebody in: one's own, of everybody for admins. */
import { useEffect, useState } from "preact/hooks";
import { call, path } from "../../api/call";
import type { Key, Me } from "../../api/documents";
import { show } from "../../state/command";
import { useFetched } from "../../state/fetched";
import { exactly } from "../../words/amounts";
import { line, quote } from "../../words/shell";
import { Act } from "../Act";

export function Keys({ who }: { who: Me }) {
  const [everybody, setEverybody] = useState(false);
  const keys = useFetched<Key[]>(everybody ? "/keys?principal=*" : "/keys");
  useEffect(() => show(line("key", "list", ...(everybody ? ["--of", "*"] : []))), [everybody]);
  return (
    <section aria-labelledby="keys">
      <h2 id="keys">ssh keys <span class="quiet">{keys.value?.length ?? ""}</span></h2>
      <p class="quiet">Who has the other half logs in by ssh, and with <code>hostler login</code>.</p>
      {keys.trouble && <p class="bad" role="alert">{keys.trouble}</p>}
      <Add who={who} again={keys.again} />
      {who.role === "admin" && (
        <label class="check">
          <input type="checkbox" checked={everybody} onChange={(event) => setEverybody(event.currentTarget.checked)} /> of everybody
        </label>
      )}
      {keys.value?.length === 0 && <p class="quiet">No key yet.</p>}
      <ul class="plainrows">
        {(keys.value ?? []).map((one) => (
          <li key={one.fingerprint}>
            <span class="name">{one.name || "no name"}</span>
            <span>{one.principal}</span>
            <span class="quiet"><code>{one.fingerprint}</code> {one.key.split(" ", 1)[0]} · since {exactly(one.created)}</span>
            <span class="actions">
              <Act line={line("key", "remove", one.fingerprint)} sure={`Let the key “${one.name || one.fingerprint}” log ${one.principal} in no more?`}
                work={async () => {
                  await call(path("keys", one.fingerprint), "DELETE");
                  keys.again();
                }}
                said={() => "It logs nobody in any more."}>
                Remove <span class="hidden">{one.name || one.fingerprint}</span>
              </Act>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Add({ who, again }: { who: Me; again: () => void }) {
  const [text, setText] = useState("");
  const [name, setName] = useState("");
  const [owner, setOwner] = useState("");
  const key = text.trim();
  const options = [...(name ? ["--name", name] : []), ...(owner ? ["--for", owner] : [])];
  return (
    <div class="actions">
      <label class="wide">
        Public key, a line as in <code>id_ed25519.pub</code>
        <textarea rows={3} value={text} spellcheck={false} autocapitalize="off" placeholder="ssh-ed25519 AAAA… name"
          onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <label>
        called
        <input value={name} maxLength={100} spellcheck={false} placeholder="as its comment" onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      {who.role === "admin" && (
        <label>
          whose
          <input value={owner} placeholder={who.name} spellcheck={false} autocapitalize="off"
            onInput={(event) => setOwner(event.currentTarget.value.trim())} />
        </label>
      )}
      <Act line={`echo ${quote(key || "KEY")} | ${line("key", "add", "-", ...options)}`} disabled={!key}
        work={async () => {
          const added = await call<Key>("/keys", "POST", { key, name, ...(owner ? { for: owner } : {}) });
          setText("");
          setName("");
          again();
          return added;
        }}
        said={(added) => `${added.fingerprint} logs ${added.principal} in.`}>
        Add the key
      </Act>
    </div>
  );
}
