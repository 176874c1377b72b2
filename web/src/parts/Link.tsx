/** A link to another of our pages; with a modifier key it opens as any link does. */
import type { ComponentChildren } from "preact";
import { go } from "../state/route";

interface LinkProps {
  to: string;
  current?: boolean;
  children: ComponentChildren;
}

export function Link({ to, current = false, children }: LinkProps) {
  function follow(event: MouseEvent): void {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  }
  return (
    <a href={to} onClick={follow} {...(current ? { "aria-current": "page" as const } : {})}>
      {children}
    </a>
  );
}
