/** The images that can be put on boards: what there is, what it is, and bringing more. */
import { useEffect } from "preact/hooks";
import type { BoardClass, Image, Me } from "../api/documents";
import { path } from "../api/call";
import { follow } from "../api/stream";
import { ImageDetail } from "../parts/ImageDetail";
import { ImageImport } from "../parts/ImageImport";
import { Link } from "../parts/Link";
import { show } from "../state/command";
import { useFetched } from "../state/fetched";
import { mayClaim } from "../state/session";
import { bytes, exactly } from "../words/amounts";
import { line } from "../words/shell";
import "../style/images.css";

export function Images({ who, name }: { who: Me; name: string | undefined }) {
  const images = useFetched<Image[]>("/images");
  const classes = useFetched<BoardClass[]>("/classes");
  useEffect(() => show(name === undefined ? "hostler image list" : line("image", "show", name)), [name]);
  useEffect(() => follow("/events", { follow: "true", kind: "image.*" }, images.again, (live) => live && images.again()), []);
  if (images.trouble) return <p class="bad" role="alert">{images.trouble}</p>;
  if (!images.value) return <p role="status">Asking …</p>;
  const all = images.value;
  const chosen = all.find((one) => one.name === name);
  return (
    <>
      <h1>Images <span class="quiet">{all.length}</span></h1>
      {all.length === 0 && (
        <p>None yet. <code>{line("image", "import", "NAME", "FILE", "--arch", "amd64", "--platforms", "x86-uefi")}</code> brings one.</p>
      )}
      {mayClaim(who) && (
        <ImageImport names={all.map((one) => one.name)} classes={classes.value ?? []} done={images.again} />
      )}
      <div class="scroll" role="region" aria-label="Images" tabIndex={0}>
        <table>
          <thead>
            <tr><th scope="col">Name</th><th scope="col">Kind</th><th scope="col">Runs on</th>
              <th scope="col" class="number">Size</th><th scope="col" class="number">Data</th>
              <th scope="col">Imported</th><th scope="col">Signed</th><th scope="col">From</th></tr>
          </thead>
          <tbody>
            {all.map((image) => (
              <tr key={image.name} onMouseEnter={() => show(line("image", "show", image.name))}>
                <th scope="row"><Link to={path("images", image.name)} current={image === chosen}>{image.name}</Link></th>
                <td>{image.kind}</td>
                <td>{image.arch}: {image.platforms.join(", ")}</td>
                <td class="number">{bytes(image.size)}</td>
                <td class="number">{bytes(image.data_bytes)}</td>
                <td>{exactly(image.created)}</td>
                <td>{image.signatures.length > 0 ? `by ${image.signatures.map((one) => one.id).join(", ")}` : "no"}</td>
                <td class="source">{image.source}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {name !== undefined && !chosen && <p role="alert">There is no image “{name}” any more. <Link to="/images">All images</Link></p>}
      {chosen && <ImageDetail key={chosen.name} who={who} image={chosen} all={all} changed={images.again} />}
    </>
  );
}
