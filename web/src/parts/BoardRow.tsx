/** A board on the wall: its three axes, who has it, what it does, and what its console said last. */
import type { Board } from "../api/documents";
import { lastLine, seen } from "../state/boards";
import { timeUntil } from "../state/clock";
import { labels } from "../state/filter";
import { moment, until } from "../words/amounts";
import { Link } from "./Link";
import { RunBar, isActive } from "./RunBar";
import { Health, Lifecycle, Power } from "./States";

/** Drawn again only when its own board changes: it reads no other signal. */
export function BoardRow({ name }: { name: string }) {
  const one = seen(name)?.value;
  if (!one) return null;
  const board = one.board;
  return (
    <li class="row">
      <span class="name">
        <Link to={`/boards/${encodeURIComponent(name)}`}>{name}</Link>
        {labels(board).length > 0 && <span class="labels">{labels(board).join(" ")}</span>}
      </span>
      <span class="state"><Lifecycle board={board} /> <Health board={board} /></span>
      <span class="power"><span class="onlyword">power </span><Power board={board} /></span>
      <span class="holder"><Holder board={board} /></span>
      <span class="doing">
        {board.run && (isActive(board.run) || board.claim) && <RunBar run={board.run} rate={one.rate} />}
        {board.reason && <span class="quiet">{board.reason}</span>}
        <LastLine name={name} />
      </span>
    </li>
  );
}

function LastLine({ name }: { name: string }) {
  const line = lastLine(name).value;
  return line ? <span class="said"><span class="hidden">console: </span><code>{line}</code></span> : null;
}

/** Who has a board and until when. */
export function Holder({ board }: { board: Board }) {
  const claim = board.claim;
  if (!claim) return null;
  return (
    <>
      {claim.principal}
      {claim.expires && <span class="quiet"> <Left to={claim.expires} /></span>}
    </>
  );
}

function Left({ to }: { to: string }) {
  const now = timeUntil(to);
  return <>until {moment(to, now)}, {until(to, now)}</>;
}
