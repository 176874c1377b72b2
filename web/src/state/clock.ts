/** The time, once a second, for what says how long something has lasted. */
import { computed, signal } from "@preact/signals";

/** Unix time in milliseconds. */
export const now = signal(Date.now());

window.setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

const SOON = 11 * 60_000; // from then on seconds are told

/** The time as exactly as it is told how long it is to a moment: to the second shortly before it, else to the minute. */
export function timeUntil(iso: string): number {
  return Date.parse(iso) - minute.value < SOON ? now.value : minute.value;
}

/** The minute it is, for what would be drawn again each second otherwise. */
export const minute = computed(() => Math.floor(now.value / 60_000) * 60_000);
