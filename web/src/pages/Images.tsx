/** The images that can be put on boards. */
import { useEffect } from "preact/hooks";
import type { Image } from "../api/documents";
import { show } from "../state/command";
import { useFetched } from "../state/fetched";
import { bytes, exactly } from "../words/amounts";
import { line } from "../words/shell";

export function Images() {
  const images = useFetched<Image[]>("/images");
  useEffect(() => show("hostler image list"), []);
  if (images.trouble) return <p class="bad" role="alert">{images.trouble}</p>;
  if (!images.value) return <p role="status">Asking …</p>;
  return (
    <>
      <h1>Images <span class="quiet">{images.value.length}</span></h1>
      {images.value.length === 0 && (
        <p>None yet. <code>{line("image", "import", "NAME", "FILE", "--arch", "amd64", "--platforms", "x86-uefi")}</code> brings one.</p>
      )}
      <div class="scroll" role="region" aria-label="Images" tabIndex={0}>
        <table>
          <thead>
            <tr><th scope="col">Name</th><th scope="col">Kind</th><th scope="col">Runs on</th>
              <th scope="col" class="number">Size</th><th scope="col" class="number">Data</th>
              <th scope="col">Imported</th><th scope="col">From</th></tr>
          </thead>
          <tbody>
            {images.value.map((image) => (
              <tr key={image.name} onMouseEnter={() => show(line("image", "show", image.name))}>
                <th scope="row">{image.name}</th>
                <td>{image.kind}</td>
                <td>{image.arch}: {image.platforms.join(", ")}</td>
                <td class="number">{bytes(image.size)}</td>
                <td class="number">{bytes(image.data_bytes)}</td>
                <td>{exactly(image.created)}</td>
                <td class="source">{image.source}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
