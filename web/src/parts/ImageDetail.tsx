/** One image: where it came from, who vouches for it, who uses it, and what may be done with it. */
import { address, call, path } from "../api/call";
import type { Board, Claim, Image, Me } from "../api/documents";
import { followed } from "../api/followed";
import { show } from "../state/command";
import { useFetched } from "../state/fetched";
import { query, setQuery } from "../state/route";
import { mayClaim } from "../state/session";
import { bytes, exactly } from "../words/amounts";
import { line } from "../words/shell";
import { Act } from "./Act";
import { Followed } from "./Followed";
import { ImageCompare } from "./ImageCompare";
import { usesOf } from "./image_uses";
import { Link } from "./Link";

interface ImageDetailProps {
  who: Me;
  image: Image;
  all: Image[];
  changed: () => void;
}

export function ImageDetail({ who, image, all, changed }: ImageDetailProps) {
  const others = all.filter((one) => one.name !== image.name && one.index !== null);
  const other = others.find((one) => one.name === query.value.get("with"));
  const { provenance } = image;
  const disk = image.index !== null;
  const member = mayClaim(who);
  const mine = who.role === "admin" || (member && provenance.principal === who.name);
  return (
    <section class="image" aria-labelledby="image-name">
      <h2 id="image-name">{image.name}</h2>
      <dl class="facts">
        <Fact name="kind">{image.kind}, {image.arch}: {image.platforms.join(", ") || "no platform named"}</Fact>
        <Fact name="size">{bytes(image.size)}, {bytes(image.data_bytes)} of it data</Fact>
        {disk && (
          <Fact name="stored">
            {provenance.chunks} chunks of {bytes(image.chunk_size)}; {provenance.new_chunks} of them came
            with it, {bytes(provenance.stored_bytes)} as stored
          </Fact>
        )}
        <Fact name="from">{image.source}</Fact>
        <Fact name="brought">{provenance.principal ?? "by the server"}, {exactly(image.created)}
          {provenance.version && `, by version ${provenance.version}`}</Fact>
        {provenance.sha256 && <Fact name="SHA-256 of that"><code>{provenance.sha256}</code></Fact>}
        {disk && <Fact name="index"><code>{image.index}</code></Fact>}
        <Fact name="for">{image.project === null ? "everybody" : `project ${image.project}`}</Fact>
        <Fact name="signed by">
          {image.signatures.length === 0 ? "nobody" : image.signatures.map((one) => (
            <span key={one.id}><code>{one.id}</code>{" "}
              {mine && (
                <Act line={line("image", "unsign", image.name, one.id)} sure={`Take the signature of ${one.id} off?`} plain
                  work={() => call(path("images", image.name, "signatures", one.id), "DELETE").then(changed)}
                  said={() => "It is taken off."}>
                  Take off
                </Act>
              )}
            </span>
          ))}
        </Fact>
        <Fact name="used by"><Users image={image} /></Fact>
      </dl>
      {member && (
        <div class="actions">
          <Followed line={line("image", "verify", image.name)} said={verified}
            begin={(told) => followed("/images/verify", { name: image.name }, told)}>
            Verify
          </Followed>
          {disk && <Download image={image} form="zst">Download (zstd)</Download>}
          {disk && <Download image={image} form="raw">Download (raw)</Download>}
          {mine && (
            <Act line={line("image", "rm", image.name)} sure={`Remove image ${image.name}? It cannot be brought back from here.`}
              work={() => call(path("images", image.name), "DELETE").then(changed)} said={() => `${image.name} is removed.`}>
              Remove
            </Act>
          )}
        </div>
      )}
      {disk && others.length > 0 && (
        <>
          <h3>What differs</h3>
          <div class="choices">
            <label>
              Compare with
              <select value={other?.name ?? ""} onChange={(event) => {
                setQuery("with", event.currentTarget.value);
                show(line("image", "diff", image.name, event.currentTarget.value || "OTHER"));
              }}>
                <option value="">nothing</option>
                {nearest(image.name, others).map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
              </select>
            </label>
          </div>
          {other && <ImageCompare image={image} other={other} />}
        </>
      )}
    </section>
  );
}

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return <div><dt>{name}</dt><dd>{children}</dd></div>;
}

function Download({ image, form, children }: { image: Image; form: "raw" | "zst"; children: string }) {
  const command = line("image", "export", image.name, `${image.name}.${form === "zst" ? "raw.zst" : "raw"}`);
  return (
    <a class="button" href={address(path("images", image.name, "content"), { form })} download
      onFocus={() => show(command)} onMouseMove={() => show(command)}>
      {children}
    </a>
  );
}

/** Boards whose last plan had it, and claims that wait to have it put on theirs. */
function Users({ image }: { image: Image }) {
  const boards = useFetched<Board[]>("/boards");
  const claims = useFetched<Claim[]>("/claims");
  const uses = usesOf(image.name, boards.value ?? [], claims.value ?? []);
  if (!boards.value) return <>{boards.trouble || "…"}</>;
  if (uses.length === 0) return <>no board at present</>;
  return (
    <>
      {uses.map(({ board, claim, words }) => (
        <span key={board ?? claim} class="use">
          {board ? <Link to={path("boards", board)}>{board}</Link> : <code>{claim}</code>} <span class="quiet">{words}</span>{" "}
        </span>
      ))}
    </>
  );
}

function verified(last: Record<string, unknown>): string {
  const found = last["found"] as { chunks: number; files: number; faults: { text: string; kind: string; id: string }[] };
  const looked = `${found.chunks} chunks and ${found.files} files were read`;
  if (found.faults.length === 0) return `It is whole: ${looked}.`;
  return `${found.faults.length} faults, ${looked}: ${found.faults.map((one) => `${one.id.slice(0, 12)} ${one.kind}`).join(", ")}`;
}

/** Names that begin alike come first: they are versions of one thing. */
function nearest(name: string, others: Image[]): Image[] {
  const alike = (one: string): number => {
    let count = 0;
    while (count < name.length && one[count] === name[count]) count += 1;
    return count;
  };
  return [...others].sort((a, b) => alike(b.name) - alike(a.name) || a.name.localeCompare(b.name));
}
