// Values over time, drawn by Bokeh; the history comes with the first event, then a point every two seconds.
// What holds now is the status', so that it says what the sentence says.
import { at, make, moment, say, seconds, share, short, whole } from "./dom.js"
import { lagRecords, lagSeconds, meanIou } from "./status.js"

// now: the value in a status; without it the newest point counts. sparse: a value holds until the next one.
const CHARTS = [
  { title: "Throughput", say: short, from: 0, none: "",
    lines: [{ name: "records_per_s", text: "records/s", now: s => s.rates.records_per_s }] },
  { title: "Loss", say: short, none: "No step was trained yet since the worker began.",
    lines: [{ name: "loss", text: "", now: s => s.loss }] },
  { title: "Mean IoU", say: share, from: 0, none: "No batch was scored yet.",
    lines: [{ name: "prequential_iou", text: "before training", now: s => meanIou(s, false) },
      { name: "holdout_iou", text: "held out", now: s => meanIou(s, true) }] },
  { title: "Lag", say: whole, from: 0, none: "The log's end is not known yet.",
    lines: [{ name: "lag_records", text: "records", now: lagRecords }] },
  { title: "Freshness", say: seconds, from: 0, none: "No record was trained yet that tells its time.",
    lines: [{ name: "freshness_seconds", text: "event to weights", sparse: true },
      { name: "lag_seconds", text: "oldest waiting", now: lagSeconds }] },
]
const HEIGHT = 130
const LEAST_S = 60 // a training of a few seconds isn't drawn across the whole width
// Bokeh writes times as UTC; people read their own.
const local = when => 1000 * when - 60_000 * new Date(1000 * when).getTimezoneOffset()
let tiers = null, range = 0, drawn = false, status = null

const cards = CHARTS.map(chart => {
  const lines = chart.lines.map((line, index) => {
    const value = make("b")
    return { ...line, value, told: make("span", { className: `line${index}` }, value, ` ${line.text}`) }
  })
  const when = make("span", { className: "soft" }), empty = make("p", { className: "soft" }, chart.none)
  const plot = make("div", { role: "img" })
  const card = make("article", { className: "card chart" }, make("h3", {}, chart.title, when),
    make("p", { className: lines.length > 1 ? "values several" : "values" }, ...lines.map(line => line.told)),
    make("div", { className: "plot" }, plot, empty))
  return { ...chart, lines, card, when, plot, empty, hovered: null }
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

export function showNow(now) {
  status = now
  cards.forEach(tell)
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

// Numbers alone: NaN where nothing is known.
function numbers(tier, line) {
  let last = NaN
  return tier.series[line.name].map(value => (last = value ?? (line.sparse ? last : NaN)))
}

function draw() {
  cards.forEach(tell)
  if (!tiers || !drawn) return
  const tier = tiers[range], end = tiers[0].at.at(-1) ?? 0
  const start = Math.max(end - tier.step_s * tier.most, Math.min(tier.at[0] ?? end, end - LEAST_S))
  for (const card of cards) {
    const data = { x: tier.at.map(local) }
    for (const line of card.lines) data[line.name] = numbers(tier, line)
    card.empty.hidden = card.lines.some(line => data[line.name].some(Number.isFinite))
    card.source.data = data
    card.figure.x_range.setv({ start: local(start), end: local(end) })
  }
}

// What holds now, or the values under the pointer.
function tell(card) {
  const index = card.hovered
  for (const line of card.lines) say(line.value, card.say(index === null ? present(line) : numbers(tiers[range], line)[index]))
  say(card.when, index === null ? "" : moment(1000 * tiers[range].at[index]))
  const label = `${card.title} over time, now ${card.lines.map(line => `${line.value.textContent} ${line.text}`).join(", ")}`
  if (index === null && card.plot.ariaLabel !== label) card.plot.ariaLabel = label
}

function present(line) {
  if (line.now) return status && line.now(status)
  return tiers && numbers(tiers[0], line).at(-1)
}

function build() {
  const style = getComputedStyle(document.documentElement)
  const colour = name => style.getPropertyValue(name).trim()
  for (const card of cards) {
    card.source = new Bokeh.ColumnDataSource({ data: { x: [], ...Object.fromEntries(card.lines.map(line => [line.name, []])) } })
    const low = card.from === undefined ? { default_span: 0.1 } : { start: card.from, default_span: 2 }
    const figure = Bokeh.Plotting.figure({
      height: HEIGHT, sizing_mode: "stretch_width", x_axis_type: "datetime", toolbar_location: null, tools: [],
      x_range: new Bokeh.Range1d({ start: 0, end: 1 }), y_range: new Bokeh.DataRange1d({ ...low, only_visible: true }),
      background_fill_color: null, border_fill_color: null, outline_line_color: null, min_border: 4, output_backend: "canvas",
    })
    card.lines.forEach((line, index) => {
      const renderer = figure.line({ field: "x" }, { field: line.name }, { source: card.source, line_width: 2, line_join: "round", line_color: colour(`--line${index}`) })
      if (index === 0) hover(card, figure, renderer)
    })
    for (const axis of [figure.xaxis, figure.yaxis]) dress(axis, colour)
    for (const axis of figure.xaxis.models) Object.assign(axis.formatter, { seconds: "%H:%M:%S", minsec: "%H:%M:%S", minutes: "%H:%M", hourmin: "%H:%M", hours: "%H:%M", strip_leading_zeros: false })
    for (const axis of figure.yaxis.models) axis.formatter.use_scientific = false
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
