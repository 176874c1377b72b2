/** The frame of every page, and which page is in it. */
import { useEffect } from "preact/hooks";
import type { Me } from "./api/documents";
import { BoardPage } from "./pages/BoardPage";
import { Events } from "./pages/Events";
import { Login } from "./pages/Login";
import { Wall } from "./pages/Wall";
import { Act } from "./parts/Act";
import { CommandBar } from "./parts/CommandBar";
import { Lazy } from "./parts/Lazy";
import { Link } from "./parts/Link";
import { outcome } from "./state/command";
import { parts } from "./state/route";
import { logOut, me } from "./state/session";
import { line } from "./words/shell";

const PAGES = [
  { word: "", title: "Boards" },
  { word: "claims", title: "Claims" },
  { word: "images", title: "Images" },
  { word: "switches", title: "Switches" },
  { word: "check", title: "Lab check" },
  { word: "events", title: "Events" },
  { word: "admin", title: "Admin" },
];
const claims = async () => (await import("./pages/Claims")).Claims;
const images = async () => (await import("./pages/Images")).Images;
const switches = async () => (await import("./pages/Switches")).Switches;
const check = async () => (await import("./pages/Check")).Check;
const admin = async () => (await import("./pages/Admin")).Admin;

export function App() {
  const who = me.value;
  const [page = "", name] = parts.value;
  useEffect(() => {
    const title = name ?? PAGES.find((one) => one.word === page)?.title ?? "";
    document.title = title ? `${title} · Hostler` : "Hostler";
    outcome.value = null;
  }, [page, name]);
  if (who === undefined) return <p class="waiting">Asking the server …</p>;
  if (who === null) return <Login />;
  return (
    <>
      <a class="skip" href="#content">Skip to content</a>
      <Header who={who} page={page} />
      <main id="content" tabIndex={-1}>
        <Page who={who} page={page} name={name} />
      </main>
      <CommandBar />
    </>
  );
}

function Header({ who, page }: { who: Me; page: string }) {
  const current = page === "boards" ? "" : page;
  return (
    <header class="top">
      <strong class="brand">Hostler</strong>
      <nav aria-label="Pages">
        {PAGES.map(({ word, title }) => (
          <Link key={word} to={`/${word}`} current={word === current}>{title}</Link>
        ))}
      </nav>
      <span class="who">
        {who.name} <span class="quiet">{who.role}</span>{" "}
        <Act line={line("logout")} work={logOut} plain>Log out</Act>
      </span>
    </header>
  );
}

function Page({ who, page, name }: { who: Me; page: string; name: string | undefined }) {
  if (page === "boards" && name !== undefined) return <BoardPage key={name} who={who} name={name} />;
  if (page === "" || page === "boards" || page === "login") return <Wall who={who} />;
  if (page === "claims") return <Lazy key={page} load={claims} props={{ who }} />;
  if (page === "images") return <Lazy key={page} load={images} props={{ who, name }} />;
  if (page === "events") return <Events />;
  if (page === "switches") return <Lazy key={page} load={switches} props={{ who }} />;
  if (page === "check") return <Lazy key={page} load={check} props={{ who }} />;
  if (page === "admin") return <Lazy key={page} load={admin} props={{ who }} />;
  return <p>There is no such page. <Link to="/">All boards</Link></p>;
}
