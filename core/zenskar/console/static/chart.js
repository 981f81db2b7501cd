"use strict";
// Charts: an element of the class `chart` with its numbers in `data-series`.
(() => {
  const charts = new WeakMap();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // A canvas knows no light-dark(): an element resolves the colour.
  const resolved = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };

  const utcTime = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

  const options = (element) => {
    const [soft, line] = [resolved("--soft"), resolved("--line")];
    const axis = { stroke: soft, font: `11px ${colour("--sans")}`, ticks: { show: false } };
    const grid = { stroke: line, width: 1 };
    const paths = uPlot.paths.bars({ size: [0.7, 12], radius: 0.2 });
    return {
      width: element.clientWidth,
      height: 168,
      padding: [8, 22, 0, 4],
      cursor: { y: false, points: { show: false }, drag: { x: false } },
      legend: { show: false },
      // Each bar has room for its width, also the first and the last.
      scales: { x: { time: true, range: (_u, min, max) => [min - 30, max + 30] }, y: { range: (_u, _min, max) => [0, Math.max(5, max * 1.1)] } },
      axes: [
        { ...axis, size: 28, grid: { show: false }, values: (_u, all) => all.map(utcTime), space: 70 },
        { ...axis, grid, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
      ],
      series: [
        {},
        ...element.dataset.labels.split(",").map((label) => ({
          label,
          paths,
          stroke: resolved(label === "in" ? "--inbound" : "--outbound"),
          fill: resolved(label === "in" ? "--inbound" : "--outbound"),
          points: { show: false },
        })),
      ],
    };
  };

  // Bars on each other: the first series is drawn as the sum, behind the second. No bar for zero.
  const bars = (values) => values.map((value) => value || null);
  const stacked = ([x, first, second]) => [
    x,
    bars(first.map((value, place) => value + second[place])),
    bars(second),
  ];

  const draw = (element, anew) => {
    const data = stacked(JSON.parse(element.dataset.series));
    const known = charts.get(element);
    if (known && !anew) {
      known.setData(data);
      return;
    }
    if (known) known.destroy();
    charts.set(element, new uPlot(options(element), data, element));
  };

  window.drawCharts = (anew = false) => {
    document.querySelectorAll(".chart").forEach((element) => draw(element, anew));
  };
  addEventListener("resize", () => window.drawCharts(true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.drawCharts(true));
  window.drawCharts();
})();
