// The scatter: a point for every row, of two columns; a line around points selects their rows.

import { bytes, headed } from "./api.js";
import { brief, counted, make } from "./dom.js";
import { drawing, linked, LOST, rgb } from "./gl.js";
import { named, rows } from "./rows.js";
import { change, onChange, state } from "./state.js";

const EMBEDDED = /^(.*(?:umap|t_?sne|phate|pca?c?).*?)_?[0-9xy]$/i;
const COLOURS = ["#4c8dff", "#ff9f40", "#3ec46d", "#ff5d8f", "#b57bff", "#ffd166", "#2ec4c6", "#c98a5e", "#8fd14f", "#e377c2"];
const SCALE = ["#3b1c6e", "#4c57b0", "#2f8f9d", "#5bc26a", "#f7e05a"];
const GREY = "#8b98a5";
const OTHER = 255;

const VERTEX = `#version 300 es
in vec2 place;
in float colour;
uniform vec4 seen;  // least x, least y, greatest x, greatest y, as shares
uniform vec4 inner;  // of the canvas in clip space: left, bottom, right, top
uniform float size;
uniform vec3 palette[${COLOURS.length}];
uniform vec3 scale[${SCALE.length}];
uniform vec3 grey;
uniform bool numbers;
out vec3 ink;
void main() {
  vec2 share = (place - seen.xy) / (seen.zw - seen.xy);
  gl_Position = vec4(mix(inner.xy, inner.zw, share), 0.0, 1.0);
  if (any(lessThan(share, vec2(-0.01))) || any(greaterThan(share, vec2(1.01)))) gl_Position = vec4(3.0, 3.0, 0.0, 1.0);
  gl_PointSize = size;
  int number = int(colour);
  float step = colour / 254.0 * float(${SCALE.length - 1});
  int below = min(int(step), ${SCALE.length - 2});
  ink = number == ${OTHER} ? grey : numbers ? mix(scale[below], scale[below + 1], step - float(below)) : palette[min(number, ${COLOURS.length - 1})];
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec3 ink;
out vec4 colourOut;
void main() {
  if (length(gl_PointCoord - 0.5) > 0.5) discard;
  colourOut = vec4(ink, 1.0);
}`;

export class Scatter {
  constructor(box, { tell }) {
    this.box = box;
    this.tell = tell;
    this.canvas = make("canvas");
    this.over = make("canvas", { tabIndex: 0 });
    this.over.setAttribute("aria-label", "Points; a line drawn around some selects their rows, s those that are seen");
    this.empty = make("p", { class: "empty" });
    this.legend = make("div", { class: "key-of-colours" });
    this.count = make("span", { class: "faint" });
    this.choices = Object.fromEntries(["x", "y", "by"].map((name) => {
      const choice = make("select", { onchange: () => change({ scatter: { ...this.chosen, [name]: choice.value } }) });
      choice.setAttribute("aria-label", { x: "Column to the right", y: "Column upwards, rows of pixels downwards", by: "Column of colours" }[name]);
      return [name, choice];
    }));
    const { x, y, by } = this.choices;
    this.bar = make("div", { class: "bar" }, "x", x, "y", y, "colour", by, make("button", { title: "All points (f)", onclick: () => this.fit() }, "Fit"), this.count);
    this.plot = make("div", { class: "plot" }, this.canvas, this.over, this.legend, this.empty);
    box.append(this.bar, this.plot);
    this.seen = [-0.02, -0.02, 1.02, 1.02];
    new ResizeObserver(() => this.later()).observe(this.plot);
    rows.onAnswer((kind) => kind === "answer" && this.fill());
    onChange((values) => {
      if ("scatter" in values || "view" in values) this.ask();
      if ("picked" in values || "theme" in values) this.later();
    });
    this.listen();
  }

