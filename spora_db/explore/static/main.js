// The page: puts its parts together, runs queries, changes views, listens to keys.

import { get, Refused, takeToken } from "./api.js";
import { Channels } from "./channels.js";
import { byId, counted, make } from "./dom.js";
import { Editor } from "./editor.js";
import { Gallery } from "./gallery.js";
import { image, setPalette } from "./images.js";
import { Nearest } from "./nearest.js";
import { named, rows } from "./rows.js";
import { Scatter } from "./scatter.js";
import { Images, Selection, showCell } from "./side.js";
import { change, onChange, remember, restore, state, write } from "./state.js";
import { Tags } from "./tags.js";
import { Table } from "./table.js";
import { Viewer } from "./viewer.js";

const EXAMPLES = [
  ["Tiles", "SELECT dataset, tissue_id, modality, mpp, strategy, tile_size, tile_id, row, col\nFROM tiles\nORDER BY dataset, tissue_id, tile_id"],
  ["Tissues", "SELECT * FROM tissues"],
  ["Cells", "SELECT * FROM cells"],
  ["Images", "SELECT dataset, modality, tissue_id, mpp, format FROM images"],
  ["Markers", "SELECT * FROM markers"],
  ["Relations and columns", "SHOW TABLES"],
];
const VIEWS = ["table", "gallery", "viewer", "scatter"];
const KEYS = [
  ["Ctrl Enter", "run the query"], ["Alt 1, 2, 3, 4", "table, gallery, viewer, scatter"], ["arrows, Page, Home, End", "move in table and gallery"],
  ["Space", "select a row"], ["Enter", "open a row in the viewer"], ["click, Shift, Ctrl", "select one, up to, one more"],
  ["1 … 8", "hide or show a channel"], ["+ − arrows", "zoom and move the image"], ["f, o", "whole image or all points, pixel on pixel"],
  ["t, m, r", "tiles, mask, regions"], ["l", "lasso"], ["g", "give a tag to the selected rows"], ["n", "rows most like the selected one"], ["s", "select all points that are seen"], ["b, u", "other images of the tissue beside, H&E beneath"], ["p", "save as PNG"], ["?", "these keys"],
];

export const page = {};

function tell(text, bad = false) {
  const status = byId("status");
  status.textContent = text;
  status.className = bad ? "bad" : "";
}

// what goes wrong and nobody tells is told here; the console keeps what is no answer of the server
addEventListener("unhandledrejection", (event) => {
  tell(event.reason?.message ?? String(event.reason), true);
  if (event.reason instanceof Refused) event.preventDefault();
});

let ticking = 0;

// answers what is typed; or finds the rows of its answer that are most like one
async function run({ near = null } = {}) {
  const sql = page.editor.value.trim();
  if (!sql) return;
  change({ sql: page.editor.value, picked: [], near });
  byId("stop").disabled = false;
  const started = performance.now();
  const seconds = (digits) => ((performance.now() - started) / 1000).toFixed(digits);
  clearInterval(ticking);
  let doing = "";
  ticking = setInterval(() => tell(`Running, ${seconds(1)} s${doing && `: ${doing}`}`), 100);
  const asked = rows.run(page.editor.value, near, (now) => void (doing = now.doing));
  const { turn } = rows;
  const told = await asked.catch((error) => ({ error: error.message }));
  if (turn !== rows.turn) return;  // it was stopped, or another was asked since
  const done = told.state === "done";
  ended(done);
  page.editor.mark(told.place ?? null);
  if (done) tell(`${counted(told.rows, "row")}${told.more ? "; the answer has more, which are not kept" : ""} in ${seconds(2)} s${told.hint && `. ${told.hint}`}`);
  else tell(told.error ?? "Stopped.", true);
}

async function stop() {
  const stopped = rows.stop();
  const { turn } = rows;
  await stopped;
  if (turn !== rows.turn) return;  // another was asked meanwhile
  ended(false);
  tell("Stopped.");
}

// where a query has no answer, the rows that stay are not taken for it
function ended(answered) {
  clearInterval(ticking);
  byId("stop").disabled = true;
  byId("before").hidden = answered || !rows.id;
  document.querySelector("main").classList.toggle("before", !byId("before").hidden);
}

function view(name) {
  document.body.dataset.view = name;
  for (const section of document.querySelectorAll(".view")) section.classList.toggle("shown", section.id === name);
  for (const tab of document.querySelectorAll("[role=tab]")) tab.setAttribute("aria-selected", String(tab.dataset.view === name));
  page.table?.scroller.later();
  page.gallery?.layout();
  page.gallery?.begin();
  page.viewer?.redraw();
}

// shows the image of a row, at the place of the row; or only learns which channels there are
async function open(row, { only = false } = {}) {
  const names = ["dataset", "tissue_id", "modality", "mpp"].filter((name) => rows.value(row, name) !== null);
  if (!["dataset", "tissue_id"].every((name) => names.includes(name))) return only || tell("The row says no dataset and tissue_id, which an image is found by.", true);
  const asked = new URLSearchParams(names.map((name) => [name, rows.value(row, name)]));
  const { images } = await get(`api/images?${asked}`);
  if (!images.length) return tell("The row has no image: its dataset and tissue_id are of none.", true);
  const { key } = images[0];
  if (only) return void (await image(key).then(() => page.channels.show(key)));
  const number = (name) => (rows.value(row, name) === null ? NaN : Number(rows.value(row, name)));
  const size = number("tile_size");
  let place = null;
  if (Number.isFinite(number("row")) && Number.isFinite(number("col"))) {
    const half = Number.isFinite(size) ? 0 : 32;
    place = { row: number("row") - half, col: number("col") - half, height: size || 64, width: size || 64 };
  }
  change({ view: "viewer", picked: [row.number] });
  await page.viewer.open(key, { place });
}

