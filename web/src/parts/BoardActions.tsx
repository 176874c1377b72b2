/** What may be done with a board: claim it, switch it, put a system on it, give it back. */
import { useState } from "preact/hooks";
import { call, path } from "../api/call";
import type { Board, Claim, Image, Me, Run } from "../api/documents";
import { useFetched } from "../state/fetched";
import { mayClaim, mayControl, mayUse } from "../state/session";
import { show } from "../state/command";
import { line } from "../words/shell";
import { Act } from "./Act";
import { isActive } from "./RunBar";

interface BoardActionsProps {
  who: Me;
  board: Board;
  claim: Claim | undefined;
}

export function BoardActions({ who, board, claim }: BoardActionsProps) {
  const mine = claim ? mayUse(who, claim) : who.role === "admin";
  const idle = !isActive(board.run);
  return (
    <>
      <div class="actions">
        {board.lifecycle === "available" && mayClaim(who) && (
          <Act line={line("claim", "--board", board.name, "--ttl", "2h")}
            work={() => call("/claims", "POST", { board: board.name, ttl: "2h" })} said={() => "It is yours for 2 hours."}>
            Claim for 2 hours
          </Act>
        )}
        {mine && board.bindings.some((wire) => wire.kind === "power") && ["on", "off", "cycle"].map((action) => (
          <Act key={action} line={line("power", board.name, action)} disabled={!idle}
            work={() => call(`${path("boards", board.name)}/power`, "POST", { action })}
            said={() => `Power ${action} is asked for; what is read back is shown.`}>
            Power {action}
          </Act>
        ))}
        {claim && mayControl(who, claim) && claim.state === "active" && (
          <>
            <Act line={line("extend", claim.id, "--by", "1h")}
              work={() => call(`${path("claims", claim.id)}/extend`, "POST", { by: "1h" })}
              said={() => "An hour longer."}>
              Extend by 1 hour
            </Act>
            <Act line={line("release", claim.id)} sure={`Release ${claim.boards.join(", ")}? Every disk is wiped.`}
              work={() => call(path("claims", claim.id), "DELETE")} said={() => "It is wiped and then free."}>
              Release
            </Act>
          </>
        )}
        {who.role === "admin" && board.lifecycle === "quarantined" && (
          <Act line={line("recover", board.name)} work={() => call(`${path("boards", board.name)}/recover`, "POST")}
            said={() => "It is wiped once more."}>
            Recover
          </Act>
        )}
        {mine && board.run && isActive(board.run) && <CancelRun run={board.run} />}
      </div>
      {mine && claim && idle && <Deploy board={board} />}
      {mine && claim && idle && <PlanForm board={board} />}
    </>
  );
}

function CancelRun({ run }: { run: Run }) {
  return (
    <Act line={line("run", run.board, "--cancel")} work={() => call(path("runs", run.id), "DELETE")}
      said={() => "It is called off."}>
      Cancel the run
    </Act>
  );
}

function Deploy({ board }: { board: Board }) {
  const images = useFetched<Image[]>("/images");
  const [picked, setPicked] = useState("");
  const fitting = (images.value ?? []).filter((one) => one.platforms.includes(board.platform));
  const image = picked || (fitting[0]?.name ?? "");
  if (fitting.length === 0) return null;
  return (
    <div class="actions">
      <label>
        Image
        <select value={image} onChange={(event) => setPicked(event.currentTarget.value)}>
          {fitting.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
        </select>
      </label>
      <Act line={line("deploy", board.name, image)} said={() => "It is being installed."}
        work={() => call<Run>(`${path("boards", board.name)}/deploy`, "POST", { image })}>
        Deploy
      </Act>
    </div>
  );
}

function PlanForm({ board }: { board: Board }) {
  const [plan, setPlan] = useState("");
  const add = (step: string): void => setPlan((last) => (last ? `${last},${step}` : step));
  const command = line("run", board.name, plan || "STEP,STEP");
  return (
    <div class="actions">
      <label>
        Plan
        <input value={plan} placeholder="wipe,install:debian,boot" spellcheck={false} autocapitalize="off"
          onInput={(event) => {
            setPlan(event.currentTarget.value);
            show(line("run", board.name, event.currentTarget.value));
          }} />
      </label>
      <span class="steps" role="group" aria-label="Add a step">
        {["discover", "wipe", "install:", "boot"].map((step) => (
          <button key={step} type="button" class="plain" onClick={() => add(step)}>+ {step}</button>
        ))}
      </span>
      <Act line={command} disabled={!plan} said={() => "It has begun."}
        work={() => call<Run>(`${path("boards", board.name)}/runs`, "POST", { plan })}>
        Run
      </Act>
    </div>
  );
}
