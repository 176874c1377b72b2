/** Which boards of the wall are looked at, and how they are grouped; the choice is in the address. */
import { computed } from "@preact/signals";
import { allBoards } from "../state/boards";
import { GROUPS, labels } from "../state/filter";
import { query, setQuery } from "../state/route";

const MOST_LABELS = 200; // a list longer than that is searched by typing

/** What there is to choose from; another value only when a word comes or goes, however often boards change. */
const words = computed(() => {
  const boards = allBoards.value;
  const sorted = (all: (string | undefined)[]): string[] =>
    [...new Set(all)].filter((one): one is string => Boolean(one)).sort();
  return JSON.stringify({
    classes: sorted(boards.map((one) => one.class)),
    states: sorted(boards.map((one) => one.lifecycle)),
    owners: sorted(boards.map((one) => one.claim?.principal)),
    labels: sorted(boards.flatMap(labels)).slice(0, MOST_LABELS),
  });
});

export function WallChoices() {
  const there = JSON.parse(words.value) as Record<"classes" | "states" | "owners" | "labels", string[]>;
  return (
    <form class="choices" role="search" onSubmit={(event) => event.preventDefault()}>
      <label>
        Find
        <input type="search" placeholder="name, label=value, owner" value={query.value.get("q") ?? ""}
          onInput={(event) => setQuery("q", event.currentTarget.value)} />
      </label>
      <Pick name="class" title="Class" none="any" words={there.classes} />
      <Pick name="state" title="State" none="any" words={there.states} />
      {there.labels.length > 0 && <Pick name="label" title="Label" none="any" words={there.labels} />}
      <Pick name="owner" title="Held by" none="anybody" words={["me", "nobody", ...there.owners]} />
      <Pick name="group" title="Group by" none="class" words={[...GROUPS.filter((one) => one !== "class"), "nothing"]} />
    </form>
  );
}

function Pick({ name, title, none, words: offered }: { name: string; title: string; none: string; words: string[] }) {
  const chosen = query.value.get(name) ?? "";
  // What the address asks for is shown, also when there is none of it now.
  const all = chosen && !offered.includes(chosen) ? [...offered, chosen] : offered;
  return (
    <label>
      {title}
      <select value={chosen} onChange={(event) => setQuery(name, event.currentTarget.value)}>
        <option value="">{none}</option>
        {all.map((word) => <option key={word} value={word}>{word}</option>)}
      </select>
    </label>
  );
}
