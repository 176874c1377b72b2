/** What may be done with a board: claim it, switch it, put a system on it, give it back. */
import { call, path } from "../api/call";
import type { Board, Claim, Image, Me, Run } from "../api/documents";
import { useFetched } from "../state/fetched";
import { mayClaim, mayControl, mayUse } from "../state/session";
import { line } from "../words/shell";
import { Act } from "./Act";
import { Deploy } from "./Deploy";
import { PlanEditor } from "./PlanEditor";
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
      {mine && claim && idle && <Works board={board} />}
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

/** What may be put on a board that is idle. */
function Works({ board }: { board: Board }) {
  const images = useFetched<Image[]>("/images");
  if (!images.value) return images.trouble ? <p class="bad" role="alert">{images.trouble}</p> : null;
  const fitting = images.value.filter((one) => one.platforms.includes(board.platform));
  return (
    <>
      <Deploy board={board} images={fitting} />
      <PlanEditor board={board} images={fitting} />
    </>
  );
}
