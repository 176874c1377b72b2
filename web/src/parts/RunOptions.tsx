/** What a run may be told besides its steps: which disk, whether the image fills it, and metadata for templates. */
import { useState } from "preact/hooks";

export interface RunOptions {
  disk: string;
  grow: boolean;
  /** Lines of KEY=VALUE. */
  metadata: string;
}

export const NO_OPTIONS: RunOptions = { disk: "", grow: false, metadata: "" };

/** Return the options as the API takes them. */
export function optionsBody({ disk, grow, metadata }: RunOptions): Record<string, unknown> {
  const target = disk || grow ? { disk: disk || null, grow: grow || null } : null;
  return { target, set: Object.fromEntries(pairs(metadata)) };
}

/** Return the options as words of the command line. */
export function optionsWords({ disk, grow, metadata }: RunOptions): string[] {
  return [
    ...(disk ? ["--disk", disk] : []),
    ...(grow ? ["--grow"] : []),
    ...pairs(metadata).flatMap(([key, value]) => ["--set", `${key}=${value}`]),
  ];
}

function pairs(metadata: string): [string, string][] {
  return metadata.split("\n").filter((one) => one.trim()).map((one) => {
    const at = one.indexOf("=");
    return at < 0 ? [one.trim(), ""] : [one.slice(0, at).trim(), one.slice(at + 1)];
  });
}

export function RunOptionsForm({ change }: { change: (options: RunOptions) => void }) {
  const [options, setOptions] = useState(NO_OPTIONS);
  function set(part: Partial<RunOptions>): void {
    const next = { ...options, ...part };
    setOptions(next);
    change(next);
  }
  return (
    <details class="options">
      <summary>Disk and metadata</summary>
      <div class="actions">
        <label>
          Disk
          <input value={options.disk} placeholder="bus=nvme,smallest" spellcheck={false} autocapitalize="off"
            onInput={(event) => set({ disk: event.currentTarget.value })} />
        </label>
        <label>
          <input type="checkbox" checked={options.grow} onChange={(event) => set({ grow: event.currentTarget.checked })} />
          Let it fill the disk
        </label>
        <label>
          Metadata
          <textarea rows={2} placeholder="key=value, one in a line" spellcheck={false} autocapitalize="off"
            value={options.metadata} onInput={(event) => set({ metadata: event.currentTarget.value })} />
        </label>
      </div>
    </details>
  );
}
