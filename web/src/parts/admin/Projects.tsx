/** Projects: members, weight and quotas, and how much of them is used. */
import { useState } from "preact/hooks";
import { call, path } from "../../api/call";
import type { Claim, Me, Project } from "../../api/documents";
import { useFetched } from "../../state/fetched";
import { line } from "../../words/shell";
import { Act } from "../Act";
import { ROLES } from "./People";

interface OneProps {
  project: Project;
  held: number;
  who: Me;
  again: () => void;
}

export function Projects({ who }: { who: Me }) {
  const projects = useFetched<Project[]>("/projects");
  const claims = useFetched<Claim[]>("/claims");
  const held = (name: string): number =>
    (claims.value ?? []).filter((one) => one.project === name).reduce((sum, one) => sum + one.boards.length, 0);
  return (
    <section aria-labelledby="projects">
      <h2 id="projects">Projects <span class="quiet">{projects.value?.length ?? ""}</span></h2>
      {projects.trouble && <p class="bad" role="alert">{projects.trouble}</p>}
      {who.role === "admin" && <Add again={projects.again} />}
      {projects.value?.length === 0 && <p class="quiet">You belong to none.</p>}
      {(projects.value ?? []).map((one) => (
        <One key={one.name} project={one} held={held(one.name)} who={who} again={projects.again} />
      ))}
    </section>
  );
}

function One({ project, held, who, again }: OneProps) {
  const admin = who.role === "admin";
  const leads = admin || who.projects.some((one) => one.name === project.name && one.role === "admin");
  const members = Object.entries(project.members);
  const quotas = Object.entries(project.quotas);
  const most = project.quotas["*"];
  return (
    <article class="project" aria-label={`Project ${project.name}`}>
      <h3>{project.name}</h3>
      <p>
        holds {held} board{held === 1 ? "" : "s"}{most !== undefined && <> of {most} <meter min={0} max={Math.max(1, most)} value={held} aria-label={`Boards held by ${project.name}`} /></>}{" "}
        <span class="quiet">
          weight {project.weight} · priority up to {project.priority}
          {quotas.length > 0 && ` · quotas ${quotas.map(([name, limit]) => `${name === "*" ? "all" : name} ${limit}`).join(", ")}`}
        </span>
      </p>
      <ul class="plainrows">
        {members.map(([name, role]) => (
          <li key={name}>
            <span class="name">{name}</span><span>{role}</span>
            {leads && (
              <span class="actions">
                <Act line={line("project", "member", project.name, name, "none")} said={() => `${name} is no longer in ${project.name}.`}
                  work={async () => {
                    await call(`${path("projects", project.name, "members", name)}`, "DELETE");
                    again();
                  }}>
                  Take out <span class="hidden">{name} of {project.name}</span>
                </Act>
              </span>
            )}
          </li>
        ))}
      </ul>
      {leads && <AddMember project={project} again={again} />}
      {admin && <Terms project={project} again={again} />}
    </article>
  );
}

function AddMember({ project, again }: { project: Project; again: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<string>("member");
  return (
    <div class="actions">
      <label>
        Member<span class="hidden"> of {project.name}</span>
        <input value={name} spellcheck={false} autocapitalize="off" onInput={(event) => setName(event.currentTarget.value.trim())} />
      </label>
      <label>
        as<span class="hidden"> what in {project.name}</span>
        <select value={role} onChange={(event) => setRole(event.currentTarget.value)}>
          {ROLES.map((word) => <option key={word} value={word}>{word}</option>)}
        </select>
      </label>
      <Act line={line("project", "member", project.name, name || "USER", role)} disabled={!name}
        work={async () => {
          await call(path("projects", project.name, "members", name), "PUT", { role });
          setName("");
          again();
        }}
        said={() => `${name} is ${role} of ${project.name}.`}>
        Put in <span class="hidden">to {project.name}</span>
      </Act>
    </div>
  );
}

function Terms({ project, again }: { project: Project; again: () => void }) {
  const [weight, setWeight] = useState(String(project.weight));
  const [boardClass, setClass] = useState("*");
  const [limit, setLimit] = useState("");
  const at = path("projects", project.name);
  const changed = async (what: object): Promise<void> => {
    await call(at, "PATCH", what);
    again();
  };
  const none = limit.trim() === "";
  return (
    <details>
      <summary>Weight, quotas<span class="hidden"> of {project.name}</span></summary>
      <div class="actions">
        <label>
          Weight
          <input type="number" min="0.1" step="any" value={weight} onInput={(event) => setWeight(event.currentTarget.value)} />
        </label>
        <Act line={line("project", "set", project.name, "--weight", weight || "W")} disabled={!(Number(weight) > 0)}
          work={() => changed({ weight: Number(weight) })} said={() => `${project.name} weighs ${weight}.`}>
          Set weight
        </Act>
        <label>
          Class (* is all)
          <input value={boardClass} spellcheck={false} autocapitalize="off" onInput={(event) => setClass(event.currentTarget.value.trim())} />
        </label>
        <label>
          at most
          <input type="number" min="0" step="1" value={limit} placeholder="no limit" onInput={(event) => setLimit(event.currentTarget.value)} />
        </label>
        <Act line={line("project", "set", project.name, "--quota", `${boardClass || "CLASS"}=${none ? "none" : limit}`)}
          disabled={!boardClass} said={() => "The quota is set."}
          work={() => changed({ quotas: { [boardClass]: none ? null : Number(limit) } })}>
          Set quota
        </Act>
        <Act line={line("project", "remove", project.name)} sure={`Remove project ${project.name}?`}
          work={async () => {
            await call(at, "DELETE");
            again();
          }}
          said={() => "It is removed."}>
          Remove <span class="hidden">{project.name}</span>
        </Act>
      </div>
    </details>
  );
}

function Add({ again }: { again: () => void }) {
  const [name, setName] = useState("");
  return (
    <div class="actions">
      <label>
        New project
        <input value={name} spellcheck={false} autocapitalize="off" onInput={(event) => setName(event.currentTarget.value.trim())} />
      </label>
      <Act line={line("project", "add", name || "PROJECT")} disabled={!name}
        work={async () => {
          await call("/projects", "POST", { name });
          setName("");
          again();
        }}
        said={() => "It is made."}>
        Make a project
      </Act>
    </div>
  );
}