  // which columns are shown: those chosen, if the answer has them; else, of those with a value, two that an embedding is called, two numbers, or places
  get chosen() {
    const filled = rows.columns.filter(({ empty }) => !empty);
    const names = filled.map(({ name }) => name);
    const numbers = filled.filter(({ numeric }) => numeric).map(({ name }) => name);
    const { x, y, by } = state.scatter;
    const told = names.includes(by) ? by : ["cell_type", "region_class", "dataset"].find((name) => names.includes(name)) ?? "";
    if (numbers.includes(x) && numbers.includes(y)) return { x, y, by: names.includes(by) || by === "" ? by : told };
    const stems = numbers.map((name) => EMBEDDED.exec(name)?.[1]);
    const first = stems.findIndex((stem, k) => stem !== undefined && stems.indexOf(stem, k + 1) > 0);
    const plain = numbers.filter((name) => !/(_id|^mpp|_size|^row|^col)$/.test(name));
    const pair = first >= 0 ? [numbers[first], numbers[stems.indexOf(stems[first], first + 1)]] : plain.length > 1 ? plain : ["col", "row"].every((name) => numbers.includes(name)) ? ["col", "row"] : numbers;
    return { x: pair[0], y: pair[1], by: told };
  }

  fill() {
    for (const [name, choice] of Object.entries(this.choices)) {
      const columns = rows.columns.filter(({ numeric, type }) => (name === "by" ? !/list|struct|map/.test(type) : numeric));
      choice.replaceChildren(...(name === "by" ? [make("option", { value: "" }, "none")] : []), ...columns.map((column) => make("option", { value: column.name }, column.name)));
    }
    this.asked = this.points = null;
    this.ask();
  }

  async ask() {
    if (state.view !== "scatter" || !rows.id) return;
    const chosen = this.chosen;
    for (const name of ["x", "y", "by"]) this.choices[name].value = chosen[name] ?? "";
    const usable = rows.all > 0 && chosen.x !== undefined && chosen.y !== undefined;
    this.empty.textContent = !rows.all ? "The answer has no rows." : usable ? "" : "A scatter needs two columns of numbers in the answer, such as those of feature('<name>').";
    const asked = usable ? `${rows.id}/points?x=${rows.index(chosen.x)}&y=${rows.index(chosen.y)}${chosen.by ? `&by=${rows.index(chosen.by)}` : ""}` : "";
    if (asked === this.asked) return this.later();
    this.asked = asked;
    this.points = null;
    this.legend.replaceChildren();
    this.count.textContent = "";
    if (usable) {
      try {
        const content = await bytes(`api/queries/${asked}`);
        if (asked !== this.asked) return;
        this.take(content);
      } catch (error) {
        if (asked === this.asked) this.empty.textContent = error.message;
      }
    }
    this.fit();
  }

  take(content) {
    const { head, start } = headed(content);
    const { count } = head;
    this.points = {
      head, numbers: new Uint32Array(content, start, count), x: new Float32Array(content, start + 4 * count, count),
      y: new Float32Array(content, start + 8 * count, count), colours: new Uint8Array(content, start + 12 * count, count),
    };
    this.count.textContent = head.count < head.of ? `${counted(head.count, "point")} of ${head.of.toLocaleString("en")}` : counted(head.count, "point");
    if (!head.of) this.empty.textContent = "No row has numbers in both columns. Choose others above.";
    this.upload();
    const item = (colour, text) => {
      const dot = make("i");
      dot.style.background = colour;
      return make("span", {}, dot, text);
    };
    const { by } = head;
    this.legend.replaceChildren(...(!by || by.values?.length === 1 ? [] : by.values ? [...by.values.map((value, k) => item(COLOURS[k], value)), ...(this.points.colours.includes(OTHER) ? [item(GREY, "other")] : [])]
      : [item(SCALE[0], brief(by.ends[0])), item(SCALE.at(-1), brief(by.ends[1]))]));
  }

