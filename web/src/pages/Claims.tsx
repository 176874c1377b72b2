/** Who holds and waits for what, and claiming boards of a class. */
import { useEffect, useState } from "preact/hooks";
import type { BoardClass, Claim, Me, Span } from "../api/documents";
import { follow } from "../api/stream";
import { Calendar } from "../parts/Calendar";
import { ClaimRow } from "../parts/ClaimRow";
import { ClassRow } from "../parts/ClassRow";
import { show } from "../state/command";
import { useFetched } from "../state/fetched";

const MOST = 50; // claims of a list that are shown before somebody asks for all
const GATHER_SECONDS = 0.2; // many claims may change at once, and are asked for together

export function Claims({ who }: { who: Me }) {
  const claims = useFetched<Claim[]>("/claims");
  const classes = useFetched<BoardClass[]>("/classes");
  const calendar = useFetched<Span[]>("/calendar");
  useEffect(() => {
    show("hostler claims");
    let timer: number | undefined;
    const look = (): void => {
      window.clearTimeout(timer);
      timer = window.setTimeout(() => {
        claims.again();
        classes.again();
        calendar.again();
      }, GATHER_SECONDS * 1000);
    };
    const heard = (kind: string): void => {
      // A board that is free again moves the queue, too.
      if (kind.startsWith("claim.") || kind.startsWith("board.")) look();
    };
    const end = follow("/events", { follow: "true" }, heard, (live) => live && look());
    return () => {
      window.clearTimeout(timer);
      end();
    };
  }, []);
  const all = claims.value ?? [];
  const mine = all.filter((claim) => claim.principal === who.name);
  const rest = all.filter((claim) => claim.principal !== who.name);
  return (
    <>
      <h1>Claims</h1>
      {claims.trouble && <p class="bad" role="alert">{claims.trouble}</p>}
      <List title="Yours" none="You hold nothing and wait for nothing." claims={mine} who={who} />
      <section>
        <h2>Claim</h2>
        <ul class="classes">
          {(classes.value ?? []).map((one) => <ClassRow key={one.name} who={who} one={one} done={claims.again} />)}
        </ul>
      </section>
      <Calendar who={who} classes={classes.value ?? []} spans={calendar.value ?? []} booked={calendar.again} />
      <List title="Others" none="Nobody else holds or waits for anything." claims={rest} who={who} />
    </>
  );
}

interface ListProps {
  title: string;
  none: string;
  claims: Claim[];
  who: Me;
}

function List({ title, none, claims, who }: ListProps) {
  const [all, setAll] = useState(false);
  const shown = all ? claims : claims.slice(0, MOST);
  return (
    <section>
      <h2>{title} <span class="quiet">{claims.length}</span></h2>
      {claims.length === 0 ? <p class="quiet">{none}</p> : (
        <ul class="claims">{shown.map((claim) => <ClaimRow key={claim.id} claim={claim} who={who} />)}</ul>
      )}
      {shown.length < claims.length && (
        <button type="button" onClick={() => setAll(true)}>Show all {claims.length}<span class="hidden"> claims: {title}</span></button>
      )}
    </section>
  );
}
