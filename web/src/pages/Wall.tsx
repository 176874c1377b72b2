/** Every board of the lab, live. */
import { computed } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Me } from "../api/documents";
import { BoardRow } from "../parts/BoardRow";
import { WallChoices } from "../parts/WallChoices";
import { allBoards, followBoards, live } from "../state/boards";
import { show } from "../state/command";
import { fits, groupOf } from "../state/filter";
import { query } from "../state/route";

const NOTHING: readonly Group[] = [];
const AT_ONCE = 100; // rows drawn in one frame, more than are in sight

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
  const drawn = useGrowing(groups.value, count);
  return (
    <>
      <h1 class="hidden">Boards</h1>
      <WallChoices />
      <p class="summary" role="status">
        {live.value ? `${count} board${count === 1 ? "" : "s"}` : "Connecting …"}
      </p>
      <p class="row head" aria-hidden="true">
        <span>Board</span><span>State</span><span>Power</span><span>Held by</span><span>Doing</span>
      </p>
      {drawn.map((group) => (
        <section key={group.title}>
          {group.title && <h2>{group.title} <span class="quiet">{group.count}</span></h2>}
          <ul class="wall">
            {group.names.map((name) => <BoardRow key={name} name={name} />)}
          </ul>
        </section>
      ))}
    </>
  );
}

/** The groups as far as they are drawn: of very many rows those in sight come first, and the others frame by frame. */
function useGrowing(groups: readonly Group[], count: number): (Group & { count: number })[] {
  const [, again] = useState({});
  const last = useRef(0);
  const most = last.current + AT_ONCE;
  let left = most;
  const shown = groups.flatMap((group) => {
    const names = group.names.slice(0, left);
    left -= names.length;
    return names.length > 0 ? [{ ...group, names, count: group.names.length }] : [];
  });
  last.current = Math.min(count, most);
  useEffect(() => {
    if (last.current >= count) return undefined;
    const frame = requestAnimationFrame(() => again({}));
    return () => cancelAnimationFrame(frame);
  });
  return shown;
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
      label: words.get("label") ?? "",
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
