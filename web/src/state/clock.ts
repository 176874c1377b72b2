/** The time, once a second, for what says how long something has lasted. */
import { computed, signal } from "@preact/signals";

/** Unix time in milliseconds. */
export const now = signal(Date.now());

window.setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

/** The minute it is, for what would be drawn again each second otherwise. */
export const minute = computed(() => Math.floor(now.value / 60_000) * 60_000);
