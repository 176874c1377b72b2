/** What differs between two images of disks: how much they share, and where on the disk they differ. */
import type { Difference, Image } from "../api/documents";
import { useFetched } from "../state/fetched";
import { path } from "../api/call";
import { bytes } from "../words/amounts";

const WIDTH = 1000;
const PARTS = [
  { key: "gone", sign: "−" },
  { key: "shared", sign: "=" },
  { key: "new", sign: "+" },
] as const;

interface ImageCompareProps {
  image: Image;
  other: Image;
}

export function ImageCompare({ image, other }: ImageCompareProps) {
  const found = useFetched<Difference>(`${path("images", image.name, "diff")}?${new URLSearchParams({ other: other.name })}`);
  if (found.trouble) return <p class="bad" role="alert">{found.trouble}</p>;
  const diff = found.value;
  if (!diff) return <p role="status">Comparing …</p>;
  const titles = { gone: `only in ${image.name}`, shared: "in both", new: `only in ${other.name}` };
  const whole = PARTS.reduce((sum, { key }) => sum + diff[key].bytes, 0);
  let left = 0;
  return (
    <div class="compare">
      <p>
        {whole === 0 || diff.differing_bytes === 0 ? "They hold the same." : (
          <>To put {other.name} over {image.name}, <strong>{bytes(diff.new.stored_bytes)}</strong> travel
            and {bytes(diff.differing_bytes)} are written.</>
        )}
      </p>
      <svg viewBox={`0 0 ${WIDTH} 26`} preserveAspectRatio="none" aria-hidden="true">
        {whole > 0 && PARTS.map(({ key }) => {
          const width = (diff[key].bytes / whole) * WIDTH;
          const x = left;
          left += width;
          return <rect key={key} class={key} x={x} y="0" width={width} height="26" />;
        })}
      </svg>
      <table class="narrow">
        <caption>Chunks of the two, the same ones counted once</caption>
        <thead>
          <tr><th scope="col">Where</th><th scope="col" class="number">Chunks</th>
            <th scope="col" class="number">Bytes</th><th scope="col" class="number">Stored</th></tr>
        </thead>
        <tbody>
          {PARTS.map(({ key, sign }) => (
            <tr key={key}>
              <th scope="row"><span class={`swatch ${key}`} aria-hidden="true">{sign}</span> {titles[key]}</th>
              <td class="number">{diff[key].chunks}</td>
              <td class="number">{bytes(diff[key].bytes)}</td>
              <td class="number">{bytes(diff[key].stored_bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {diff.stretches.length > 0 && <Disk diff={diff} size={Math.max(image.size, other.size)} />}
    </div>
  );
}

/** The disk from its first byte to its last, and what is another content in the two. */
function Disk({ diff, size }: { diff: Difference; size: number }) {
  const at = diff.stretches.map(([offset, length]) => ({
    x: (offset / size) * WIDTH,
    width: Math.max((length / size) * WIDTH, 1.5), // what is small is still seen
  }));
  const words = `${diff.stretches.length} ${diff.stretches.length === 1 ? "stretch of the disk differs" : "stretches of the disk differ"}`;
  return (
    <figure>
      <svg viewBox={`0 0 ${WIDTH} 14`} preserveAspectRatio="none" role="img" aria-label={words}>
        <rect class="shared" width={WIDTH} height="14" />
        {at.map(({ x, width }) => <rect key={x} class="new" x={x} y="0" width={width} height="14" />)}
      </svg>
      <figcaption class="quiet">{words}, from its first byte on the left to {bytes(size)} on the right</figcaption>
    </figure>
  );
}
