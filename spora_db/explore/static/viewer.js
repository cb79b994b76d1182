// The viewer: up to four images side by side that are moved together, in microns, and what is done with them.

import { get, post } from "./api.js";
import { make } from "./dom.js";
import { image, namesOf } from "./images.js";
import { Pane } from "./pane.js";
import { rows } from "./rows.js";
import { change, onChange, state } from "./state.js";

const MOST = 4;
const LINES = [["tiles", "Tiles", "t", "tiles"], ["mask", "Mask", "m", "tissue mask"], ["regions", "Regions", "r", "regions"]];

export class Viewer {
  constructor(box, { onpoint, onlasso = null, onclick = () => {}, tell = () => {} }) {
    this.box = box;
    this.onpoint = onpoint;
    this.onlasso = onlasso;  // null where there are no rows to select
    this.onclick = onclick;
    this.tell = tell;
    this.panes = new Map();
    this.grid = make("div", { id: "panes" });
    this.empty = make("p", { class: "empty" }, "Choose an image at the right, or open a row of the table or the gallery.");
    const tool = (text, title, onclick, name) => {
      const button = make("button", { title, onclick }, text);
      if (name) button.dataset.line = name;
      return button;
    };
    this.tools = make("div", { id: "tools" },
      ...LINES.map(([name, text, key]) => tool(text, `${text}: outlines (${key})`, () => change({ [name]: !state[name] }), name)),
      onlasso && tool("Lasso", "Select rows inside a line (l, or shift and drag)", () => this.lasso(!this.lassoing), "lasso"),
      tool("Fit", "See the whole image (f)", () => this.fit()),
      tool("1:1", "A pixel of the image on a pixel of the screen (o)", () => this.full()),
      tool("Beside", "The other images of this tissue, side by side (b)", () => this.beside()),
      tool("Beneath", "H&E beneath the channels (u)", () => this.lay(!state.beneath), "beneath"),
      this.opacity = make("input", { type: "range", min: "0", max: "1", step: "0.05", title: "How much the channels cover", oninput: () => change({ opacity: Number(this.opacity.value) }) }),
      tool("PNG", "Save what is seen (p)", () => this.save(1)),
      tool("PNG ×4", "Save it in the size of print", () => this.save(4)));
    this.opacity.setAttribute("aria-label", "How much the channels cover");
    box.append(this.grid, this.tools, this.empty);
    onChange((values) => {
      if ("images" in values) this.arrange();
      if (["markers", "picked", "beneath", "opacity", ...LINES.map(([name]) => name)].some((name) => name in values)) this.redraw();
    });
    this.arrange();
  }

  // what is in the middle, and how large; until it is moved, every image as a whole, whatever room there is
  get at() {
    return state.at ?? this.whole;
  }

  get whole() {
    const box = this.first?.box;
    const sides = [...this.panes.values()].filter(({ found }) => found).map(({ found: { height, width, mpp } }) => [height * mpp, width * mpp]);
    if (!sides.length || !box?.clientWidth) return { y: 0, x: 0, scale: 1 };
    const [height, width] = [0, 1].map((axis) => Math.max(...sides.map((side) => side[axis])));
    return { y: height / 2, x: width / 2, scale: Math.min(box.clientHeight / height, box.clientWidth / width) * 0.96 };
  }

  get first() {
    return this.panes.get(state.images[0]);
  }

  paneOf(key) {
    if (!this.panes.has(key)) this.panes.set(key, new Pane(key, this));
    return this.panes.get(key);
  }

