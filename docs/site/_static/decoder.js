/* The decoder of a VAE in the page: from a latent code to E[x|z].

   The weights are what docs/site/export_decoder.py wrote to weights/decoder.js. That file is asked
   for only by pages that show a latent explorer, and as a script: a page opened from a folder
   (file://) may not fetch JSON. */

"use strict";

globalThis.courseExplorers ??= {};

(() => {
  const here = document.currentScript.src; // known only while this file is read

  /** Return the exported object; loads it once. */
  function weights() {
    if (globalThis.courseDecoder) return Promise.resolve(globalThis.courseDecoder);
    const script = document.createElement("script");
    script.src = new URL("weights/decoder.js", here).href;
    return new Promise((resolve, reject) => {
      script.onload = () => resolve(globalThis.courseDecoder);
      script.onerror = () => reject(new Error("the weights of its decoder could not be loaded. Reload the page."));
      document.head.append(script);
    });
  }

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;

  const activations = { relu: (a) => (a > 0 ? a : 0), tanh: Math.tanh };

  /** A network of dense layers, and what is known of its latents. */
  class Decoder {
    constructor(exported) {
      if (exported.format !== "course decoder 1") {
        throw new Error(`its weights are of another format (${exported.format}). Export them again.`);
      }
      const { width, height, latents, rates, active } = exported;
      Object.assign(this, { width, height, latents, rates, priorNorm: exported.prior_norm, made: exported.made });
      this.activation = activations[exported.activation];
      this.layers = exported.layers.map((packed) => {
        const scale = new Float32Array(bytes(packed.scale));
        const rounded = new Int8Array(bytes(packed.weight)); // [out, in], row by row
        return {
          inputs: packed.in,
          bias: new Float32Array(bytes(packed.bias)),
          weight: Float32Array.from(rounded, (w, i) => w * scale[Math.floor(i / packed.in)]),
        };
      });
      // Most informative first: these get a slider, the others have next to no effect.
      this.active = Array.from(rates.keys())
        .filter((k) => rates[k] > active)
        .sort((a, b) => rates[b] - rates[a]);
      const flat = Array.from(new Int8Array(bytes(exported.codes.values)), (c) => c * exported.codes.scale);
      this.codes = Array.from({ length: flat.length / latents }, (_, i) => flat.slice(i * latents, (i + 1) * latents));
    }

    /** E[x|z] for z of `latents` numbers: a Float32Array of height times width, from 0 to 1. */
    mean(z) {
      let values = Float32Array.from(z);
      this.layers.forEach(({ inputs, bias, weight }, depth) => {
        const last = depth === this.layers.length - 1;
        const next = new Float32Array(bias.length);
        for (let row = 0; row < next.length; row += 1) {
          let sum = bias[row];
          for (let i = 0, at = row * inputs; i < inputs; i += 1, at += 1) sum += weight[at] * values[i];
          // The mean of a Bernoulli pixel is the sigmoid of its logit.
          next[row] = last ? 1 / (1 + Math.exp(-sum)) : this.activation(sum);
        }
        values = next;
      });
      return values;
    }
  }

  Object.assign(globalThis.courseExplorers, { Decoder, loadDecoder: async () => new Decoder(await weights()) });
})();
