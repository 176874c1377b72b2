/** A board's runs and what else happened to it, newest first. */
import { useEffect } from "preact/hooks";
import type { Board, LabEvent, Run } from "../api/documents";
import { useFetched } from "../state/fetched";
import { exactly } from "../words/amounts";
import { EventRow } from "./EventRow";
import { RunBar } from "./RunBar";

const MOST = 50;

export function BoardHistory({ board }: { board: Board }) {
  const about = encodeURIComponent(board.name);
  const runs = useFetched<Run[]>(`/runs?board=${about}`);
  const events = useFetched<LabEvent[]>(`/events?board=${about}&last=${MOST}`);
  useEffect(() => {
    runs.again();
    events.again();
  }, [board.lifecycle, board.run?.id, board.run?.state, board.power.observed]);
  return (
    <div class="columns">
      <div>
        <h3>Runs</h3>
        <ol class="events">
          {(runs.value ?? []).slice(0, MOST).map((run) => (
            <li key={run.id}><time class="numbers">{exactly(run.created)}</time> <RunBar run={run} rate={null} /></li>
          ))}
        </ol>
      </div>
      <div>
        <h3>Events</h3>
        <ol class="events">
          {[...(events.value ?? [])].reverse().map((event) => <EventRow key={event.seq} event={event} />)}
        </ol>
      </div>
    </div>
  );
}
