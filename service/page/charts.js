// Values over time, drawn by Bokeh; the history comes with the first event, then a point every two seconds.
import { at, make, moment, seconds, share, short } from "./dom.js"

const CHARTS = [
  { title: "Throughput", unit: "records/s", lines: [["records_per_s", ""]], say: short, from: 0 },
  { title: "Loss", unit: "", lines: [["loss", ""]], say: short },
  { title: "Mean IoU", unit: "", lines: [["prequential_iou", "before training"], ["holdout_iou", "held out"]], say: share, from: 0 },
  { title: "Lag", unit: "records", lines: [["lag_records", ""]], say: short, from: 0 },
  { title: "Freshness", unit: "from event to weights", lines: [["freshness_seconds", ""]], say: seconds, from: 0, sparse: true },
]
const HEIGHT = 130
// Bokeh writes times as UTC; people read their own.
const local = when => 1000 * when - 60_000 * new Date(1000 * when).getTimezoneOffset()
let tiers = null, range = 0, drawn = false

const cards = CHARTS.map(chart => {
  const value = make("b"), when = make("span", { className: "soft" }), plot = make("div", { className: "plot", role: "img" })
  const names = chart.lines.filter(([, name]) => name).map(([, name], index) => make("span", { className: `line${index}` }, name))
  const card = make("article", { className: "card chart" },
    make("h3", {}, chart.title, ...names), make("p", {}, value, " ", when), plot)
  return { ...chart, card, value, when, plot, hovered: null }
})
at("charts").prepend(...cards.map(each => each.card))

for (const choice of document.querySelectorAll("input[name=range]")) {
  choice.onchange = () => {
    range = Number(choice.value)
    draw()
  }
}

export function openHistory(opening) {
  const old = tiers
  tiers = opening.map((tier, index) => joined(old?.[index], tier))
  draw()
}

export function addPoint({ tier: index, at: when, values }) {
  const tier = tiers?.[index]
  if (!tier) return
  tier.at.push(when)
  for (const name of Object.keys(tier.series)) tier.series[name].push(values[name])
  while (tier.at.length > tier.most) {
    tier.at.shift()
    for (const name of Object.keys(tier.series)) tier.series[name].shift()
  }
  if (index === range) draw()
  else if (index === 0) cards.forEach(tell)
}

// A service that has started again knows nothing of what was before; this page does.
function joined(old, fresh) {
  if (!old) return fresh
  const first = fresh.at[0] ?? Infinity
  const kept = old.at.filter(when => when < first).length
  const from = Math.max(0, kept + fresh.at.length - fresh.most)
  const series = Object.fromEntries(Object.entries(fresh.series).map(([name, values]) => [name, [...(old.series[name] ?? []).slice(from, kept), ...values]]))
  return { ...fresh, at: [...old.at.slice(from, kept), ...fresh.at], series }
}

// A value that comes with a step only holds until the next one.
function held(values) {
  let last = NaN
  return values.map(value => (last = value ?? last))
}

function draw() {
  cards.forEach(tell)
  if (!tiers || !drawn) return
  const tier = tiers[range], end = local(tiers[0].at.at(-1) ?? 0)
  for (const card of cards) {
    const data = { x: tier.at.map(local) }
    for (const [name] of card.lines) data[name] = card.sparse ? held(tier.series[name]) : tier.series[name].map(value => value ?? NaN)
    card.source.data = data
    card.figure.x_range.setv({ start: end - 1000 * tier.step_s * tier.most, end })
  }
}

// The newest values, or those under the pointer.
function tell(card) {
  const index = card.hovered, tier = tiers?.[index === null ? 0 : range]
  if (!tier) return
  const place = index === null ? tier.at.length - 1 : index
  const values = card.lines.map(([name]) => (card.sparse ? held(tier.series[name])[place] : tier.series[name][place]))
  card.value.textContent = values.every(value => value === null || value === undefined || Number.isNaN(value)) ? "–" : values.map(value => card.say(value)).join(" · ")
  card.when.textContent = index === null ? card.unit : moment(1000 * tier.at[place])
  card.plot.ariaLabel = `${card.title} over time, now ${card.value.textContent} ${card.unit}`
}

function build() {
  const style = getComputedStyle(document.documentElement)
  const colour = name => style.getPropertyValue(name).trim()
  for (const card of cards) {
    card.source = new Bokeh.ColumnDataSource({ data: { x: [], ...Object.fromEntries(card.lines.map(([name]) => [name, []])) } })
    const low = card.from === undefined ? {} : { start: card.from }
    const figure = Bokeh.Plotting.figure({
      height: HEIGHT, sizing_mode: "stretch_width", x_axis_type: "datetime", toolbar_location: null, tools: [],
      x_range: new Bokeh.Range1d({ start: 0, end: 1 }), y_range: new Bokeh.DataRange1d({ ...low, only_visible: true, default_span: 0.1 }),
      background_fill_color: null, border_fill_color: null, outline_line_color: null, min_border: 4, output_backend: "canvas",
    })
    card.lines.forEach(([name], index) => {
      const renderer = figure.line({ field: "x" }, { field: name }, { source: card.source, line_width: 2, line_join: "round", line_color: colour(`--line${index}`) })
      if (index === 0) hover(card, figure, renderer)
    })
    for (const axis of [figure.xaxis, figure.yaxis]) dress(axis, colour)
    for (const axis of figure.xaxis.models) Object.assign(axis.formatter, { minutes: "%H:%M", hourmin: "%H:%M", hours: "%H:%M", strip_leading_zeros: false })
    figure.xgrid.grid_line_color = null
    figure.ygrid.grid_line_color = colour("--line")
    card.figure = figure
    card.plot.replaceChildren()
    Bokeh.Plotting.show(figure, card.plot)
  }
  drawn = true
  draw()
}

function dress(axis, colour) {
  Object.assign(axis, {
    axis_line_color: null, major_tick_line_color: null, minor_tick_line_color: null,
    major_label_text_color: colour("--soft"), major_label_text_font_size: "11px", major_label_text_font: "system-ui, sans-serif",
  })
  for (const one of axis.models) one.ticker.desired_num_ticks = 4 // the figure's own view of its axes can only be written
}

function hover(card, figure, renderer) {
  const callback = { execute: (_, { index }) => {
    card.hovered = index.line_indices[0] ?? null
    tell(card)
  } }
  figure.add_tools(new Bokeh.HoverTool({ tooltips: null, mode: "vline", line_policy: "nearest", renderers: [renderer], callback }))
  card.plot.addEventListener("pointerleave", () => {
    card.hovered = null
    tell(card)
  })
}

// This script may run before or after Bokeh's, which run before DOMContentLoaded.
if (window.Bokeh?.Plotting) build()
else addEventListener("DOMContentLoaded", build)
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build)
