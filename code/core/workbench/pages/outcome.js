/** What a form comes to: its command line, what it will take, and the button that starts it. */
import { Component, html } from "./markup.js";
import { send } from "./sending.js";
import { duration } from "./values.js";

/** `refuse` gets what the server has against the values. */
export class Outcome extends Component {
  async measure() {
    const { values, refuse } = this.props;
    const of = JSON.stringify(values);
    this.setState({ of, estimate: "Measuring some steps; large data sets take a minute to read …" });
    const found = await send("api/form/estimate", { values });
    if (of !== JSON.stringify(this.props.values)) return;
    if (found.problem) refuse(found);
    this.setState({ estimate: found.problem ? "" : estimateText(found) });
  }

  render({ values, checked, said, start }, { of, estimate }) {
    const ready = checked && !checked.problem;
    return html`<section class="outcome" aria-labelledby="command"><h2 id="command">Command line</h2>
      ${checked?.problem ? html`<p class="trouble" role="alert">${checked.problem}</p>` : null}
      ${ready ? html`<pre class="command">${checked.command}</pre>` : null}
      <p class="toolbar"><button class="button" disabled=${!ready} onClick=${start}>Start</button>
        ${ready ? html`<button type="button" onClick=${() => this.measure()}>Estimate time</button><${Copy} text=${checked.command} what="command line" />` : null}</p>
      <p role="status">${said} ${of === JSON.stringify(values) ? estimate : ""}</p>
      ${ready ? html`<details><summary>For a SLURM cluster</summary><pre class="command">${checked.script}</pre><${Copy} text=${checked.script} what="script" /></details>` : null}
    </section>`;
  }
}

function estimateText({ seconds_per_epoch: epoch, num_epochs: epochs, memory_mib: memory, device, beside }) {
  const total = `About ${duration(epoch)} an epoch on ${device}, ${duration(epoch * epochs)} for all ${epochs}`;
  const used = memory === null ? "" : `, and ${(memory / 1024).toFixed(1)} GiB of memory`;
  return `${total}${used}.${beside ? " Measured beside a running training: alone it is faster." : ""}`;
}

class Copy extends Component {
  render({ text, what }, { done }) {
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(text);
        this.setState({ done: text });
      } catch {
        this.setState({ done: null });
      }
    };
    const words = done === text ? "Copied" : done === null ? "Select it and press Ctrl-C" : "Copy";
    return html`<button type="button" onClick=${copy}>${words}<span class="hidden"> the ${what}</span></button>`;
  }
}
