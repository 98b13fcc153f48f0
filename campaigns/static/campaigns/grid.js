// The hours of a week, painted. The textarea stays the field that is sent; this shows it as a grid and writes into it.
(() => {
  "use strict";

  const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
  const LABELS = DAYS.map((day) => day.slice(0, 3));
  const DAY = 24;
  const WEEK = 7 * DAY;
  const MAX_DESCRIPTION = 80;

  // --- Pure: what rules/schedules.py says, for the eye. A test holds the two against each other. ---

  const two = (number) => String(number).padStart(2, "0");
  const spans = (start, end) => `${two(start)}:00–${two(end || DAY)}:00`;
  const countOf = (hours) => hours.split("1").length - 1;

  /** The week of a window, Monday 00:00 first; null for what is none. weekdays: bits, Monday is 1. */
  function fromWindow(start, end, weekdays) {
    const whole = (value) => Number.isInteger(value) && value >= 0 && value < DAY;
    if (!whole(start) || !whole(end) || start === end || !(weekdays >= 1 && weekdays <= 127)) return null;
    const hours = Array(WEEK).fill("0");
    for (let day = 0; day < 7; day++) {
      if (!((weekdays >> day) & 1)) continue;
      const begins = day * DAY + start;
      const ends = begins + ((end - start + DAY) % DAY);
      for (let hour = begins; hour < ends; hour++) hours[hour % WEEK] = "1"; // Sunday night runs into Monday
    }
    return hours.join("");
  }

  /** The week in a text; null where the server would refuse it for its form. */
  function parse(text) {
    const lines = text.split(/\r\n|\r|\n/).map((line) => line.replace(/\s/g, "")).filter(Boolean);
    if (lines.length === 7 && lines.some((line) => line.length !== DAY)) return null;
    const hours = lines.join("");
    return /^[01]{168}$/.test(hours) ? hours : null;
  }

  /** A week as seven lines. */
  function format(hours) {
    return DAYS.map((_, day) => hours.slice(day * DAY, (day + 1) * DAY)).join("\n");
  }

  /** Weekdays in words: `Mon–Fri`, `Mon, Wed`, `every day`. */
  function daysText(marks) {
    if (!marks.includes("0")) return "every day";
    return [...marks.matchAll(/1+/g)]
      .map(({ 0: run, index }) => LABELS[index] + (run.length > 1 ? `–${LABELS[index + run.length - 1]}` : ""))
      .join(", ");
  }

  /** The open spans that begin on each weekday; one that runs past midnight keeps to the day it began on. */
  function spansByDay(hours) {
    const found = DAYS.map(() => []);
    const turn = hours.indexOf("0"); // after a closed hour, so that no span is torn where the week wraps
    for (const { 0: run, index } of (hours.slice(turn) + hours.slice(0, turn)).matchAll(/1+/g)) {
      let begins = index + turn;
      const ends = begins + run.length;
      const whole = run.length < DAY;
      while (begins < ends) {
        const start = begins % DAY;
        const stops = whole ? ends : Math.min(ends, begins + DAY - start);
        found[Math.floor((begins % WEEK) / DAY)].push([start, stops % DAY]);
        begins = stops;
      }
    }
    return found.map((day) => day.sort((a, b) => a[0] - b[0]));
  }

  /** A week in words: `Mon–Fri 09:00–17:00; Sat 10:00–14:00`; empty for what would be too long, and for no hours. */
  function describe(hours) {
    if (!hours.includes("0")) return "every day, all hours";
    const marks = new Map(); // what a day looks like -> the days that look like it
    spansByDay(hours).forEach((day, weekday) => {
      if (!day.length) return;
      const clocks = day.map(([start, end]) => spans(start, end)).join(", ");
      const days = marks.get(clocks) || "0000000";
      marks.set(clocks, days.slice(0, weekday) + "1" + days.slice(weekday + 1));
    });
    const text = [...marks].map(([clocks, days]) => `${daysText(days)} ${clocks}`).join("; ");
    return text.length > MAX_DESCRIPTION ? "" : text;
  }

  /** The week with the hours between two places set. A place is [day, hour]; -1 is all days, or all hours. */
  function painted(hours, from, to, value) {
    const range = (a, b, size) => (a < 0 ? [0, size - 1] : [Math.min(a, Math.max(b, 0)), Math.max(a, b)]);
    const [top, bottom] = range(from[0], to[0], 7);
    const [left, right] = range(from[1], to[1], DAY);
    return Array.from(hours, (hour, at) => {
      const [day, column] = [Math.floor(at / DAY), at % DAY];
      return day >= top && day <= bottom && column >= left && column <= right ? value : hour;
    }).join("");
  }

  /** The value that painting from a place gives: the opposite of what is there. */
  function opposite(hours, place) {
    return painted(hours, place, place, "1") === hours ? "0" : "1";
  }

  /** The sentence under the week. */
  function sentence(hours, zone) {
    const count = countOf(hours);
    if (!count) return "No hours yet. Paint at least one; to stop a campaign, pause it instead.";
    const said = describe(hours);
    const text = said ? `${said[0].toUpperCase()}${said.slice(1)}; ` : "";
    return `${text}${count} of ${WEEK} hours, on the clock of ${zone}.`;
  }

  const DAYTIME = painted("0".repeat(WEEK), [0, 8], [4, 17], "1");
  const EVENINGS = painted("0".repeat(WEEK), [0, 18], [6, 23], "1");
  const CHOICES = {
    "All hours": () => "1".repeat(WEEK),
    None: () => "0".repeat(WEEK),
    "Weekdays 8–18": () => DAYTIME,
    "Evenings 18–24": () => EVENINGS,
    Invert: (hours) => Array.from(hours, (hour) => (hour === "1" ? "0" : "1")).join(""),
  };

  window.bmGrid = { fromWindow, parse, format, describe, painted, sentence };

  // --- The page ---

  function element(tag, attributes = {}, text = "") {
    const made = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    made.textContent = text;
    return made;
  }

  /** Where a cell is in words: `Monday 22:00 to 23:00`. */
  function spoken([day, hour]) {
    const clock = hour < 0 ? "all hours" : `${two(hour)}:00 to ${two(hour + 1)}:00`;
    return `${day < 0 ? "Every day" : DAYS[day]}${hour < 0 ? "," : ""} ${clock}`;
  }

  /** Build the table: 8 rows and 25 columns, those of the days and hours included. */
  function build() {
    const table = element("table", { role: "grid", "aria-label": "Hours of the week", "aria-multiselectable": "true" });
    for (let day = -1; day < 7; day++) {
      const row = table.appendChild(element("tr", { role: "row" }));
      for (let hour = -1; hour < DAY; hour++) row.appendChild(cell(day, hour));
    }
    return table;
  }

  function cell(day, hour) {
    const head = day < 0 || hour < 0;
    const role = !head ? "gridcell" : hour < 0 && day >= 0 ? "rowheader" : "columnheader";
    const text = !head ? "" : day < 0 && hour < 0 ? "All" : day < 0 ? String(hour) : LABELS[day];
    return element(head ? "th" : "td", { role, tabindex: "-1", "data-day": day, "data-hour": hour }, text);
  }

  class Week {
    constructor(box) {
      this.box = box;
      this.area = box.querySelector("textarea");
      this.form = this.area.form;
      this.hours = parse(this.area.value);
      this.touched = false;
      this.focused = [0, 0];
      this.assemble();
      this.listen();
      this.show();
    }

    assemble() {
      this.table = build();
      this.table.setAttribute("aria-describedby", `${this.box.id}_said`);
      this.choices = element("div", { class: "bm-week-choices", role: "group", "aria-label": "Quick choices" });
      Object.keys(CHOICES).forEach((name) => this.choices.append(element("button", { type: "button" }, name)));
      this.said = element("p", { class: "bm-week-said", id: `${this.box.id}_said`, role: "status" });
      this.at = element("p", { class: "bm-week-at bm-subtle", "aria-hidden": "true" });
      this.text = this.box.querySelector("details");
      this.text.open = !this.hours;
      this.text.before(this.choices, this.table, this.at, this.said);
      // The person sees only the form of hours that is chosen, so what is in the other one is no contradiction.
      this.form.append(element("input", { type: "hidden", name: `${this.area.name}_painted`, value: "1" }));
    }

    listen() {
      this.choices.addEventListener("click", ({ target }) => {
        const choice = CHOICES[target.textContent];
        if (target.matches("button")) this.write(choice(this.hours || "0".repeat(WEEK)));
      });
      this.table.addEventListener("pointerdown", (event) => this.press(event));
      this.table.addEventListener("pointermove", (event) => this.drag(event));
      this.table.addEventListener("pointerup", () => this.release());
      this.table.addEventListener("pointercancel", () => this.cancel());
      this.table.addEventListener("pointerleave", () => this.point(null));
      this.table.addEventListener("lostpointercapture", () => this.release());
      this.table.addEventListener("keydown", (event) => this.key(event));
      this.table.addEventListener("focusin", ({ target }) => this.stay(place(target)));
      this.area.addEventListener("input", () => this.read());
      this.form.addEventListener("change", ({ target }) => this.chosen(target));
    }

    // What is shown: the field, or what the window means.

    get mode() {
      const chosen = this.form.querySelector("input[name=hours]:checked");
      return chosen ? chosen.value : "grid";
    }

    get preview() {
      return this.mode === "window";
    }

    windowed() {
      const number = (name) => {
        const field = this.form.elements[name];
        return field && field.value !== "" ? Number(field.value) : NaN;
      };
      const days = [...this.form.querySelectorAll("input[name=weekdays]:checked")];
      return fromWindow(number("start_hour"), number("end_hour"), days.reduce((bits, day) => bits | Number(day.value), 0));
    }

    show() {
      const hours = this.preview ? this.windowed() : this.hours;
      this.box.classList.toggle("bm-week-preview", this.preview);
      this.table.setAttribute("aria-readonly", String(this.preview));
      this.choices.hidden = this.preview;
      this.text.hidden = this.preview;
      for (const one of this.table.querySelectorAll("td, th")) this.mark(one, hours || "0".repeat(WEEK));
      this.stay(this.focused);
      this.say(hours);
      if (!this.drawing) this.point(null);
    }

    mark(one, hours) {
      const at = place(one);
      const open = at[0] >= 0 && at[1] >= 0 && hours[at[0] * DAY + at[1]] === "1";
      const name = one.matches("td") ? `${spoken(at)}, ${open ? "may spend" : "may not spend"}` : spoken(at);
      // Only what differs: whoever watches the form is told of every attribute that is set.
      if (one.getAttribute("aria-label") !== name) one.setAttribute("aria-label", name);
      if (one.matches("td") && one.ariaSelected !== String(open)) one.setAttribute("aria-selected", String(open));
    }

    say(hours) {
      if (hours) this.said.textContent = sentence(hours, this.box.dataset.zone);
      else if (this.preview) this.said.textContent = "Choose two different hours and at least one weekday.";
      else this.said.textContent = "The text is not a week yet: 7 lines of 24 digits, each 0 or 1.";
    }

    // Writing.

    write(hours) {
      this.touched = true;
      this.hours = hours;
      this.area.value = format(hours);
      this.tell();
      this.show();
    }

    /** Tell the page, as if a person had typed. */
    tell() {
      this.writing = true;
      for (const name of ["input", "change"]) this.area.dispatchEvent(new Event(name, { bubbles: true }));
      this.writing = false;
    }

    read() {
      if (this.writing) return;
      this.touched = true;
      this.hours = parse(this.area.value);
      this.show();
    }

    chosen(field) {
      if (!["hours", "start_hour", "end_hour", "weekdays"].includes(field.name)) return;
      if (!this.preview && !this.touched) this.goOn();
      this.show();
    }

    /** Whoever comes from a window to the grid goes on from there. */
    goOn() {
      const hours = this.mode === "grid" ? this.windowed() : null;
      if (!hours || hours === this.hours) return;
      this.hours = hours;
      this.area.value = format(hours);
      this.tell();
    }

    // Mouse, pen and touch.

    /** The place under the pointer, or the nearest one. */
    under(event) {
      const first = this.table.querySelector("td").getBoundingClientRect();
      const inside = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value)));
      const last = this.table.querySelector("tr:last-child td:last-child").getBoundingClientRect();
      return [
        inside(((event.clientY - first.top) / (last.bottom - first.top)) * 7, 7),
        inside(((event.clientX - first.left) / (last.right - first.left)) * DAY, DAY),
      ];
    }

    press(event) {
      const target = event.target.closest("td, th");
      if (!target || event.button !== 0 || this.preview) return;
      event.preventDefault(); // no selection of text
      const from = place(target);
      const before = this.hours || "0".repeat(WEEK);
      this.drawing = { before, from, to: "", value: opposite(before, from) };
      this.table.setPointerCapture(event.pointerId);
      this.stay(from);
      target.focus({ preventScroll: true });
      this.paint(from);
    }

    drag(event) {
      const over = event.target.closest("td, th");
      if (!this.drawing) return this.point(over && place(over));
      return this.paint(this.under(event));
    }

    paint(to) {
      if (this.drawing.to === String(to)) return;
      const { before, from, value } = this.drawing;
      this.drawing.to = String(to);
      this.hours = painted(before, from, to, value);
      this.point(to);
      this.show();
    }

    release() {
      if (!this.drawing) return;
      this.drawing = null;
      this.write(this.hours);
    }

    cancel() {
      if (!this.drawing) return;
      this.hours = this.drawing.before;
      this.drawing = null;
      this.show();
    }

    /** Name the hour under the pointer: on a phone a cell is smaller than a finger. */
    point(at) {
      const hint = this.preview ? "What these hours mean" : "Press and drag, or use the arrow keys and Space.";
      this.at.textContent = at ? spoken(at) : hint;
    }

    // The keyboard.

    key(event) {
      if (event.key === "Escape" && this.drawing) return this.cancel();
      const all = event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey);
      const toggles = event.key === " " || event.key === "Enter";
      const next = this.next(event);
      if (!all && !toggles && !next) return undefined;
      event.preventDefault();
      if (next) return this.move(next, event.shiftKey);
      if (this.preview) return undefined;
      const [from, hours] = [all ? [-1, -1] : this.focused, this.hours || "0".repeat(WEEK)];
      return this.write(painted(hours, from, from, all ? "1" : opposite(hours, from)));
    }

    /** Where a key leads from here. */
    next({ key, ctrlKey, metaKey }) {
      const [day, hour] = this.focused;
      const far = ctrlKey || metaKey;
      const found = {
        ArrowUp: [day - 1, hour],
        ArrowDown: [day + 1, hour],
        ArrowLeft: [day, hour - 1],
        ArrowRight: [day, hour + 1],
        Home: [far ? 0 : day, 0],
        End: [far ? 6 : day, DAY - 1],
      }[key];
      return found && [Math.max(-1, Math.min(6, found[0])), Math.max(-1, Math.min(DAY - 1, found[1]))];
    }

    /** Go there; with Shift, carry along what is here. */
    move(to, carrying) {
      const from = this.focused;
      this.stay(to);
      this.cellAt(to).focus();
      this.point(to);
      if (!carrying || this.preview || !this.hours || from.includes(-1) || to.includes(-1)) return;
      this.write(painted(this.hours, from, to, this.hours[from[0] * DAY + from[1]]));
    }

    /** Make a cell the one that Tab leads to. */
    stay(at) {
      const was = this.table.querySelector("[tabindex='0']");
      const is = this.cellAt(at);
      this.focused = at;
      if (was === is) return;
      if (was) was.setAttribute("tabindex", "-1");
      is.setAttribute("tabindex", "0");
    }

    cellAt([day, hour]) {
      return this.table.rows[day + 1].cells[hour + 1];
    }
  }

  function place(one) {
    return [Number(one.dataset.day), Number(one.dataset.hour)];
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".bm-week").forEach((box) => new Week(box));
  });
})();
