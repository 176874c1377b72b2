/** Putting a system on a board: one image, the usual steps. */
import { useState } from "preact/hooks";
import { call, path } from "../api/call";
import type { Board, Image, Run } from "../api/documents";
import { useDryRun } from "../state/dry_run";
import { line } from "../words/shell";
import { Act } from "./Act";
import { DryVerdict } from "./PlanEditor";

export function Deploy({ board, images }: { board: Board; images: readonly Image[] }) {
  const [picked, setPicked] = useState("");
  const image = picked || (images[0]?.name ?? "");
  const at = `${path("boards", board.name)}/deploy`;
  const verdict = useDryRun(at, image ? { image } : null);
  if (images.length === 0) return null;
  return (
    <>
      <div class="actions">
        <label>
          Image
          <select value={image} onChange={(event) => setPicked(event.currentTarget.value)}>
            {images.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
          </select>
        </label>
        <Act line={line("deploy", board.name, image)} said={() => "It is being installed."} disabled={verdict.good === false}
          work={() => call<Run>(at, "POST", { image })}>
          Deploy
        </Act>
      </div>
      {verdict.good === false && <DryVerdict verdict={verdict} />}
    </>
  );
}
