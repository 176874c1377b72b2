/** What a board is made of. */
import { type Board, isObject } from "../api/documents";

export function Facts({ board }: { board: Board }) {
  const rows: [string, string][] = [
    ["MACs", board.macs.join(", ")],
    ["address", board.address ?? ""],
    ["serial", board.serial ?? ""],
    ["UUID", board.uuid ?? ""],
    ...Object.entries(board.labels).map(([key, value]): [string, string] => [`label ${key}`, value]),
    ...Object.entries(board.facts).map(([key, value]): [string, string] => [key, words(value)]),
  ];
  return (
    <dl class="facts">
      {rows.filter(([, value]) => value).map(([key, value], at) => (
        <div key={at}><dt>{key}</dt><dd>{value}</dd></div>
      ))}
    </dl>
  );
}

/** Return a fact of any shape on one line. */
function words(value: unknown): string {
  if (Array.isArray(value)) return value.map(words).join("; ");
  if (isObject(value)) return Object.entries(value).map(([key, one]) => `${key} ${words(one)}`).join(", ");
  return value === null || value === undefined ? "" : String(value);
}
