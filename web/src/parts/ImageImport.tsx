/** Bringing an image: a file of this machine, or what the server fetches from an address. */
import { useState } from "preact/hooks";
import type { BoardClass } from "../api/documents";
import { followed, type FollowedWork, type Progress } from "../api/followed";
import { imported } from "../api/upload";
import { line } from "../words/shell";
import { Followed } from "./Followed";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const KINDS = { disk: "the disk of a machine", netboot: "a system that comes over the network" };

interface ImageImportProps {
  names: string[];
  classes: BoardClass[];
  done: () => void;
}

export function ImageImport({ names, classes, done }: ImageImportProps) {
  const [kind, setKind] = useState<keyof typeof KINDS>("disk");
  const [name, setName] = useState("");
  const [arch, setArch] = useState("amd64");
  const [left, setLeft] = useState<string[]>([]);
  const [file, setFile] = useState<File | null>(null);
  const [map, setMap] = useState<File | null>(null);
  const [url, setUrl] = useState("");
  const fitting = [...new Set(classes.filter((one) => one.arch === arch).map((one) => one.platform))].sort();
  const platforms = fitting.filter((one) => !left.includes(one));
  const trouble = faultOf(name, names);
  const disk = kind === "disk";

  function begin(told: (progress: Progress) => void): FollowedWork {
    const query: Record<string, string> = { name };
    if (disk) Object.assign(query, { arch, platforms: platforms.join(",") });
    const at = disk ? "/images" : "/images/netboot";
    if (file === null) return followed(at, { ...query, url }, told);
    return imported(at, query, { upload: file, ...(disk && map !== null && { bmap: map }) }, told);
  }
  const words = disk ? ["--arch", arch, ...(platforms.length > 0 ? ["--platforms", platforms.join(",")] : [])]
    : ["--kind", "netboot"];
  if (disk && map) words.push("--bmap", map.name);
  return (
    <details class="import">
      <summary>Import an image</summary>
      <div class="fields">
        <label>
          What it is
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value === "netboot" ? "netboot" : "disk")}>
            {Object.entries(KINDS).map(([word, title]) => <option key={word} value={word}>{title}</option>)}
          </select>
        </label>
        <label>
          Name
          <input value={name} spellcheck={false} autocapitalize="off" aria-describedby="name-trouble"
            onInput={(event) => setName(event.currentTarget.value.trim())} />
        </label>
        <p id="name-trouble" class="bad" role="status">{trouble}</p>
        <label>
          File
          <input type="file" onChange={(event) => {
            const picked = event.currentTarget.files?.[0] ?? null;
            setFile(picked);
            if (picked && !name) setName(nameOf(picked.name));
          }} />
        </label>
        <label>
          or address
          <input type="url" value={url} placeholder="https://…" disabled={file !== null} spellcheck={false}
            onInput={(event) => setUrl(event.currentTarget.value.trim())} />
        </label>
        {disk && (
          <>
            <label>
              Block map of the file
              <input type="file" accept=".bmap" disabled={file === null}
                onChange={(event) => setMap(event.currentTarget.files?.[0] ?? null)} />
            </label>
            <label>
              Architecture
              <select value={arch} onChange={(event) => setArch(event.currentTarget.value)}>
                <option value="amd64">amd64</option><option value="arm64">arm64</option>
              </select>
            </label>
            <fieldset>
              <legend>Boots on</legend>
              {fitting.map((one) => (
                <label key={one}>
                  <input type="checkbox" checked={!left.includes(one)} onChange={(event) => {
                    const on = event.currentTarget.checked;
                    setLeft((last) => (on ? last.filter((other) => other !== one) : [...last, one]));
                  }} />
                  {one}
                </label>
              ))}
              {fitting.length === 0 && <span class="quiet">no class of this lab is {arch}</span>}
            </fieldset>
          </>
        )}
        <Followed line={line("image", "import", name || "NAME", file?.name || url || "FILE", ...words)} begin={begin}
          disabled={!name || trouble !== "" || (file === null && url === "")}
          said={() => {
            done();
            return `${name} is here.`;
          }}>
          Import
        </Followed>
      </div>
    </details>
  );
}

/** Said before a byte travels: a browser may not hear what a server says while it sends. */
function faultOf(name: string, names: string[]): string {
  if (name !== "" && !NAME.test(name)) return "A name has letters, digits and . _ - only, 63 at most.";
  return names.includes(name) ? "There is an image of that name; take another one." : "";
}

/** A name made from that of a file, without what tells its form. */
function nameOf(file: string): string {
  const bare = file.replace(/(\.(img|raw|iso|wic|qcow2|vmdk|vhdx?|tar|gz|xz|zst|bz2|lz4|zip|tgz))+$/i, "");
  return bare.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 63);
}
