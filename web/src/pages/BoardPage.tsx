/** One board: what it is, what it does, what it did, and its console. */
import type { ComponentChildren, ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { path } from "../api/call";
import type { Board, Claim, Me } from "../api/documents";
import { BoardActions } from "../parts/BoardActions";
import { BoardHistory } from "../parts/BoardHistory";
import { BootStory } from "../parts/BootStory";
import { Facts } from "../parts/Facts";
import { HealthHistory } from "../parts/HealthHistory";
import { Link } from "../parts/Link";
import { RunBar } from "../parts/RunBar";
import { Health, Lifecycle, Power } from "../parts/States";
import { Wiring } from "../parts/Wiring";
import { useBoard } from "../state/board";
import { outcome, show } from "../state/command";
import { useFetched } from "../state/fetched";
import { mayUse } from "../state/session";
import { line } from "../words/shell";
import { Holder } from "../parts/BoardRow";

export function BoardPage({ who, name }: { who: Me; name: string }) {
  const seen = useBoard(name);
  const first = useFetched<Board>(path("boards", name));
  const board = seen?.board ?? first.value;
  const claim = useFetched<Claim>(board?.claim ? path("claims", board.claim.id) : null);
  useEffect(() => show(line("show", name)), [name]);
  useEffect(() => claim.again(), [board?.claim?.expires, board?.lifecycle]);
  if (!board) return <p role="status">{first.trouble || "Asking …"}</p>;
  return (
    <article class="board">
      <p class="crumb"><Link to="/">Boards</Link></p>
      <h1>{board.name}</h1>
      <p class="now">
        <Lifecycle board={board} /> <Health board={board} /> <Holder board={board} />
        <span class="quiet">{board.class} · {board.platform} · {board.network}</span>
      </p>
      {board.reason && <p>{board.reason}</p>}
      <p class="now">Power: <Power board={board} /> <span class="quiet">{powerWords(board)}</span></p>
      {board.run && <p class="now"><RunBar run={board.run} rate={seen?.rate ?? null} /></p>}
      <BoardActions who={who} board={board} claim={claim.value} />
      <Section title="Last boot"><BootStory board={board} /></Section>
      {board.console !== null && (
        <Section title="Console">
          <ConsoleDoor name={name} claim={board.claim?.id ?? null} waiting={claim.waiting && !claim.value}
            mayType={claim.value ? mayUse(who, claim.value) : who.role === "admin"} />
        </Section>
      )}
      <Section title="Wires"><Wiring board={board} /></Section>
      <Section title="Facts"><Facts board={board} /></Section>
      <Section title="Health"><HealthHistory board={board} who={who} /></Section>
      <Section title="History"><BoardHistory board={board} /></Section>
    </article>
  );
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return <section><h2>{title}</h2>{children}</section>;
}

interface DoorProps {
  name: string;
  mayType: boolean;
  claim: string | null;
}

/**
 * The terminal is larger than all the rest and most who look at a board open none: it is fetched when asked for.
 *
 * While it is not known yet whether they may type, it cannot be opened: it would be joined twice.
 */
function ConsoleDoor({ name, mayType, claim, waiting }: DoorProps & { waiting: boolean }) {
  const [Terminal, setTerminal] = useState<ComponentType<DoorProps & { close: () => void }> | null>(null);
  const point = (): void => show(line("console", name));
  async function open(): Promise<void> {
    try {
      const loaded = await import("../console/Console");
      setTerminal(() => loaded.Console);
    } catch {
      outcome.value = { good: false, text: "The terminal could not be fetched; load the page again." };
    }
  }
  if (Terminal) return <Terminal name={name} mayType={mayType} claim={claim} close={() => setTerminal(null)} />;
  return (
    <button type="button" disabled={waiting} onFocus={point} onMouseEnter={point} onClick={() => void open()}>
      Open the console
    </button>
  );
}

function powerWords(board: Board): string {
  const power = board.power;
  if (power.error) return power.error;
  if (power.waits) return `waits: ${power.waits}`;
  return power.as_asked ? power.detail : `wanted ${power.desired}`;
}
