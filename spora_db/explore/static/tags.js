// Tags: names given to selected rows, which stay while the server runs; saved as a table of a layer where writing is allowed.

import { get, post } from "./api.js";
import { copied, counted, make } from "./dom.js";
import { named, rows } from "./rows.js";
import { change, onChange, state } from "./state.js";

export class Tags {
  constructor(box, { writes, tell }) {
    this.tell = tell;
    this.name = make("input", { placeholder: "name of a tag", onkeydown: (event) => event.key === "Enter" && this.give() });
    this.name.setAttribute("aria-label", "Name of a tag");
    this.button = make("button", { title: "Give it to the selected rows, or to all (g, then Enter)", onclick: () => this.give() }, "Tag");
    this.list = make("ul");
    this.table = make("input", { placeholder: "name of the table" });
    this.table.setAttribute("aria-label", "Name of the table");
    this.out = make("div");
    this.writes = make("div", { class: "line", hidden: true }, this.table, make("button", { title: "A table of a layer, which SQL and SporaQuery.join know", onclick: () => this.save() }, "Save table"));
    box.append(make("div", { class: "line" }, this.name, this.button), this.list, ...(writes ? [this.writes] : []), this.out);
    rows.onAnswer(() => this.fill());
    onChange((values) => "picked" in values && this.fill());
    get("api/tags").then((told) => this.show(told)).catch(() => {});
    this.fill();
  }

  fill() {
    this.button.disabled = !rows.all;
    this.button.textContent = state.picked.length ? `Tag ${counted(state.picked.length, "row")}` : "Tag all rows";
  }

  show({ tags, saved }) {
    this.writes.hidden = !tags.length;
    this.list.replaceChildren(...tags.map(({ tag, rows: count }) => make("li", {},
      make("button", { class: "name", title: `Select the rows of the answer that have the tag ${tag}`, onclick: () => this.select(tag) }, tag),
      make("span", { class: "faint" }, count.toLocaleString("en")),
      make("button", { title: `Take the tag ${tag} from the selected rows`, onclick: () => this.take(tag) }, "−"),
      make("button", { title: `Python that asks for the rows with the tag ${tag}`, onclick: () => this.code(tag) }, "Code"),
      make("button", { title: `Forget the tag ${tag}`, onclick: () => this.change({ tag, change: "forget" }) }, "×"))));
    if (saved) this.out.replaceChildren(make("p", { class: "faint" }, `Saved as the table ${saved}.`));
    else this.out.replaceChildren();
  }

  async change(asked) {
    try {
      this.show(await post("api/tags", asked));
    } catch (error) {
      this.tell(error.message, true);
    }
  }

  give() {
    const tag = this.name.value.trim();
    if (!tag) return this.tell("A tag needs a name.", true);
    return this.change({ query: rows.id, rows: state.picked.length ? state.picked : null, tag, change: "give" });
  }

  take(tag) {
    if (!state.picked.length) return this.tell("Select the rows that are to lose the tag.", true);
    return this.change({ query: rows.id, rows: state.picked, tag, change: "take" });
  }

  async select(tag) {
    const { count, rows: found } = await named({ of_tag: tag });
    change({ picked: found });
    this.tell(`${counted(count, "row")} of the answer with the tag ${tag}`);
  }

  async code(tag) {
    try {
      const { code } = await post("api/selections", { query: rows.id, of_tag: tag, code: true });
      this.out.replaceChildren(...copied(code));
    } catch (error) {
      this.out.replaceChildren(make("p", { class: "faint" }, error.message));
    }
  }

  async save() {
    if (!this.table.value.trim()) return this.out.replaceChildren(make("p", { class: "faint" }, "A table needs a name."));
    try {
      const { file } = await post("api/tags/table", { name: this.table.value });
      this.out.replaceChildren(make("p", {}, `Saved as ${file}`));
    } catch (error) {
      this.out.replaceChildren(make("p", { class: "faint" }, error.message));
    }
  }
}
