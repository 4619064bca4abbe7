/* The latent explorer: E[x|z] while z is moved on a pad and by sliders. */

"use strict";

globalThis.courseExplorers ??= {};

(() => {
  const site = globalThis.courseExplorers;
  const REACH = 3; // of pad and sliders: the prior up to three standard deviations
  const SIZE = 220; // of the pad, in its own units
  const STEP = 0.1, LEAP = 0.5; // an arrow key, without and with shift

  const place = (value) => ((Math.max(-REACH, Math.min(REACH, value)) + REACH) / (2 * REACH)) * SIZE;
  const name = (k) => `z[${k}]`;

  async function build() {
    const { button, choice, dot, node, normals, shown, slider, svg } = site;
    const decoder = await site.loadDecoder();
    const { active, width, height } = decoder;
    const axes = active.slice(0, 2); // the latents of the pad: rightwards, upwards
    const draw = normals(1);
    let z = Float64Array.from(decoder.codes[0]);
    let draws = 0;

    // --- the picture ---
    const canvas = node("canvas", { width, height, role: "img", class: "explorer-image" });
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);

    function paint() {
      decoder.mean(z).forEach((value, i) => {
        const grey = Math.round(255 * value);
        pixels.data.set([grey, grey, grey, 255], 4 * i);
      });
      context.putImageData(pixels, 0, 0);
    }

    // --- the pad ---
    const map = svg("g", {});
    const point = dot(0, 0, "explorer-here", 8);
    const pad = svg(
      "svg",
      {
        viewBox: `0 0 ${SIZE} ${SIZE}`,
        class: "explorer-pad",
        tabindex: 0,
        role: "slider",
        "aria-roledescription": "pad",
        "aria-valuemin": -REACH,
        "aria-valuemax": REACH,
      },
      map,
      point,
    );

    function drawMap() {
      const [across, up] = axes;
      const text = { class: "explorer-axis" };
      map.replaceChildren(
        svg("path", { class: "grid", d: `M0 ${SIZE / 2}H${SIZE}M${SIZE / 2} 0V${SIZE}` }),
        ...decoder.codes.map((code) => dot(place(code[across]), SIZE - place(code[up]), "explorer-code", 2)),
        svg("text", { ...text, x: SIZE - 5, y: SIZE - 6, "text-anchor": "end" }, `${name(across)} →`),
        svg("text", { ...text, x: 5, y: 16 }, `↑ ${name(up)}`),
      );
      pad.setAttribute(
        "aria-label",
        `Pad: left and right arrow move ${name(across)}, up and down arrow ${name(up)}, Home sets both to zero`,
      );
    }

    function pointed(event) {
      const box = pad.getBoundingClientRect();
      const share = (part) => Math.max(-REACH, Math.min(REACH, (2 * part - 1) * REACH));
      move({ [axes[0]]: share((event.clientX - box.left) / box.width), [axes[1]]: share(1 - (event.clientY - box.top) / box.height) });
    }
    pad.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      pad.setPointerCapture(event.pointerId); // a drag that leaves the pad goes on
      pointed(event);
    });
    pad.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) pointed(event);
    });
    pad.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
      if ((!way && event.key !== "Home") || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation(); // the theme turns pages with the arrow keys
      if (!way) return move({ [axes[0]]: 0, [axes[1]]: 0 });
      const size = event.shiftKey ? LEAP : STEP;
      const to = (k, sign) => (sign ? Math.max(-REACH, Math.min(REACH, z[k] + sign * size)) : z[k]);
      return move({ [axes[0]]: to(axes[0], way[0]), [axes[1]]: to(axes[1], way[1]) });
    });

    const options = active.map((k) => [k, name(k)]);
    const choices = ["Across", "Up"].map((label, i) =>
      choice(label, options, axes[i], (value) => {
        const other = axes[1 - i];
        if (Number(value) === other) {
          axes[1 - i] = axes[i]; // no latent on both axes: the two change places
          choices[1 - i].select.value = axes[1 - i];
        }
        axes[i] = Number(value);
        drawMap();
        tell();
      }),
    );

    // --- the sliders ---
    const sliders = new Map(
      active.map((k) => [
        k,
        slider({
          label: name(k),
          note: `${shown(decoder.rates[k])} nats`,
          said: `latent ${k}, mean rate ${shown(decoder.rates[k])} nats`,
          value: 0,
          low: -REACH,
          high: REACH,
          changed: (value) => move({ [k]: value }),
        }),
      ]),
    );

    // --- what is said ---
    const readout = node("p", { class: "explorer-readout" });
    const status = node("p", { class: "explorer-status", role: "status" });

    function tell() {
      const [across, up] = axes;
      point.setAttribute("cx", place(z[across]));
      point.setAttribute("cy", SIZE - place(z[up]));
      pad.setAttribute("aria-valuenow", z[across].toFixed(2));
      pad.setAttribute("aria-valuetext", `${name(across)} ${shown(z[across])}, ${name(up)} ${shown(z[up])}`);
      const at = active.map((k) => `${name(k)} = ${shown(z[k])}`).join(", ");
      canvas.setAttribute("aria-label", `The image E[x|z] at ${at}`);
      const square = z.reduce((sum, v) => sum + v * v, 0);
      const logPrior = -0.5 * (square + z.length * Math.log(2 * Math.PI));
      readout.textContent =
        `‖z‖ = ${shown(Math.sqrt(square))} (prior: ${shown(decoder.priorNorm)} on average), log p(z) = ${shown(logPrior)} nats`;
    }

    /** Set some latents, by number, and show the result. */
    function move(changes) {
      for (const [k, value] of Object.entries(changes)) z[k] = value;
      for (const [k, control] of sliders) {
        if (k in changes && control.value !== z[k]) control.value = z[k];
      }
      paint();
      tell();
    }

    const show = (values) => move({ ...values });
    const buttons = [
      button("draw from the prior", () => {
        show(draw(z.length));
        draws += 1;
        status.textContent = `Draw ${draws} from the prior, N(0, I); none is picked.`;
      }),
      button("back to zero", () => {
        show(new Float64Array(z.length));
        status.textContent = "All latents are at zero, the mean of the prior.";
      }),
    ];

    drawMap();
    show(z);
    status.textContent = "It starts at the code of the first held-out image.";
    const total = decoder.rates.reduce((sum, rate) => sum + rate, 0);
    const source = decoder.made.data ? `trained on ${decoder.made.data}` : `from ${decoder.made.checkpoint}`;
    return {
      parts: [
        node(
          "div",
          { class: "explorer-top" },
          node("figure", {}, node("figcaption", {}, "E[x|z]"), canvas),
          node("figure", {}, node("figcaption", {}, `Dots: ${decoder.codes.length} held-out images`), pad),
          node("div", { class: "explorer-side" }, ...choices.map((c) => c.box), ...buttons, readout, status),
        ),
        node("div", { class: "explorer-sliders" }, ...[...sliders.values()].map((s) => s.box)),
        node(
          "p",
          { class: "explorer-notice" },
          node("strong", {}, "Notice: "),
          "the prior has its highest density at z = 0, and the image there is like no digit; draws of the prior have " +
            `‖z‖ near ${shown(decoder.priorNorm, 1)}, and the codes of images lie about as far out.`,
        ),
        node(
          "p",
          { class: "explorer-note" },
          `The decoder of a VAE with ${decoder.latents} latents ${source} runs in this page. ${active.length} latents are active; ` +
            `beside each stands its mean rate, KL(q(z|x) ‖ p(z)), over held-out images; all together have ${shown(total)} nats per image.`,
        ),
      ],
      decoder,
      show,
      get z() {
        return Array.from(z);
      },
    };
  }

  (site.kinds ??= {})["latent-explorer"] = build;
})();
