/** Who uses an image, as far as boards' last plans and waiting claims tell. */
import type { Board, Claim } from "../api/documents";
import { isActive } from "./RunBar";

export interface Use {
  board?: string;
  claim?: string;
  words: string;
}

/** Return the uses of an image by its name. */
export function usesOf(image: string, boards: Board[], claims: Claim[]): Use[] {
  const uses: Use[] = [];
  for (const board of boards) {
    const run = board.run;
    if (!run || !run.steps.some((step) => imageOf(step) === image)) continue;
    if (isActive(run)) uses.push({ board: board.name, words: "is at it now" });
    else if (run.state === "succeeded") uses.push({ board: board.name, words: "had it last" });
  }
  for (const claim of claims) {
    if (claim.state === "pending" && claim.image === image) uses.push({ claim: claim.id, words: `of ${claim.principal} waits for a board` });
  }
  return uses;
}

/** The image a step is about: `install:debian` or `live:memtest`. */
function imageOf(step: string): string {
  return /^(?:install|live):([A-Za-z0-9._-]+)/.exec(step)?.[1] ?? "";
}