  arrange() {
    for (const [key, pane] of this.panes) {
      if (state.images.includes(key)) continue;
      pane.end();
      this.panes.delete(key);
    }
    const shown = state.images.slice(0, MOST).map((key) => this.paneOf(key));
    this.grid.replaceChildren(...shown.map(({ box }) => box));
    const across = shown.length > 1 ? 2 : 1;
    this.grid.style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`;
    this.grid.style.gridTemplateRows = `repeat(${Math.ceil(shown.length / across) || 1}, minmax(0, 1fr))`;
    this.empty.hidden = shown.length > 0;
    this.grid.hidden = this.tools.hidden = shown.length === 0;
    this.redraw();
  }

  end() {
    for (const pane of this.panes.values()) pane.end();
  }

  redraw() {
    for (const button of this.tools.querySelectorAll("[data-line]")) {
      const on = button.dataset.line === "lasso" ? this.lassoing : state[button.dataset.line];
      button.setAttribute("aria-pressed", String(Boolean(on)));
    }
    this.opacity.hidden = !state.beneath;
    this.opacity.value = String(state.opacity);
    for (const pane of this.panes.values()) pane.later();
  }

  // lays the image in natural colours of the same tissue beneath the channels
  async lay(on) {
    change({ beneath: on });
    const found = this.first?.found;
    if (on && found && !found.rgb && !(await this.bright(found))) this.tell("The tissue has no image in natural colours that could lie beneath.", true);
  }

  async bright(found) {
    const other = (await this.others(found)).find(({ rgb }) => rgb);
    return other ? image(other.key) : null;
  }

  // all images of the tissue of one
  async others({ dataset, tissue_id }) {
    const { images } = await get(`api/images?q=${encodeURIComponent(`${dataset} ${tissue_id}`)}`);
    return images.filter((one) => one.tissue_id === tissue_id && one.dataset === dataset);
  }

  // opens the other images of the tissue, as long as there is room
  async beside() {
    if (!this.first?.found) return;
    for (const { key } of await this.others(this.first.found)) {
      if (state.images.length < MOST && !state.images.includes(key)) await this.open(key, { beside: true });
    }
  }

  // opens an image alone, or beside those that are open
  async open(key, { beside = false, place = null } = {}) {
    this.paneOf(key);  // it gets ready to draw while the image is asked for
    const found = await image(key).catch(() => null);  // its pane says why
    const images = beside ? [...new Set([...state.images, key])].slice(-MOST) : [key];  // now: others may have come meanwhile
    const same = state.images.some((old) => this.panes.get(old)?.found?.tissue_id === found?.tissue_id);
    if (place && found) {
      const scale = Math.min(4, 0.5 * Math.min(this.box.clientHeight || 600, this.box.clientWidth || 800) / Math.max(place.height, place.width)) / found.mpp;
      change({ images, at: { y: (place.row + place.height / 2) * found.mpp, x: (place.col + place.width / 2) * found.mpp, scale } });
    } else change({ images, at: same ? state.at : null });
  }

  close(key) {
    change({ images: state.images.filter((other) => other !== key) });
  }

  fit() {
    this.move(null);
  }

  full() {
    if (this.first?.found) this.move({ ...this.at, scale: 1 / (this.first.found.mpp * devicePixelRatio) });
  }

  move(at) {
    change({ at });
    for (const pane of this.panes.values()) pane.later();
  }

  zoom(factor, around = this.at) {
    const { y, x, scale } = this.at;
    const next = Math.min(64, Math.max(1e-4, scale * factor));
    const kept = scale / next;
    this.move({ y: around.y + (y - around.y) * kept, x: around.x + (x - around.x) * kept, scale: next });
  }

  lasso(on) {
    this.lassoing = on;
    this.redraw();
  }

  lassoed(pane, polygon) {
    this.lasso(false);
    this.onlasso(pane.key, polygon);
  }

  // tells which of the images that are open have no lines of a kind, once it is known of all
  lacking(kind) {
    const panes = [...this.panes.values()].filter(({ found }) => found);
    if (panes.some(({ lines }) => !lines[kind] || lines[kind].asked)) return;
    const names = namesOf(panes.map(({ found }) => found));
    const without = names.filter((_, at) => Object.values(panes[at].lines[kind]).every((some) => !some.length));
    const [, , , name] = LINES.find(([one]) => one === kind);
    if (without.length === 1) this.tell(`${without[0]} has no ${name}.`);
    else if (without.length) this.tell(`${without.length} of ${panes.length} images have no ${name}: ${without.join(", ")}.`);
  }

  pointed(cell) {
    this.onpoint(cell);
  }

  // where the selected rows lie in an image
  places(pane) {
    const { id } = rows;
    const { picked } = state;
    if (pane.marked?.id !== id || pane.marked.picked !== picked) {
      pane.marked = { id, picked, marks: [] };
      const { marked } = pane;
      if (id && picked.length && rows.index("row") >= 0) {
        post("api/marks", { query: id, rows: picked, key: pane.key }).then(({ marks }) => {
          marked.marks = marks;
          pane.later();
        }).catch(() => {});
      }
    }
    return pane.marked.marks;
  }

  // what is seen of the first image as a file, with scale bar and legend, at a multiple of the screen
  async save(times) {
    const pane = this.first;
    if (!pane?.found) return;
    const blob = await this.picture(pane, times);
    const address = URL.createObjectURL(blob);
    make("a", { href: address, download: `${pane.found.tissue_id}_${pane.found.modality}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  async picture(pane, times) {
    const { clientWidth, clientHeight, style: { width, height } } = pane.box;
    const { at } = state;
    if (times !== 1) {
      state.at = { ...this.at, scale: this.at.scale * times };
      pane.box.style.width = `${clientWidth * times}px`;
      pane.box.style.height = `${clientHeight * times}px`;
    }
    try {
      pane.draw();
      for (let turn = 0; !pane.complete && turn < 600; turn += 1) {
        await new Promise((done) => setTimeout(done, 50));
        pane.draw();
      }
      const canvas = make("canvas", { width: pane.canvas.width, height: pane.canvas.height });
      const context = canvas.getContext("2d");
      context.drawImage(pane.canvas, 0, 0);
      context.drawImage(pane.over, 0, 0);
      this.writeLegend(context, pane, canvas.height);
      return await new Promise((done) => canvas.toBlob(done, "image/png"));
    } finally {
      Object.assign(pane.box.style, { width, height });
      state.at = at;
      pane.later();
    }
  }

  writeLegend(context, pane, height) {
    const size = Math.max(12, Math.round(height / 50));
    context.font = `${size}px sans-serif`;
    let left = size;
    for (const item of pane.legend.children) {
      context.fillStyle = item.style.color;
      context.fillText(item.textContent, left, height - size);
      left += context.measureText(item.textContent).width + size;
    }
  }

  key(event) {
    const step = 80 / this.at.scale;
    const moves = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] };
    const lines = LINES.find(([, , key]) => key === event.key);
    if (event.key in moves) this.move({ ...this.at, y: this.at.y + moves[event.key][0], x: this.at.x + moves[event.key][1] });
    else if (event.key === "+" || event.key === "=") this.zoom(1.4);
    else if (event.key === "-") this.zoom(1 / 1.4);
    else if (lines) change({ [lines[0]]: !state[lines[0]] });
    else if (event.key === "f") this.fit();
    else if (event.key === "o") this.full();
    else if (event.key === "l" && this.onlasso) this.lasso(!this.lassoing);
    else if (event.key === "u") this.lay(!state.beneath);
    else if (event.key === "b") this.beside();
    else if (event.key === "p") this.save(1);
    else return false;
    return true;
  }
}

