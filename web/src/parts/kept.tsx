/** A part that is drawn again only when one of its properties is another one, for what there are hundreds of. */
import { Component, type FunctionComponent } from "preact";

export function kept<Props extends object>(Part: FunctionComponent<Props>): FunctionComponent<Props> {
  class Kept extends Component<Props> {
    override shouldComponentUpdate(next: Readonly<Props>): boolean {
      const names = Object.keys(next) as (keyof Props)[];
      return names.some((name) => next[name] !== this.props[name]);
    }

    override render(): preact.ComponentChild {
      return <Part {...this.props} />;
    }
  }
  return Kept as unknown as FunctionComponent<Props>;
}
