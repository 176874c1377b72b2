/** The front of a switch, PDU or serial server as a picture: each end is a button, and tells of itself below. */
import type { Signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { call, path } from "../api/call";
import type { Front, LiveEnd, WiredBoard } from "../api/documents";
import { now } from "../state/clock";
import { show } from "../state/command";
import type { Fronts, SeenFront } from "../state/fronts";
import { duration, until } from "../words/amounts";
import { line } from "../words/shell";
import { Act } from "./Act";
import { Link } from "./Link";
import { Mark } from "./States";

const STATES = {
  on: { sign: "◉", tone: "good" },
  off: { sign: "○", tone: "quiet" },
  unknown: { sign: "?", tone: "warn" },
} as const;
const STEPS: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

interface FrontPanelProps {
  fronts: Fronts;
  seen: SeenFront;
}

export function FrontPanel({ fronts, seen }: FrontPanelProps) {
  const [chosen, setChosen] = useState("");
  const { front } = seen;
  const current = front.ends.includes(chosen) ? chosen : front.ends[0]; // none any more where its wire has changed
  function key(event: KeyboardEvent): void {
    const step = STEPS[event.key];
    const buttons = [...(event.currentTarget as HTMLElement).querySelectorAll("button")];
    const at = buttons.findIndex((button) => button === event.target);
    const next = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1
      : step === undefined ? undefined : at + step;
    if (next === undefined || buttons[next] === undefined) return;
    event.preventDefault();
    buttons[next].focus();
  }
  return (
    <section class="front" aria-labelledby={`front-${front.name}`}>
      <h2 id={`front-${front.name}`}>
        {front.name} <span class="quiet">{front.driver}{front.pools.map(poolWords).join("")}</span>
      </h2>
      <Age seen={seen} />
      {front.trouble && <p class="bad">{front.trouble}</p>}
      {front.ends.length === 0 && <p class="quiet">Nothing hangs on it.</p>}
      <div class="ports" role="toolbar" aria-label={`Ends of ${front.name}`} onKeyDown={key}>
        {front.ends.map((id) => (
          <Port key={id} end={fronts.end(id)} reached={id === current} chosen={id === chosen} choose={setChosen} />
        ))}
      </div>
      {chosen !== "" && chosen === current && <Detail key={chosen} live={fronts.end(chosen)} />}
    </section>
  );
}

/** How old the reading is, by the clock of the server as it was when we heard of it. */
function Age({ seen }: { seen: SeenFront }) {
  return <p class="quiet" role="status">{readWords(seen.front, (now.value - seen.heard) / 1000)}</p>;
}

interface PortProps {
  end: Signal<LiveEnd> | undefined;
  reached: boolean;
  chosen: boolean;
  choose: (id: string) => void;
}

function Port({ end, reached, chosen, choose }: PortProps) {
  if (end === undefined) return null;
  const one = end.value;
  return (
    <button type="button" tabIndex={reached ? 0 : -1} class={`port ${toneOf(one)}`} aria-pressed={chosen}
      onClick={() => choose(one.id)}
      onFocus={() => {
        choose(one.id);
        point(one);
      }}>
      <span class="hidden">{words(one).join(", ")}</span>
      <span class="place" aria-hidden="true">{shortPlace(one)}</span>
      <span class="signs" aria-hidden="true">{signs(one)}</span>
      <span class="on" aria-hidden="true">
        {one.boards.map((board) => board.name).join(" ")}
      </span>
      <span class="holder" aria-hidden="true">
        {odd(one) ? <span class="warn">{odd(one)}</span> : one.boards.map((board) => board.claim?.principal ?? "").join(" ")}
      </span>
    </button>
  );
}

function Detail({ live }: { live: Signal<LiveEnd> | undefined }) {
  if (live === undefined) return null;
  const end = live.value;
  return (
    <div class="portdetail">
      <p>
        <b>{end.place || "its end"}</b>{" "}
        {end.kind === "power" && end.state && (
          <><Mark {...STATES[end.state]}>{end.state}</Mark>{end.watts !== null && ` ${end.watts.toFixed(1)} W`} </>
        )}
        <span class="quiet">{facts(end).join(" · ")}</span>
      </p>
      {end.boards.map((board) => <OnBoard key={board.name} board={board} power={end.kind === "power"} />)}
      {end.boards.length > 1 && end.kind === "power" && (
        <p class="warn">Two boards on one end: who switches one switches the other.</p>
      )}
      {crossed(end) && <p class="warn">{crossed(end)}</p>}
    </div>
  );
}

function OnBoard({ board, power }: { board: WiredBoard; power: boolean }) {
  return (
    <div class="actions">
      <span>
        <Link to={path("boards", board.name)}>{board.name}</Link> {board.lifecycle}
        {board.claim && <> · {board.claim.principal}{board.claim.expires && ` for ${until(board.claim.expires, now.value)}`}</>}
      </span>
      {power && board.may_switch && ["on", "off", "cycle"].map((action) => (
        <Act key={action} line={line("power", board.name, action)}
          {...(action === "on" ? {} : { sure: `Power ${action} ${board.name}, which ${board.claim?.principal ?? "nobody"} holds?` })}
          work={() => call(`${path("boards", board.name)}/power`, "POST", { action })}
          said={() => `Power ${action} of ${board.name} is asked for; what is read back is shown.`}>
          Power {action} <span class="hidden">{board.name}</span>
        </Act>
      ))}
    </div>
  );
}

function point(end: LiveEnd): void {
  const board = end.boards[0];
  show(board ? line("show", board.name) : line("equipment", end.equipment));
}

/** Everything known of an end, first what it is called and what it is for. */
export function words(end: LiveEnd): string[] {
  const power = end.kind === "power" && end.state
    ? [`${end.state}${end.watts !== null ? ` ${end.watts.toFixed(1)} W` : ""}`] : [];
  const boards = end.boards.map((board) => `${board.name} ${board.claim ? `held by ${board.claim.principal}` : board.lifecycle}`);
  return [end.place || "its end", end.kind === "network" ? "feeds nothing" : end.kind, ...power, ...boards, ...facts(end)];
}

/** What is known of an end besides its power and its boards. */
function facts(end: LiveEnd): string[] {
  const others = heardElsewhere(end);
  return [
    end.kind === "console" && end.connected !== null ? (end.connected ? "connected" : "not connected") : "",
    end.detail === end.state ? "" : end.detail,
    end.link === null ? "" : end.link ? "link up" : "no link",
    end.spanning_tree ? `spanning tree ${end.spanning_tree}` : "",
    end.pvid === null ? "" : `VLAN ${end.pvid}`,
    end.tagged.length > 0 ? `tagged ${end.tagged.join(", ")}` : "",
    others.length > 0 ? `heard there: ${others.join(", ")}` : "",
    end.stranger_count > 0
      ? `${end.stranger_count} nobody knows: ${end.strangers.join(", ")}${end.stranger_count > end.strangers.length ? " …" : ""}`
      : "",
  ].filter(Boolean);
}

/** Boards that the switch hears on a port where lab.toml has them not. */
function heardElsewhere(end: LiveEnd): string[] {
  return end.heard.filter((name) => !end.boards.some((board) => board.name === name));
}

function crossed(end: LiveEnd): string {
  const others = heardElsewhere(end);
  if (end.boards.length === 0 || others.length === 0) return "";
  return `${others.join(", ")} is heard here, and lab.toml has it elsewhere: try its wires.`;
}

/** What is not as lab.toml says, in a word or two. */
function odd(end: LiveEnd): string {
  if (crossed(end)) return `≠ ${heardElsewhere(end).join(" ")}`;
  return end.boards.length === 0 && end.stranger_count > 0 && end.kind === "power" ? "? nobody knows" : "";
}

function toneOf(end: LiveEnd): string {
  if (odd(end)) return "odd";
  if (end.kind === "power" && end.state) return end.state;
  if (end.kind === "console" && end.connected !== null) return end.connected ? "on" : "unknown";
  return "plainport";
}

function signs(end: LiveEnd): string {
  const power = end.kind === "power" && end.state ? STATES[end.state].sign : end.kind === "console" ? "▭" : "";
  const link = end.link === null ? "" : end.link ? "▲" : "△";
  return [power, link, end.watts !== null ? `${end.watts.toFixed(1)} W` : ""].filter(Boolean).join(" ");
}

function shortPlace(end: LiveEnd): string {
  return end.place.replace(/^(port|outlet|channel|relay|index|path) /, "") || end.kind;
}

function poolWords(pool: Front["pools"][number]): string {
  const limit = pool.limit === null ? "" : ` of ${Math.round(pool.limit)} W`;
  return pool.drawn === null ? "" : ` · ${pool.pool}: ${Math.round(pool.drawn)}${limit || " W"}`;
}

function readWords(front: Front, since: number): string {
  if (front.trouble && front.asked === null) return ""; // the trouble says it
  if (front.asked === null || front.age === null) return "It is being read …";
  if (!front.asked) return "It cannot be asked as a whole: what its boards' own readings told.";
  return `Read ${duration(front.age + since)} ago, once for all who look.`;
}
