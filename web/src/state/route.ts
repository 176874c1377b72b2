/** Which page is shown: the address is the state, so that every view has one that can be sent to others. */
import { computed, signal } from "@preact/signals";

const place = signal(new URL(location.href));

window.addEventListener("popstate", () => {
  place.value = new URL(location.href);
});

/** The parts of the path, decoded. */
export const parts = computed(() => place.value.pathname.split("/").filter(Boolean).map(decoded));

/** What stands behind the question mark. */
export const query = computed(() => place.value.searchParams);

/** Show another page of ours; `instead`: going back does not lead to this one. */
export function go(to: string, instead = false): void {
  if (instead) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  place.value = new URL(location.href);
  window.scrollTo(0, 0);
}

/** Change what stands behind the question mark, without a step in the history; empty: take it out. */
export function setQuery(name: string, value: string): void {
  const next = new URL(location.href);
  if (value) next.searchParams.set(name, value);
  else next.searchParams.delete(name);
  history.replaceState(null, "", next);
  place.value = next;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a lone % that somebody typed
  }
}
