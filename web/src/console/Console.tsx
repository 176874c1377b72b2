/** A board's console: a terminal, who is joined to it, and who has the keyboard. */
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { call, path } from "../api/call";
import { Act } from "../parts/Act";
import { show } from "../state/command";
import { line } from "../words/shell";
import { type ConsoleLink, join, type Notice, type Viewer } from "./link";
import { LogSearch } from "./LogSearch";
import { strictStyles } from "./strict_styles";

// A serial line knows no size: programs on it count on this one.
const COLUMNS = 80;
const LINES = 24;
const WIDTH_OF_SIGN = 0.602; // of its height, in the fonts that terminals use

interface ConsoleProps {
  name: string;
  mayType: boolean;
  claim: string | null;
  close: () => void;
}

export function Console({ name, mayType, claim, close }: ConsoleProps) {
  const place = useRef<HTMLDivElement>(null);
  const tools = useRef<HTMLButtonElement>(null);
  const link = useRef<ConsoleLink | null>(null);
  const [writer, setWriter] = useState(false);
  const [keyboard, setKeyboard] = useState<string | null>(null);
  const [viewers, setViewers] = useState<Viewer[]>([]);
  const [told, setTold] = useState("Joining …");

  useEffect(() => {
    const parent = place.current;
    if (!parent) return undefined;
    const endStyles = strictStyles();
    const terminal = new Terminal({
      cols: COLUMNS, rows: LINES, scrollback: 5000,
      fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
      fontSize: sizeFor(parent.parentElement?.clientWidth ?? 0),
      // A board may draw a link, but where it leads nobody here can know.
      linkHandler: { activate: () => undefined },
    });
    terminal.open(parent);
    terminal.attachCustomKeyEventHandler((event) => {
      if (!(event.ctrlKey && event.key === "]")) return true;
      if (event.type === "keydown") tools.current?.focus(); // the way out of the terminal without a mouse
      event.preventDefault();
      return false;
    });

    function hear(notice: Notice): void {
      if (notice.event === "viewers") {
        setViewers(notice.viewers ?? []);
        setKeyboard(notice.viewers?.find((one) => one.writer)?.principal ?? null);
        return;
      }
      if (notice.writer !== undefined) setWriter(notice.writer);
      if (notice.event === "attached") setTold("");
      if (notice.text) setTold(notice.text);
      joined.command({ cmd: "viewers" });
    }

    const joined = join(name, mayType, COLUMNS, LINES, {
      bytes: (data) => terminal.write(data),
      notice: hear,
      closed: (why) => {
        setWriter(false);
        setTold(why);
      },
    });
    link.current = joined;
    const encoder = new TextEncoder();
    terminal.onData((text) => joined.type(encoder.encode(text)));
    terminal.onBinary((text) => joined.type(Uint8Array.from(text, (sign) => sign.charCodeAt(0))));
    terminal.focus();
    parent.scrollIntoView({ block: "nearest" });
    show(line("console", name));
    return () => {
      joined.close();
      terminal.dispose();
      endStyles();
    };
  }, [name, mayType]);

  const others = viewers.filter((one) => !one.you);
  const send = (words: Record<string, unknown>): void => link.current?.command(words);
  return (
    <div class="console">
      <div class="actions" role="group" aria-label="Keyboard of the console">
        <span>{writer ? "You type." : keyboard ? `${keyboard} types.` : "Nobody types."}</span>
        {mayType && !writer && (
          <>
            <button type="button" onClick={() => send({ cmd: "take" })}>Take the keyboard</button>
            {keyboard && <button type="button" onClick={() => send({ cmd: "request" })}>Ask for it</button>}
          </>
        )}
        {writer && (
          <>
            <button type="button" onClick={() => send({ cmd: "release" })}>Let go</button>
            {others.filter((one) => one.may_write).map((one) => (
              <button key={one.viewer} type="button" onClick={() => send({ cmd: "give", to: one.viewer })}>
                Hand over to {one.principal}
              </button>
            ))}
            <button type="button" onClick={() => send({ cmd: "break" })}>Send BREAK</button>
          </>
        )}
        {mayType && (
          <Act line={line("power", name, "cycle")} sure={`Power-cycle ${name}?`} said={() => "It is switched off and on."}
            work={() => call(`${path("boards", name)}/power`, "POST", { action: "cycle" })}>
            Power-cycle
          </Act>
        )}
        <button type="button" ref={tools} onClick={close}>Close</button>
        <span class="quiet">
          {others.length > 0 && `Also here: ${others.map((one) => one.principal).join(", ")}. `}
          Ctrl-] leaves the terminal.
        </span>
      </div>
      <p class="told" role="status">{told}</p>
      <div class="screen" ref={place} />
      <LogSearch name={name} claim={claim} />
    </div>
  );
}

/** Return the size of signs, in pixels, at which a line fits into a width; readable in any case. */
function sizeFor(width: number): number {
  const room = (width - 30) / COLUMNS / WIDTH_OF_SIGN;
  return Math.max(7, Math.min(14, Math.floor(2 * room) / 2));
}
