/** One event of the lab. */
import type { LabEvent } from "../api/documents";
import { exactly } from "../words/amounts";
import { Link } from "./Link";

export function EventRow({ event, linked = false }: { event: LabEvent; linked?: boolean }) {
  return (
    <li>
      <time class="numbers" dateTime={event.at}>{exactly(event.at)}</time> <b>{event.kind}</b>{" "}
      {linked && event.board && <><Link to={`/boards/${encodeURIComponent(event.board)}`}>{event.board}</Link> </>}
      {event.text}
    </li>
  );
}
