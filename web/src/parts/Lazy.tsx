/** A page that is fetched when somebody looks at it: most never open it. */
import { type ComponentType, h } from "preact";
import { useEffect, useState } from "preact/hooks";

interface LazyProps<Props> {
  load: () => Promise<ComponentType<Props>>;
  props: Props;
}

export function Lazy<Props extends object>({ load, props }: LazyProps<Props>) {
  const [Page, setPage] = useState<ComponentType<Props> | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let wanted = true;
    load().then((page) => wanted && setPage(() => page), () => wanted && setFailed(true));
    return () => {
      wanted = false;
    };
  }, [load]);
  if (failed) return <p class="bad" role="alert">This page could not be fetched; load it again.</p>;
  return Page === null ? <p role="status">Loading …</p> : h(Page, props);
}
