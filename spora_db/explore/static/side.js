// What stands at the side: images to open, the selection and what becomes of it, the cell under the pointer.

import { get, post } from "./api.js";
import { copied, counted, make } from "./dom.js";
import { namesOf } from "./images.js";
import { rows } from "./rows.js";
import { change, onChange, state } from "./state.js";

export class Images {
  constructor(box, { onopen }) {
    this.onopen = onopen;
    this.words = make("input", { type: "search", placeholder: "Find an image: words of its names", oninput: () => this.later() });
    this.words.setAttribute("aria-label", "Find an image");
    this.list = make("ul");
    box.append(this.words, this.list);
    onChange((values) => "images" in values && this.mark());
    this.find();
  }

  later() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.find(), 150);
  }

  async find() {
    const { images } = await get(`api/images?q=${encodeURIComponent(this.words.value)}`);
    const names = namesOf(images);
    this.list.replaceChildren(...images.map((one, at) => {
      const button = make("button", { title: `${one.dataset}, ${one.mpp} µm per pixel. Shift: beside.`, onclick: (event) => this.onopen(one.key, event.shiftKey) }, names[at]);
      button.dataset.key = one.key;
      return make("li", {}, button);
    }));
    this.mark();
  }

  mark() {
    for (const button of this.list.querySelectorAll("button")) button.setAttribute("aria-pressed", String(state.images.includes(button.dataset.key)));
  }
}

export class Selection {
  constructor(box, { writes }) {
    this.box = box;
    this.writes = writes;
    onChange((values) => "picked" in values && this.fill());
    rows.onAnswer(() => this.fill());
    this.fill();
  }

  fill() {
    const chosen = state.picked.length;
    const part = rows.only ? `${counted(rows.only.length, "row")} shown of ${rows.all.toLocaleString("en")}; ` : "";
    const told = part + (chosen ? `${counted(chosen, "row")} selected` : !rows.id ? "No answer yet." : rows.all ? `All ${counted(rows.all, "row")} of the answer` : "The answer has no rows.");
    this.out = make("div");
    const line = make("div", { class: "line" },
      make("button", { onclick: () => this.code(), disabled: !rows.all, title: "Python that asks for these rows" }, "Code"),
      make("button", { onclick: () => rows.show(rows.only ? null : [...state.picked].sort((a, b) => a - b)), disabled: !chosen && !rows.only, title: "Table and gallery show the selected rows only" }, rows.only ? "Show all" : "Show only"),
      make("button", { onclick: () => change({ picked: [] }), disabled: !chosen }, "Clear"));
    const parts = [make("div", {}, told), line];
    if (this.writes && rows.all) {
      this.name = make("input", { placeholder: "name of the file", value: this.name?.value ?? "" });
      this.name.setAttribute("aria-label", "Name of the file");
      parts.push(make("div", { class: "line" }, this.name), make("div", { class: "line" },
        make("button", { onclick: () => this.save("parquet") }, "Save rows"),
        make("button", { onclick: () => this.save("lock") }, "Save lock")));
    }
    this.box.replaceChildren(...parts, this.out);
  }

  get asked() {
    return { query: rows.id, rows: state.picked.length ? state.picked : null };
  }

  async code() {
    try {
      const { code } = await post("api/selections", { ...this.asked, code: true });
      this.out.replaceChildren(...copied(code));
    } catch (error) {
      this.out.replaceChildren(make("p", { class: "faint" }, error.message));
    }
  }

  async save(form) {
    if (!this.name.value.trim()) return this.out.replaceChildren(make("p", { class: "faint" }, "A file needs a name."));
    try {
      const { file } = await post("api/exports", { ...this.asked, name: this.name.value, form });
      this.out.replaceChildren(make("p", {}, `Saved as ${file}`));
    } catch (error) {
      this.out.replaceChildren(make("p", { class: "faint" }, error.message));
    }
  }
}

export function showCell(box, cell) {
  if (!cell.cell_id) {
    box.className = "faint";
    return void (box.textContent = "No cell is here.");
  }
  const values = Object.entries(cell.values).filter(([name]) => !["dataset", "tissue_id", "cell_id"].includes(name)).slice(0, 40);
  box.className = "";
  box.replaceChildren(make("dl", {}, make("dt", {}, "cell"), make("dd", {}, String(cell.cell_id)),
    ...values.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, /^-?\d+\.\d{4,}/.test(value) ? String(Number(Number(value).toPrecision(5))) : value)])));
}