  upload() {
    this.gl ??= drawing(this.canvas, { alpha: true, lost: () => this.tell(LOST, true), back: () => {
      this.program = null;
      if (this.points) this.upload();
      this.later();
    } });
    const { gl } = this;
    if (!this.program) {
      this.program = linked(gl, VERTEX, FRAGMENT);
      this.buffers = { place: gl.createBuffer(), colour: gl.createBuffer() };
    }
    const { x, y, colours, head } = this.points;
    const places = new Float32Array(2 * head.count);
    for (let k = 0; k < head.count; k += 1) {
      places[2 * k] = x[k];
      places[2 * k + 1] = y[k];
    }
    for (const [name, values] of [["place", places], ["colour", colours]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    }
  }

  // rows of pixels count downwards, as in images
  fit() {
    const [bottom, top] = /^(centroid_)?row$|^centroid-0$/.test(this.chosen.y ?? "") ? [1.02, -0.02] : [-0.02, 1.02];
    this.seen = [-0.02, bottom, 1.02, top];
    this.later();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (state.view === "scatter") this.draw();
    });
  }

  // the height of letters, which are larger on a large screen
  get letters() {
    return parseFloat(getComputedStyle(this.bar).fontSize);
  }

  // from shares of both columns to pixels of the plot, and back
  get inner() {
    const edge = 4 * this.letters;
    return { left: edge + 12, top: 10, width: Math.max(1, this.plot.clientWidth - edge - 24), height: Math.max(1, this.plot.clientHeight - edge) };
  }

  toPlot([x, y]) {
    const { left, top, width, height } = this.inner;
    const [x0, y0, x1, y1] = this.seen;
    return [left + ((x - x0) / (x1 - x0)) * width, top + (1 - (y - y0) / (y1 - y0)) * height];
  }

  toShare([across, down]) {
    const { left, top, width, height } = this.inner;
    const [x0, y0, x1, y1] = this.seen;
    return [x0 + ((across - left) / width) * (x1 - x0), y0 + (1 - (down - top) / height) * (y1 - y0)];
  }

  toValues([x, y]) {
    const at = ([low, high], share) => low + share * ((high - low) || 1);
    return [at(this.points.head.x, x), at(this.points.head.y, y)];
  }

  draw() {
    const ratio = devicePixelRatio;
    const [width, height] = [this.plot.clientWidth, this.plot.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
    for (const canvas of [this.canvas, this.over]) if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = this.over.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { gl } = this;
    if (gl) {
      gl.viewport(0, 0, width, height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
    }
    if (!this.points) return;
    this.drawPoints(width / ratio, height / ratio);
    this.drawAxes(context);
    this.drawPicked(context);
    if (this.lasso) {
      context.beginPath();
      this.lasso.forEach((share, k) => context[k ? "lineTo" : "moveTo"](...this.toPlot(share)));
      context.closePath();
      context.lineWidth = 2;
      context.strokeStyle = this.colour("--picked");
      context.fillStyle = "#f7e01e22";
      context.fill();
      context.stroke();
    }
    this.box.dataset.drawn = this.asked;
  }

  drawPoints(width, height) {
    const { gl, program, points: { head } } = this;
    const { left, top, width: wide, height: tall } = this.inner;
    gl.useProgram(program);
    const at = (name) => gl.getUniformLocation(program, name);
    gl.uniform4f(at("seen"), ...this.seen);
    gl.uniform4f(at("inner"), (2 * left) / width - 1, 1 - (2 * (top + tall)) / height, (2 * (left + wide)) / width - 1, 1 - (2 * top) / height);
    gl.uniform1f(at("size"), devicePixelRatio * (this.letters / 12) * (head.count > 50_000 ? 2 : head.count > 2000 ? 4 : 7));
    gl.uniform3fv(at("palette"), COLOURS.flatMap(rgb));
    gl.uniform3fv(at("scale"), SCALE.flatMap(rgb));
    gl.uniform3fv(at("grey"), rgb(GREY));
    gl.uniform1i(at("numbers"), head.by?.ends ? 1 : 0);
    for (const [name, size, kind] of [["place", 2, gl.FLOAT], ["colour", 1, gl.UNSIGNED_BYTE]]) {
      const place = gl.getAttribLocation(program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, kind, false, 0, 0);
    }
    gl.drawArrays(gl.POINTS, 0, head.count);
  }

  colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name);
  }

  drawAxes(context) {
    const { left, top, width, height } = this.inner;
    context.strokeStyle = context.fillStyle = this.colour("--faint");
    context.lineWidth = 1;
    context.font = getComputedStyle(this.bar).font;
    context.strokeRect(left + 0.5, top + 0.5, width, height);
    const { x, y } = this.chosen;
    const low = this.toValues([this.seen[0], this.seen[1]]);
    const high = this.toValues([this.seen[2], this.seen[3]]);
    const fits = Math.max(2, Math.floor(width / 110));
    for (const value of ticks(low[0], high[0], fits)) {
      const across = left + ((value - low[0]) / (high[0] - low[0])) * width;
      context.textAlign = "center";
      context.fillText(brief(value), across, top + height + 1.3 * this.letters);
      context.fillRect(across, top + height, 1, 4);
    }
    for (const value of ticks(Math.min(low[1], high[1]), Math.max(low[1], high[1]), Math.max(2, Math.floor(height / 60)))) {
      const down = top + (1 - (value - low[1]) / (high[1] - low[1])) * height;
      context.textAlign = "right";
      context.fillText(brief(value), left - 7, down + 4);
      context.fillRect(left - 4, down, 4, 1);
    }
    context.fillStyle = this.colour("--ink");
    context.textAlign = "center";
    context.fillText(x, left + width / 2, top + height + 2.6 * this.letters);
    context.save();
    context.translate(this.letters, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(y, 0, 0);
    context.restore();
  }

  drawPicked(context) {
    if (!state.picked.length) return;
    const picked = new Set(state.picked);
    const { numbers, x, y } = this.points;
    const { left, top, width, height } = this.inner;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.strokeStyle = this.colour("--picked");
    // of many, rings are so small that they can still be told apart
    const [radius, line] = picked.size > 300 ? [2.5, 0.75] : [5, 1.5];
    context.lineWidth = line;
    context.beginPath();
    for (let k = 0; k < numbers.length; k += 1) {
      if (!picked.has(numbers[k])) continue;
      const [across, down] = this.toPlot([x[k], y[k]]);
      context.moveTo(across + radius, down);
      context.arc(across, down, radius, 0, 7);
    }
    context.stroke();
    context.restore();
  }

  async select(shares) {
    const columns = [rows.index(this.chosen.x), rows.index(this.chosen.y)];
    const { count, rows: found } = await named({ columns, polygon: shares.map((share) => this.toValues(share)) });
    change({ picked: found });
    this.tell(`${counted(count, "row")} inside the line`);
  }

  zoom(factor, [x, y] = [(this.seen[0] + this.seen[2]) / 2, (this.seen[1] + this.seen[3]) / 2]) {
    const [x0, y0, x1, y1] = this.seen;
    this.seen = [x + (x0 - x) * factor, y + (y0 - y) * factor, x + (x1 - x) * factor, y + (y1 - y) * factor];
    this.later();
  }

  move(across, up) {
    const [x0, y0, x1, y1] = this.seen;
    const [right, rise] = [across * (x1 - x0), up * (y1 - y0)];
    this.seen = [x0 + right, y0 + rise, x1 + right, y1 + rise];
    this.later();
  }

  listen() {
    const share = (event) => this.toShare([event.offsetX, event.offsetY]);
    this.over.addEventListener("pointerdown", (event) => {
      if (!this.points) return;
      this.over.setPointerCapture(event.pointerId);
      this.lasso = [share(event)];
    });
    this.over.addEventListener("pointermove", (event) => {
      if (!this.lasso) return;
      this.lasso.push(share(event));
      this.later();
    });
    this.over.addEventListener("pointerup", () => {
      const { lasso } = this;
      this.lasso = null;
      if (lasso?.length > 2) this.select(lasso);
      this.later();
    });
    this.over.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 0.0015), share(event));
    }, { passive: false });
  }

  key(event) {
    const moves = { ArrowUp: [0, 0.1], ArrowDown: [0, -0.1], ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0] };
    if (!this.points) return false;
    const [x0, y0, x1, y1] = this.seen;
    if (event.key in moves) this.move(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1 / 1.4);
    else if (event.key === "-") this.zoom(1.4);
    else if (event.key === "f") this.fit();
    else if (event.key === "s") this.select([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]);
    else return false;
    return true;
  }
}

// round values between two, about as many as wanted
function ticks(low, high, count) {
  if (!(high > low)) return [];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k += 1) found.push(k * step);
  return found;
}
