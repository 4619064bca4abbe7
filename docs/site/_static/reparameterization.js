/* The reparameterization explorer: fixed noise, draws that move, and two estimates of a gradient. */

"use strict";

globalThis.courseExplorers ??= {};

(() => {
  const site = globalThis.courseExplorers;
  const START = { mu: 0.5, logvar: -0.5 }; // as in notebook 04
  // The eight draws of explore_reparameterization, in rising order: torch's seed 0, which the
  // browser cannot draw.
  const EPS = [
    -2.1787893820745574, -1.3985953953708767, -1.084522342424021, -0.2934289057609464,
    0.4033468476292993, 0.5684312772806678, 0.8380263329976598, 1.5409961082440433,
  ];

  const sigmoid = (a) => 1 / (1 + Math.exp(-a));
  // f, its derivative, the range of f that is shown, and how long an arrow is for a slope of one.
  const FUNCTIONS = {
    white: {
      text: "log sigmoid(3z − 1)",
      f: (z) => -Math.log1p(Math.exp(-Math.abs(3 * z - 1))) + Math.min(0, 3 * z - 1), // no overflow
      slope: (z) => 3 * sigmoid(1 - 3 * z),
      range: [-28, 2],
      arrow: 0.5,
    },
    square: { text: "z²", f: (z) => z * z, slope: (z) => 2 * z, range: [-8, 80], arrow: 0.15 },
    wave: { text: "sin(10z)", f: (z) => Math.sin(10 * z), slope: (z) => 10 * Math.cos(10 * z), range: [-1.5, 1.5], arrow: 0.1 },
  };
  const PARAMETERS = ["μ", "log σ²"];
  const ESTIMATORS = ["pathwise", "score function"];

  /** What one draw says about the derivatives of E[f(z)] in μ and log σ², by both estimators.

      Pathwise: f′(z) dz/dθ, where z = μ + σε moves. Score function: f(z) d log q(z)/dθ, where z stays. */
  function contributions(f, mu, logvar, eps) {
    const sigma = Math.exp(0.5 * logvar);
    const z = mu + sigma * eps;
    return {
      pathwise: [f.slope(z), (f.slope(z) * sigma * eps) / 2],
      "score function": [(f.f(z) * eps) / sigma, (f.f(z) * (eps * eps - 1)) / 2],
    };
  }

  /** Mean and standard deviation of one draw's contribution, by integration over ε. */
  function moments(f, mu, logvar) {
    const step = 0.005;
    const result = Object.fromEntries(ESTIMATORS.map((e) => [e, [0, 1].map(() => ({ mean: 0, square: 0 }))]));
    for (let i = -1800; i <= 1800; i += 1) {
      const eps = i * step;
      const weight = (step * Math.exp(-0.5 * eps * eps)) / Math.sqrt(2 * Math.PI);
      const each = contributions(f, mu, logvar, eps);
      for (const e of ESTIMATORS) {
        result[e].forEach((moment, k) => {
          moment.mean += weight * each[e][k];
          moment.square += weight * each[e][k] ** 2;
        });
      }
    }
    for (const e of ESTIMATORS) {
      for (const moment of result[e]) moment.sd = Math.sqrt(Math.max(0, moment.square - moment.mean ** 2));
    }
    return result;
  }

  async function build() {
    const { button, choice, dot, estimate, niceAbove, node, normals, path, Plot, shown, slider, svg } = site;
    const state = { ...START, function: "white" };
    let eps = EPS.slice();
    const draw = normals(1);

    const plots = [
      new Plot({ title: "z = μ + σε", xlabel: "ε", ylabel: "z" }),
      new Plot({ title: "f at the draws; arrows: f′(z)", xlabel: "z", ylabel: "f(z)" }),
      new Plot({ title: "what each draw says", xlabel: "contribution to the derivative", height: 190 }),
    ];
    const cells = [0, 1, 2, 3].map(() => PARAMETERS.map(() => node("td", {})));
    const rows = ["exact", "pathwise, 8 draws", "score function, 8 draws", "variance of one draw, score function : pathwise"];
    const table = node(
      "table",
      { class: "explorer-table" },
      node("caption", {}, "Derivative of E[f(z)]; estimates ± one standard error"),
      node("thead", {}, node("tr", {}, ...["", ...PARAMETERS.map((t) => `in ${t}`)].map((t) => node("th", { scope: "col" }, t)))),
      node("tbody", {}, ...rows.map((t, i) => node("tr", {}, node("th", { scope: "row" }, t), ...cells[i]))),
    );

    const knob = (parameter, label, said, low, high) =>
      slider({
        label, said, low, high,
        value: START[parameter],
        changed: (value) => {
          state[parameter] = value;
          redraw();
        },
      });
    const knobs = { mu: knob("mu", "μ", "mean of q", -3, 3), logvar: knob("logvar", "log σ²", "log variance of q", -4, 2) };

    /** Everything that is shown, as numbers: lists over the draws, then over μ and log σ². */
    function values() {
      const f = FUNCTIONS[state.function];
      const { mu, logvar } = state;
      const z = eps.map((e) => mu + Math.exp(0.5 * logvar) * e);
      const each = eps.map((e) => contributions(f, mu, logvar, e));
      const of = (e) => [0, 1].map((k) => each.map((draw) => draw[e][k]));
      const draws = Object.fromEntries(ESTIMATORS.map((e) => [e, of(e)]));
      const estimates = Object.fromEntries(ESTIMATORS.map((e) => [e, draws[e].map(estimate)]));
      const exact = moments(f, mu, logvar);
      return { eps: eps.slice(), z, f: z.map(f.f), slopes: z.map(f.slope), draws, estimates, exact };
    }

    function redraw() {
      const now = values();
      const f = FUNCTIONS[state.function];
      const { z, draws, estimates, exact } = now;
      const sigma = Math.exp(0.5 * state.logvar);

      plots[0].update({
        x: [-3, 3],
        y: [-8, 8],
        said: `z against ε for eight draws: a line of height ${shown(state.mu)} at ε = 0 and slope σ = ${shown(sigma)}`,
        marks: (x, y) => [
          path([x(-3), x(3)], [y(state.mu - 3 * sigma), y(state.mu + 3 * sigma)], "soft"),
          ...eps.map((e, i) => path([x(e), x(e), x(-3)], [y(-8), y(z[i]), y(z[i])], "guide")),
          ...eps.map((e) => dot(x(e), y(-8), "explorer-eps")), // fixed, whatever the knobs do
          ...eps.map((e, i) => dot(x(e), y(z[i]), "explorer-draw")),
          ...z.map((v) => dot(x(-3), y(v), "explorer-draw", 2.5)),
        ],
      });

      const curve = Array.from({ length: 721 }, (_, i) => -9 + i / 40);
      const [low, high] = f.range;
      plots[1].update({
        x: [-9, 9],
        y: f.range,
        said: `f(z) = ${f.text} with the eight draws on it, from z = ${shown(z[0])} to ${shown(z.at(-1))}; an arrow shows the way in which f rises`,
        marks: (x, y) => {
          const inside = curve.filter((v) => f.f(v) >= low && f.f(v) <= high);
          return [
            path(inside.map(x), inside.map((v) => y(f.f(v))), "soft"),
            ...z.map((v, i) => arrow(x(v), x(v + f.arrow * now.slopes[i]), y(now.f[i]))),
            ...z.map((v, i) => dot(x(v), y(now.f[i]), "explorer-draw")),
          ];
        },
      });

      // One scale for both estimators, or the difference would be hidden.
      const all = ESTIMATORS.flatMap((e) => [...draws[e].flat(), ...exact[e].flatMap((m) => [m.mean - m.sd, m.mean + m.sd])]);
      const edge = niceAbove(1.05 * Math.max(...all.map(Math.abs), 0.1));
      plots[2].update({
        x: [-edge, edge],
        y: [0, 4],
        yticks: false,
        said: `Contributions of the eight draws. ${ESTIMATORS.map((e) => `By the ${e}${e === "pathwise" ? " estimator" : ""}, one draw has standard deviation ${exact[e].map((m) => shown(m.sd)).join(" in μ and ")} in log σ²`).join(". ")}`,
        marks: (x, y) =>
          PARAMETERS.flatMap((parameter, k) =>
            ESTIMATORS.flatMap((e, j) => {
              const middle = y(3.35 - 2 * k - j);
              const { mean, sd } = exact[e][k];
              const kind = j === 0 ? "q" : "p";
              return [
                svg("text", { x: x(-edge) + 2, y: middle - 9 }, `in ${parameter}, ${e}`),
                svg("rect", { class: `area ${kind}`, x: x(mean - sd), y: middle - 5, width: x(mean + sd) - x(mean - sd), height: 10 }),
                svg("line", { class: "explorer-exact", x1: x(mean), x2: x(mean), y1: middle - 8, y2: middle + 8 }),
                ...draws[e][k].map((v) => dot(x(v), middle, `explorer-${kind}`, 3)),
                // A diamond: the mean of the eight, which is the estimate.
                svg("path", { class: "explorer-mean", d: `M${x(estimates[e][k].mean)} ${middle - 5}l4 5l-4 5l-4 -5Z` }),
              ];
            }),
          ),
      });

      PARAMETERS.forEach((_, k) => {
        const [a, b] = ESTIMATORS.map((e) => estimates[e][k]);
        cells[0][k].textContent = shown(exact.pathwise[k].mean, 3);
        cells[1][k].textContent = `${shown(a.mean)} ± ${shown(a.se)}`;
        cells[2][k].textContent = `${shown(b.mean)} ± ${shown(b.se)}`;
        const ratio = (exact["score function"][k].sd / exact.pathwise[k].sd) ** 2;
        cells[3][k].textContent = ratio >= 10 ? `${Math.round(ratio).toLocaleString("en")} : 1` : `${shown(ratio)} : 1`;
      });
    }

    /** From x0 to x1; too short for a head, it has none. */
    function arrow(x0, x1, y) {
      const back = Math.abs(x1 - x0) > 4 ? Math.sign(x1 - x0) * 4 : 0;
      return svg("path", { class: "explorer-arrow", d: `M${x0} ${y}H${x1}` + (back ? `m${-back} -3l${back} 3l${-back} 3` : "") });
    }

    function set(mu, logvar) {
      knobs.mu.value = state.mu = mu;
      knobs.logvar.value = state.logvar = logvar;
      redraw();
    }

    const which = choice("f(z)", Object.entries(FUNCTIONS).map(([key, f]) => [key, f.text]), state.function, (value) => {
      state.function = value;
      redraw();
    });
    redraw();
    return {
      parts: [
        node("div", { class: "explorer-sliders" }, knobs.mu.box, knobs.logvar.box),
        node("div", { class: "explorer-plots" }, ...plots.map((plot) => plot.box)),
        node(
          "p",
          { class: "explorer-note" },
          "What each draw says: dots are the eight draws, a diamond their mean, the bar the exact value ± one standard deviation of a single draw.",
        ),
        node(
          "div",
          { class: "explorer-row" },
          table,
          node(
            "div",
            { class: "explorer-side" },
            which.box,
            button("draw new ε", () => {
              eps = Array.from(draw(EPS.length)).sort((a, b) => a - b);
              redraw();
            }),
            button("back to the start", () => {
              eps = EPS.slice();
              set(START.mu, START.logvar);
            }),
          ),
        ),
        node(
          "p",
          { class: "explorer-notice" },
          node("strong", {}, "Notice: "),
          "ε stays and z moves with the knobs, so each draw has a slope to follow, and both estimators have the same mean; the score function, " +
            "which sees values of f only, scatters more, except where f turns fast, as sin(10z) does.",
        ),
      ],
      values,
      set,
      choose: (name) => {
        which.select.value = state.function = name;
        redraw();
      },
    };
  }

  (site.kinds ??= {})["reparameterization-explorer"] = build;
})();
