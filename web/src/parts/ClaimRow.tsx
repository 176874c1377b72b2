/** A claim: who, what, until when, or which place in the queue; and what may be done with it. */
import { useState } from "preact/hooks";
import { call, path } from "../api/call";
import type { Claim, Me } from "../api/documents";
import { minute, timeUntil } from "../state/clock";
import { mayControl } from "../state/session";
import { duration, moment, until } from "../words/amounts";
import { line } from "../words/shell";
import { Act } from "./Act";
import { kept } from "./kept";
import { Link } from "./Link";
import { Mark } from "./States";

const STATES = {
  pending: { sign: "…", tone: "warn" },
  active: { sign: "●", tone: "busy" },
  releasing: { sign: "↺", tone: "busy" },
  closed: { sign: "–", tone: "quiet" },
} as const;

export const ClaimRow = kept(({ claim, who }: { claim: Claim; who: Me }) => {
  const { sign, tone } = STATES[claim.state];
  return (
    <li class="claim">
      <span class="name">{claim.name || claim.id} <span class="labels">{claim.principal}, {claim.project}</span></span>
      <Mark sign={sign} tone={tone}>{claim.state}</Mark>
      <span>
        {claim.boards.length > 0 ? claim.boards.map((board) => (
          <span key={board}><Link to={`/boards/${encodeURIComponent(board)}`}>{board}</Link> </span>
        )) : wanted(claim)}
      </span>
      <span class="quiet"><When claim={claim} /></span>
      {mayControl(who, claim) && claim.state !== "closed" && claim.state !== "releasing" && (
        <ClaimActions claim={claim} />
      )}
    </li>
  );
});

function ClaimActions({ claim }: { claim: Claim }) {
  const at = path("claims", claim.id);
  const active = claim.state === "active";
  return (
    <span class="actions">
      {active && (
        <Act line={line("extend", claim.id, "--by", "1h")} said={() => "An hour longer."}
          work={() => call(`${at}/extend`, "POST", { by: "1h" })}>
          Extend by 1 hour
        </Act>
      )}
      <Act line={line("release", claim.id)} work={() => call(at, "DELETE")}
        {...(active ? { sure: `Release ${claim.boards.join(", ")}? Every disk is wiped.` } : {})}
        said={() => (active ? "It is wiped and then free." : "Taken back.")}>
        {active ? "Release" : "Take back"}
      </Act>
      {active && <Sharing claim={claim} />}
    </span>
  );
}

function Sharing({ claim }: { claim: Claim }) {
  const [user, setUser] = useState("");
  const [sharing, setSharing] = useState<"read" | "write">("write");
  const shares = `${path("claims", claim.id)}/shares`;
  const with_ = Object.entries(claim.shares ?? {});
  return (
    <details>
      <summary>Share{with_.length > 0 && ` (${with_.length})`}</summary>
      <span class="actions">
        {with_.map(([name, what]) => (
          <Act key={name} line={line("unshare", claim.id, name)} said={() => `No longer shared with ${name}.`}
            work={() => call(`${shares}${path(name)}`, "DELETE")}>
            Not with {name} ({what})
          </Act>
        ))}
        <label>
          With
          <input value={user} spellcheck={false} autocapitalize="off" onInput={(event) => setUser(event.currentTarget.value)} />
        </label>
        <label>
          to
          <select value={sharing}
            onChange={(event) => setSharing(event.currentTarget.value === "read" ? "read" : "write")}>
            <option value="write">use it</option>
            <option value="read">look on</option>
          </select>
        </label>
        <Act line={line("share", claim.id, user || "USER", sharing === "read" ? "--read-only" : "")} disabled={!user}
          work={() => call(`${shares}${path(user)}`, "PUT", { sharing })} said={() => `Shared with ${user}.`}>
          Share
        </Act>
        <Act line={line("hand-over", claim.id, user || "USER")} disabled={!user} sure={`Make it ${user}'s claim?`}
          work={() => call(`${path("claims", claim.id)}/hand-over`, "POST", { to: user })} said={() => `It is ${user}'s.`}>
          Hand over
        </Act>
      </span>
    </details>
  );
}

/** Apart from its row, as it is another one with the time. */
function When({ claim }: { claim: Claim }) {
  const end = claim.state === "active" ? claim.expires : claim.start;
  return <>{when(claim, end ? timeUntil(end) : minute.value)}</>;
}

function wanted(claim: Claim): string {
  return (claim.wants ?? [])
    .map((want) => [want.board, want.class, ...want.labels].filter(Boolean).join(","))
    .join(" and ");
}

function when(claim: Claim, now: number): string {
  if (claim.state === "pending") {
    if (claim.start && Date.parse(claim.start) > now) {
      return `booked from ${moment(claim.start, now)}${claim.ttl ? ` for ${duration(claim.ttl)}` : ""}`;
    }
    const place = claim.position ? `number ${claim.position} in the queue` : "waits";
    return `${place}${claim.estimate ? `, about ${moment(claim.estimate, now)}` : ""}`;
  }
  if (claim.state === "active" && claim.expires) {
    return `until ${moment(claim.expires, now)}, ${until(claim.expires, now)} left`;
  }
  return claim.reason ?? "";
}
