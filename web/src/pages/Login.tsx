/** Logging in with a token. */
import { useState } from "preact/hooks";
import { Refused } from "../api/call";
import { logIn } from "../state/session";

export function Login() {
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const token = String(new FormData(form).get("token") ?? "").trim();
    setBusy(true);
    try {
      await logIn(token);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setTrouble(error.message);
      setBusy(false);
    }
  }
  return (
    <main class="login">
      <h1>Hostler</h1>
      <form onSubmit={(event) => void submit(event)}>
        <input hidden name="username" autocomplete="username" value="hostler" readOnly />
        <label for="token">Your token</label>
        <input id="token" name="token" type="password" required autocomplete="current-password" autofocus
          spellcheck={false} placeholder="hst_…" aria-describedby="trouble hint" />
        <button type="submit" disabled={busy}>Log in</button>
        <p id="trouble" class="bad" role="alert">{trouble}</p>
      </form>
      <p id="hint" class="quiet">
        Where you have logged in on the command line, <code>hostler token add browser --expires 8h</code> makes one.
        This browser gets a token of its own for it, for a week at most; logging out ends that one alone.
      </p>
    </main>
  );
}
