/**
 * Logging in at the lab's OpenID Connect provider: there with `begin`, and back at `/login` with `finish`.
 *
 * What proves that the answer is ours the server keeps in a cookie; this side only carries it.
 */
import { call } from "../api/call";
import type { Me, Session } from "../api/documents";
import { go } from "./route";
import { me } from "./session";

const BACK_TO = "hostler.back-to";

/** What the provider sent this browser back with. */
export interface Answer {
  code: string;
  state: string;
  iss: string | null;
}

/** Go to the provider; where one is now is remembered for this tab. Throws Refused. */
export async function begin(): Promise<void> {
  const { location: where } = await call<{ location: string }>("/login/oidc/begin", "POST");
  sessionStorage.setItem(BACK_TO, location.pathname + location.search);
  location.assign(where);
}

/** Return what the address brings from the provider, or why it vouches for nobody; null: nothing. */
export function brought(): Answer | string | null {
  const words = new URL(location.href).searchParams;
  const [code, state] = [words.get("code"), words.get("state")];
  if (location.pathname !== "/login") return null;
  if (code !== null && state !== null) return { code, state, iss: words.get("iss") };
  const error = words.get("error");
  if (error === null) return null;
  // Its own words are not shown: anybody can write an address with any text in it.
  return error === "access_denied" ? "You did not agree at the provider, or it does not let you in here."
    : "The provider could not log you in; ask who runs it to look into its log.";
}

/** Take what the provider brought out of the address: it is good once, and not for the history. */
export function forget(): void {
  history.replaceState(null, "", "/login");
}

/** Log in with what the provider brought and return to where one was; throws Refused. */
export async function finish(answer: Answer): Promise<void> {
  forget();
  await call<Session>("/login/oidc/finish", "POST", answer);
  const who = await call<Me>("/me");
  const to = sessionStorage.getItem(BACK_TO) ?? "/";
  sessionStorage.removeItem(BACK_TO);
  go(/^\/(login|\/)/.test(to) ? "/" : to, true); // an address with // at its front would be another host
  me.value = who;
}
