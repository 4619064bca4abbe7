/* The KL explorer: two normals, two divergences, what each z contributes, and an estimate. */

"use strict";

globalThis.courseExplorers ??= {};

(() => {
  const site = globalThis.courseExplorers;
  const START = { q: { mu: 1, logvar: -1.5 }, p: { mu: 0, logvar: 0 } }; // as in notebook 03
  const POINTS = 401;

  const logDensity = (z, { mu, logvar }) =>
    -0.5 * (Math.log(2 * Math.PI) + logvar + (z - mu) ** 2 / Math.exp(logvar));

  /** KL(a ‖ b) of two normals, in nats, in closed form. */
  const klNormal = (a, b) =>
    0.5 * (b.logvar - a.logvar + (Math.exp(a.logvar) + (a.mu - b.mu) ** 2) / Math.exp(b.logvar) - 1);

  /** KL(a ‖ b) from draws of a: the mean of log a − log b, and its standard error. */
  const klEstimate = (a, b, eps) =>
    site.estimate(
      Array.from(eps, (e) => {
        const z = a.mu + Math.exp(0.5 * a.logvar) * e;
        return logDensity(z, a) - logDensity(z, b);
      }),
    );

  /** The function of z whose integral KL(a ‖ b) is, in nats per unit of z. */
  const integrand = (z, a, b) => Math.exp(logDensity(z, a)) * (logDensity(z, a) - logDensity(z, b));

  async function build() {
    const { area, button, choice, niceAbove, node, normals, path, Plot, shown, slider } = site;
    const state = structuredClone(START);
    let seed = 1, draws = 100;
    let noise = {};

    const plots = [
      new Plot({ title: "densities", xlabel: "z", ylabel: "density" }),
      new Plot({ title: "q log q/p", xlabel: "z", ylabel: "nats per unit of z" }),
      new Plot({ title: "p log p/q", xlabel: "z", ylabel: "nats per unit of z" }),
    ];
    const cells = [0, 1].map(() => [0, 1].map(() => node("td", {})));
    const table = node(
      "table",
      { class: "explorer-table" },
      node("caption", {}, "Divergences in nats; estimates ± one standard error"),
      node("thead", {}, node("tr", {}, ...["", "exact", "Monte Carlo"].map((t) => node("th", { scope: "col" }, t)))),
      node(
        "tbody",
        {},
        ...["KL(q ‖ p)", "KL(p ‖ q)"].map((t, i) => node("tr", {}, node("th", { scope: "row" }, t), ...cells[i])),
      ),
    );

    function knob(which, parameter, label, said, low, high) {
      return slider({
        label, said, low, high,
        value: START[which][parameter],
        changed: (value) => {
          state[which][parameter] = value;
          redraw();
        },
      });
    }
    const knobs = {
      q: { mu: knob("q", "mu", "μ of q", "mean of q", -3, 3), logvar: knob("q", "logvar", "log σ² of q", "log variance of q", -4, 2) },
      p: { mu: knob("p", "mu", "μ of p", "mean of p", -3, 3), logvar: knob("p", "logvar", "log σ² of p", "log variance of p", -4, 2) },
    };

    /** Noise of q's draws and of p's; it stays while the knobs move, so that the estimate is smooth. */
    function drawNoise() {
      const normal = normals(seed);
      noise = { q: normal(draws), p: normal(draws) };
    }

    /** Everything that is shown, as numbers. */
    function values() {
      const { q, p } = state;
      const reach = Math.max(...[q, p].map((d) => Math.abs(d.mu) + 4.5 * Math.exp(0.5 * d.logvar)));
      const edge = [6, 10, 16].find((e) => e >= reach) ?? 16; // few sizes, so that it is q that moves
      const z = Array.from({ length: POINTS }, (_, i) => edge * ((2 * i) / (POINTS - 1) - 1));
      return {
        z,
        edge,
        densities: [q, p].map((d) => z.map((at) => Math.exp(logDensity(at, d)))),
        integrands: [z.map((at) => integrand(at, q, p)), z.map((at) => integrand(at, p, q))],
        exact: [klNormal(q, p), klNormal(p, q)],
        estimates: [klEstimate(q, p, noise.q), klEstimate(p, q, noise.p)],
      };
    }

    function redraw() {
      const { z, edge, densities, integrands, exact, estimates } = values();
      const { q, p } = state;
      const range = [-edge, edge];
      plots[0].update({
        x: range,
        y: [0, niceAbove(1.05 * Math.max(...densities.flat()))],
        said: `Bell of q around ${shown(q.mu)} with σ ${shown(Math.exp(q.logvar / 2))}, bell of p around ${shown(p.mu)} with σ ${shown(Math.exp(p.logvar / 2))}`,
        marks: (x, y) => densities.map((d, i) => path(z.map(x), d.map(y), "qp"[i])),
      });
      integrands.forEach((heights, i) => {
        const low = Math.min(...heights), high = Math.max(...heights, 0.01);
        const top = niceAbove(1.05 * high);
        // The part below zero is small and must be seen; it never falls below −1/e per unit of density.
        const bottom = low < -0.02 * top ? -Math.min(top, niceAbove(-1.05 * low)) : -0.05 * top;
        const title = ["q log q/p", "p log p/q"][i];
        const peak = z[heights.indexOf(Math.max(...heights))];
        plots[i + 1].update({
          x: range,
          y: [bottom, top],
          said: `Integrand ${title}, highest near z = ${shown(peak, 1)}; its area is ${shown(exact[i])} nats`,
          marks: (x, y) => [
            area(z.map(x), heights.map(y), y(0), "qp"[i]),
            path(range.map(x), [y(0), y(0)], "zero"),
            path(z.map(x), heights.map(y), "qp"[i]),
          ],
        });
        plots[i + 1].title.textContent = `${title}: area ${shown(exact[i])} nats`;
        cells[i][0].textContent = shown(exact[i], 3);
        cells[i][1].textContent = `${shown(estimates[i].mean, 3)} ± ${shown(estimates[i].se, 3)}`;
      });
    }

    function set(which, mu, logvar) {
      knobs[which].mu.value = state[which].mu = mu;
      knobs[which].logvar.value = state[which].logvar = logvar;
    }

    const count = choice("Draws", [10, 100, 1000, 10000].map((n) => [n, n.toLocaleString("en")]), draws, (value) => {
      draws = Number(value);
      drawNoise();
      redraw();
    });
    drawNoise();
    redraw();
    return {
      parts: [
        node(
          "div",
          { class: "explorer-legend", "aria-hidden": "true" },
          node("span", { class: "q" }, "q = N(μ, σ²)"),
          node("span", { class: "p" }, "p, at first N(0, 1)"),
        ),
        node("div", { class: "explorer-sliders" }, ...["q", "p"].flatMap((w) => [knobs[w].mu.box, knobs[w].logvar.box])),
        node("div", { class: "explorer-plots" }, ...plots.map((plot) => plot.box)),
        node(
          "div",
          { class: "explorer-row" },
          table,
          node(
            "div",
            { class: "explorer-side" },
            count.box,
            button("draw again", () => {
              seed += 1;
              drawNoise();
              redraw();
            }),
            button("back to the start", () => {
              for (const which of ["q", "p"]) set(which, START[which].mu, START[which].logvar);
              redraw();
            }),
          ),
        ),
        node(
          "p",
          { class: "explorer-notice" },
          node("strong", {}, "Notice: "),
          "make q narrow at the mean of p, and KL(q ‖ p) grows by half a nat for each unit that log σ² falls, while KL(p ‖ q), " +
            "which asks q to explain every z that p draws, explodes; its estimate jumps with the few draws that lie where q has almost nothing.",
        ),
      ],
      values,
      set: (q, p) => {
        set("q", q.mu, q.logvar);
        set("p", p.mu, p.logvar);
        redraw();
      },
      get noise() {
        return { q: Array.from(noise.q), p: Array.from(noise.p) };
      },
    };
  }

  Object.assign(site, { klNormal });
  (site.kinds ??= {})["kl-explorer"] = build;
})();
