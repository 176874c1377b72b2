/** Who is logged in. */
import { signal } from "@preact/signals";
import { call, whenLoggedOut } from "../api/call";
import type { Claim, Me, Session } from "../api/documents";

/** Who asks; null: nobody yet; undefined: not known yet. */
export const me = signal<Me | null | undefined>(undefined);

whenLoggedOut(() => {
  me.value = null;
});

/** Find out whether this browser is logged in. */
export async function recall(): Promise<void> {
  try {
    me.value = await call<Me>("/me");
  } catch {
    me.value = null;
  }
}

/** Log in with a token; throws Refused. */
export async function logIn(token: string): Promise<void> {
  await call<Session>("/login/session", "POST", { token });
  me.value = await call<Me>("/me");
}

/** End this browser's own token. */
export async function logOut(): Promise<void> {
  await call("/me/tokens/current", "DELETE");
  me.value = null;
}

/** Whether somebody may claim boards at all; what a token may not do, the server refuses. */
export function mayClaim(who: Me): boolean {
  return who.role !== "viewer";
}

/** Whether somebody may end, extend and share a claim. */
export function mayControl(who: Me, claim: Claim): boolean {
  if (who.role === "viewer") return false;
  return who.role === "admin" || claim.principal === who.name || isProjectAdmin(who, claim.project);
}

/** Whether somebody may switch, install and type on the boards of a claim. */
export function mayUse(who: Me, claim: Claim): boolean {
  if (who.role === "viewer") return false;
  return mayControl(who, claim) || claim.shares?.[who.name] === "write";
}

function isProjectAdmin(who: Me, project: string): boolean {
  return who.projects.some((one) => one.name === project && one.role === "admin");
}
