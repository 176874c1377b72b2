/** Fronts of equipment, live: each end has a signal of its own, so that only its button is drawn again. */
import { type Signal, signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { call } from "../api/call";
import type { EquipmentRow, Front, LiveEnd } from "../api/documents";
import { follow } from "../api/stream";

/** A front, and when this was heard, Unix time in milliseconds. */
export interface SeenFront {
  front: Front;
  heard: number;
}

export class Fronts {
  readonly #fronts = new Map<string, Signal<SeenFront | null | undefined>>();
  readonly #ends = new Map<string, Signal<LiveEnd>>();
  /** Whether the page is connected: what is shown is as it is now. */
  readonly live = signal(false);

  /** One equipment: undefined until it was heard of, null when it is no more. */
  front(name: string): Signal<SeenFront | null | undefined> {
    let one = this.#fronts.get(name);
    if (one === undefined) {
      one = signal(undefined);
      this.#fronts.set(name, one);
    }
    return one;
  }

  /** An end by its id; those that a front names are known. */
  end(id: string): Signal<LiveEnd> | undefined {
    return this.#ends.get(id);
  }

  hear(kind: string, data: unknown): void {
    if (kind === "end") {
      const end = data as LiveEnd;
      const known = this.#ends.get(end.id);
      if (known) known.value = end;
      else this.#ends.set(end.id, signal(end));
    } else if (kind === "front") {
      const front = data as Front;
      this.front(front.name).value = { front, heard: Date.now() };
    } else if (kind === "gone") {
      this.front((data as { name: string }).name).value = null;
    }
  }
}

/** Follow the fronts of equipment while they are shown; `gone` is told when one of them is no more. */
export function useFronts(names: readonly string[], gone: () => void): Fronts {
  const [fronts, setFronts] = useState(() => new Fronts());
  const asked = JSON.stringify(names);
  useEffect(() => {
    const wanted = JSON.parse(asked) as string[];
    if (wanted.length === 0) return undefined;
    const fresh = new Fronts();
    setFronts(fresh);
    let followed = true;
    const lost = (name: string): void => {
      fresh.hear("gone", { name });
      gone();
    };
    const end = follow(
      "/equipment",
      [["follow", "true"], ...wanted.map((name) => ["unit", name])],
      (kind, data) => {
        if (kind === "gone") lost((data as { name: string }).name);
        else fresh.hear(kind, data);
      },
      (connected) => {
        fresh.live.value = connected;
        if (connected) return;
        // Who follows one that went meanwhile is refused, however often it is asked.
        call<EquipmentRow[]>("/equipment").then(
          (units) => {
            const missing = wanted.find((name) => !units.some((unit) => unit.name === name));
            if (followed && missing !== undefined) lost(missing);
          },
          () => undefined,
        );
      },
    );
    return () => {
      followed = false;
      end();
    };
  }, [asked]);
  return fronts;
}
