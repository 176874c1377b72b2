/** Logging in: with a token, or at the lab's own provider. */
import { useEffect, useState } from "preact/hooks";
import { Refused } from "../api/call";
import type { Ways } from "../api/documents";
import { useFetched } from "../state/fetched";
import { begin, brought, finish, forget } from "../state/provider_login";
import { logIn } from "../state/session";

export function Login() {
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const ways = useFetched<Ways>("/login/ways");
  const provider = ways.value?.oidc;

  async function attempt(work: () => Promise<void>): Promise<void> {
    setTrouble("");
    setBusy(true);
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setTrouble(error.message);
      setBusy(false);
    }
  }
  useEffect(() => {
    const answer = brought();
    if (answer === null) return;
    if (typeof answer !== "string") void attempt(() => finish(answer));
    else {
      setTrouble(answer);
      forget();
    }
  }, []);

  function submit(event: SubmitEvent): void {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    void attempt(() => logIn(String(new FormData(form).get("token") ?? "").trim()));
  }
  return (
    <main class="login">
      <h1>Hostler</h1>
      <p id="trouble" class="bad" role="alert">{trouble}</p>
      {provider && (
        <p class="provider">
          <button type="button" disabled={busy} onClick={() => void attempt(begin)}>
            Log in at {new URL(provider.issuer).host}
          </button>
          <span class="quiet">or</span>
        </p>
      )}
      <form onSubmit={submit}>
        <input hidden name="username" autocomplete="username" value="hostler" readOnly />
        <label for="token">Your token</label>
        <input id="token" name="token" type="password" required autocomplete="current-password" autofocus
          spellcheck={false} placeholder="hst_…" aria-describedby="trouble hint" />
        <button type="submit" disabled={busy}>Log in</button>
      </form>
      <p id="hint" class="quiet">
        Where you have logged in on the command line, <code>hostler token add browser --expires 8h</code> makes one.
        This browser gets a token of its own for it, for a week at most; logging out ends that one alone.
      </p>
    </main>
  );
}
