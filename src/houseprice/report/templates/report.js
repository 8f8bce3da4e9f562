"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  const json = (id) => JSON.parse(document.getElementById(id).textContent);

  // ---------------------------------------------------------------- theme

  const root = document.documentElement;
  const themeButton = one("#theme");
  const themes = ["auto", "light", "dark"];
  const showTheme = () => { themeButton.textContent = `Theme: ${root.dataset.theme ?? "auto"}`; };
  showTheme();
  themeButton.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % themes.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      if (next === "auto") localStorage.removeItem("houseprice-theme");
      else localStorage.setItem("houseprice-theme", next);
    } catch {
      // storage may be forbidden; the choice lasts as long as the page
    }
    showTheme();
  });

  // --------------------------------------------------------------- tables

  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // Numbers by size, text as people order it; rows without a value stay last either way.
  function sortBy(table, header, direction) {
    const column = header.cellIndex;
    const isNumber = header.dataset.sort === "number";
    const valueOf = (row) => {
      const cell = row.cells[column];
      const text = cell.dataset.value ?? cell.textContent.trim();
      if (text === "") return null;
      return isNumber ? Number(text) : text;
    };
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row, place) => ({ row, place, value: valueOf(row) }));
    keyed.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.place - b.place;
      const order = isNumber ? a.value - b.value : collator.compare(a.value, b.value);
      return direction * order || a.place - b.place;
    });
    body.append(...keyed.map(({ row }) => row));
    for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  }

  for (const table of all("table.sortable")) {
    for (const header of all("thead th[data-sort]", table)) {
      one("button", header).addEventListener("click", () => {
        sortBy(table, header, header.getAttribute("aria-sort") === "ascending" ? -1 : 1);
      });
    }
  }

  for (const controls of all("[data-controls]")) {
    const name = controls.dataset.controls;
    const table = document.getElementById(name);
    const inputs = all("[data-filter]", controls);
    const count = one("[data-count]", controls);
    const rows = [...table.tBodies[0].rows];
    const textOf = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const filter = () => {
      let shown = 0;
      for (const row of rows) {
        const fits = inputs.every((input) => {
          const wanted = input.value.trim();
          if (wanted === "") return true;
          if (input.dataset.filter !== "text") return row.dataset[input.dataset.filter] === wanted;
          return wanted.toLowerCase().split(/\s+/).every((word) => textOf.get(row).includes(word));
        });
        row.hidden = !fits;
        shown += fits;
      }
      count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
      one(`[data-empty="${name}"]`).hidden = shown > 0;
    };
    for (const input of inputs) input.addEventListener("input", filter);
  }

  for (const box of all("[data-widen]")) {
    const table = document.getElementById(box.dataset.widen);
    box.addEventListener("change", () => table.classList.toggle("widened", box.checked));
  }

  // --------------------------------------------------------------- matrix

  const matrix = one("#matrix");
  if (matrix) {
    const { names, pairs, decimals } = json("pairs");
    const readout = one("#readout");
    const size = names.length;
    const minus = (text) => text.replace("-", "−");
    let active = null;

    // where the pair (i, j), i < j, stands among the cells above the diagonal, row by row
    const pairOf = (i, j) => pairs[i * size - (i * (i + 1)) / 2 + (j - i - 1)];

    function say(i, j) {
      if (i === j) return `${names[i]}: row and column are the same.`;
      const pair = pairOf(Math.min(i, j), Math.max(i, j));
      if (!pair) return `${names[i]} beside ${names[j]}: not on the same rows, so they can’t be compared.`;
      const sign = i < j ? 1 : -1;
      const [difference, low, high] = i < j ? pair : [-pair[0], -pair[2], -pair[1]];
      const shown = (value) => minus((value + 0).toFixed(decimals));
      const cell = matrix.tBodies[0].rows[i].cells[j + 1].className.split(" ")[0];
      const verdict = { b: "is better than", w: "is worse than", o: "can’t be told apart from" }[cell];
      const p = pair[3] < 0.0001 ? "p < 0.0001" : `p = ${pair[3].toPrecision(2)}`;
      return `${names[i]} ${verdict} ${names[j]}: difference ${sign * pair[0] > 0 ? "+" : ""}${shown(difference)}, ` +
        `95 % from ${shown(low)} to ${shown(high)}, adjusted ${p}.`;
    }

    function activate(cell, scroll) {
      if (active) active.classList.remove("active");
      active = cell;
      active.classList.add("active");
      readout.classList.add("tells");
      readout.textContent = say(cell.parentElement.rowIndex - 1, cell.cellIndex - 1);
      if (scroll) cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    }

    matrix.addEventListener("pointerover", (event) => {
      const cell = event.target.closest("tbody td");
      if (cell) activate(cell, false);
    });
    one("#matrix-box").addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step || size === 0) return;
      event.preventDefault();
      const [i, j] = active ? [active.parentElement.rowIndex - 1, active.cellIndex - 1] : [0, 0];
      const within = (place) => Math.min(size - 1, Math.max(0, place));
      const [row, column] = active ? [within(i + step[0]), within(j + step[1])] : [0, Math.min(1, size - 1)];
      activate(matrix.tBodies[0].rows[row].cells[column + 1], true);
    });
  }

  // ------------------------------------------------------ residuals by column

  const byColumn = one("#by-column");
  if (byColumn) {
    const tables = all("#by-column-tables > details");
    const show = () => tables.forEach((table, place) => { table.open = place === Number(byColumn.value); });
    byColumn.addEventListener("change", show);
    show();
  }

  // ------------------------------------------------------------------ nav

  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const inSight = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of all("main > section")) inSight.observe(section);

  // ------------------------------------------------------------- commands

  for (const command of all(".command")) {
    const button = one(".copy", command);
    button.addEventListener("click", async () => {
      const code = one("code", command);
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // then Ctrl-C does it
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // -------------------------------------------------------------- figures

  const specs = json("figures");
  const config = { displayModeBar: false, displaylogo: false, responsive: true, showTips: false };

  async function unpack(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // Plotly's drawings scale with the page when it is printed.
  function makeScalable(plot) {
    for (const svg of all(".main-svg", plot)) {
      svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
    }
  }

  function draw(plot, data, layout) {
    const drawn = Plotly.react(plot, data, { ...layout, autosize: true }, config);
    return drawn.then(() => {
      makeScalable(plot);
      if (!plot.dataset.listening) {
        plot.dataset.listening = "true";
        plot.on("plotly_afterplot", () => makeScalable(plot));
      }
    });
  }

  const toggles = all("[data-toggle]");

  function drawCurves(plot) {
    const chosen = toggles.filter((box) => box.checked).map((box) => specs.curves[box.dataset.toggle]);
    const layout = (chosen[0] ?? Object.values(specs.curves)[0]).layout;
    const axis = { ...layout.yaxis, tickvals: undefined, ticktext: undefined, ...logTicks(chosen) };
    return draw(plot, chosen.flatMap((figure) => figure.data), { ...layout, yaxis: axis, legend: { ...layout.legend } });
  }

  // Each figure has the ticks that suit it alone; together they keep those that are not too close, the roundest first.
  function logTicks(chosen) {
    const label = new Map(chosen.flatMap(({ layout }) => layout.yaxis.tickvals.map((value, place) => [value, layout.yaxis.ticktext[place]])));
    const roundness = (value) => ["1", "5", "2", "3"].indexOf(value.toExponential().replace(/e.*/, "")) >>> 0;
    const values = [...label.keys()].sort((a, b) => roundness(a) - roundness(b));
    const apart = Math.log(Math.max(...values) / Math.min(...values)) / 10;
    const kept = [];
    for (const value of values) {
      if (kept.every((other) => Math.abs(Math.log(value / other)) > apart)) kept.push(value);
    }
    return { tickvals: kept, ticktext: kept.map((value) => label.get(value)) };
  }

  async function drawAll() {
    const code = document.createElement("script");
    code.textContent = await unpack("plotly-gz");
    document.head.append(code);
    for (const figure of all("[data-figure]")) {
      const plot = one(".plot", figure);
      const name = figure.dataset.figure;
      if (name === "curves") {
        await drawCurves(plot);
        for (const box of toggles) box.addEventListener("change", () => drawCurves(plot));
      } else {
        await draw(plot, specs.figures[name].data, specs.figures[name].layout);
      }
      await new Promise((resolve) => setTimeout(resolve)); // the page answers in between
    }
    root.dataset.figures = "drawn";
  }

  if (typeof DecompressionStream === "function") {
    drawAll();
  } else {
    one("#no-figures").hidden = false;
    root.dataset.figures = "absent";
  }
})();