async function lassoed(key, polygon) {
  const { count, rows: found } = await named({ key, polygon });
  change({ picked: found });
  tell(`${counted(count, "row")} inside the lasso`);
}

// a click on an image selects the row of the answer that lies there
async function clicked(key, at, event) {
  if (!rows.id) return;
  const { rows: found } = await named({ key, at });
  const more = event.ctrlKey || event.metaKey;
  if (more) change({ picked: [...new Set([...state.picked, ...found])].filter((number) => !(found.includes(number) && state.picked.includes(number))) });
  else change({ picked: found });
}

function theme(name) {
  document.documentElement.dataset.theme = name || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
  page.channels?.refresh();
}

function keys(event) {
  const typing = event.target.matches("textarea, input:not([type=checkbox], [type=range], [type=color]), select");
  if (event.altKey && "1234".includes(event.key)) change({ view: VIEWS[Number(event.key) - 1] });
  else if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  else if (event.key === "?") byId("keys").showModal();
  else if (/^[1-8]$/.test(event.key) && ["gallery", "viewer"].includes(state.view)) page.channels.key(Number(event.key));
  else if (event.target.matches("button, summary, [role=grid], .scroll, input") && !/^[a-z]$/.test(event.key)) return;
  else if (event.key === "n") page.nearest.find();
  else if (event.key === "g") page.tags.name.focus();
  else if (!page[state.view]?.key?.(event)) return;
  event.preventDefault();
}

async function begin() {
  const allowed = takeToken();
  restore();
  theme(state.theme);
  if (!allowed) return locked();
  let lake;
  try {
    lake = await get("api/lake");
  } catch (error) {
    return locked(error.message);
  }
  write();
  byId("lake").textContent = lake.name;
  byId("lake").title = lake.lake;
  document.title = `${lake.name} · spora-db`;
  setPalette(lake.colours);
  page.editor = new Editor(byId("editor"), { onrun: () => run(), onchange: (sql) => { state.sql = sql; remember(); } });
  page.table = new Table(byId("table"), {
    onopen: open,
    onfilter: (condition) => {
      page.editor.value = `SELECT * FROM (\n${page.editor.value.trim().replace(/;$/, "")}\n)\nWHERE ${condition}`;
      run();
    },
  });
  page.channels = new Channels(byId("channels"), { onfull: () => tell(`${lake.channels} channels are shown, which is all that can be told apart. Hide one first.`, true) });
  page.gallery = new Gallery(byId("gallery"), { onopen: open, onmarked: (found) => page.channels.offer(found), batch: lake.thumbs });
  page.viewer = new Viewer(byId("viewer"), { onpoint: (cell) => showCell(byId("cell"), cell), onlasso: lassoed, onclick: clicked, tell });
  page.scatter = new Scatter(byId("scatter"), { tell });
  page.images = new Images(byId("images"), { onopen: (key, shift) => page.viewer.open(key, { beside: shift }) });
  page.selection = new Selection(byId("selection"), { writes: lake.write });
  page.tags = new Tags(byId("tags"), { writes: lake.write, tell });
  page.rows = rows;
  const sets = lake.features.map(({ name, modalities }) => [`Features ${name}`, `SELECT *${modalities.length === 1 ? `, '${modalities[0]}' AS modality` : ""}\nFROM feature('${name.replaceAll("'", "''")}')`]);
  for (const [name, sql] of [...EXAMPLES, ...sets]) byId("examples").append(make("option", { value: sql }, name));
  byId("examples").onchange = (event) => {
    if (event.target.value) page.editor.value = event.target.value;
    event.target.value = "";
    run();
  };
  byId("run").onclick = () => run();
  byId("all").onclick = () => run();
  byId("stop").onclick = stop;
  byId("theme").onclick = () => {
    change({ theme: document.documentElement.dataset.theme === "dark" ? "light" : "dark" });
    theme(state.theme);
  };
  byId("keys").append(make("dl", {}, ...KEYS.flatMap(([key, text]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, text)])), make("button", { onclick: () => byId("keys").close() }, "Close"));
  byId("help").onclick = () => byId("keys").showModal();
  for (const tab of document.querySelectorAll("[role=tab]")) tab.onclick = () => change({ view: tab.dataset.view });
  onChange((values) => {
    if ("view" in values) view(state.view);
    if ("near" in values) page.nearest?.say(byId("near"));
  });
  document.addEventListener("keydown", keys);
  const picked = state.picked;
  page.nearest = new Nearest(byId("nearest"), { sets: lake.features, onfind: (near) => run({ near }), tell });
  const begun = !state.sql;
  page.editor.value = state.sql || EXAMPLES[0][1];
  view(state.view);
  page.channels.show(state.images[0]);
  page.channels.fill();
  await run({ near: state.near });
  if (begun && rows.id && !rows.all) {  // a lake without tiles
    page.editor.value = EXAMPLES.find(([name]) => name === "Images")[1];
    await run();
  }
  if (picked.length && !state.picked.length) change({ picked: picked.filter((number) => number < rows.all) });
  page.ready = true;
}

function locked(reason = "This page needs the address that spora-db explore printed, with its token.") {
  document.querySelector("main").replaceChildren(make("p", { class: "empty" }, reason));
}

begin();
