/** Who holds what, and until when; an admin may end a claim. */
import { call, path } from "../../api/call";
import type { Claim, Me } from "../../api/documents";
import { now } from "../../state/clock";
import { useFetched } from "../../state/fetched";
import { until } from "../../words/amounts";
import { line } from "../../words/shell";
import { Act } from "../Act";
import { Link } from "../Link";

export function Holdings({ who }: { who: Me }) {
  const claims = useFetched<Claim[]>("/claims");
  const held = (claims.value ?? []).filter((one) => one.boards.length > 0 && one.state !== "closed");
  const people = [...new Set(held.map((one) => one.principal))].sort();
  return (
    <section aria-labelledby="holdings">
      <h2 id="holdings">Who holds what <span class="quiet">{held.reduce((sum, one) => sum + one.boards.length, 0)} boards</span></h2>
      {claims.trouble && <p class="bad" role="alert">{claims.trouble}</p>}
      {people.length === 0 && <p class="quiet">Nobody holds anything.</p>}
      <ul class="plainrows">
        {people.flatMap((name) => held.filter((one) => one.principal === name)).map((claim) => (
          <li key={claim.id}>
            <span class="name">{claim.principal}</span>
            <span>{claim.boards.map((board) => <span key={board}><Link to={path("boards", board)}>{board}</Link> </span>)}</span>
            <span class="quiet">
              {claim.project} · {claim.state}{claim.expires && ` · ${until(claim.expires, now.value)} left`}
            </span>
            {who.role === "admin" && claim.state === "active" && (
              <span class="actions">
                <Act line={line("kick", claim.id)} sure={`End the claim of ${claim.principal} on ${claim.boards.join(", ")}? Every disk is wiped.`}
                  work={async () => {
                    await call(`${path("claims", claim.id)}/kick`, "POST", {});
                    claims.again();
                  }}
                  said={() => "It is ended; the boards are wiped."}>
                  End <span class="hidden">{claim.principal}'s claim {claim.id}</span>
                </Act>
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
