/** A plan put together step by step, or written; the server says whether it could be carried out before it is. */
import { useState } from "preact/hooks";
import { call, path } from "../api/call";
import type { Board, Image, Run } from "../api/documents";
import { show } from "../state/command";
import { useDryRun, type Verdict } from "../state/dry_run";
import { line } from "../words/shell";
import { Act } from "./Act";
import { argumentOf, KINDS, type Kind, moved, readPlan, type Step, writePlan } from "./plan_text";
import { NO_OPTIONS, optionsBody, RunOptionsForm, optionsWords } from "./RunOptions";

interface PlanEditorProps {
  board: Board;
  /** Those that fit the board. */
  images: readonly Image[];
}

export function PlanEditor({ board, images }: PlanEditorProps) {
  const [plan, setPlan] = useState("");
  const [options, setOptions] = useState(NO_OPTIONS);
  const steps = readPlan(plan);
  const at = `${path("boards", board.name)}/runs`;
  const body = { plan, ...optionsBody(options) };
  const verdict = useDryRun(at, plan ? body : null);
  const command = (text: string): string => line("run", board.name, text || "STEP,STEP", ...optionsWords(options));
  function write(text: string): void {
    setPlan(text);
    show(command(text));
  }
  const put = (next: readonly Step[]): void => write(writePlan(next));
  function add(kind: Kind): void {
    const argument = { image: images[0]?.name ?? "", name: `${board.name}-disk`, "": "" }[argumentOf(kind)];
    put([...steps, { kind, argument }]);
  }
  return (
    <div class="plan">
      <div class="actions">
        <label>
          Plan
          <input value={plan} placeholder="wipe,install:debian,boot" spellcheck={false} autocapitalize="off"
            onInput={(event) => write(event.currentTarget.value)} />
        </label>
        <span class="steps" role="group" aria-label="Add a step">
          {KINDS.map((kind) => (
            <button key={kind} type="button" class="plain" onClick={() => add(kind)}>+ {kind}</button>
          ))}
        </span>
        <Act line={command(plan)} disabled={!plan || verdict.good === false} said={() => "It has begun."}
          work={() => call<Run>(at, "POST", body)}>
          Run
        </Act>
      </div>
      {steps.length > 0 && (
        <ol class="planned" aria-label="Steps in order">
          {steps.map((step, number) => (
            <StepRow key={number} step={step} number={number} count={steps.length} images={images}
              change={(argument) => put(steps.map((one, i) => (i === number ? { ...one, argument } : one)))}
              move={(to) => put(moved(steps, number, to))}
              remove={() => put(steps.filter((_, i) => i !== number))} />
          ))}
        </ol>
      )}
      <DryVerdict verdict={verdict} />
      <RunOptionsForm change={setOptions} />
    </div>
  );
}

/** What the server thinks of it. */
export function DryVerdict({ verdict }: { verdict: Verdict }) {
  return (
    <p class="told" role="status">
      {verdict.good !== null && (
        <span class={verdict.good ? "quiet" : "bad"}>{verdict.good ? "✓" : "✗"} {verdict.text}</span>
      )}
    </p>
  );
}

interface StepRowProps {
  step: Step;
  number: number;
  count: number;
  images: readonly Image[];
  change: (argument: string) => void;
  move: (to: number) => void;
  remove: () => void;
}

function StepRow({ step, number, count, images, change, move, remove }: StepRowProps) {
  const name = `${step.kind}, step ${number + 1}`;
  return (
    <li>
      <b>{step.kind}</b>
      <StepArgument step={step} name={name} images={images} change={change} />
      <span class="movers">
        <button type="button" aria-label={`Move up: ${name}`} disabled={number === 0} onClick={() => move(number - 1)}>↑</button>
        <button type="button" aria-label={`Move down: ${name}`} disabled={number === count - 1} onClick={() => move(number + 1)}>↓</button>
        <button type="button" aria-label={`Take out: ${name}`} onClick={remove}>✕</button>
      </span>
    </li>
  );
}

function StepArgument({ step, name, images, change }: Pick<StepRowProps, "step" | "images" | "change"> & { name: string }) {
  const wants = argumentOf(step.kind);
  if (wants === "image") {
    const known = images.some((one) => one.name === step.argument);
    return (
      <select aria-label={`What to ${name}`} value={step.argument} onChange={(event) => change(event.currentTarget.value)}>
        {!known && <option value={step.argument}>{step.argument || "choose one"}</option>}
        {images.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
      </select>
    );
  }
  if (wants === "name" || step.argument) {
    return (
      <input aria-label={`Name for ${name}`} value={step.argument} spellcheck={false} autocapitalize="off"
        onInput={(event) => change(event.currentTarget.value.replaceAll(",", ""))} />
    );
  }
  return null;
}
