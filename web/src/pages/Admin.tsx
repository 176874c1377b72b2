/** Who may do what: people, projects, tokens, and who holds what. Everybody sees what is theirs to see. */
import { useEffect } from "preact/hooks";
import type { Me } from "../api/documents";
import { Holdings } from "../parts/admin/Holdings";
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
  { word: "holdings", title: "Who holds what", line: "hostler claims", Part: Holdings },
] as const;

export function Admin({ who }: { who: Me }) {
  const word = query.value.get("part") ?? "";
  const chosen = PARTS.find((one) => one.word === word) ?? PARTS[0];
  useEffect(() => show(chosen.line), [chosen]);
  return (
    <>
      <h1>Who may do what</h1>
      <nav class="units" aria-label="Parts">
        {PARTS.map((one) => (
          <Link key={one.word} to={one.word ? `/admin?part=${one.word}` : "/admin"} current={one === chosen}>{one.title}</Link>
        ))}
        <Link to="/events?audit=yes">Audit</Link>
      </nav>
      <chosen.Part who={who} />
    </>
  );
}
