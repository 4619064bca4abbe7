/* What the explorers share: where they attach, their controls, their plots and their noise.

   Plain scripts and no modules, because a browser refuses to load a module from a folder (file://).
   They meet in one object, courseExplorers, in whatever order they are loaded: nothing of another
   file is used before the page is complete. */

"use strict";

globalThis.courseExplorers ??= {};

(() => {
  const site = globalThis.courseExplorers;
  const SVG = "http://www.w3.org/2000/svg";
  const kinds = (site.kinds ??= {}); // class of an element to the function that fills it

  // --- attaching ---------------------------------------------------------------------------------

  /** Fill every `<div class="NAME">` of the page; what is inside stays where that fails. */
  async function attach(name, build) {
    for (const place of document.querySelectorAll(`div.${name}:not([data-explorer])`)) {
      place.dataset.explorer = "starting";
      try {
        const explorer = await build();
        const fallback = [...place.childNodes];
        place.classList.add("explorer");
        place.replaceChildren(...explorer.parts);
        // The text around a notebook's output speaks of the picture that the notebook stored.
        if (place.closest(".cell_output, .output")) {
          place.append(node("details", {}, node("summary", {}, "The picture stored in the notebook"), ...fallback));
        }
        place.explorer = explorer;
        place.dataset.explorer = "ready";
      } catch (error) {
        place.dataset.explorer = "failed";
        place.append(node("p", {}, `This figure can't be moved here: ${error.message}`));
      }
    }
  }

  const start = () => Object.entries(kinds).forEach(([name, build]) => attach(name, build));
  // A deferred script runs before the first event, a late one perhaps between the two.
  document.addEventListener("DOMContentLoaded", start);
  addEventListener("load", start);
  if (document.readyState === "complete") start();

  // --- elements ----------------------------------------------------------------------------------

  function fill(element, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  const node = (tag, attributes, ...children) =>
    fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);

  /** A number with a fixed count of digits and a true minus sign; never "−0.00". */
  function shown(value, digits = 2) {
    const text = value.toFixed(digits);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
  }

  let count = 0;
  const freshId = () => `explorer-${(count += 1)}`;

  /** A slider with its label and value. `said` is what a screen reader calls it. */
  function slider({ label, said, value, low, high, step = 0.05, note = "", changed }) {
    const id = freshId();
    const input = node("input", { type: "range", id, min: low, max: high, step, value, "aria-label": said });
    const output = node("span", { class: "explorer-value", "aria-hidden": "true" });
    const box = node(
      "div",
      { class: "explorer-slider" },
      node("label", { for: id }, label, ...(note ? [node("small", {}, note)] : [])),
      input,
      output,
    );
    let held = value; // the thumb can stand at whole steps only, a value need not
    const tell = () => {
      output.textContent = shown(held);
      input.setAttribute("aria-valuetext", shown(held));
    };
    input.addEventListener("input", () => {
      held = input.valueAsNumber;
      tell();
      changed(held);
    });
    tell();
    return {
      box,
      get value() {
        return held;
      },
      set value(number) {
        held = number;
        // A draw may lie beyond the ends: the slider grows where it must to hold it.
        if (number < Number(input.min)) input.min = Math.floor(number);
        if (number > Number(input.max)) input.max = Math.ceil(number);
        input.value = number;
        tell();
      },
    };
  }

  function button(label, pressed) {
    const element = node("button", { type: "button" }, label);
    element.addEventListener("click", pressed);
    return element;
  }

  /** A choice: `options` is a list of [value, text]. */
  function choice(label, options, value, changed) {
    const id = freshId();
    const select = node("select", { id });
    for (const [key, text] of options) select.append(node("option", { value: key }, text));
    select.value = value;
    select.addEventListener("change", () => changed(select.value));
    return { box: node("div", { class: "explorer-choice" }, node("label", { for: id }, label), select), select };
  }

  // --- noise -------------------------------------------------------------------------------------

  /** Draws of N(0, 1) that depend on the seed alone: mulberry32, then Box and Muller. */
  function normals(seed) {
    let state = seed >>> 0;
    const uniform = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296; // never 0, whose logarithm is infinite
    };
    return (n) =>
      Float64Array.from({ length: n }, () =>
        Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
      );
  }

  /** Mean of independent values and its standard error, as course_lib.evaluation.estimate has them. */
  function estimate(values) {
    const n = values.length;
    const mean = values.reduce((sum, v) => sum + v, 0) / n;
    const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
    return { mean, se: Math.sqrt(squares / (n - 1) / n) };
  }

  // --- plots -------------------------------------------------------------------------------------

  const WIDTH = 260, LEFT = 46, RIGHT = 8, TOP = 8, BOTTOM = 38;

  /** The smallest round number that is at least `value`: one of `round` times a power of ten. */
  function niceAbove(value, round = [1, 1.5, 2, 3, 4, 6, 8, 10]) {
    const power = 10 ** Math.floor(Math.log10(value));
    return round.map((m) => m * power).find((m) => m >= value * (1 - 1e-9));
  }

  function ticks(low, high, most) {
    const step = niceAbove((high - low) / most, [1, 2, 5, 10]);
    const first = Math.ceil(low / step - 1e-9);
    const last = Math.floor(high / step + 1e-9);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return Array.from({ length: last - first + 1 }, (_, i) => {
      const value = (first + i) * step;
      return { value, text: shown(value, digits) };
    });
  }

  /** An empty plot in SVG; `update` draws it anew. Colours come from classes of the style sheet. */
  class Plot {
    constructor({ title, xlabel, ylabel = "", height = 190 }) {
      Object.assign(this, { height, xlabel, ylabel });
      this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img" });
      this.title = node("figcaption", {}, title);
      this.clip = freshId();
      this.box = node("figure", { class: "explorer-plot" }, this.title, this.svg);
    }

    /** `marks(x, y)` gets the two scales and returns elements; `said` is the alternative text. */
    update({ x: [x0, x1], y: [y0, y1], said, marks, yticks = true }) {
      const bottom = this.height - BOTTOM;
      const x = (v) => LEFT + ((v - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
      const y = (v) => bottom - ((v - y0) / (y1 - y0)) * (bottom - TOP);
      const grid = [];
      for (const { value, text } of ticks(x0, x1, 6)) {
        grid.push(svg("line", { class: "grid", x1: x(value), x2: x(value), y1: TOP, y2: bottom }));
        grid.push(svg("text", { x: x(value), y: bottom + 15, "text-anchor": "middle" }, text));
      }
      for (const { value, text } of yticks ? ticks(y0, y1, 4) : []) {
        grid.push(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
        grid.push(svg("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, text));
      }
      const middle = (LEFT + WIDTH - RIGHT) / 2;
      grid.push(svg("text", { x: middle, y: this.height - 5, "text-anchor": "middle" }, this.xlabel));
      if (this.ylabel) {
        const place = { transform: `translate(11 ${(TOP + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" };
        grid.push(svg("text", place, this.ylabel));
      }
      this.svg.setAttribute("aria-label", said);
      // Dots on an axis are shown whole; what lies further out would cover the labels.
      const frame = svg("rect", { x: LEFT - 5, y: 0, width: WIDTH - LEFT - RIGHT + 10, height: bottom + 5 });
      const clip = svg("clipPath", { id: this.clip }, frame);
      this.svg.replaceChildren(clip, ...grid, svg("g", { "clip-path": `url(#${this.clip})` }, ...marks(x, y)));
    }
  }

  /** A line through points; a number off the plot is held near it, where the box hides it. */
  const path = (xs, ys, name) => {
    const points = Array.from(xs, (x, i) => `${x.toFixed(2)} ${Math.max(-1e4, Math.min(1e4, ys[i])).toFixed(2)}`);
    return svg("path", { class: `line ${name}`, d: `M${points.join("L")}` });
  };

  /** The area between a line and the height `base`. */
  const area = (xs, ys, base, name) => {
    const shape = path(xs, ys, "");
    shape.setAttribute("class", `area ${name}`);
    shape.setAttribute("d", `${shape.getAttribute("d")}L${xs.at(-1)} ${base}L${xs[0]} ${base}Z`);
    return shape;
  };

  const dot = (x, y, name, r = 3.5) => svg("circle", { class: name, cx: x, cy: y, r });

  Object.assign(site, { area, button, choice, dot, estimate, niceAbove, node, normals, path, Plot, shown, slider, svg });
})();
