"use strict";
// Every text goes in as text: nothing that comes from the store is ever read as markup.
const $ = (id) => document.getElementById(id);
const count = (n) => Number(n || 0).toLocaleString("en");

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

const when = (epoch) => new Date(epoch * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC";
const scopeName = (scope) => (scope === "*" ? "all others" : scope);

function table(heads, rows, none) {
  if (!rows.length) return element("p", none, "quiet");
  const made = element("table");
  const head = made.createTHead().insertRow();
  for (const name of heads) head.append(element("th", name.replace("#", ""), name.startsWith("#") ? "number" : ""));
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((cell, i) => {
      const field = element("td", undefined, heads[i].startsWith("#") ? "number" : "");
      field.append(cell instanceof Node ? cell : document.createTextNode(String(cell)));
      line.append(field);
    });
  }
  return made;
}

function show(id, ...nodes) {
  $(id).replaceChildren(...nodes);
}

function bar(fraction) {
  const made = element("progress");
  made.max = 1;
  made.value = fraction;
  const both = element("span");
  both.append(made, ` ${(100 * fraction).toFixed(1)} %`);
  return both;
}

function atWork(status) {
  const { lease, control } = status;
  const lines = [];
  if (control.paused) {
    lines.push(element("p", `Paused by ${control.who} since ${control.since}: ${control.why}`, "bad"));
  }
  if (!lease) return [...lines, element("p", "Nothing is running: no run holds the lease.", "quiet")];
  lines.push(element("p", `${lease.holder} holds the lease; it expires in ${span(lease.expires_in)} unless renewed.`));
  lines.push(element("p", control.rps ? `Rate limit: ${count(control.rps)} keys a second.` : "No rate limit."));
  return lines;
}

function passes(status) {
  const rows = status.passes.map((p) => [
    p.scope.length ? p.scope.join(", ") : "all workspaces",
    p.state,
    bar(p.fraction),
    p.state === "complete" ? "" : p.eta_seconds == null ? "unknown" : span(p.eta_seconds),
    `${p.walked} of ${p.partitions}`,
    count(p.scanned),
    count(p.migrated),
  ]);
  return table(["Scope", "State", "Walked", "Time left", "Partitions done", "#Examined", "#Copied"], rows, "None yet.");
}

function proofs(status) {
  const rows = Object.entries(status.last_verifications).map(([scope, v]) => {
    const b = v.books;
    const clean = !(b.different || b.missing || b.extra || b.errors);
    const result = element("span", clean ? "clean" : "not clean", clean ? "good" : "bad");
    const counts = ["equal", "different", "missing", "extra", "quarantined"].map((name) => count(b[name]));
    return [scope === "*" ? "all workspaces" : scope, result, ...counts, when(v.finished_at)];
  });
  const heads = ["Scope", "Result", "#Equal", "#Different", "#Missing", "#Extra", "#Quarantined", "When"];
  return table(heads, rows, "None yet.");
}

function history(status) {
  const rows = status.history.map((event) => {
    const { event: what, at, who, ...rest } = event;
    const facts = Object.entries(rest).filter(([, v]) => v !== null && v !== "" && !(Array.isArray(v) && !v.length));
    return [at ? when(at) : "", what, who || "", facts.map(([k, v]) => `${k}: ${v}`).join(", ")];
  });
  return table(["When", "What", "Who", ""], rows, "Nothing yet.");
}

function draw(answer) {
  const warnings = [...answer.warnings];
  if (answer.error) warnings.push(answer.error);
  $("warnings").hidden = !warnings.length;
  show("warnings", ...warnings.map((text) => element("li", text)));
  const status = answer.status;
  if (!status) return;
  $("target").textContent = status.target;
  show("now", ...atWork(status));
  const stages = Object.entries(status.stages).map(([scope, stage]) => [scopeName(scope), stage]);
  const source = `Source: ${status.stage_source}. Quarantined records: ${count(status.quarantined)}. ` +
    `Jobs waiting in the queue: ${count(status.queue_depth)}.`;
  show("stages", table(["Workspace", "Stage"], stages, "No stage is recorded."), element("p", source, "quiet"));
  show("passes", passes(status));
  show("proofs", proofs(status));
  show("history", history(status));
}

async function refresh() {
  try {
    const answer = await fetch("status.json", { credentials: "same-origin" });
    if (!answer.ok) throw new Error(answer.status === 401 ? "not logged in any more" : `the server answered ${answer.status}`);
    draw(await answer.json());
    $("age").textContent = `· as of ${new Date().toISOString().slice(11, 19)} UTC`;
  } catch (error) {
    $("age").textContent = `· not refreshed: ${error.message}`;
  }
  setTimeout(refresh, document.hidden ? 15000 : 2000);
}

refresh();
