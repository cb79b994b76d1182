// Rows most like one, by features of the lake: which set, how many, and what is shown of it above the answer.

import { make } from "./dom.js";
import { rows } from "./rows.js";
import { onChange, state } from "./state.js";

const PLACES = ["dataset", "tissue_id", "tile_id", "cell_id"];
const MOST = 1000;

export class Nearest {
  constructor(box, { sets, onfind, tell }) {
    this.onfind = onfind;
    this.tell = tell;
    // vectors are listed as name[length]
    this.vectors = sets.flatMap(({ name, columns }) => columns.filter((column) => column.endsWith("]")).map((column) => ({ name, column: column.replace(/\[\d+\]$/, "") })));
    this.choice = make("select", {}, ...this.vectors.map(({ name, column }, k) => make("option", { value: String(k) }, `${name}: ${column}`)));
    this.choice.setAttribute("aria-label", "Features");
    this.count = make("input", { type: "number", min: "1", max: String(MOST), value: String(state.near?.k ?? 20) });
    this.count.setAttribute("aria-label", "How many rows");
    this.button = make("button", { title: "The rows of the answer that are most like the selected one (n)", onclick: () => this.find() }, "Find");
    if (!this.vectors.length) box.append(make("p", { class: "faint" }, "The lake has no feature sets; query.extract() makes one."));
    else box.append(make("div", { class: "line" }, this.choice), make("div", { class: "line" }, this.count, this.button));
    onChange((values) => "picked" in values && this.fill());
    rows.onAnswer(() => this.fill());
    this.fill();
  }

  fill() {
    this.button.disabled = state.picked.length !== 1 || rows.index("dataset") < 0 || rows.index("tissue_id") < 0;
  }

  async find() {
    if (!this.vectors.length || state.picked.length !== 1) return this.tell("Select one row that others are to be like.", true);
    const row = await rows.numbered(state.picked[0]);
    const { name, column } = this.vectors[Number(this.choice.value)];
    const k = Math.max(1, Math.min(MOST, Math.round(Number(this.count.value)) || 20));
    const place = Object.fromEntries(PLACES.filter((one) => rows.value(row, one) !== null).map((one) => [one, rows.value(row, one)]));
    this.onfind({ row: place, name, column, k });
  }

  // what the answer is, where it is that of a search
  say(box) {
    const { near } = state;
    box.hidden = !near;
    if (!near) return;
    const own = near.row.tile_id !== undefined ? `tile ${near.row.tile_id} of ` : near.row.cell_id !== undefined ? `cell ${near.row.cell_id} of ` : "";
    box.firstElementChild.textContent = `most like ${own}${near.row.tissue_id} by ${near.name}`;
  }
}
