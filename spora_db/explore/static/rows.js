// The answer to the query: its state, its rows in pages that are kept, its order; and which rows are selected.

import { drop, get, post } from "./api.js";
import { change, state } from "./state.js";

const PAGE = 200;
const KEPT = 40;

export class Rows {
  constructor() {
    this.id = null;
    this.all = 0;
    this.columns = [];
    this.sort = null;
    this.descending = false;
    this.pages = new Map();
    this.summaries = new Map();
    this.listeners = [];
    this.turn = 0;  // a number that changes with every query that is asked or stopped
    this.only = null;  // numbers of the rows that are shown, where it is not all of them
  }

  get total() {
    return this.only ? this.only.length : this.all;
  }

  // told of every new answer ("answer"), and of another order or part of it ("order")
  onAnswer(listener) {
    this.listeners.push(listener);
  }

  tell(kind) {
    for (const listener of this.listeners) listener(kind);
  }

  // shows some rows of the answer only, or all again
  show(numbers) {
    this.only = numbers;
    this.pages.clear();
    this.tell("order");
  }

  // runs SQL, in place of what runs already; told is called with every state on the way
  async run(sql, near, told = () => {}) {
    const stopped = this.stop();
    const { turn } = this;
    await stopped;
    const { id } = await post("api/queries", { sql, near });
    if (turn !== this.turn) {  // stopped, or another was asked, before this had a name
      drop(`api/queries/${id}`).catch(() => {});
      return { state: "stopped" };
    }
    this.running = id;
    let wait = 30;
    for (;;) {
      const now = await get(`api/queries/${id}`);
      if (this.running !== id) return { state: "stopped" };
      told(now);
      if (now.state !== "running") {
        this.running = null;
        if (now.state === "done") this.take(id, now);
        return now;
      }
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(500, wait * 1.5);
    }
  }

  async stop() {
    const id = this.running;
    this.running = null;
    this.turn += 1;
    if (id) await drop(`api/queries/${id}`).catch(() => {});  // the server may know it no longer
  }

  take(id, { rows, columns, more }) {
    if (this.id) drop(`api/queries/${this.id}`).catch(() => {});
    Object.assign(this, { id, all: rows, columns, more, sort: null, descending: false, only: null });
    this.pages.clear();
    this.summaries.clear();
    this.tell("answer");
  }

  order(column) {
    if (this.sort === column && this.descending) this.sort = null;
    else if (this.sort === column) this.descending = true;
    else Object.assign(this, { sort: column, descending: false });
    this.show(null);
  }

  // a row at a place of the order: {number, cells}; null while it is asked for
  at(place, then) {
    const page = Math.floor(place / PAGE);
    const found = this.pages.get(page);
    if (found?.rows) {
      const k = place - page * PAGE;
      return k < found.rows.length ? { number: found.numbers[k], cells: found.rows[k] } : null;
    }
    if (!found) this.fetch(page);
    if (then) this.pages.get(page).waiting.add(then);
    return null;
  }

  async fetch(page) {
    const entry = { waiting: new Set() };
    this.pages.set(page, entry);
    if (this.pages.size > KEPT) this.pages.delete(this.pages.keys().next().value);
    const order = this.sort === null ? "" : `&sort=${this.sort}&descending=${this.descending ? 1 : 0}`;
    try {
      const found = this.only ? await post(`api/queries/${this.id}/rows`, { rows: this.only.slice(page * PAGE, (page + 1) * PAGE) })
        : await get(`api/queries/${this.id}/rows?offset=${page * PAGE}&rows=${PAGE}${order}`);
      Object.assign(entry, found);
    } catch (error) {
      this.pages.delete(page);
      if (error.status === 400 && this.sort !== null) this.order(this.sort);
      return;
    }
    for (const then of entry.waiting) then();
  }

  // a row by its number in the answer, whether its page is here or not
  async numbered(number) {
    for (const { numbers, rows: cells } of this.pages.values()) {
      const k = numbers?.indexOf(number) ?? -1;
      if (k >= 0) return { number, cells: cells[k] };
    }
    const found = await post(`api/queries/${this.id}/rows`, { rows: [number] });
    return { number, cells: found.rows[0] };
  }

  summary(column) {
    if (!this.summaries.has(column)) this.summaries.set(column, get(`api/queries/${this.id}/columns/${column}`));
    return this.summaries.get(column);
  }

  index(name) {
    return this.columns.findIndex((column) => column.name === name);
  }

  value(row, name) {
    const at = this.index(name);
    return at < 0 || !row ? null : row.cells[at];
  }
}

export const rows = new Rows();

// which rows of the answer a request names; not those of an answer that is no longer shown
export async function named(asked) {
  const { id } = rows;
  if (!id) throw new Error("Run a query first: rows of its answer are selected.");
  const found = await post("api/selections", { query: id, ...asked });
  if (id !== rows.id) throw new Error("The query has another answer meanwhile. Select again.");
  return found;
}

// one more row, all up to it (shift), or only it
export function pick(place, number, event) {
  let picked = new Set(state.picked);
  if (event.shiftKey && pick.last !== undefined) {
    const [low, high] = [Math.min(pick.last, place), Math.max(pick.last, place)];
    for (let k = low; k <= high && k - low < 2000; k += 1) {
      const row = rows.at(k);
      if (row) picked.add(row.number);
    }
  } else if (event.ctrlKey || event.metaKey) {
    if (!picked.delete(number)) picked.add(number);
  } else picked = picked.size === 1 && picked.has(number) ? new Set() : new Set([number]);
  pick.last = place;
  change({ picked: [...picked] });
}
