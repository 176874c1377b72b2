/** Every board of the lab, live. */
import { computed } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Board, Me } from "../api/documents";
import { Link } from "../parts/Link";
import { RunBar, isActive } from "../parts/RunBar";
import { Health, Lifecycle, Power } from "../parts/States";
import { allBoards, followBoards, live, seen } from "../state/boards";
import { now } from "../state/clock";
import { show } from "../state/command";
import { fits, groupOf, GROUPS } from "../state/filter";
import { query, setQuery } from "../state/route";
import { until } from "../words/amounts";

const NOTHING: readonly Group[] = [];

interface Group {
  title: string;
  names: readonly string[];
}

export function Wall({ who }: { who: Me }) {
  useEffect(() => {
    show("hostler boards");
    return followBoards();
  }, []);
  const groups = useMemo(() => shownGroups(who), [who]);
  const count = groups.value.reduce((sum, group) => sum + group.names.length, 0);
  return (
    <>
      <h1 class="hidden">Boards</h1>
      <Choices />
      <p class="summary" role="status">
        {live.value ? `${count} board${count === 1 ? "" : "s"}` : "Connecting …"}
      </p>
      <p class="row head" aria-hidden="true">
        <span>Board</span><span>State</span><span>Power</span><span>Held by</span><span>Doing</span>
      </p>
      {groups.value.map((group) => (
        <section key={group.title}>
          {group.title && <h2>{group.title} <span class="quiet">{group.names.length}</span></h2>}
          <ul class="wall">
            {group.names.map((name) => <Row key={name} name={name} />)}
          </ul>
        </section>
      ))}
    </>
  );
}

/** Recomputed with every change of a board, but another value only when a row comes, goes or moves. */
function shownGroups(who: Me) {
  let last = NOTHING;
  return computed(() => {
    const words = query.value;
    const by = words.get("group") ?? "class";
    const choice = {
      words: words.get("q") ?? "",
      boardClass: words.get("class") ?? "",
      lifecycle: words.get("state") ?? "",
      owner: words.get("owner") ?? "",
    };
    const found = new Map<string, string[]>();
    for (const board of allBoards.value) {
      if (!fits(board, choice, who)) continue;
      const title = groupOf(board, by);
      const names = found.get(title);
      if (names) names.push(board.name);
      else found.set(title, [board.name]);
    }
    const next = [...found].sort(([a], [b]) => a.localeCompare(b)).map(([title, names]) => ({ title, names }));
    if (!same(last, next)) last = next;
    return last;
  });
}

function same(a: readonly Group[], b: readonly Group[]): boolean {
  return a.length === b.length && a.every((group, place) => {
    const other = b[place];
    return other !== undefined && group.title === other.title && group.names.length === other.names.length &&
      group.names.every((name, at) => name === other.names[at]);
  });
}

const kinds = computed(() => {
  const boards = allBoards.value;
  const sorted = (words: string[]): string => [...new Set(words)].sort().join("\n");
  return `${sorted(boards.map((one) => one.class))}\n\n${sorted(boards.map((one) => one.lifecycle))}`;
});

function Choices() {
  const [classes = "", states = ""] = kinds.value.split("\n\n");
  return (
    <form class="choices" role="search" onSubmit={(event) => event.preventDefault()}>
      <label>
        Find
        <input type="search" placeholder="name, label=value, owner" value={query.value.get("q") ?? ""}
          onInput={(event) => setQuery("q", event.currentTarget.value)} />
      </label>
      <Pick name="class" title="Class" none="any" words={classes.split("\n")} />
      <Pick name="state" title="State" none="any" words={states.split("\n")} />
      <Pick name="owner" title="Held by" none="anybody" words={["me", "nobody"]} />
      <Pick name="group" title="Group by" none="class" words={[...GROUPS.filter((one) => one !== "class"), "nothing"]} />
    </form>
  );
}

function Pick({ name, title, none, words }: { name: string; title: string; none: string; words: string[] }) {
  return (
    <label>
      {title}
      <select value={query.value.get(name) ?? ""} onChange={(event) => setQuery(name, event.currentTarget.value)}>
        <option value="">{none}</option>
        {words.filter(Boolean).map((word) => <option key={word} value={word}>{word}</option>)}
      </select>
    </label>
  );
}

/** Drawn again only when its own board changes: it reads no other signal. */
function Row({ name }: { name: string }) {
  const one = seen(name)?.value;
  if (!one) return null;
  const board = one.board;
  return (
    <li class="row">
      <span class="name">
        <Link to={`/boards/${encodeURIComponent(name)}`}>{name}</Link>
        <Labels board={board} />
      </span>
      <span class="state"><Lifecycle board={board} /> <Health board={board} /></span>
      <span class="power"><span class="onlyword">power </span><Power board={board} /></span>
      <span class="holder"><Holder board={board} /></span>
      <span class="doing">
        {board.run && (isActive(board.run) || board.claim) && <RunBar run={board.run} rate={one.rate} />}
        {board.reason && <span class="quiet">{board.reason}</span>}
      </span>
    </li>
  );
}

function Labels({ board }: { board: Board }) {
  const labels = Object.entries(board.labels);
  return labels.length === 0 ? null : (
    <span class="labels">{labels.map(([key, value]) => `${key}=${value}`).join(" ")}</span>
  );
}

export function Holder({ board }: { board: Board }) {
  const claim = board.claim;
  if (!claim) return null;
  return (
    <>
      {claim.principal}
      {claim.expires && <span class="quiet"> for <Left to={claim.expires} /></span>}
    </>
  );
}

function Left({ to }: { to: string }) {
  return <>{until(to, now.value)}</>;
}
