// The table: heads with what each column holds, rows as far as they are seen.

import { brief, counted, make } from "./dom.js";
import { pick, rows } from "./rows.js";
import { Scroller } from "./scrolling.js";
import { onChange, state } from "./state.js";

const WIDTH = { number: 110, text: 190, long: 240 };

export class Table {
  constructor(box, { onfilter, onopen }) {
    this.box = box;
    this.onfilter = onfilter;
    this.onopen = onopen;
    this.heads = make("div", { class: "heads" });
    this.scroll = make("div", { class: "scroll", tabIndex: 0, onkeydown: (event) => this.key(event) });
    this.scroll.setAttribute("role", "grid");
    this.scroll.setAttribute("aria-label", "Rows");
    this.empty = make("p", { class: "empty" }, "Run a query to see its rows.");
    box.append(this.empty);
    this.scroller = new Scroller(this.scroll, { height: 24, draw: (...where) => this.draw(...where) });
    this.scroll.addEventListener("scroll", () => void (this.heads.scrollLeft = this.scroll.scrollLeft));
    this.range = [0, 0];
    this.seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) this.sum(target);
    }, { root: this.heads, rootMargin: "0px 300px" });
    this.shown = new Map();
    this.spare = [];
    this.current = 0;
    rows.onAnswer(() => this.fill());
    onChange((values) => "picked" in values && this.scroller.later());
  }

  fill() {
    this.empty.textContent = rows.all ? "" : "The answer has no rows.";
    this.box.replaceChildren(this.heads, this.scroll, this.empty);
    this.widths = rows.columns.map(({ name, type, numeric }) => Math.max(numeric ? WIDTH.number : /list|struct|map/.test(type) ? WIDTH.long : WIDTH.text, Math.min(260, 8 * name.length + 30)));
    this.whole = this.widths.reduce((sum, width) => sum + width, 0);
    this.lefts = this.widths.reduce((lefts, width) => [...lefts, lefts.at(-1) + width], [0]);
    this.range = [0, 0];
    this.seen.disconnect();
    this.heads.replaceChildren(...rows.columns.map((column, k) => this.head(column, k)));
    for (const element of this.shown.values()) element.remove();
    this.shown.clear();
    this.scroller.spacer.style.width = `${this.whole}px`;
    this.current = 0;
    this.scroller.resize(rows.total);
  }

  head(column, k) {
    const arrow = rows.sort === k ? (rows.descending ? " ↓" : " ↑") : "";
    const box = make("div", { class: "head" },
      make("button", { title: `${column.name}: sort`, onclick: () => rows.order(k) }, column.name + arrow),
      make("div", { class: "kind" }, column.type));
    box.style.width = `${this.widths[k]}px`;
    box.sum = () => rows.summary(k).then((told) => box.append(...this.summary(column, told))).catch(() => {});
    this.seen.observe(box);
    return box;
  }

  // what a column holds is asked for once its head is seen
  sum(box) {
    this.seen.unobserve(box);
    box.sum();
  }

  summary(column, told) {
    const name = quoted(column.name);
    const nulls = told.nulls ? [make("div", { class: "kind" }, `${counted(told.nulls, "NULL")}`)] : [];
    if (told.counts) {
      const most = Math.max(...told.counts);
      const bars = told.counts.map((count, k) => {
        const [low, high] = [told.edges[k], told.edges[k + 1]];
        const last = k === told.counts.length - 1;
        const bar = make("button", {
          title: `${brief(low)} to ${brief(high)}: ${counted(count, "row")}`,
          onclick: () => this.onfilter(`${name} >= ${low} AND ${name} ${last ? "<=" : "<"} ${high}`),
        });
        bar.style.height = `${count ? Math.max(6, (100 * count) / most) : 0}%`;
        return bar;
      });
      return [make("div", { class: "bars" }, ...bars),
        make("div", { class: "ends" }, make("span", {}, brief(told.low)), make("span", {}, brief(told.high))), ...nulls];
    }
    if (!told.values) return nulls;
    const most = told.values.length ? told.values[0][1] : 1;
    const items = told.values.slice(0, nulls.length ? 2 : 3).map(([value, count]) => {
      const item = make("button", { title: `${value}: ${counted(count, "row")}`, onclick: () => this.onfilter(`${name} = ${literal(value, column)}`) }, value);
      item.style.setProperty("--share", `${(100 * count) / most}%`);
      return item;
    });
    return [make("div", { class: "values" }, ...items), ...nulls];
  }

  // an empty row, which is used again and again
  element() {
    const [first, last] = this.range;
    const element = make("div", { class: "row" }, ...this.widths.slice(first, last).map((width) => {
      const span = make("span");
      span.style.width = `${width}px`;
      return span;
    }));
    element.style.paddingLeft = `${this.lefts[first]}px`;
    element.setAttribute("role", "row");
    element.style.width = `${this.whole}px`;
    element.onclick = (event) => {
      const row = rows.at(element.place);
      this.current = element.place;
      if (row) pick(element.place, row.number, event);
    };
    element.ondblclick = () => rows.at(element.place) && this.onopen(rows.at(element.place));
    element.onmouseover = ({ target }) => void (target !== element && (target.title = element.row?.[this.range[0] + [...element.children].indexOf(target)] ?? ""));
    this.scroller.spacer.append(element);
    return element;
  }

  write(element, row) {
    element.row = row?.cells ?? null;
    [...element.children].forEach((span, at) => {
      const k = this.range[0] + at;
      const cell = row ? row.cells[k] : "";
      span.textContent = written(cell, rows.columns[k]);
      span.className = cell === null ? "null" : rows.columns[k].numeric ? "number" : "";
    });
  }

  // the columns that are seen; where there are others than before, rows are made anew
  columns() {
    const [left, right] = [this.scroll.scrollLeft - 200, this.scroll.scrollLeft + this.scroll.clientWidth + 200];
    const first = Math.max(0, this.lefts.findIndex((_, k) => (this.lefts[k + 1] ?? Infinity) > left));
    const after = this.lefts.findIndex((edge) => edge >= right);
    const range = [first, after < 0 ? this.widths.length : after];
    if (range.join() === this.range.join()) return;
    this.range = range;
    for (const element of this.shown.values()) element.remove();
    this.shown.clear();
  }

  draw(first, last, top) {
    if (!this.widths) return;
    this.columns();
    for (const [place, element] of this.shown) {
      if (place < first || place >= last) {
        this.shown.delete(place);
        this.spare.push(element);
      }
    }
    const picked = new Set(state.picked);
    for (let place = first; place < last; place += 1) {
      const row = rows.at(place, () => this.scroller.later());
      let element = this.shown.get(place);
      if (!element) {
        element = this.spare.pop() ?? this.element();
        element.setAttribute("aria-rowindex", String(place + 1));
        this.shown.set(place, element);
      }
      element.place = place;
      if (element.row !== (row?.cells ?? null)) this.write(element, row);
      element.classList.toggle("picked", Boolean(row) && picked.has(row.number));
      element.setAttribute("aria-current", String(place === this.current));
      element.style.transform = `translateY(${top(place)}px)`;
    }
    for (const element of this.spare.splice(0)) element.remove();
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.scroll.clientHeight / 24) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const row = rows.at(this.current);
    if (event.key in steps) this.current = Math.max(0, Math.min(rows.total - 1, this.current + steps[event.key]));
    else if (event.key === " " && row) pick(this.current, row.number, { ctrlKey: true });
    else if (event.key === "Enter" && row) this.onopen(row);
    else return;
    event.preventDefault();
    this.scroller.show(this.current);
    this.scroller.later();
  }
}

// a cell as it is read: of a number that is longer than its column, the digits that have room
const written = (cell, { numeric }) => (numeric && cell?.length > 12 && cell.includes(".") ? String(Number(Number(cell).toPrecision(7))) : cell ?? "NULL");
export const quoted = (name) => (/^[A-Za-z_]\w*$/.test(name) && !["row", "order", "group", "table"].includes(name.toLowerCase()) ? name : `"${name.replaceAll('"', '""')}"`);
const literal = (value, column) => (column.numeric || column.type === "bool" ? value : `'${value.replaceAll("'", "''")}'`);
