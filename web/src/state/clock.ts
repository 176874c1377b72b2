/** The time, once a second, for what says how long something has lasted. */
import { signal } from "@preact/signals";

/** Unix time in milliseconds. */
export const now = signal(Date.now());

window.setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
