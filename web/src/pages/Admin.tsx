/** Who may do what: people, projects, tokens, ssh keys, hooks, and who holds what. Everybody sees what is theirs to see. */
import { useEffect } from "preact/hooks";
import type { Me } from "../api/documents";
import { Holdings } from "../parts/admin/Holdings";
import { Hooks } from "../parts/admin/Hooks";
import { Keys } from "../parts/admin/Keys";
import { People } from "../parts/admin/People";
import { Projects } from "../parts/admin/Projects";
import { Tokens } from "../parts/admin/Tokens";
import { Link } from "../parts/Link";
import { show } from "../state/command";
import { query } from "../state/route";
import "../style/lab.css";

const PARTS = [
  { word: "", title: "People", line: "hostler principal list", Part: People },
  { word: "projects", title: "Projects", line: "hostler project list", Part: Projects },
  { word: "tokens", title: "Tokens", line: "hostler token list", Part: Tokens },
  { word: "keys", title: "ssh keys", line: "hostler key list", Part: Keys },
  { word: "hooks", title: "Hooks", line: "hostler hook list", Part: Hooks },
  { word: "holdings", title: "Who holds what", line: "hostler claims", Part: Holdings },
] as const;

export function Admin({ who }: { who: Me }) {
  const word = query.value.get("part") ?? "";
  const parts = PARTS.filter((one) => one.Part !== Hooks || who.role === "admin");
  const chosen = parts.find((one) => one.word === word) ?? PARTS[0];
  useEffect(() => show(chosen.line), [chosen]);
  return (
    <>
      <h1>Who may do what</h1>
      <nav class="units" aria-label="Parts">
        {parts.map((one) => (
          <Link key={one.word} to={one.word ? `/admin?part=${one.word}` : "/admin"} current={one === chosen}>{one.title}</Link>
        ))}
        <Link to="/events?audit=yes">Audit</Link>
      </nav>
      <chosen.Part who={who} />
    </>
  );
}
