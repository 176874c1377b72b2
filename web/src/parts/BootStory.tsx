/** What happened while a board booted, and the verdict on it. */
import { useEffect, useState } from "preact/hooks";
import { path } from "../api/call";
import { type Board, type BootRecord, type Trace, traceEvents, type Verdict } from "../api/documents";
import { useFetched } from "../state/fetched";
import { show } from "../state/command";
import { exactly } from "../words/amounts";
import { line } from "../words/shell";
import { isActive } from "./RunBar";
import { Waterfall } from "./Waterfall";
import { length } from "./waterfall_layout";

const LOOK_SECONDS = 3;

export function BootStory({ board }: { board: Board }) {
  const [number, setNumber] = useState("");
  const [other, setOther] = useState("");
  const words = number && `?boot=${number}`;
  const trace = useFetched<Trace>(`${path("boards", board.name)}/trace${words}`);
  const verdict = useFetched<Verdict>(`${path("boards", board.name)}/why${words}`);
  const beside = useFetched<Trace>(other ? `${path("boards", board.name)}/trace?boot=${other}` : null);
  const moving = number === "" && (isActive(board.run) || verdict.value?.cause === "under-way");

  useEffect(() => {
    trace.again();
    verdict.again();
    if (!moving) return;
    const timer = window.setInterval(() => {
      trace.again();
      verdict.again();
    }, LOOK_SECONDS * 1000);
    return () => window.clearInterval(timer);
  }, [moving, board.boot?.id, board.run?.state, board.power.observed]);

  if (trace.trouble) return <p class="quiet">{trace.trouble}</p>;
  const told = trace.value;
  if (!told) return <p class="quiet">Asking …</p>;
  if (!told.boot) return <p class="quiet">It has not booted yet.</p>;
  const events = traceEvents(told.events);
  const others = beside.value ? traceEvents(beside.value.events) : [];
  const seconds = Math.max(length(events), length(others));
  const boots = told.boots;
  const good = verdict.value?.good;
  return (
    <>
      {verdict.value && <VerdictText verdict={verdict.value} />}
      <div class="actions">
        <BootPick title="Boot" none={`newest (${boots[0]?.number ?? ""})`} boots={boots} value={number}
          pick={(value) => {
            setNumber(value);
            show(line("trace", board.name, ...(value ? ["--boot", value] : [])));
          }} />
        <BootPick title="Compare with" none="none" boots={boots} value={other} pick={setOther} />
        {good && String(good.number) !== other && (
          <button type="button" onClick={() => setOther(String(good.number))}>
            Compare with boot {good.number}, the last that came up
          </button>
        )}
      </div>
      <Waterfall title={`Boot ${told.boot.number}`} events={events} seconds={seconds} />
      {beside.value?.boot && (
        <>
          <h3>Boot {beside.value.boot.number}</h3>
          <Waterfall title={`Boot ${beside.value.boot.number}`} events={others} seconds={seconds} />
        </>
      )}
      <details onToggle={() => show(line("trace", board.name))}>
        <summary>As a list</summary>
        <ol class="events">
          {events.map((event, at) => (
            <li key={at}><b class="numbers">{event.since.toFixed(2)} s</b> {event.source} {event.kind}: {event.text}</li>
          ))}
        </ol>
      </details>
    </>
  );
}

function VerdictText({ verdict }: { verdict: Verdict }) {
  const tone = verdict.cause === "none" ? "good" : verdict.cause === "under-way" ? "busy" : "warn";
  const sign = { good: "✓", busy: "▶", warn: "!" }[tone];
  return (
    <div class={`verdict ${tone}`}>
      <p><span aria-hidden="true">{sign}</span> {verdict.text}</p>
      {verdict.advice && <p>{verdict.advice}</p>}
      <p class="quiet">It came as far as: {verdict.reached}. Cause: {verdict.cause}.</p>
    </div>
  );
}

interface BootPickProps {
  title: string;
  none: string;
  boots: BootRecord[];
  value: string;
  pick: (value: string) => void;
}

function BootPick({ title, none, boots, value, pick }: BootPickProps) {
  return (
    <label>
      {title}
      <select value={value} onChange={(event) => pick(event.currentTarget.value)}>
        <option value="">{none}</option>
        {boots.map((boot) => (
          <option key={boot.id} value={String(boot.number)}>
            {boot.number}: {boot.purpose}, {exactly(boot.started)}
          </option>
        ))}
      </select>
    </label>
  );
}
