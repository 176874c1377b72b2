/** Switches, PDUs and serial servers: the front of each, and who is on every end. */
import { useEffect, useState } from "preact/hooks";
import type { EquipmentRow, Me } from "../api/documents";
import { FrontPanel, words } from "../parts/FrontPanel";
import { Link } from "../parts/Link";
import { show } from "../state/command";
import { useFetched } from "../state/fetched";
import { type Fronts, useFronts } from "../state/fronts";
import { query } from "../state/route";
import { line } from "../words/shell";
import "../style/lab.css";

const AT_ONCE = 6; // fronts shown before somebody chooses: each is read while it is in sight

export function Switches({ who }: { who: Me }) {
  const units = useFetched<EquipmentRow[]>("/equipment");
  const chosen = query.value.get("unit") ?? "";
  useEffect(() => show(line("equipment", chosen)), [chosen]);
  const all = units.value ?? [];
  const shown = chosen ? all.filter((unit) => unit.name === chosen) : all.slice(0, AT_ONCE);
  const fronts = useFronts(shown.map((unit) => unit.name), units.again);
  const live = shown.length === 0 || fronts.live.value;
  return (
    <>
      <h1>Switches <span class="quiet">{live ? `and other equipment, ${all.length}` : "Connecting …"}</span></h1>
      {units.trouble && <p class="bad" role="alert">{units.trouble}</p>}
      {units.value?.length === 0 && <p>No equipment is in lab.toml: boards have wires of their own, or none.</p>}
      {all.length > 1 && (
        <nav class="units" aria-label="Equipment">
          <Link to="/switches" current={chosen === ""}>{all.length > AT_ONCE ? `first ${AT_ONCE}` : "all"}</Link>
          {all.map((unit) => (
            <Link key={unit.name} to={`/switches?${new URLSearchParams({ unit: unit.name })}`} current={unit.name === chosen}>
              {unit.name} <span class="quiet">{unit.boards}</span>
            </Link>
          ))}
        </nav>
      )}
      {who.role !== "admin" && all.length > 0 && (
        <p class="quiet">Where each board is plugged in is for admins; you see which boards hang on what.</p>
      )}
      {chosen && units.value && shown.length === 0 && <p class="bad" role="alert">There is no equipment “{chosen}”.</p>}
      {shown.map((unit) => <Shown key={unit.name} name={unit.name} fronts={fronts} />)}
    </>
  );
}

function Shown({ name, fronts }: { name: string; fronts: Fronts }) {
  const [open, setOpen] = useState(false);
  const seen = fronts.front(name).value;
  if (seen === null) return <p class="bad">There is no equipment “{name}” any more.</p>;
  if (seen === undefined) return <p role="status">Asking for {name} …</p>;
  return (
    <>
      <FrontPanel fronts={fronts} seen={seen} />
      <details class="astable" onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{name} as a table</summary>
        {open && (
          <div class="scroll" role="region" aria-label={`Ends of ${name} as a table`} tabIndex={0}>
            <table>
              <thead><tr><th scope="col">End</th><th scope="col">For</th><th scope="col">What is known</th></tr></thead>
              <tbody>{seen.front.ends.map((id) => <TableRow key={id} id={id} fronts={fronts} />)}</tbody>
            </table>
          </div>
        )}
      </details>
    </>
  );
}

function TableRow({ id, fronts }: { id: string; fronts: Fronts }) {
  const end = fronts.end(id);
  if (end === undefined) return null;
  const [place, kind, ...rest] = words(end.value);
  return <tr><th scope="row">{place}</th><td>{kind}</td><td>{rest.join(" · ")}</td></tr>;
}
