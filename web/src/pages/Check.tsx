/** Lab check: what the last look at every wire found, and the last trial of them. */
import { useEffect, useState } from "preact/hooks";
import { call } from "../api/call";
import type { Board, BoardClass, CheckSlot, Finding, LabCheck, Me } from "../api/documents";
import { Act } from "../parts/Act";
import { Mark } from "../parts/States";
import { show } from "../state/command";
import { useFetched } from "../state/fetched";
import { usePolled } from "../state/polled";
import { duration, exactly } from "../words/amounts";
import { now } from "../state/clock";
import { line } from "../words/shell";
import "../style/lab.css";

const SECONDS = 15;
const SOON = 1; // while a check goes on
const CALL_OFF_SECONDS = 90; // the server answers when every board is put back

export function Check({ who }: { who: Me }) {
  const [busy, setBusy] = useState(false);
  const state = usePolled<LabCheck>("/check", busy ? SOON : SECONDS);
  const going = Boolean(state.value?.look.running ?? state.value?.trial.running);
  useEffect(() => setBusy(going), [state.value]); // with each answer: a look may be over before the first
  useEffect(() => show(line("check", "--last")), []);
  const begin = async (body: object): Promise<void> => {
    await call<LabCheck>("/check/start", "POST", body);
    setBusy(true);
    state.again();
  };
  return (
    <>
      <h1>Lab check</h1>
      {state.trouble && <p class="bad" role="alert">{state.trouble}</p>}
      {state.value ? (
        <>
          <section aria-labelledby="look">
            <h2 id="look">A look at every wire <span class="quiet">switches nothing</span></h2>
            <div class="actions">
              <Act line={line("check")} work={() => begin({})} disabled={Boolean(state.value.look.running)}
                said={() => "It is being looked at."}>
                Look again
              </Act>
            </div>
            <Result slot={state.value.look} />
          </section>
          <section aria-labelledby="trial">
            <h2 id="trial">A trial of wires <span class="quiet">switches boards off and on, and hears who answers</span></h2>
            {who.role === "admin" ? <Try begin={begin} busy={Boolean(state.value.trial.running)} />
              : <p class="quiet">Admins may try them; yours you try with <code>hostler check BOARD --active --force</code>.</p>}
            {who.role === "admin" && state.value.trial.running && (
              <div class="actions">
                <Act line={line("check", "--stop")} said={() => "It is called off; what was tried is put back, and its power follows."}
                  work={async () => {
                    await call<LabCheck>("/check", "DELETE", undefined, CALL_OFF_SECONDS);
                    state.again();
                  }}>
                  Call it off
                </Act>
              </div>
            )}
            <Result slot={state.value.trial} />
          </section>
        </>
      ) : !state.trouble && <p role="status">Asking …</p>}
    </>
  );
}

function Try({ begin, busy }: { begin: (body: object) => Promise<void>; busy: boolean }) {
  const classes = useFetched<BoardClass[]>("/classes");
  const boards = useFetched<Board[]>("/boards");
  const [what, setWhat] = useState("");
  const [kind, name = ""] = what.split("/", 2);
  const body = { active: true, ...(kind === "board" ? { board: name } : {}), ...(kind === "class" ? { class: name } : {}) };
  const command = kind === "board" ? line("check", name, "--active")
    : line("check", "--active", "--all", ...(kind === "class" ? ["--class", name] : []));
  const which = kind === "board" ? name : kind === "class" ? `every ${name} that nobody holds` : "every board that nobody holds";
  const wired = (boards.value ?? []).filter((board) => board.bindings.some((wire) => wire.kind === "power"));
  return (
    <div class="actions">
      <label>
        Try
        <select value={what} onChange={(event) => setWhat(event.currentTarget.value)}>
          <option value="">every board that nobody holds</option>
          <optgroup label="of a class">
            {(classes.value ?? []).map((one) => <option key={one.name} value={`class/${one.name}`}>{one.name}</option>)}
          </optgroup>
          <optgroup label="one board">
            {wired.map((board) => <option key={board.name} value={`board/${board.name}`}>{board.name}</option>)}
          </optgroup>
        </select>
      </label>
      <Act line={command} work={() => begin(body)} disabled={busy}
        sure={`Switch ${which} off and on? Those tried are nobody's to claim meanwhile.`} said={() => "It has begun."}>
        Try wires
      </Act>
    </div>
  );
}

function Result({ slot }: { slot: CheckSlot }) {
  const { running, last } = slot;
  return (
    <>
      {running && (
        <div role="status" class="now">
          <progress aria-label="Boards done" max={Math.max(1, running.of)} value={running.done} />
          <span>
            {running.done} of {running.of} boards, for {running.by}, {duration((now.value - Date.parse(running.since)) / 1000)}
          </span>
        </div>
      )}
      {running && <Findings rows={running.failed} />}
      {!running && !last && <p class="quiet">Never done.</p>}
      {!running && last && (
        <>
          <p>
            {last.ok ? <Mark sign="✓" tone="good">all well</Mark>
              : <Mark sign="✗" tone="bad">{last.error ? "not carried out" : `${last.checks.filter((row) => !row.ok).length} wrong`}</Mark>}{" "}
            of {last.count} looked at, <time dateTime={last.at}>{exactly(last.at)}</time>, for {last.by}
          </p>
          {last.error && <p class="bad">{last.error}</p>}
          <Findings rows={last.checks.filter((row) => !row.ok)} />
          {!last.whole && <p class="quiet">The server was started since: what was well then is no longer listed.</p>}
          {last.checks.some((row) => row.ok) && (
            <details>
              <summary>{last.checks.filter((row) => row.ok).length} well</summary>
              <Findings rows={last.checks.filter((row) => row.ok)} />
            </details>
          )}
        </>
      )}
    </>
  );
}

function Findings({ rows }: { rows: Finding[] }) {
  if (rows.length === 0) return null;
  return (
    <ul class="findings">
      {rows.map((row, at) => (
        <li key={`${row.what} ${at}`}>
          {row.ok ? <Mark sign="✓" tone="good">{row.what}</Mark> : <Mark sign="✗" tone="bad">{row.what}</Mark>}: {row.text}
          {row.advice && <p class="advice">{row.advice}</p>}
        </li>
      ))}
    </ul>
  );
}
