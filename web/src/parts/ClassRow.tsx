/** A class of boards, and claiming one of them: now, or in the queue when none is free. */
import { useState } from "preact/hooks";
import { call } from "../api/call";
import type { BoardClass, Claim, Me } from "../api/documents";
import { mayClaim } from "../state/session";
import { line } from "../words/shell";
import { Act } from "./Act";
import { Mark } from "./States";

const TIMES = ["30m", "1h", "2h", "8h", "1d"];

interface ClassRowProps {
  who: Me;
  one: BoardClass;
  done: () => void;
}

export function ClassRow({ who, one, done }: ClassRowProps) {
  const [ttl, setTtl] = useState("2h");
  const free = one.available > 0;
  async function claim(): Promise<Claim> {
    const made = await call<Claim>("/claims", "POST", { class: one.name, ttl, wait: true });
    done();
    return made;
  }
  return (
    <li class="row">
      <span class="name">{one.name}<span class="labels">{one.platform}</span></span>
      <span>
        {free ? <Mark sign="✓" tone="good">{`${one.available} of ${one.boards} free`}</Mark>
          : <Mark sign="○" tone="quiet">{`none of ${one.boards} free`}</Mark>}
        {one.waiting > 0 && <span class="quiet"> {one.waiting} waiting</span>}
      </span>
      {mayClaim(who) && (
        <span class="actions">
          <label>
            <span class="hidden">how long, {one.name}</span>
            <select value={ttl} onChange={(event) => setTtl(event.currentTarget.value)}>
              {TIMES.map((time) => <option key={time} value={time}>{time}</option>)}
            </select>
          </label>
          <Act line={line("claim", one.name, "--ttl", ttl, free ? "" : "--wait")} work={claim} said={outcome}>
            {free ? "Claim" : "Queue"} <span class="hidden">{one.name}</span>
          </Act>
        </span>
      )}
    </li>
  );
}

function outcome(claim: Claim): string {
  if (claim.state === "active") return `${claim.boards.join(", ")} is yours.`;
  return claim.position ? `You are number ${claim.position} in the queue.` : "You are in the queue.";
}
