/** Who may ask, with which role; admins let people in and shut them out. */
import { useState } from "preact/hooks";
import { call, path } from "../../api/call";
import type { Me, Principal } from "../../api/documents";
import { useFetched } from "../../state/fetched";
import { line } from "../../words/shell";
import { Act } from "../Act";
import { Mark } from "../States";
import { Once } from "./Once";

export const ROLES = ["admin", "member", "viewer"] as const;

export function People({ who }: { who: Me }) {
  const people = useFetched<Principal[]>("/principals");
  const admin = who.role === "admin";
  return (
    <section aria-labelledby="people">
      <h2 id="people">People and machines <span class="quiet">{people.value?.length ?? ""}</span></h2>
      {people.trouble && <p class="bad" role="alert">{people.trouble}</p>}
      {!admin && <p class="quiet">Those who are in a project with you; admins let people in.</p>}
      {admin && <Add again={people.again} />}
      <ul class="plainrows">
        {(people.value ?? []).map((one) => <Person key={one.name} one={one} who={who} again={people.again} />)}
      </ul>
    </section>
  );
}

function Person({ one, who, again }: { one: Principal; who: Me; again: () => void }) {
  const at = path("principals", one.name);
  const changed = async (what: object): Promise<void> => {
    await call(at, "PATCH", what);
    again();
  };
  return (
    <li>
      <span class="name">{one.name}{one.name === who.name && <span class="quiet"> (you)</span>}</span>
      <span>{one.role}{one.disabled && <> <Mark sign="✗" tone="bad">shut out</Mark></>}</span>
      <span class="quiet">{one.projects.map((project) => `${project.name} (${project.role})`).join(", ")}</span>
      {who.role === "admin" && one.name !== who.name && (
        <span class="actions">
          <Role one={one} changed={changed} />
          {one.disabled ? (
            <Act line={line("principal", "enable", one.name)} work={() => changed({ disabled: false })}
              said={() => `${one.name} is let in again.`}>
              Let in <span class="hidden">{one.name}</span>
            </Act>
          ) : (
            <Act line={line("principal", "disable", one.name)} work={() => changed({ disabled: true })}
              sure={`Shut ${one.name} out? Every session of theirs ends at once.`} said={() => `${one.name} is shut out.`}>
              Shut out <span class="hidden">{one.name}</span>
            </Act>
          )}
          <Act line={line("principal", "remove", one.name)} sure={`Remove ${one.name} with all tokens and keys?`}
            work={async () => {
              await call(at, "DELETE");
              again();
            }}
            said={() => `${one.name} is removed; what they hold stays theirs until its time is over.`}>
            Remove <span class="hidden">{one.name}</span>
          </Act>
        </span>
      )}
    </li>
  );
}

function Role({ one, changed }: { one: Principal; changed: (what: object) => Promise<void> }) {
  const [role, setRole] = useState(one.role);
  return (
    <>
      <label>
        <span class="hidden">Role of {one.name}</span>
        <select value={role} onChange={(event) => setRole(event.currentTarget.value)}>
          {ROLES.map((word) => <option key={word} value={word}>{word}</option>)}
        </select>
      </label>
      <Act line={line("principal", "role", one.name, role)} disabled={role === one.role} work={() => changed({ role })}
        said={() => `${one.name} is ${role} now.`}>
        Change role <span class="hidden">of {one.name}</span>
      </Act>
    </>
  );
}

function Add({ again }: { again: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<string>("member");
  const [made, setMade] = useState<Principal | null>(null);
  async function add(): Promise<void> {
    setMade(await call<Principal>("/principals", "POST", { name, role }));
    setName("");
    again();
  }
  return (
    <>
      <div class="actions">
        <label>
          Name
          <input value={name} spellcheck={false} autocapitalize="off" onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <label>
          as
          <select value={role} onChange={(event) => setRole(event.currentTarget.value)}>
            {ROLES.map((word) => <option key={word} value={word}>{word}</option>)}
          </select>
        </label>
        <Act line={line("principal", "add", name || "USER", "--role", role)} disabled={!name} work={add}
          said={() => "They are let in."}>
          Let somebody in
        </Act>
      </div>
      {made?.token && <Once what={`The first token of ${made.name}`} text={made.token} close={() => setMade(null)} />}
    </>
  );
}
