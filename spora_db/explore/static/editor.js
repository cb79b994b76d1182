// An SQL editor: a text area over its coloured text, and completions at the cursor.

import { post } from "./api.js";
import { make } from "./dom.js";

const PIECE = /('(?:[^']|'')*'?)|("(?:[^"]|"")*"?)|(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|(\b\d+(?:\.\d+)?\b)|(\b[A-Za-z_]\w*\b)/g;
const WORDS = new Set(("SELECT FROM WHERE GROUP BY ORDER LIMIT OFFSET JOIN LEFT RIGHT FULL INNER CROSS ON USING AS AND OR NOT IN IS "
  + "NULL LIKE ILIKE BETWEEN CASE WHEN THEN ELSE END DISTINCT ALL HAVING UNION EXCEPT INTERSECT WITH RECURSIVE ASC DESC OVER "
  + "PARTITION QUALIFY FILTER EXISTS PIVOT UNPIVOT DESCRIBE SUMMARIZE SHOW TABLES EXPLAIN VALUES TABLE SAMPLE TRUE FALSE CAST").split(" "));

export class Editor {
  constructor(box, { onrun, onchange }) {
    this.shown = make("pre", { ariaHidden: "true" });
    this.area = make("textarea", {
      spellcheck: false, autocapitalize: "off", autocomplete: "off", oninput: () => this.typed(), onscroll: () => this.follow(),
      onkeydown: (event) => this.key(event), onblur: () => setTimeout(() => this.close(), 150), onclick: () => this.close(),
    });
    this.area.setAttribute("aria-label", "SQL");
    this.choices = make("ul", { class: "choices", hidden: true });
    this.choices.setAttribute("role", "listbox");
    this.onrun = onrun;
    this.onchange = onchange;
    this.wrong = null;
    this.asked = 0;
    box.append(this.shown, this.area);
    document.body.append(this.choices);
  }

  get value() {
    return this.area.value;
  }

  set value(text) {
    this.area.value = text;
    this.wrong = null;
    this.paint();
  }

  // marks where an error is: line and column from 1
  mark(place) {
    this.wrong = null;
    if (place) {
      const lines = this.value.split("\n");
      const start = lines.slice(0, place.line - 1).reduce((sum, line) => sum + line.length + 1, 0) + place.column - 1;
      this.wrong = start;
    }
    this.paint();
  }

  paint() {
    const text = this.area.value;
    const parts = [];
    let end = 0;
    for (const piece of text.matchAll(PIECE)) {
      parts.push([text.slice(end, piece.index), ""], [piece[0], kindOf(piece)]);
      end = piece.index + piece[0].length;
    }
    parts.push([text.slice(end), ""]);
    let at = 0;
    this.shown.replaceChildren(...parts.filter(([part]) => part).map(([part, kind]) => {
      const here = this.wrong !== null && at <= this.wrong && this.wrong < at + part.length;
      at += part.length;
      return make("span", { class: `${kind}${here ? " sql-wrong" : ""}` }, part);
    }), "\n");
    this.follow();
  }

  follow() {
    this.shown.scrollTop = this.area.scrollTop;
  }

  typed() {
    this.wrong = null;
    this.paint();
    this.onchange(this.value);
    const before = this.value.slice(0, this.area.selectionStart);
    if (/[\w."]$/.test(before)) this.complete(before);
    else this.close();
  }

  async complete(before) {
    this.asked += 1;
    const turn = this.asked;
    const after = this.value.slice(this.area.selectionStart);
    const told = await post("api/complete", { before, after }).catch(() => null);
    if (turn !== this.asked || !told || document.activeElement !== this.area) return;
    const found = told.completions.filter((name) => name !== told.word);
    if (!found.length) return this.close();
    this.word = told.word;
    this.before = before;
    this.choices.replaceChildren(...found.slice(0, 40).map((name, k) => {
      const item = make("li", { onmousedown: (event) => { event.preventDefault(); this.take(name); } }, name);
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(k === 0));
      return item;
    }));
    this.place();
    this.choices.hidden = false;
  }

  // below the cursor: where the coloured copy has the same letter
  place() {
    const range = document.createRange();
    let left = this.area.selectionStart - this.word.length;
    for (const span of this.shown.querySelectorAll("span")) {
      if (left <= span.textContent.length) {
        range.setStart(span.firstChild, left);
        break;
      }
      left -= span.textContent.length;
    }
    const box = range.getBoundingClientRect();
    const outer = this.area.getBoundingClientRect();
    this.choices.style.left = `${Math.min(box.left || outer.left, innerWidth - 240)}px`;
    this.choices.style.top = `${(box.bottom || outer.top + 24) + 2}px`;
  }

  close() {
    this.asked += 1;
    this.choices.hidden = true;
  }

  take(name) {
    const end = this.area.selectionStart;
    this.area.setRangeText(name, end - this.word.length, end, "end");
    this.close();
    this.paint();
    this.onchange(this.value);
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.close();
      this.onrun();
      return;
    }
    if (this.choices.hidden) {
      if (event.key === " " && event.ctrlKey) {
        event.preventDefault();
        this.complete(this.value.slice(0, this.area.selectionStart));
      }
      return;
    }
    if (this.value.slice(0, this.area.selectionStart) !== this.before) return;  // choices for what was typed earlier
    const items = [...this.choices.children];
    const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = (at + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length;
      items.forEach((item, k) => item.setAttribute("aria-selected", String(k === next)));
      items[next].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Tab" || event.key === "Enter") this.take(items[at].textContent);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
  }
}

function kindOf([, text, name, note, number, word]) {
  if (text !== undefined) return "sql-text";
  if (note !== undefined) return "sql-note";
  if (number !== undefined) return "sql-number";
  return word !== undefined && WORDS.has(word.toUpperCase()) ? "sql-word" : name ? "" : "";
}
